//! The clock, read by all its faces at once, and spans of time for people.
//!
//! There are two formatters, since both texts are an interface and differ: [`secs`] repeats what somebody configured or
//! logs (`1 s`, `123 s`), [`span`] says how long something lasts that goes on (`1.0 s`, `2 min 3 s`). Integers
//! throughout: the formatting of floating point would be a part of this program's size that one sees.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One look at the clock.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For people, in milliseconds since 1970; 0 for a clock before that. Somebody may set it.
    pub wall_ms: u64,
    /// For other processes, in milliseconds since the machine was started. Nobody sets it, and it counts sleep.
    pub boot_ms: u64,
}

impl Now {
    /// Looks at the clock.
    pub fn read() -> Now {
        Now {
            instant: Instant::now(),
            wall_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            boot_ms: millis(platform::since_boot()),
        }
    }

    /// How far the wall clock is ahead of the time since the boot, in milliseconds: the same as long as nobody sets it.
    pub fn wall_ahead_ms(self) -> i64 {
        self.wall_ms.cast_signed().wrapping_sub(self.boot_ms.cast_signed())
    }

    /// The wall clock at another instant, as far as this one tells.
    pub fn wall_ms_of(self, instant: Instant) -> u64 {
        let ahead = instant.saturating_duration_since(self.instant);
        let behind = self.instant.saturating_duration_since(instant);
        self.wall_ms.saturating_add(millis(ahead)).saturating_sub(millis(behind))
    }
}

/// Notices that the machine has slept: the clock of instants stands still meanwhile, and the one since the boot does
/// not. On FreeBSD both stand still, and nothing is noticed.
pub struct SleepWatch {
    last: Now,
}

impl SleepWatch {
    /// Shorter sleeps change nothing; the two clocks are never read at the very same moment.
    const SLEEP_MS_MIN: u64 = 1000;

    /// Watches from now on.
    pub fn new(now: Now) -> SleepWatch {
        SleepWatch { last: now }
    }

    /// Whether the machine has slept since the last time that this was asked.
    pub fn has_slept(&mut self, now: Now) -> bool {
        let awake_ms = millis(now.instant.saturating_duration_since(self.last.instant));
        let passed_ms = now.boot_ms.saturating_sub(self.last.boot_ms);
        self.last = now;
        passed_ms.saturating_sub(awake_ms) >= Self::SLEEP_MS_MIN
    }
}

/// A duration in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as it was configured or is logged: `250 ms`, `1.5 s`, `30 s`.
pub fn secs(duration: Duration) -> String {
    let (millis, tenths) = (rounded(duration, 1_000), rounded(duration, 100_000));
    if millis < 1000 && !duration.is_zero() {
        format!("{millis} ms")
    } else if duration.subsec_millis() == 0 || tenths >= 1000 {
        format!("{} s", rounded(duration, 1_000_000))
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

/// How long something lasts, in two units at most: `400 ms`, `4.2 s`, `42 s`, `3 min 20 s`, `2 h 3 min`, `5 d 3 h`.
pub fn span(ms: u64) -> String {
    let secs = ms / 1000;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
    };
    match secs {
        0 => format!("{ms} ms"),
        1..10 => format!("{secs}.{} s", ms % 1000 / 100),
        10..60 => format!("{secs} s"),
        60..3600 => two(secs / 60, "min", secs % 60, "s"),
        3600..86400 => two(secs / 3600, "h", secs % 3600 / 60, "min"),
        _ => two(secs / 86400, "d", secs % 86400 / 3600, "h"),
    }
}

/// Milliseconds with one decimal.
pub fn millis_and_tenth(duration: Duration) -> String {
    let tenths = rounded(duration, 100);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A duration in units of so many microseconds, rounded half up.
fn rounded(duration: Duration, unit_micros: u128) -> u128 {
    (duration.as_micros() + unit_micros / 2) / unit_micros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_that_passed_for_one_clock_alone_was_slept() {
        let start = Now { instant: Instant::now(), wall_ms: 0, boot_ms: 5_000 };
        let mut watch = SleepWatch::new(start);
        let mut after = |awake_ms: u64, passed_ms: u64| {
            let now = watch.last;
            watch.has_slept(Now {
                instant: now.instant + Duration::from_millis(awake_ms),
                wall_ms: 0,
                boot_ms: now.boot_ms + passed_ms,
            })
        };
        assert!(!after(0, 0) && !after(90_000, 90_000) && !after(10, 900));
        assert!(after(10, 1_011) && after(30_000, 3_600_000));
        assert!(!after(50, 0), "a clock that stands still was not asleep");
    }

    #[test]
    fn durations_read_well() {
        let read = |millis| secs(Duration::from_millis(millis));
        assert_eq!(
            [read(0), read(50), read(1000), read(1500), read(30_000), read(123_456)],
            ["0 s", "50 ms", "1 s", "1.5 s", "30 s", "123 s"]
        );
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (3_600_000, "1 h"),
            (7_380_000, "2 h 3 min"),
            (86_400_000, "1 d"),
            (442_800_000, "5 d 3 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ] {
            assert_eq!(span(ms), expected);
        }
    }

    #[test]
    fn the_wall_clock_is_told_of_instants_before_and_after() {
        let now = Now { instant: Instant::now(), wall_ms: 1_000, boot_ms: 0 };
        let apart = Duration::from_millis(300);
        assert_eq!((now.wall_ms_of(now.instant + apart), now.wall_ms_of(now.instant - apart)), (1_300, 700));
    }
}
