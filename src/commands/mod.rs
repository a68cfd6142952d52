//! The commands of an operator: `status`, `restart` and `logs`.
//!
//! They talk to the supervisor through its state directory and one signal, so that it needs no socket and no port: the
//! lock tells whether it runs, the status file what it does. Everything here takes plain inputs and writers; the caller
//! knows the terminal, prints errors and exits. Nothing here touches the worker.

pub mod dry_run;
pub mod launchd;
pub mod logs;
pub mod restart;
pub mod status;

use std::ffi::OsStr;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, ExitCode};

/// Whether output may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With colours, for a terminal.
    Coloured,
}

impl Style {
    /// Coloured on a terminal, unless NO_COLOR is set to something.
    pub fn of(is_terminal: bool, no_color: Option<&OsStr>) -> Style {
        let is_refused = no_color.is_some_and(|value| !value.is_empty());
        if is_terminal && !is_refused { Style::Coloured } else { Style::Plain }
    }
}

/// The wall clock in milliseconds since 1970, as the status file has it; 0 for a clock before that.
pub fn wall_clock_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// A span of time in two units at most: "400 ms", "4.2 s", "42 s", "3 min 20 s", "2 h 3 min", "5 d 3 h".
fn span(ms: u64) -> String {
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

/// How long ago a time was; a time to come, as after a change of the clock, was just now.
fn ago(at_ms: u64, now_ms: u64) -> String {
    format!("{} ago", span(now_ms.saturating_sub(at_ms)))
}

/// What a failed write to standard output means: success for a reader that has seen enough, else an error.
pub(crate) fn output_result(written: io::Result<()>) -> Result<ExitCode, Error> {
    match written {
        Ok(()) => Ok(ExitCode::Ok),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::Ok),
        Err(error) => Err(Error::cannot(ExitCode::Internal, "write the output", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn colour_is_for_terminals_that_want_it() {
        assert_eq!(Style::of(true, None), Style::Coloured);
        assert_eq!(Style::of(true, Some(OsStr::new(""))), Style::Coloured);
        assert_eq!(Style::of(true, Some(OsStr::new("1"))), Style::Plain);
        assert_eq!(Style::of(false, None), Style::Plain);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(output_result(Err(io::ErrorKind::BrokenPipe.into())), Ok(ExitCode::Ok));
        let full = output_result(Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.expect_err("a full disk is one").code, ExitCode::Internal);
    }
}
