//! The supervisor's own log: one line per event on standard error, `TIME LEVEL message key=value…`.
//!
//! A full disk, a closed or a broken standard error is ignored: the worker matters more than the log.

use std::io::Write;

use env_logger::{Builder, Env, WriteStyle};

/// Starts logging. RUST_LOG decides what is logged; without it, `info`, or `debug` if `verbose`.
pub fn init(verbose: bool) {
    let default = if verbose { "debug" } else { "info" };
    Builder::from_env(Env::default().default_filter_or(default))
        .write_style(WriteStyle::Never)
        .format(|line, record| writeln!(line, "{} {} {}", line.timestamp_millis(), record.level(), record.args()))
        .init();
}
