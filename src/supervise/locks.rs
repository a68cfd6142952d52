//! Keeps the locks. Somebody may remove the state directory, or the file of a lock, while the supervisor runs: it then
//! makes all of it anew, and gives way to another supervisor that was faster.

use super::Supervisor;
use crate::error::Error;
use crate::lock::{self, Lock, name_holder};
use crate::policy::Event;
use crate::state_dir::{Record, StateDir, WorkerRecord};
use crate::time::Now;

impl Supervisor {
    /// Looks whether the locks that this supervisor holds are still those that another would find, and so the record,
    /// whenever there is something new to put into the state directory: at each transition and each periodic probe.
    /// True: the locks were not, and there is something to tell.
    pub(super) fn keep_locks(&mut self, now: Now) -> bool {
        if !self.reporter.is_status_stale(&self.machine) {
            return false;
        }
        self.port.renew_claim();
        self.record.notice_removal();
        if self.lock.as_ref().is_none_or(Lock::is_in_place) {
            return false;
        }
        match self.lock_anew() {
            Ok(Ok((lock, dir))) => {
                lock.announce(&self.predecessors);
                self.lock = Some(lock);
                // What is on disk has been removed or was another's: the next write is one from scratch.
                self.record = WorkerRecord::new(&dir, Record::Unclear);
                self.reporter.moved_to(dir);
                self.reporter.warn("lock", "somebody removed the state directory or its lock; made it anew".to_owned());
            }
            Ok(Err(holder)) => {
                self.lock = None;
                let text =
                    format!("another supervisor ({}) has the state directory now; giving way", name_holder(holder));
                self.reporter.warn("lock", text);
                self.dispatch(now, Event::LockLost);
            }
            Err(error) => {
                self.reporter.warn("lock", format!("{error}; trying again"));
                return false;
            }
        }
        true
    }

    fn lock_anew(&self) -> Result<Result<(Lock, StateDir), Option<u32>>, Error> {
        let dir = StateDir::open(&self.config.state_dir, &self.config.name)?;
        let locked = Lock::of_config(&dir).map_err(|error| lock::cannot("lock", &dir, error))?;
        Ok(locked.map(|lock| (lock, dir)))
    }
}
