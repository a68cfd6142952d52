//! The one way to standard output, for whatever prints a text and ends.
//!
//! A reader that has seen enough and closed its end of the pipe is no failure: the program ends quietly, with the code
//! that it would have ended with. Everything else that keeps a text from being printed, such as a full disk, is
//! exit code 70.

use std::io::{self, Write};

use crate::error::{Error, ExitCode};

/// Prints all of a text, or as much as its reader wants. The result is `code`.
///
/// # Errors
/// Exit code 70: it can't be printed.
pub fn print(output: &mut dyn Write, text: &str, code: ExitCode) -> Result<ExitCode, Error> {
    end(output.write_all(text.as_bytes()).and_then(|()| output.flush()), code)
}

/// As [`print()`], for a text that was written piece by piece, with this outcome.
///
/// # Errors
/// Exit code 70: it can't be printed.
pub fn end(written: io::Result<()>, code: ExitCode) -> Result<ExitCode, Error> {
    match written {
        Ok(()) => Ok(code),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        Err(error) => Err(Error::cannot(ExitCode::Internal, "print", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(end(Err(io::ErrorKind::BrokenPipe.into()), ExitCode::Failed), Ok(ExitCode::Failed));
        let full = end(Err(io::ErrorKind::StorageFull.into()), ExitCode::Ok).expect_err("a full disk is one");
        assert!(full.code == ExitCode::Internal && full.message.starts_with("cannot print: "), "{full}");
    }

    #[test]
    fn what_is_printed_ends_with_the_code_of_the_command() {
        let mut output = Vec::new();
        assert_eq!(print(&mut output, "text\n", ExitCode::NotRunning), Ok(ExitCode::NotRunning));
        assert_eq!(output, b"text\n");
    }
}
