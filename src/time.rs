//! The one look at the clocks, and spans of time for people. Integers throughout: the formatting of floating point would
//! be a part of this program's size that one sees.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For people, in milliseconds since 1970; 0 for a clock before that.
    pub wall_ms: u64,
}

impl Now {
    /// Reads the clocks.
    pub fn read() -> Self {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        Self { instant: Instant::now(), wall_ms }
    }

    /// What the wall clock shows at an instant, if nobody sets it.
    pub fn wall_ms_of(self, instant: Instant) -> u64 {
        let ahead = instant.saturating_duration_since(self.instant);
        let behind = self.instant.saturating_duration_since(instant);
        self.wall_ms.saturating_add(millis(ahead)).saturating_sub(millis(behind))
    }
}

/// Whole milliseconds, as far as they fit.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration for people: `250 ms`, `1.5 s`, `30 s`.
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
    fn durations_read_well() {
        let read = |millis| secs(Duration::from_millis(millis));
        assert_eq!(
            [read(0), read(50), read(1000), read(1500), read(30_000), read(123_456)],
            ["0 s", "50 ms", "1 s", "1.5 s", "30 s", "123 s"]
        );
    }
}
