//! What can be told of: facts of one turn of the loop, waiting for its end; and the ends of exchanges in words.

use std::time::Duration;

use platform::Pid;

use super::redact::{Foreign, Redactor};
use super::status::Exit;
use crate::http::{LOCATION_BYTES_MAX, SyncAnswer};
use crate::policy::{Generation, Notice};
use crate::supervise::client::Answer;
use crate::time::secs;

/// How much of the worker's own text on a registration is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 120;

/// Something to be told at the end of the turn in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happening {
    /// What the policy decided.
    Notice(Notice),
    /// A worker was spawned.
    Spawned { generation: Generation, pid: Pid },
    /// A worker is gone. The next one may run already.
    Exited(Exit),
    /// Something went wrong that can be survived: which kind of thing, and the whole sentence.
    Warning { kind: &'static str, text: String },
    /// A worker has left processes outside of its session, which run on; it had ended without an error, or not.
    LeftRunning { names: String, was_quiet: bool },
    /// The configuration was read anew.
    ConfigReloaded,
    /// The configuration can't be read anew, and why.
    ConfigBroken(String),
    /// A secret could not be leased, and why; there is a last value to go on with, or the worker can do without.
    LeaseFailed { variable: String, reason: String, has_last_value: bool },
    /// A secret whose lease had failed could be leased.
    LeasedAgain { variable: String },
    /// A hook could not be started, failed or was ended, and why.
    HookFailed { event: HookEvent, reason: String },
    /// A hook went well.
    HookDone,
}

/// Something that a hook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookEvent {
    /// A worker was started.
    Started,
    /// It gave its first healthy answer.
    Ready,
    /// It is gone.
    Exited,
    /// It failed too many health checks.
    Unhealthy,
    /// Starts have failed several times in a row.
    RestartFailing,
    /// Somebody else listens on the port.
    PortConflict,
    /// A registration failed.
    SyncFailed,
    /// What was wrong is right again.
    Recovered,
    /// The supervisor ends.
    Stopped,
}

impl HookEvent {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::Stopped as usize + 1;

    /// The name that hooks see.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Exited => "exited",
            Self::Unhealthy => "unhealthy",
            Self::RestartFailing => "restart-failing",
            Self::PortConflict => "port-conflict",
            Self::SyncFailed => "sync-failed",
            Self::Recovered => "recovered",
            Self::Stopped => "stopped",
        }
    }
}

/// How the last probe ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum ProbeEnd {
    /// There was none.
    #[default]
    None,
    /// An answer with this status.
    Answered(u16),
    /// A redirect with this status, and where to, as it may be shown.
    Redirected(u16, String),
    /// No answer, and why.
    Failed(String),
    /// The supervisor could not ask, and why.
    LocalError(String),
}

impl ProbeEnd {
    /// In words, escaped as they came.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Answered(status) => format!("status {status}"),
            Self::Redirected(status, location) => format!("status {status}, {}", redirected(location)),
            Self::Failed(reason) | Self::LocalError(reason) => reason.clone(),
        }
    }
}

/// Why an Inngest endpoint says 500 and no more.
const KEYLESS: &str = ", as of an Inngest endpoint without INNGEST_SIGNING_KEY or INNGEST_DEV=1";

/// An answered registration, in words. An accepted one may still say in its message that it registered nothing.
pub(crate) fn sync_result(answer: &Answer, said: SyncAnswer, endpoint: &str, redactor: &Redactor) -> String {
    let status = answer.status;
    if let Some(location) = &answer.redirect {
        return format!("status {status}, {}", redirected(&redactor.show(location, LOCATION_BYTES_MAX)));
    }
    if answer.is_page {
        return format!("status {status}, answered with a page, not a registration");
    }
    let modified = said.modified.map_or_else(String::new, |modified| format!(", modified={modified}"));
    let shown = |text: String| format!(", {}", redactor.show(&Foreign::new(text), MESSAGE_BYTES_MAX));
    // The SDK says why in its own log alone.
    let is_keyless = status == 500 && endpoint.contains("inngest");
    let hint = || if is_keyless { KEYLESS.to_owned() } else { String::new() };
    let message = said.message.map_or_else(hint, shown);
    format!("status {status}{modified}{message}")
}

/// Where a redirect leads, in words. None is followed.
fn redirected(location: &str) -> String {
    if location.is_empty() { "a redirect without Location".to_owned() } else { format!("a redirect to {location}") }
}

/// A deadline missed, in words.
pub(crate) fn no_answer(timeout: Duration) -> String {
    format!("no answer within {}", secs(timeout))
}
