//! How long to wait before the n-th try: doubling from a minimum up to a maximum.
//!
//! Used for launches (1, 2, 4, 8, 16, 30, 30… s by default) and for syncs (1, 2, 4… 60 s). Nothing here can overflow.

use std::time::Duration;

/// A minimum or a maximum of zero means that the first retry comes at once; the delay then doubles from here, so that
/// it is never a loop without a pause, in which no signal would be heard.
const DOUBLING_FLOOR: Duration = Duration::from_millis(10);

/// The shortest and the longest delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub min: Duration,
    /// No delay is ever longer; below 10 ms it counts as 10 ms from the second failure on.
    pub max: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row. Zero failures count as one.
    #[must_use]
    pub fn delay(self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(2) else { return self.min.min(self.max) };
        let step = self.min.max(DOUBLING_FLOOR);
        let factor = 2u32.checked_shl(doublings).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
        step.saturating_mul(factor).min(self.max.max(DOUBLING_FLOOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(min: f64, max: f64, count: u32) -> Vec<f64> {
        let backoff = Backoff { min: Duration::from_secs_f64(min), max: Duration::from_secs_f64(max) };
        (1..=count).map(|failures| backoff.delay(failures).as_secs_f64()).collect()
    }

    #[test]
    fn the_default_delays_are_1_2_4_8_16_30_30() {
        assert_eq!(delays(1.0, 30.0, 7), [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
    }

    #[test]
    fn no_delay_is_longer_than_the_maximum_however_many_failures() {
        let backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(3) };
        for failures in [0, 1, 2, 31, 32, 33, 34, 35, 64, 1000, u32::MAX] {
            assert!(backoff.delay(failures) <= backoff.max, "{failures} failures");
        }
        assert_eq!(backoff.delay(u32::MAX), backoff.max);
    }

    #[test]
    fn a_minimum_of_zero_retries_once_at_once_and_then_still_backs_off() {
        assert_eq!(delays(0.0, 0.1, 6), [0.0, 0.02, 0.04, 0.08, 0.1, 0.1]);
    }

    #[test]
    fn a_maximum_of_zero_is_no_loop_without_a_pause() {
        assert_eq!(delays(0.0, 0.0, 3), [0.0, 0.01, 0.01]);
        assert_eq!(delays(1.0, 0.0, 3), [0.0, 0.01, 0.01]);
    }

    #[test]
    fn the_delay_never_shrinks() {
        let backoff = Backoff { min: Duration::from_millis(7), max: Duration::from_secs(86_400) };
        for failures in 1..100 {
            assert!(backoff.delay(failures + 1) >= backoff.delay(failures), "after {failures} failures");
        }
    }
}
