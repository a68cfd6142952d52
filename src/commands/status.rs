//! `status`: what the supervisor last said of itself and its worker, and whether that still holds.
//!
//! The file alone proves nothing: it stays when a supervisor is killed, and grows old when one is stopped or hangs. So
//! the lock is asked whether somebody runs, the system whether the worker lives, and a file that is older than it may
//! be is called so, by a clock that nobody sets. Healthy, and exit code 0, is only what a living supervisor said a
//! short while ago of a worker that lives.

mod found;
mod page;

use std::io::Write;

use self::found::Found;
use self::page::render;
use crate::config::{Config, Reading};
use crate::error::{Error, ExitCode};
use crate::print::print;
use crate::supervise::report::status::Status;
use crate::time::Now;

pub use self::found::Trust;
pub use self::page::Style;

/// Prints how the worker is, for people or, with `json`, as the status file's JSON with two fields corrected:
/// `running`, and `healthy`, which is true only if the exit code is 0.
///
/// Returns [`ExitCode::Ok`] for healthy, or for a reader that has gone away, [`ExitCode::Failed`] for not healthy,
/// [`ExitCode::NotRunning`]; and [`ExitCode::Config`] for a config that is broken: then a supervisor is shown if it is
/// found all the same, and what was not read is not taken for what it is by default.
///
/// # Errors
/// The state directory is not ours alone (78); the lock can't be examined, or the output not be written (70).
pub fn status(
    config: &Config,
    reading: Reading,
    json: bool,
    style: Style,
    output: &mut dyn Write,
) -> Result<ExitCode, Error> {
    let now = Now::read();
    let found = Found::look(config)?;
    if reading == Reading::Broken && !found.is_running(config) {
        let text = if json { UNKNOWN_JSON.to_owned() } else { format!("{}: {}\n", config.name, unknown(config)) };
        return print(output, &text, ExitCode::Config);
    }
    let status = found.status();
    let now_ms = found.now_ms(now);
    let trust = found.trust(now_ms);
    let is_healthy = trust == Trust::Fresh && status.is_some_and(|status| status.healthy);
    let code = match trust {
        Trust::Fresh | Trust::Outlived | Trust::Stale if reading == Reading::Broken => ExitCode::Config,
        Trust::Dead => ExitCode::NotRunning,
        Trust::Fresh if is_healthy => ExitCode::Ok,
        Trust::Fresh | Trust::Outlived | Trust::Stale => ExitCode::Failed,
    };
    let text = match (json, status) {
        (true, status) => as_json(status, trust != Trust::Dead, is_healthy),
        (false, Some(status)) => render(status, trust, now_ms, style),
        (false, None) => found.without_status(&config.name),
    };
    print(output, &text, code)
}

/// The status of the supervisor of a config that is broken, if one is found where the rest of it says.
///
/// # Errors
/// As [`status`].
pub(crate) fn find_running(config: &Config) -> Result<Option<Status>, Error> {
    let found = Found::look(config)?;
    Ok(if found.is_running(config) { found.file.ok().flatten() } else { None })
}

/// Where nobody was found, although somebody may run.
pub(crate) fn unknown(config: &Config) -> String {
    let dir = config.state_dir.join(&config.name);
    format!("not known whether a supervisor runs; as far as the config can be read it would be in {dir:?}, and is not")
}

const UNKNOWN_JSON: &str = "{\"running\":null,\"healthy\":false}\n";

fn as_json(status: Option<&Status>, running: bool, healthy: bool) -> String {
    let Some(status) = status else { return format!("{{\"running\":{running},\"healthy\":{healthy}}}\n") };
    let status = Status { running, healthy, ..status.clone() };
    serde_json::to_string(&status).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_whether_it_can_be_believed() {
        let text = as_json(Some(&Status { pid: Some(4711), healthy: true, ..Status::default() }), false, false);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["running"], &value["healthy"], &value["pid"]), (&false.into(), &false.into(), &4711.into()));
        assert_eq!(as_json(None, false, false), "{\"running\":false,\"healthy\":false}\n");
    }
}
