//! What the state directory shows of a supervisor and its worker, and how far that can be trusted.

use std::fs;
use std::io;
use std::path::Path;

use platform::Pid;

use crate::config::Config;
use crate::error::Error;
use crate::lock::{self, Held, Lock};
use crate::policy::Condition;
use crate::state_dir::{Record, StateDir, WorkerRecord};
use crate::supervise::report::status::Status;
use crate::time::Now;

/// How long past its time a status is still taken for fresh: a loaded machine writes late.
const SLACK_MS: u64 = 5_000;

/// How far the last status can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A supervisor runs and wrote it in time.
    Fresh,
    /// A supervisor runs and wrote it in time; but the worker that it calls healthy is gone.
    Outlived,
    /// A supervisor runs, but should have written again by now: it may be stopped, or hang.
    Stale,
    /// No supervisor runs: it is the last one's.
    Dead,
}

/// What the state directory shows.
pub(super) struct Found {
    held: Held,
    record: Record,
    file: io::Result<Option<Status>>,
}

impl Found {
    pub(super) fn look(config: &Config) -> Result<Found, Error> {
        let Some(dir) = StateDir::existing(&config.state_dir, &config.name)? else {
            return Ok(Found { held: Held::Free, record: Record::Nobody, file: Ok(None) });
        };
        let held = Lock::holder(&dir).map_err(|error| lock::cannot("examine", &dir, error))?;
        let mut file = Status::read(&dir);
        // After the status: a worker that is gone by then is gone.
        let record = WorkerRecord::read(&dir).unwrap_or(Record::Unclear);
        let is_from_holder = |status: &Status| match &held {
            Held::By(holder) => status.supervisor_pid == holder.pid,
            // The holder could not be named, as on a full disk: at least the writer has to be alive.
            Held::Unknown => is_alive(status.supervisor_pid),
            Held::Free => true,
        };
        if let Ok(Some(status)) = &file
            && !is_from_holder(status)
        {
            // A supervisor that has only just begun has written nothing yet: this is the last one's.
            file = Ok(None);
        }
        Ok(Found { held, record, file })
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.file.as_ref().ok().and_then(Option::as_ref)
    }

    pub(super) fn into_status(self) -> Option<Status> {
        self.file.ok().flatten()
    }

    /// Whether a supervisor runs there, and says that it is the one of this very config.
    pub(super) fn is_running(&self, config: &Config) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let is_same =
            |path: &Path| path == config.path || real(path).is_some_and(|path| Some(path) == real(&config.path));
        self.held != Held::Free && self.status().is_some_and(|status| is_same(Path::new(&status.config_path)))
    }

    pub(super) fn now_ms(&self, now: Now) -> u64 {
        self.status().map_or(now.wall_ms, |status| status.now_ms(now, self.held != Held::Free))
    }

    pub(super) fn trust(&self, now_ms: u64) -> Trust {
        match (&self.held, self.status()) {
            (Held::Free, _) => Trust::Dead,
            (_, Some(status)) if is_stale(status, now_ms) => Trust::Stale,
            (_, Some(status)) if status.healthy && !self.lives(status.pid) => Trust::Outlived,
            (Held::By(_) | Held::Unknown, _) => Trust::Fresh,
        }
    }

    /// Whether the worker with this pid lives. The record has its start time: its pid may be somebody else's by now.
    fn lives(&self, pid: Option<i32>) -> bool {
        let Some(pid) = pid.and_then(Pid::new) else { return false };
        // Who can't be looked at may live.
        let Ok(found) = platform::identify(pid) else { return true };
        match self.record.worker().filter(|recorded| recorded.pid == pid) {
            Some(recorded) => found.as_ref() == Some(recorded),
            None => found.is_some(),
        }
    }

    /// What to say where there is no status to show.
    pub(super) fn without_status(&self, name: &str) -> String {
        let cause = match &self.file {
            Ok(_) => "no status has been written yet".to_owned(),
            Err(error) => format!("the status file can't be read: {error}"),
        };
        match (&self.held, &self.file) {
            (Held::Free, Ok(_)) => format!("{name}: not running\n"),
            (Held::Free, Err(_)) => format!("{name}: not running; {cause}\n"),
            (Held::Unknown, _) => format!("{name}: not known to be healthy; a supervisor runs, but {cause}\n"),
            (Held::By(holder), _) => {
                format!("{name}: not known to be healthy; a supervisor runs (pid {}), but {cause}\n", holder.pid)
            }
        }
    }
}

/// Whether the supervisor should have written again by now. It does so at each transition, of which the next is due at
/// its next deadline, and at each periodic probe. A start has many probes and may take all of its time.
fn is_stale(status: &Status, now_ms: u64) -> bool {
    let after_probes = status.updated_ms.saturating_add(status.health_interval_ms.saturating_mul(2));
    let after_start = if status.state == Condition::Starting.word() {
        status.since_ms.saturating_add(status.startup_timeout_ms)
    } else {
        0
    };
    let due_ms = after_probes.max(status.next_deadline_ms.unwrap_or(0)).max(after_start);
    now_ms > due_ms.saturating_add(SLACK_MS)
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::new);
    pid.is_some_and(|pid| platform::identify(pid).is_ok_and(|found| found.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn a_status_grows_stale_after_two_probes_or_its_next_deadline_whichever_is_later() {
        let status = Status { updated_ms: NOW_MS - 12_000, health_interval_ms: 30_000, ..Status::default() };
        let limit_ms = status.updated_ms + 60_000 + SLACK_MS;
        assert!(!is_stale(&status, limit_ms) && is_stale(&status, limit_ms + 1));
        let patient = Status { next_deadline_ms: Some(NOW_MS + 600_000), ..status.clone() };
        let limit_ms = NOW_MS + 600_000 + SLACK_MS;
        assert!(!is_stale(&patient, limit_ms) && is_stale(&patient, limit_ms + 1));
        let endless = Status { health_interval_ms: u64::MAX, updated_ms: u64::MAX, ..status };
        assert!(!is_stale(&endless, u64::MAX));
    }

    #[test]
    fn a_running_supervisor_is_that_of_the_config_by_whatever_path() {
        let dir = std::env::temp_dir().join(format!("ws-found-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let [real, link, other] = ["real", "link", "other"].map(|name| dir.join(name));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let is_running = |held, config_path: &Path, path: &Path| {
            let status = Status { config_path: config_path.display().to_string(), ..Status::default() };
            let found = Found { held, record: Record::Nobody, file: Ok(Some(status)) };
            found.is_running(&Config { path: path.into(), ..Config::default() })
        };
        assert!(is_running(Held::Unknown, &real, &real) && is_running(Held::Unknown, &real, &link));
        assert!(is_running(Held::Unknown, &other, &other), "a config that has been removed since");
        assert!(!is_running(Held::Unknown, &real, &other) && !is_running(Held::Free, &real, &real));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_start_may_take_all_of_its_time_before_it_counts_as_stale() {
        let status = Status { state: "starting".into(), since_ms: NOW_MS, updated_ms: NOW_MS, ..Status::default() };
        let status = Status { health_interval_ms: 1_000, startup_timeout_ms: 60_000, ..status };
        let limit_ms = NOW_MS + 60_000 + SLACK_MS;
        assert!(!is_stale(&status, limit_ms) && is_stale(&status, limit_ms + 1));
    }
}
