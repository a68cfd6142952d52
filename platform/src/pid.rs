//! Process ids that no signal can misread.
//! Refuses pids of 1 and below: kill(2) would read them as init, as a group, or as everybody.

use std::fmt;

/// A process id above 1, so that no signal can reach init, a group by accident, or every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// None for 1 and below.
    #[must_use]
    pub fn new(raw: i32) -> Option<Pid> {
        (raw > 1).then_some(Pid(raw))
    }

    /// The number, always above 1.
    #[must_use]
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// This process's id, for messages and records. A plain number, since in a container it may be 1.
#[must_use]
pub fn own_pid() -> u32 {
    std::process::id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_above_one() {
        assert_eq!([-1, 0, 1].map(Pid::new), [None, None, None]);
        assert_eq!(Pid::new(2).map(Pid::as_raw), Some(2));
    }
}
