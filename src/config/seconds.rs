//! Times as decimal seconds, read and shown exactly.
//!
//! Reading digits instead of a floating-point number keeps 0.1 what it says and leaves the conversion tables for
//! floats, some 25 KB, out of the binary.

use std::time::Duration;

/// The time that a TOML number without underscores says in seconds; what is finer than a nanosecond is cut off. `None`
/// for what is negative, no number, or longer than 500 years.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // So many digits, padded with zeros, make the number of nanoseconds.
    let places = exponent.parse::<i16>().ok()?.checked_add(i16::try_from(whole.len()).ok()?)?.checked_add(9)?;
    let kept = digits().chain(std::iter::repeat(b'0')).take(usize::try_from(places).unwrap_or(0));
    let append = |nanos: u64, digit: u8| nanos.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    kept.into_iter().try_fold(0, append).map(Duration::from_nanos)
}

/// A time in seconds as [`parse`] reads it, in its shortest form.
pub(super) fn show(time: Duration) -> String {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_seconds_are_read_exactly() {
        for (text, nanos) in [
            ("0", 0),
            ("5", 5_000_000_000),
            ("+5", 5_000_000_000),
            ("0.05", 50_000_000),
            ("0.1", 100_000_000),
            ("1.000000001", 1_000_000_001),
            ("0.0000000019", 1),
            ("1e-300", 0),
            ("0.0", 0),
            ("0e30", 0),
            ("1.5E3", 1_500_000_000_000),
            ("2e+0", 2_000_000_000),
            ("12.5e-1", 1_250_000_000),
            ("123e-4", 12_300_000),
            ("31536000.1", 31_536_000_100_000_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            ".",
            "-1",
            "-0.0",
            "nan",
            "inf",
            "+inf",
            "1e300",
            "1e32767",
            "1e99999",
            "1e",
            "x",
            "1.x",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for (nanos, text) in
            [(0, "0"), (50_000_000, "0.05"), (30_000_000_000, "30"), (1, "0.000000001"), (1_500_000_000, "1.5")]
        {
            let time = Duration::from_nanos(nanos);
            assert_eq!(show(time), text);
            assert_eq!(parse(text), Some(time));
        }
    }
}
