//! `restart`: asks the supervisor for a graceful restart and waits for what comes of it.
//!
//! The request is SIGUSR1 to the holder of the lock, sent so that it reaches that process or nobody. The answer is
//! read from the status file: success is a newer worker that is healthy, never the old one seen once more. Failure
//! comes with its reason as soon as the file has it, and the wait is bounded. The configuration was checked before: a
//! [`Config`] exists only if it is valid, so that a broken edit can't cost a running worker.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use platform::{Identity, Pinned, Signal};

use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::lock::{Held, Holder, Lock};
use crate::policy::{Condition, KILL_TIME};
use crate::print::print;
use crate::state_dir::StateDir;
use crate::supervise::report::status::Status;
use crate::time::{Now, millis, span};

/// Between two looks at the status file.
const LOOK_INTERVAL: Duration = Duration::from_millis(30);
/// By when a supervisor has written something after the signal, if it is alive to it.
const REACTION_MAX: Duration = Duration::from_secs(5);
/// For a loaded machine, on top of all times that the configuration names.
const SLACK: Duration = Duration::from_secs(10);

/// Restarts the worker and prints one line about the new one. `progress` gets a line for each thing that is waited for.
///
/// # Errors
/// [`ExitCode::NotRunning`] if no supervisor runs for this config, or it stops meanwhile; [`ExitCode::Failed`] if the
/// new worker does not become healthy, with the reason, or the supervisor can't be reached; [`ExitCode::Config`] for a
/// state directory that is not ours alone.
pub fn restart(config: &Config, output: &mut dyn Write, progress: &mut dyn Write) -> Result<ExitCode, Error> {
    let not_running = || {
        let message = format!("cannot restart the worker: no supervisor runs for {:?}", config.path);
        Error::new(ExitCode::NotRunning, message)
    };
    let dir = StateDir::existing(&config.state_dir, &config.name)?.ok_or_else(not_running)?;
    let supervisor = match Lock::holder(&dir).map_err(failed)? {
        Held::Free => return Err(not_running()),
        Held::By(Holder { identity: Some(identity), .. }) => identity,
        Held::By(Holder { pid, .. }) => {
            return Err(failed(format_args!("the supervisor, pid {pid}, can't be signalled from here")));
        }
        Held::Unknown => return Err(failed("the supervisor is only just starting")),
    };
    let supervisor_pid = supervisor.pid.as_raw().cast_unsigned();
    let status = Status::read(&dir).ok().flatten().filter(|status| status.supervisor_pid == supervisor_pid);
    let before = Before { supervisor_pid, signalled_ms: Now::read().wall_ms, status };
    signal(&supervisor)?.then_some(()).ok_or_else(not_running)?;
    let mut last = String::new();
    let mut tell = |step: &str| {
        if step != last {
            // Nothing is lost but a line if that fails.
            drop(writeln!(progress, "{}: {step}", config.name));
            step.clone_into(&mut last);
        }
    };
    let line = wait(&dir, &before, wait_max(config), &mut tell)?;
    print(output, &format!("{}: {line}\n", config.name), ExitCode::Ok)
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::cannot(ExitCode::Failed, "restart the worker", cause)
}

/// False: the supervisor is gone.
fn signal(supervisor: &Identity) -> Result<bool, Error> {
    match Pinned::open(supervisor.pid).map_err(failed)? {
        Some(pinned) if pinned.identity() == supervisor => pinned.signal(Signal::Usr1).map_err(failed),
        Some(_) | None => Ok(false),
    }
}

/// The longest that a restart may take: the old worker's end, the secrets, the port, the new worker's start.
fn wait_max(config: &Config) -> Duration {
    let end_of_the_old = config.drain_timeout + KILL_TIME;
    end_of_the_old + config.secrets_timeout + config.port_grace + config.startup_timeout + SLACK
}

/// The line about the new worker.
fn wait(dir: &StateDir, before: &Before, limit: Duration, tell: &mut dyn FnMut(&str)) -> Result<String, Error> {
    let started = Instant::now();
    let elapsed_ms = || millis(started.elapsed());
    loop {
        // The lock is asked first: a file that was read afterwards is the supervisor's last word.
        let is_held = Lock::holder(dir).map_err(failed)? != Held::Free;
        let status = Status::read(dir).ok().flatten().unwrap_or_default();
        let step = match judge(before, &status) {
            Outcome::Ready => return Ok(ready(&status, elapsed_ms())),
            Outcome::Failed(reason) => return Err(failed(reason)),
            Outcome::Waiting(step) => step,
        };
        if !is_held {
            let message = "cannot restart the worker: the supervisor has stopped meanwhile";
            return Err(Error::new(ExitCode::NotRunning, message));
        }
        if started.elapsed() > limit {
            return Err(failed(format_args!("it is not healthy after {}: {step}", span(elapsed_ms()))));
        }
        if started.elapsed() > REACTION_MAX && !has_reacted(before, &status) {
            return Err(failed(silence(dir, before.supervisor_pid)));
        }
        if has_reacted(before, &status) {
            tell(&step);
        }
        pause(LOOK_INTERVAL);
    }
}

/// Why nothing is heard of the supervisor: it may be well, and have no way to say so.
fn silence(dir: &StateDir, pid: u32) -> String {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let cause = match Status::try_room(dir) {
        Ok(()) => return format!("the supervisor, pid {pid}, does not react; it may be stopped or hang"),
        Err(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => format!("no room in {:?}", dir.path()),
        Err(error) => format!("cannot write in {:?}: {error}", dir.path()),
    };
    format!("{cause}, so the supervisor, pid {pid}, can't say what has come of it")
}

/// The only sleep of the program, for commands that have nothing to do but to look again. Never in a supervisor.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

fn ready(status: &Status, elapsed_ms: u64) -> String {
    let pid = status.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    let problem = status.config_problem.as_ref();
    let problem =
        problem.map_or_else(String::new, |problem| format!("; but an older configuration is in force: {problem}"));
    format!("healthy again after {}{pid}, generation {}{problem}", span(elapsed_ms), status.generation)
}

/// What was known right before the signal.
#[derive(Debug)]
struct Before {
    supervisor_pid: u32,
    signalled_ms: u64,
    /// What this supervisor had written, if it had.
    status: Option<Status>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// Still under way; what is being done.
    Waiting(String),
    Ready,
    Failed(String),
}

/// What the status file says about the restart that was asked for.
fn judge(before: &Before, now: &Status) -> Outcome {
    let is = |condition: Condition| now.state == condition.word();
    if now.supervisor_pid == 0 {
        return Outcome::Waiting("waiting for the supervisor".into());
    }
    if now.supervisor_pid != before.supervisor_pid {
        return Outcome::Failed(format!("another supervisor, pid {}, has taken over", now.supervisor_pid));
    }
    let is_new = match &before.status {
        Some(before) => now.generation > before.generation,
        None => now.started_ms.is_some_and(|started_ms| started_ms >= before.signalled_ms),
    };
    if is_new && is(Condition::Running) && now.healthy {
        return Outcome::Ready;
    }
    // A port that is waited for is looked at every second, and each look is the same news.
    if is(Condition::AwaitingPort) && has_reacted(before, now) {
        let holder = now.port_holder.as_deref().unwrap_or("somebody");
        return Outcome::Failed(format!("port {} is held by {holder}; the worker starts when it is free", now.address));
    }
    // A start that fails at once leads from pause to pause, and nobody sees what was in between.
    let began_since = before.status.as_ref().is_none_or(|before| {
        let begun = |of: &Status| (of.since_ms, of.failed_starts);
        now.state != before.state || begun(now) != begun(before)
    });
    if is(Condition::BackingOff) && began_since {
        return Outcome::Failed(failure(now) + &next_step(now));
    }
    // A new worker that is drained may have failed, or be in the way of somebody else's restart: what follows tells.
    Outcome::Waiting(step(now))
}

/// What is waited for. The text stays the same while it lasts.
fn step(now: &Status) -> String {
    let pid = now.pid.map_or_else(|| "the worker".to_owned(), |pid| format!("pid {pid}"));
    match now.state.as_str() {
        "draining" => format!("draining, waiting for {pid} to finish its requests"),
        "killing" => format!("killing {pid}, which has not ended in time"),
        "starting" => format!("started, waiting for the first healthy answer of {pid}"),
        "leasing-secrets" => "waiting for secrets".into(),
        "clearing-port" => {
            format!("waiting for the port, held by {}", now.port_holder.as_deref().unwrap_or("somebody"))
        }
        other => other.replace('-', " "),
    }
}

/// Why the new worker is not there.
fn failure(now: &Status) -> String {
    let exit = now.last_exit.as_ref().filter(|exit| !exit.asked_for && exit.generation == now.generation);
    match (&now.problem, exit) {
        (Some(problem), _) => problem.clone(),
        (None, Some(exit)) => {
            let words = exit.stderr.as_ref().map_or_else(String::new, |line| format!(": {line}"));
            let uptime = exit.uptime_ms.map_or_else(|| "a while".to_owned(), span);
            format!("the new worker ended after {uptime}: {}{words}", exit.reason)
        }
        (None, None) => {
            let probe = now.last_probe.as_ref().map_or_else(String::new, |probe| format!(": {}", probe.result));
            format!("the new worker did not become healthy{probe}")
        }
    }
}

/// What the supervisor will do about it.
fn next_step(now: &Status) -> String {
    match (&now.next_step, now.next_deadline_ms) {
        (Some(step), Some(due_ms)) => {
            format!("; the supervisor will {step} in {}", span(due_ms.saturating_sub(now.updated_ms)))
        }
        (_, _) => String::new(),
    }
}

/// Whether the supervisor shows that it has seen the signal. One that is ending a worker has nothing new to show.
fn has_reacted(before: &Before, now: &Status) -> bool {
    let Some(before) = &before.status else { return now.updated_ms > 0 };
    [Condition::Draining, Condition::Killing].map(Condition::word).contains(&before.state.as_str())
        || now.updated_boot_ms != before.updated_boot_ms
        || now.updated_ms != before.updated_ms
}

#[cfg(test)]
mod tests;
