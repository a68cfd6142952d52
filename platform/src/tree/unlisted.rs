//! Systems that keep no list of a process's children: macOS, and FreeBSD, where only a table of all processes has them.

use crate::pid::Pid;

/// There is none to be had.
#[derive(Debug)]
pub enum ChildList {}

impl ChildList {
    /// Whether `child` may have left somebody.
    #[must_use]
    pub fn may_be_left_by(&self, _child: Pid, _known: &[Pid]) -> bool {
        match *self {}
    }
}
