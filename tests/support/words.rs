//! The words of the supervisor's own log that tests wait for. A log line is `TIME LEVEL message key=value…`; each
//! constant is so much of it that it cannot match inside another message.

/// A worker was spawned; has `pid` and `generation`.
pub(crate) const STARTED: &str = " INFO started ";
/// The first healthy answer of a worker; has `pid`, `after_ms` and `answer`.
pub(crate) const READY: &str = " INFO ready ";
/// A worker ended by itself; has `pid` and `uptime`.
pub(crate) const DIED: &str = " worker died: ";
/// A worker ended because it was told to.
pub(crate) const ENDED: &str = " worker ended: ";
/// A worker of an earlier supervisor is ended first; has `pid`.
pub(crate) const ADOPTED: &str = " worker of an earlier supervisor still runs";
/// The worker could not be started.
pub(crate) const LAUNCH_FAILED: &str = " cannot start the worker: ";
/// The port is held, and its holder told to go; has `round`.
pub(crate) const PORT_CONFLICT: &str = "; asking it to go round=";
/// The port is held, and waited for.
pub(crate) const PORT_AWAITED: &str = "; waiting until it is free";
/// The port is held, and its holder stays.
pub(crate) const PORT_LOST: &str = " cannot free port ";
/// A stranger answered in the worker's place.
pub(crate) const IMPOSTOR: &str = " and not by the worker; restarting it";
/// A probe failed; has `streak`.
pub(crate) const PROBE_FAILED: &str = " health check failed: ";
/// Too many probes failed.
pub(crate) const UNHEALTHY: &str = " worker is unhealthy: ";
/// A probe succeeded after failed ones.
pub(crate) const HEALTHY_AGAIN: &str = " healthy again ";
/// No healthy answer within the time for it.
pub(crate) const STARTUP_TIMED_OUT: &str = " worker did not get healthy in time: ";
/// The worker was asked to stop; has `pid` and `then`.
pub(crate) const DRAINING: &str = " INFO draining ";
/// The worker did not stop in time, or was not to be waited for.
pub(crate) const KILLING: &str = " killing the worker's group: ";
/// A registration succeeded.
pub(crate) const SYNCED: &str = " INFO synced ";
/// A registration failed.
pub(crate) const SYNC_FAILED: &str = " cannot sync: ";
/// A changed configuration is invalid.
pub(crate) const RELOAD_FAILED: &str = " cannot reload the configuration";
/// The last line of an orderly stop.
pub(crate) const STOPPED: &str = " INFO stopped";
/// The level of what the user must look at.
pub(crate) const ERROR: &str = " ERROR ";
/// The level of what went on in another way than asked.
pub(crate) const WARN: &str = " WARN ";

/// The value of `key=value` in a log line or an event; quotes around it are left off.
pub(crate) fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let start = format!("{key}=");
    let rest = line.split_inclusive(char::is_whitespace).scan(0, |at, word| {
        let from = *at;
        *at += word.len();
        Some(&line[from..])
    });
    let value = rest.into_iter().find_map(|rest| rest.strip_prefix(start.as_str()))?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split_whitespace().next(),
    }
}
