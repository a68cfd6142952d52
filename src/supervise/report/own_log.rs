//! The supervisor's own log: one line per event on standard error, `TIME LEVEL message key=value…`.
//!
//! A full disk, a closed or a broken standard error is ignored: the worker matters more than the log. So is one that
//! takes nothing, such as a pipe whose reader sleeps or a terminal that was stopped by ^S: its lines are lost, and the
//! loop, which has signals to serve, does not wait.

use std::io::{self, Write};

use env_logger::{Builder, Env, Target, WriteStyle};

/// Starts logging. RUST_LOG decides what is logged; without it, `info`, or `debug` if `verbose`.
pub fn init(verbose: bool) {
    let default = if verbose { "debug" } else { "info" };
    Builder::from_env(Env::default().default_filter_or(default))
        .write_style(WriteStyle::Never)
        .target(Target::Pipe(Box::new(Hurried)))
        .format(|line, record| writeln!(line, "{} {} {}", line.timestamp_millis(), record.level(), record.args()))
        .init();
}

/// Standard error, which never makes the writer wait. A line comes in one piece.
struct Hurried;

impl Write for Hurried {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr();
        if platform::takes_output(&stderr) { stderr.write(bytes) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
