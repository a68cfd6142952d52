//! The two exchanges with a live worker, probes and registration: when the next is due, how long the one in flight may
//! take, how many failed in a row.
//!
//! Both belong to one worker and die with it, so a streak is never inherited and each worker is registered anew. They
//! promise one probe and one registration at a time, and that a failed probe found long after its deadline (the
//! supervisor itself was stopped or asleep) is excused once. The registration touches neither health nor backoff.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::types::{Health, ProbeOutcome};

/// How long one registration may take: connecting, asking and answering together.
pub const SYNC_TIMEOUT: Duration = Duration::from_secs(15);

/// The pauses between failed registrations.
const SYNC_BACKOFF: Backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_secs(60) };

/// A deadline found later than this says that the supervisor was not running: nobody was there to hear the answer.
const LATE: Duration = Duration::from_millis(250);

/// How soon to ask again when the supervisor itself lacked a descriptor or a buffer to ask with.
pub(super) const LOCAL_ERROR_PAUSE: Duration = Duration::from_secs(1);

/// Which statuses are healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StatusRule {
    /// Everything below 500: an unsigned request may well be refused by a healthy worker.
    #[default]
    Below500,
    /// Exactly these.
    OneOf(Vec<u16>),
}

impl StatusRule {
    /// Whether an answer with this status is healthy.
    #[must_use]
    pub fn accepts(&self, status: u16) -> bool {
        match self {
            Self::Below500 => status < 500,
            Self::OneOf(list) => list.contains(&status),
        }
    }
}

/// How a worker is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// From the start of one probe to the start of the next, once the worker is healthy.
    pub interval: Duration,
    /// For connecting, asking and answering together.
    pub timeout: Duration,
    /// So many failures in a row make the worker unhealthy; at least 1.
    pub streak_max: u32,
    /// Which statuses are healthy.
    pub status: StatusRule,
}

impl HealthSettings {
    /// What a probe says of the worker, if it ended in time.
    pub(super) fn judge(&self, outcome: ProbeOutcome) -> Health {
        match outcome {
            ProbeOutcome::Answered(status) if self.status.accepts(status) => Health::Healthy,
            ProbeOutcome::Answered(_) | ProbeOutcome::Failed => Health::Unhealthy,
            ProbeOutcome::LocalError => Health::Unknown,
        }
    }
}

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

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// None is to come.
    Rest,
    /// The next one is to be sent.
    Due { at: Instant },
    /// One was sent and has not ended.
    InFlight { since: Instant, timeout_at: Instant },
}

/// What the passing of time means for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Quiet,
    /// It is to be sent now, and counts as sent.
    Send,
    /// The one in flight has reached its deadline.
    TimedOut,
}

impl Turn {
    fn sent(now: Instant, timeout: Duration) -> Self {
        Self::InFlight { since: now, timeout_at: now + timeout }
    }

    /// When the next thing happens.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Rest => None,
            Self::Due { at } | Self::InFlight { timeout_at: at, .. } => Some(at),
        }
    }

    /// The deadline of the one in flight.
    fn timeout_at(self) -> Option<Instant> {
        match self {
            Self::InFlight { timeout_at, .. } => Some(timeout_at),
            Self::Rest | Self::Due { .. } => None,
        }
    }

    /// Looks at the clock.
    fn on_time(&mut self, now: Instant, timeout: Duration) -> Due {
        match *self {
            Self::Due { at } if now >= at => {
                *self = Self::sent(now, timeout);
                Due::Send
            }
            Self::InFlight { timeout_at, .. } if now >= timeout_at => Due::TimedOut,
            Self::Rest | Self::Due { .. } | Self::InFlight { .. } => Due::Quiet,
        }
    }
}

/// Where the probes of a worker stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probes {
    turn: Turn,
    streak: u32,
    is_excused: bool,
}

impl Probes {
    /// Probes of a worker of which the first is due at `at`.
    pub(super) fn due(at: Instant) -> Self {
        Self { turn: Turn::Due { at }, streak: 0, is_excused: false }
    }

    /// How many probes have failed in a row.
    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    /// When the next thing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.turn.deadline()
    }

    /// Whether a probe was sent and has not ended; an answer at any other time is stale.
    pub(super) fn is_in_flight(&self) -> bool {
        self.turn.timeout_at().is_some()
    }

    /// Whether the probe in flight has reached its deadline.
    pub(super) fn has_timed_out(&self, now: Instant) -> bool {
        self.turn.timeout_at().is_some_and(|at| now >= at)
    }

    /// Looks at the clock.
    pub(super) fn on_time(&mut self, now: Instant, settings: &HealthSettings) -> Due {
        self.turn.on_time(now, settings.timeout)
    }

    /// Whether a failure at `deadline` that is only found `now` does not count. True at most once in a row.
    pub(super) fn excuses(&mut self, now: Instant, deadline: Instant) -> bool {
        self.is_excused = !self.is_excused && now.saturating_duration_since(deadline) > LATE;
        self.is_excused
    }

    /// Whether the probe in flight failed so long after its deadline that the failure does not count.
    pub(super) fn excuses_failure(&mut self, now: Instant) -> bool {
        self.turn.timeout_at().is_some_and(|at| self.excuses(now, at))
    }

    /// A probe was sent now.
    pub(super) fn sent(&mut self, now: Instant, settings: &HealthSettings) {
        self.turn = Turn::sent(now, settings.timeout);
    }

    /// The probe in flight ended well: the streak is over. Returns whether there was one.
    pub(super) fn succeeded(&mut self, now: Instant, settings: &HealthSettings) -> bool {
        self.heard(self.after_interval(now, settings));
        std::mem::take(&mut self.streak) > 0
    }

    /// The probe in flight failed. Returns the streak.
    pub(super) fn failed(&mut self, now: Instant, settings: &HealthSettings) -> u32 {
        self.heard(self.after_interval(now, settings));
        self.streak = self.streak.saturating_add(1);
        self.streak
    }

    /// The probe in flight ended and said something; the next one is due at `at`.
    pub(super) fn heard(&mut self, at: Instant) {
        self.is_excused = false;
        self.reschedule(at);
    }

    /// The next probe is due at `at`.
    pub(super) fn reschedule(&mut self, at: Instant) {
        self.turn = Turn::Due { at };
    }

    /// From the start of one probe to the start of the next, but not in the past: no burst follows a slow one.
    fn after_interval(&self, now: Instant, settings: &HealthSettings) -> Instant {
        let since = match self.turn {
            Turn::InFlight { since, .. } => since,
            Turn::Rest | Turn::Due { .. } => now,
        };
        now.max(since + settings.interval)
    }
}

/// Where the registration of a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sync {
    turn: Turn,
    failures: u32,
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
    pub(super) fn deadline(&self, is_healthy: bool) -> Option<Instant> {
        self.turn.deadline().filter(|_| is_healthy || self.is_in_flight())
    }

    /// Whether a registration was sent and has not ended.
    pub(super) fn is_in_flight(&self) -> bool {
        self.turn.timeout_at().is_some()
    }

    /// Looks at the clock.
    pub(super) fn on_time(&mut self, now: Instant, is_healthy: bool) -> Due {
        if is_healthy || self.is_in_flight() { self.turn.on_time(now, SYNC_TIMEOUT) } else { Due::Quiet }
    }

    /// A registration that is repeated now and then is due now, unless one is in flight.
    pub(super) fn repeat(&mut self, now: Instant, settings: SyncSettings) {
        if let (SyncSettings::Every(_), Turn::Due { at }) = (settings, &mut self.turn) {
            *at = now;
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

/// From a worker's spawn: how long to wait for the next probe of one that has not answered yet. Refusals cost
/// microseconds, and every millisecond between listening and the first answer is a millisecond without a worker.
pub(super) fn startup_pause(age: Duration) -> Duration {
    const EAGER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(5));
    const PATIENT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(50));
    const RESIGNED: Duration = Duration::from_millis(500);
    if age < EAGER.0 {
        EAGER.1
    } else if age < PATIENT.0 {
        PATIENT.1
    } else {
        RESIGNED
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to start at some instant")]
mod tests {
    use super::*;

    fn settings() -> HealthSettings {
        HealthSettings {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            streak_max: 3,
            status: StatusRule::Below500,
        }
    }

    #[test]
    fn an_unsigned_request_refused_with_401_is_healthy_and_a_list_is_strict() {
        assert!(StatusRule::Below500.accepts(200) && StatusRule::Below500.accepts(401));
        assert!(!StatusRule::Below500.accepts(500) && !StatusRule::Below500.accepts(503));
        assert!(StatusRule::OneOf(vec![200]).accepts(200) && !StatusRule::OneOf(vec![200]).accepts(401));
    }

    #[test]
    fn the_next_probe_is_counted_from_the_start_of_the_last() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        probes.succeeded(start + Duration::from_secs(2), &settings);
        assert_eq!(probes.deadline(), Some(start + Duration::from_secs(30)));
    }

    #[test]
    fn a_probe_slower_than_the_interval_is_followed_by_one_not_by_a_burst() {
        let (start, mut settings) = (Instant::now(), settings());
        settings.interval = Duration::from_secs(1);
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        assert_eq!(probes.on_time(start + Duration::from_secs(4), &settings), Due::Quiet);
        probes.succeeded(start + Duration::from_secs(4), &settings);
        assert_eq!(probes.deadline(), Some(start + Duration::from_secs(4)));
    }

    #[test]
    fn a_failure_found_late_is_excused_once_and_then_counts() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        let late = start + Duration::from_secs(600);
        assert_eq!(probes.on_time(late, &settings), Due::TimedOut);
        assert!(probes.excuses_failure(late));
        assert!(!probes.excuses_failure(late));
    }

    #[test]
    fn a_failure_found_a_little_late_counts() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        assert!(!probes.excuses_failure(start + settings.timeout + LATE));
    }

    #[test]
    fn a_success_ends_the_streak_and_says_that_there_was_one() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.failed(start, &settings), 1);
        assert_eq!(probes.failed(start, &settings), 2);
        assert!(probes.succeeded(start, &settings));
        assert!(!probes.succeeded(start, &settings));
        assert_eq!(probes.streak(), 0);
    }

    #[test]
    fn start_up_probes_come_every_5_ms_then_50_then_500() {
        let pause = |secs| startup_pause(Duration::from_secs_f64(secs)).as_millis();
        assert_eq!(
            [pause(0.0), pause(1.999), pause(2.0), pause(9.9), pause(10.0), pause(3600.0)],
            [5, 5, 50, 50, 500, 500]
        );
    }

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
