//! One worker's registration: due, in flight, or at rest until it is repeated.
//!
//! Lives beside the probes and touches neither health nor backoff. Belongs to one worker and dies with it, so each
//! generation is registered anew.

use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// How long one registration may take: connecting, asking and answering together.
pub const SYNC_TIMEOUT: Duration = Duration::from_secs(15);

/// The pauses between failed registrations.
pub const SYNC_BACKOFF: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) };

/// Whether and how often a worker is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncSettings {
    /// There is no sync endpoint.
    Never,
    /// After each healthy start.
    Once,
    /// After each healthy start, and again after each such interval, since the other side may have forgotten.
    Every(Duration),
}

/// Where the registration of a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    turn: Turn,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Rest,
    Due { at: Instant },
    InFlight { timeout_at: Instant },
}

/// What the passing of time means for the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Quiet,
    /// A registration is to be sent now.
    Send,
    /// The registration in flight has timed out.
    TimedOut,
}

impl Sync {
    /// The registration of a worker that has become healthy at `now`: due at once, if there is to be one.
    pub(super) fn after_ready(now: Instant, settings: SyncSettings) -> Self {
        let turn = match settings {
            SyncSettings::Never => Turn::Rest,
            SyncSettings::Once | SyncSettings::Every(_) => Turn::Due { at: now },
        };
        Self { turn, failures: 0 }
    }

    /// When the next thing happens. While the worker is not healthy, nothing new is due.
    pub(super) fn deadline(&self, healthy: bool) -> Option<Instant> {
        match self.turn {
            Turn::Rest => None,
            Turn::Due { at } => healthy.then_some(at),
            Turn::InFlight { timeout_at } => Some(timeout_at),
        }
    }

    /// Looks at the clock. After `Send` the registration counts as sent.
    pub(super) fn on_time(&mut self, now: Instant, healthy: bool) -> Due {
        match self.turn {
            Turn::Due { at } if healthy && now >= at => {
                self.turn = Turn::InFlight { timeout_at: now + SYNC_TIMEOUT };
                Due::Send
            }
            Turn::InFlight { timeout_at } if now >= timeout_at => Due::TimedOut,
            Turn::Rest | Turn::Due { .. } | Turn::InFlight { .. } => Due::Quiet,
        }
    }

    /// Whether a registration has been sent and not ended.
    pub(super) fn in_flight(&self) -> bool {
        match self.turn {
            Turn::InFlight { .. } => true,
            Turn::Rest | Turn::Due { .. } => false,
        }
    }

    /// The registration was accepted.
    pub(super) fn accepted(&mut self, now: Instant, settings: SyncSettings) {
        self.failures = 0;
        self.turn = match settings {
            SyncSettings::Never | SyncSettings::Once => Turn::Rest,
            SyncSettings::Every(interval) => Turn::Due { at: now + interval },
        };
    }

    /// The registration failed. Returns the pause before the next try.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let delay = SYNC_BACKOFF.delay(self.failures);
        self.turn = Turn::Due { at: now + delay };
        delay
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to start at some instant")]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_from_1_to_60_seconds_and_success_starts_over() {
        let now = Instant::now();
        let mut sync = Sync::after_ready(now, SyncSettings::Once);
        let pauses: Vec<u64> = (0..8).map(|_| sync.failed(now).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        sync.accepted(now, SyncSettings::Every(Duration::from_secs(300)));
        assert_eq!(sync.deadline(true), Some(now + Duration::from_secs(300)));
        assert_eq!(sync.failed(now).as_secs(), 1);
    }

    #[test]
    fn nothing_is_sent_while_the_worker_is_unhealthy_and_at_once_when_it_is_well_again() {
        let now = Instant::now();
        let mut sync = Sync::after_ready(now, SyncSettings::Once);
        assert_eq!((sync.on_time(now, false), sync.deadline(false)), (Due::Quiet, None));
        assert_eq!(sync.on_time(now, true), Due::Send);
        assert_eq!(sync.on_time(now, true), Due::Quiet);
        assert_eq!(sync.on_time(now + SYNC_TIMEOUT, true), Due::TimedOut);
    }

    #[test]
    fn without_an_endpoint_nothing_is_ever_due() {
        let now = Instant::now();
        let mut sync = Sync::after_ready(now, SyncSettings::Never);
        assert_eq!((sync.on_time(now, true), sync.deadline(true)), (Due::Quiet, None));
    }

    #[test]
    fn once_means_once() {
        let now = Instant::now();
        let mut sync = Sync::after_ready(now, SyncSettings::Once);
        assert_eq!(sync.on_time(now, true), Due::Send);
        sync.accepted(now, SyncSettings::Once);
        assert_eq!(sync.deadline(true), None);
    }
}
