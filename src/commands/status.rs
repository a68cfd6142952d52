//! `status`: what the supervisor last said of itself and its worker, and whether that still holds.
//!
//! The file alone proves nothing: it stays when a supervisor is killed, and grows old when one is stopped or hangs. So
//! the lock is asked whether somebody runs, the system whether the worker lives, and a file that is older than it may
//! be is called so, by a clock that nobody sets. Healthy, and exit code 0, is only what a living supervisor said a
//! short while ago of a worker that lives.

mod found;
mod page;
mod prometheus;
mod view;
mod watch;

use std::io::Write;

use self::found::Found;
use self::view::View;
use crate::cli::StatusForm;
use crate::config::{Config, Reading};
use crate::error::{Error, ExitCode};
use crate::print::print;
use crate::supervise::report::status::Status;

pub use self::found::Trust;
pub use self::page::{Style, render};
pub(crate) use self::view::unknown;
pub use self::watch::watch;

/// Prints how the worker is, in one of three forms. The JSON is that of the status file with two fields corrected:
/// `running`, and `healthy`, which is true only if the exit code is 0.
///
/// Returns [`ExitCode::Ok`] for healthy, or for a reader that has gone away, [`ExitCode::Failed`] for not healthy,
/// [`ExitCode::NotRunning`]; and [`ExitCode::Config`] for a config that is broken: then a supervisor is shown if it is
/// found all the same, and what was not read is not taken for what it is by default. Metrics say all of that
/// themselves: once they are printed, the code is [`ExitCode::Ok`], or a job that writes them to a file would stop just
/// when they matter.
///
/// # Errors
/// The state directory is not ours alone (78); the lock can't be examined, or the output not be written (70).
pub fn status(
    config: &Config,
    reading: Reading,
    form: StatusForm,
    style: Style,
    output: &mut dyn Write,
) -> Result<ExitCode, Error> {
    let view = View::look(config, reading)?;
    let code = view.code();
    match form {
        StatusForm::Page => print(output, &view.page(style), code),
        StatusForm::Json => print(output, &view.json(), code),
        StatusForm::Prometheus => print(output, &prometheus::metrics(&view), ExitCode::Ok),
    }
}

/// The status of the supervisor of a config that is broken, if one is found where the rest of it says.
///
/// # Errors
/// As [`status`].
pub(crate) fn find_running(config: &Config) -> Result<Option<Status>, Error> {
    let found = Found::look(config)?;
    Ok(if found.is_running(config) { found.into_status() } else { None })
}
