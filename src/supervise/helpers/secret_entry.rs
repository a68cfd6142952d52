//! One secret: its value as far as it is known, what became of its last lease, and what is to be told of that.

use std::time::{Duration, Instant};

use crate::config::SecretEntry;
use crate::error::{SHOWN_BYTES_MAX, escape};
use crate::supervise::launch::environment::Secret;
use crate::supervise::report::happening::Happening;

/// How many secrets one message explains.
const EXPLAINED_MAX: usize = 8;

/// One secret of the config, and how it stands.
pub(super) struct Entry {
    pub(super) wanted: SecretEntry,
    pub(super) known: Option<Known>,
    /// Why the last lease failed; `None` if it did not.
    pub(super) failure: Option<LeaseFailure>,
}

/// A value that is at hand.
pub(super) struct Known {
    pub(super) secret: Secret,
    pub(super) leased_at: Instant,
    /// The clock of instants stands still while the machine sleeps, and a lease does not.
    pub(super) leased_at_boot: Duration,
}

impl Known {
    /// By whichever clock says more: being too eager is harmless.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let with_sleep = platform::since_boot().saturating_sub(self.leased_at_boot);
        now.saturating_duration_since(self.leased_at).max(with_sleep)
    }
}

/// Why there is no newer value.
pub(super) struct LeaseFailure {
    pub(super) reason: String,
    /// `None`: its tool gets the next try at once.
    pub(super) at: Option<Instant>,
}

impl LeaseFailure {
    /// Its tool gets the next try at once.
    pub(super) fn at_rest(self) -> Self {
        Self { at: None, ..self }
    }
}

/// What a lease is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A launch waits for it, and says when to give up.
    Launch,
    /// Nobody waits: there is a value to go on with.
    Refresh,
}

impl Entry {
    /// A secret that no tool was asked for.
    pub(super) fn unknown(wanted: SecretEntry) -> Self {
        Self { wanted, known: None, failure: None }
    }

    /// The variable of the worker that gets it.
    pub(super) fn variable(&self) -> &str {
        &self.wanted.variable
    }

    /// Whether no worker can be started without it.
    pub(super) fn is_wanting(&self) -> bool {
        self.wanted.required && self.known.is_none()
    }

    /// Takes over what came of a lease, and says what is to be told of it. A failure that stops the launch is told by
    /// that.
    pub(super) fn take_over(
        &mut self,
        result: Result<Secret, String>,
        purpose: Purpose,
        now: Instant,
        news: &mut Vec<Happening>,
    ) {
        let (variable, was_told) = (self.variable().to_owned(), self.failure.is_some() && !self.is_wanting());
        match result {
            Ok(secret) => {
                let is_other = self.known.as_ref().is_some_and(|known| known.secret != secret);
                self.known = Some(Known { secret, leased_at: now, leased_at_boot: platform::since_boot() });
                self.failure = None;
                if purpose == Purpose::Refresh && is_other {
                    let shown = escape(&variable, SHOWN_BYTES_MAX);
                    let text = format!("secret {shown} has changed; the worker gets the new value at its next start");
                    news.push(Happening::Warning { kind: "secret-changed", text });
                }
                news.extend(was_told.then_some(Happening::LeasedAgain { variable }));
            }
            Err(reason) => {
                self.failure = Some(LeaseFailure { reason: reason.clone(), at: Some(now) });
                let has_last_value = self.known.is_some();
                news.extend((!self.is_wanting()).then_some(Happening::LeaseFailed {
                    variable,
                    reason,
                    has_last_value,
                }));
            }
        }
    }

    /// Its variable for a message.
    pub(super) fn shown(&self) -> String {
        escape(self.variable(), SHOWN_BYTES_MAX)
    }
}

/// Names the secrets that a worker can't do without, those with the same reason together.
pub(super) fn failure(wanting: &[&Entry]) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for entry in wanting.iter().take(EXPLAINED_MAX) {
        let reason = entry.failure.as_ref().map_or("not leased yet", |failure| failure.reason.as_str());
        match groups.iter_mut().find(|(of_group, _)| *of_group == reason) {
            Some((_, variables)) => variables.push(entry.shown()),
            None => groups.push((reason, vec![entry.shown()])),
        }
    }
    let groups: Vec<String> =
        groups.into_iter().map(|(reason, variables)| format!("{} ({reason})", variables.join(", "))).collect();
    let rest = match wanting.len().saturating_sub(EXPLAINED_MAX) {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    format!("cannot lease required secrets: {}{rest}", groups.join(", "))
}
