//! One worker's probes: when the next is due, how long the one in flight may take, how many failed in a row.
//!
//! Belongs to one worker and dies with it, so a streak is never inherited. Promises one probe at a time, and that a
//! failure found long after its deadline (the supervisor itself was stopped or asleep) is excused once.

use std::time::{Duration, Instant};

/// A deadline found later than this says that the supervisor was not running: nobody was there to hear the answer.
const LATE: Duration = Duration::from_millis(250);

/// How soon to ask again when the supervisor itself lacked a descriptor or a buffer to ask with.
pub(super) const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

/// Which statuses are healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusRule {
    /// Everything below 500: an unsigned request may well be refused by a healthy worker.
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

/// Where the probes of a worker stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes {
    turn: Turn,
    streak: u32,
    excused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Due { at: Instant },
    InFlight { since: Instant, timeout_at: Instant },
}

/// What the passing of time means for the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Quiet,
    /// A probe is to be sent now.
    Send,
    /// The probe in flight has timed out.
    TimedOut,
    /// The probe in flight would have timed out, but nobody was watching: forget it and send another.
    SendAgain,
}

impl Probes {
    /// Probes of a worker of which the first is due at `at`.
    pub(super) fn due(at: Instant) -> Self {
        Self { turn: Turn::Due { at }, streak: 0, excused: false }
    }

    /// How many probes have failed in a row.
    pub(super) fn streak(&self) -> u32 {
        self.streak
    }

    /// When the next thing happens.
    pub(super) fn deadline(&self) -> Instant {
        match self.turn {
            Turn::Due { at } => at,
            Turn::InFlight { timeout_at, .. } => timeout_at,
        }
    }

    /// Whether a probe has been sent and not ended; an answer at any other time is stale.
    pub(super) fn in_flight(&self) -> bool {
        match self.turn {
            Turn::Due { .. } => false,
            Turn::InFlight { .. } => true,
        }
    }

    /// Looks at the clock. After `Send` and `SendAgain` the probe counts as sent.
    pub(super) fn on_time(&mut self, now: Instant, settings: &HealthSettings) -> Due {
        match self.turn {
            Turn::Due { at } if now >= at => {
                self.sent(now, settings);
                Due::Send
            }
            Turn::InFlight { timeout_at, .. } if now >= timeout_at => {
                if self.excuses(now, timeout_at) {
                    self.sent(now, settings);
                    Due::SendAgain
                } else {
                    Due::TimedOut
                }
            }
            Turn::Due { .. } | Turn::InFlight { .. } => Due::Quiet,
        }
    }

    /// Whether a failure at `deadline` that is only found `now` does not count. True at most once in a row.
    pub(super) fn excuses(&mut self, now: Instant, deadline: Instant) -> bool {
        let late = now.saturating_duration_since(deadline) > LATE && !self.excused;
        self.excused = late;
        late
    }

    /// Whether the probe in flight failed so long after its deadline that the failure does not count.
    pub(super) fn excuses_failure(&mut self, now: Instant) -> bool {
        match self.turn {
            Turn::Due { .. } => false,
            Turn::InFlight { timeout_at, .. } => self.excuses(now, timeout_at),
        }
    }

    /// A probe was sent now.
    pub(super) fn sent(&mut self, now: Instant, settings: &HealthSettings) {
        self.turn = Turn::InFlight { since: now, timeout_at: now + settings.timeout };
    }

    /// The probe in flight ended well: the streak is over. Returns whether there was one.
    pub(super) fn succeeded(&mut self, now: Instant, settings: &HealthSettings) -> bool {
        self.excused = false;
        self.schedule(now, settings);
        std::mem::take(&mut self.streak) > 0
    }

    /// The probe in flight failed. Returns the streak.
    pub(super) fn failed(&mut self, now: Instant, settings: &HealthSettings) -> u32 {
        self.excused = false;
        self.streak = self.streak.saturating_add(1);
        self.schedule(now, settings);
        self.streak
    }

    /// The probe in flight said nothing about the worker: ask again in a while.
    pub(super) fn voided(&mut self, now: Instant, settings: &HealthSettings) {
        self.reschedule(now + settings.interval.min(TROUBLE_PAUSE));
    }

    /// The worker, not healthy yet, was heard of; the next probe is due at `at`.
    pub(super) fn heard(&mut self, at: Instant) {
        self.excused = false;
        self.reschedule(at);
    }

    /// The next probe is due at `at`.
    pub(super) fn reschedule(&mut self, at: Instant) {
        self.turn = Turn::Due { at };
    }

    fn schedule(&mut self, now: Instant, settings: &HealthSettings) {
        let since = match self.turn {
            Turn::Due { .. } => now,
            Turn::InFlight { since, .. } => since,
        };
        self.turn = Turn::Due { at: now.max(since + settings.interval) };
    }
}

/// From a worker's spawn: how long to wait for the next probe of one that has not answered yet. Refusals cost
/// microseconds, and every millisecond between listening and the first answer is a millisecond without a worker.
#[must_use]
pub fn startup_pause(age: Duration) -> Duration {
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
        assert_eq!(probes.deadline(), start + Duration::from_secs(30));
    }

    #[test]
    fn a_probe_slower_than_the_interval_is_followed_by_one_not_by_a_burst() {
        let (start, mut settings) = (Instant::now(), settings());
        settings.interval = Duration::from_secs(1);
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        assert_eq!(probes.on_time(start + Duration::from_secs(4), &settings), Due::Quiet);
        probes.succeeded(start + Duration::from_secs(4), &settings);
        assert_eq!(probes.deadline(), start + Duration::from_secs(4));
    }

    #[test]
    fn a_timeout_found_late_is_excused_once_and_then_counts() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        let late = start + Duration::from_secs(600);
        assert_eq!(probes.on_time(late, &settings), Due::SendAgain);
        assert_eq!(probes.on_time(late + Duration::from_secs(600), &settings), Due::TimedOut);
    }

    #[test]
    fn a_timeout_found_a_little_late_counts() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        let found_at = start + settings.timeout + LATE;
        assert_eq!(probes.on_time(found_at, &settings), Due::TimedOut);
    }

    #[test]
    fn a_failure_heard_late_is_excused_like_one_found_late() {
        let (start, settings) = (Instant::now(), settings());
        let mut probes = Probes::due(start);
        assert_eq!(probes.on_time(start, &settings), Due::Send);
        assert!(!probes.excuses_failure(start + settings.timeout));
        let late = start + Duration::from_secs(600);
        assert!(probes.excuses_failure(late));
        assert!(!probes.excuses_failure(late));
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
}
