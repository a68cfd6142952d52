//! What runs already for this config: another supervisor, and the worker that is on record.
//!
//! The state directory is looked at, never created.

use std::fs::symlink_metadata;
use std::path::PathBuf;

use platform::Pid;

use super::files::creatable;
use super::report::Finding;
use crate::config::Config;
use crate::lock::{Held, Lock};
use crate::policy::KILL_TIME;
use crate::state_dir::{StateDir, WorkerRecord};
use crate::time::secs;

/// What was found in the state directory.
#[derive(Debug)]
pub(super) struct Standing {
    /// The directory.
    dir: PathBuf,
    /// Whether it is there, or what keeps it from being used.
    state: Result<DirState, String>,
    /// Whether a supervisor holds the lock.
    supervisor: Result<Held, String>,
    /// The recorded worker, if it lives.
    worker: Option<Pid>,
}

/// The state directory of one config, if it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DirState {
    There,
    WouldBeCreated,
}

impl Standing {
    /// Looks at the state directory of a config.
    pub(super) fn look(config: &Config) -> Self {
        let path = config.state_dir.join(&config.name);
        let (state, dir) = match StateDir::existing(&config.state_dir, &config.name) {
            Err(error) => (Err(error.message), None),
            Ok(None) => (creatable(&path).map(|()| DirState::WouldBeCreated), None),
            Ok(Some(dir)) => {
                let usable = platform::check_creatable_in(&path);
                let usable = usable.map_err(|error| format!("cannot write the state directory {path:?}: {error}"));
                (usable.and_then(|()| ensure_recordable(&dir)).map(|()| DirState::There), Some(dir))
            }
        };
        let supervisor = match &dir {
            Some(dir) => Lock::holder(dir).map_err(|error| format!("cannot look at {:?}: {error}", dir.lock_path())),
            None => Ok(Held::Free),
        };
        Self { worker: dir.as_ref().and_then(living_worker), dir: path, state, supervisor }
    }

    /// Whether a supervisor runs for this config.
    pub(super) fn is_supervised(&self) -> bool {
        matches!(self.supervisor, Ok(Held::By(_) | Held::Unknown))
    }

    /// The recorded worker, if it lives.
    pub(super) fn worker(&self) -> Option<Pid> {
        self.worker
    }

    /// One finding for the directory, one for the supervisor if that can be known, and one for a worker without one.
    pub(super) fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut findings = vec![self.dir_finding()];
        if self.state.is_ok() {
            findings.push(self.supervisor_finding(config));
        }
        if let (Some(pid), false) = (self.worker, self.is_supervised()) {
            let text = format!("pid {pid} of an earlier supervisor still runs; it would be ended first");
            findings.push(Finding::warn("worker", text));
        }
        findings
    }

    fn dir_finding(&self) -> Finding {
        let path = &self.dir;
        match &self.state {
            Ok(DirState::There) => Finding::ok("state_dir", format!("{path:?}")),
            Ok(DirState::WouldBeCreated) => Finding::ok("state_dir", format!("{path:?} would be created")),
            Err(cause) => Finding::fail("state_dir", format!("{cause}; fix that or set state_dir to another")),
        }
    }

    fn supervisor_finding(&self, config: &Config) -> Finding {
        let patience = secs(config.drain_timeout + KILL_TIME);
        let rest = format!(
            "a second one would wait {patience} for its end, then exit with 75; \
             to bring in an edited config, run `worker-supervisor restart`"
        );
        match &self.supervisor {
            Ok(Held::Free) => Finding::ok("supervisor", "none runs for this config".into()),
            Ok(Held::By(holder)) => Finding::warn("supervisor", format!("pid {} runs already: {rest}", holder.pid)),
            Ok(Held::Unknown) => Finding::warn("supervisor", format!("one runs already: {rest}")),
            Err(cause) => Finding::fail("supervisor", format!("{cause}; a start could not lock it: remove it")),
        }
    }
}

/// Whatever else stands there is replaced.
fn ensure_recordable(dir: &StateDir) -> Result<(), String> {
    let path = dir.worker_path();
    let is_dir = symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
    if is_dir { Err(format!("cannot record the worker in {path:?}: it is a directory")) } else { Ok(()) }
}

fn living_worker(dir: &StateDir) -> Option<Pid> {
    let record = WorkerRecord::read(dir).ok()?;
    let recorded = record.worker()?;
    let found = platform::identify(recorded.pid).ok().flatten()?;
    (found == *recorded).then_some(found.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dry_run::report::{render, tests::config};
    use crate::lock::Holder;

    fn standing(state: Result<DirState, String>, held: Held, worker: Option<i32>) -> Standing {
        Standing { dir: "/s/w".into(), state, supervisor: Ok(held), worker: worker.and_then(Pid::new) }
    }

    fn rendered(standing: &Standing) -> String {
        render(&standing.findings(&config()))
    }

    #[test]
    fn the_first_start_finds_nothing() {
        let text = rendered(&standing(Ok(DirState::WouldBeCreated), Held::Free, None));
        assert_eq!(
            text,
            "ok    state_dir   \"/s/w\" would be created\n\
             ok    supervisor  none runs for this config\n\
             \n\
             The worker can start.\n"
        );
    }

    #[test]
    fn a_running_supervisor_is_named_and_its_worker_is_no_orphan() {
        let held = Held::By(Holder { pid: 7, identity: None });
        let standing = standing(Ok(DirState::There), held, Some(8));
        assert_eq!(
            rendered(&standing),
            "ok    state_dir   \"/s/w\"\n\
             warn  supervisor  pid 7 runs already: a second one would wait 7 s for its end, then exit with 75; \
             to bring in an edited config, run `worker-supervisor restart`\n\
             \n\
             The worker can start: 1 warning.\n"
        );
        assert!(standing.is_supervised());
    }

    #[test]
    fn a_worker_without_a_supervisor_would_be_ended() {
        let standing = standing(Ok(DirState::There), Held::Free, Some(8));
        let text = rendered(&standing);
        assert!(
            text.contains("warn  worker      pid 8 of an earlier supervisor still runs; it would be ended first\n")
        );
        assert!(!standing.is_supervised());
    }

    #[test]
    fn a_state_directory_that_cannot_be_used_keeps_the_supervisor_from_starting() {
        let text = rendered(&standing(Err("cannot use it: no".into()), Held::Free, None));
        assert_eq!(
            text,
            "FAIL  state_dir   cannot use it: no; fix that or set state_dir to another\n\
             \n\
             The worker can't start: 1 problem.\n"
        );
    }
}
