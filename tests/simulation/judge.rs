//! What each probe says of its worker, judged a second time from when it was sent and how it ended.
//!
//! Every probe that ends while its worker is kept is judged once, before the next is sent.

use std::time::{Duration, Instant};

use worker_supervisor::policy::{Action, Health, HealthSettings, Notice, ProbeOutcome};

/// Found later than this, a failure says that the supervisor was away.
const LATE: Duration = Duration::from_millis(250);

/// Where the probes of the worker that lives stand.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// The deadline of the probe in flight.
    timeout_at: Option<Instant>,
    /// The judgement that is to come.
    owed: Option<Health>,
    is_ready: bool,
    was_excused: bool,
    streak: u32,
    owes_regained: bool,
    /// The machine has slept just now: the probe in flight says nothing.
    has_slept: bool,
}

impl Judge {
    /// Failed probes in a row since the worker was healthy.
    pub(crate) fn streak(&self) -> u32 {
        self.streak
    }

    /// The probe in flight came to its end.
    pub(crate) fn ended(&mut self, now: Instant, outcome: ProbeOutcome, settings: &HealthSettings) {
        let timeout_at = self.timeout_at.take().expect("only a probe in flight ends");
        self.owed = Some(match outcome {
            ProbeOutcome::LocalError => Health::Unknown,
            ProbeOutcome::Answered(status) if settings.status.accepts(status) => Health::Healthy,
            ProbeOutcome::Answered(_) | ProbeOutcome::Failed => self.failure(now, timeout_at),
        });
    }

    /// The machine has slept.
    pub(crate) fn slept(&mut self) {
        self.has_slept = true;
    }

    /// Checks an order. `is_kept`: the worker lives and nobody has asked it to finish.
    pub(crate) fn ordered(&mut self, now: Instant, action: Action, is_kept: bool, settings: &HealthSettings) {
        match action {
            Action::Probe(_) => {
                assert_eq!(self.owed, None, "a probe is judged before the next one is sent");
                self.timeout_at = Some(now + settings.timeout);
            }
            Action::CancelProbe { timed_out } => self.cancelled(now, timed_out, is_kept),
            Action::Tell(notice) => self.told(notice, settings),
            _ => {}
        }
    }

    /// Checks that nothing is left to be said.
    pub(crate) fn is_heard(&mut self) {
        self.has_slept = false;
        assert_eq!(self.owed, None, "each probe is judged");
        assert!(!self.owes_regained, "a worker that is healthy again is said to be");
    }

    fn cancelled(&mut self, now: Instant, timed_out: bool, is_kept: bool) {
        let Some(timeout_at) = self.timeout_at.take() else {
            return assert!(!timed_out, "only a probe in flight times out");
        };
        assert!(!timed_out || timeout_at <= now, "a probe has its time");
        if !is_kept {
            return assert!(!timed_out, "a probe that is not needed any more has not timed out");
        }
        self.owed = Some(if timed_out { Health::Unhealthy } else { Health::Unknown });
        if self.is_ready && !self.has_slept {
            let health = self.failure(now, timeout_at);
            assert_eq!(self.owed, Some(health), "a probe is excused if it was found late");
        }
    }

    /// What a failure found now says. In a start only what is cancelled can be excused.
    fn failure(&mut self, now: Instant, timeout_at: Instant) -> Health {
        let is_late = now.saturating_duration_since(timeout_at) > LATE;
        self.was_excused = self.is_ready && is_late && !self.was_excused;
        if self.was_excused { Health::Unknown } else { Health::Unhealthy }
    }

    fn told(&mut self, notice: Notice, settings: &HealthSettings) {
        match notice {
            Notice::Ready { .. } => (self.is_ready, self.was_excused, self.streak) = (true, false, 0),
            Notice::Probed { health, .. } => self.judged(health),
            Notice::ProbeFailed { streak, streak_max } => {
                assert_eq!((streak, streak_max), (self.streak, settings.streak_max), "the failures are counted");
                assert!(streak < streak_max, "a worker with too many failures is not kept");
            }
            Notice::Unhealthy(_) => assert_eq!(self.streak, settings.streak_max, "no failure too few, none too many"),
            Notice::HealthRegained => {
                assert!(std::mem::take(&mut self.owes_regained), "only who was ill is healthy again");
            }
            _ => {}
        }
    }

    fn judged(&mut self, health: Health) {
        assert_eq!(self.owed.take(), Some(health), "a probe is judged once, and rightly");
        match health {
            Health::Unhealthy => self.streak += u32::from(self.is_ready),
            Health::Healthy => {
                self.was_excused = false;
                self.owes_regained = std::mem::take(&mut self.streak) > 0;
            }
            Health::Unknown => {}
        }
    }
}
