//! One line of the log with what goes with it, made step by step. No line is longer than it may be, whoever makes it.

use log::Level;

use super::happening::HookEvent;
use super::throttle::FREE_LINES;
use crate::error::cut;

/// How long a line is at most, in bytes, without its time and level. What names programs, paths or a whole PATH may be
/// of any length.
pub(crate) const TEXT_BYTES_MAX: usize = 2000;

/// How much of that a cause may take, in bytes, so that what comes after it is still read.
pub(crate) const CAUSE_BYTES_MAX: usize = 1500;

/// One line of the log, and what goes with it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) level: Level,
    pub(crate) text: String,
    /// What kind of line it is, and of what; repeats are told by both.
    pub(crate) kind: &'static str,
    pub(crate) subject: String,
    /// The part of the text that stays the same when the same thing happens again.
    pub(crate) key: String,
    /// How often it may be said in a row before it is held back.
    pub(crate) free: u32,
    /// Whether it belongs among the last transitions of the status file.
    pub(crate) is_transition: bool,
    pub(crate) hooks: Vec<HookEvent>,
}

impl Message {
    /// A line that is no transition, and each text a subject of its own.
    pub(crate) fn new(level: Level, kind: &'static str, mut text: String) -> Self {
        cut(&mut text, TEXT_BYTES_MAX);
        let subject = text.clone();
        Self { level, text, kind, subject, key: String::new(), free: FREE_LINES, is_transition: false, hooks: vec![] }
    }

    /// A line that belongs among the last transitions.
    pub(super) fn transition(level: Level, kind: &'static str, text: String) -> Self {
        Self { is_transition: true, ..Self::new(level, kind, text) }
    }

    /// With one subject for all lines of the kind, that differ by this.
    pub(super) fn keyed(self, key: impl Into<String>) -> Self {
        self.about(String::new(), key)
    }

    /// A line about one of several things, with what differs between its lines.
    pub(super) fn about(self, subject: String, key: impl Into<String>) -> Self {
        let mut key = key.into();
        cut(&mut key, TEXT_BYTES_MAX);
        Self { subject, key, ..self }
    }

    /// Held back from the second time on.
    pub(super) fn once(self) -> Self {
        Self { free: 1, ..self }
    }

    /// Hooks are told as well.
    pub(super) fn hook(mut self, event: HookEvent) -> Self {
        self.hooks.push(event);
        self
    }

    /// Hooks are told as well, if it is so.
    pub(super) fn hook_if(self, is_so: bool, event: HookEvent) -> Self {
        if is_so { self.hook(event) } else { self }
    }
}
