//! Whom an earlier supervisor has left, to be ended before anything is launched.
//!
//! A recorded worker is known by its identity, the one after it, which was being spawned, by its mark, and where the
//! record makes no sense, any that bears a mark of the last supervisor, which the lock file names. Where the record
//! says that nobody lives, nobody is looked for. Who can't be looked for may live: nothing is launched beside it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use mio::Registry;
use platform::{Pid, Scope};

use super::mark::{HELPER_VARIABLE, Mark, VARIABLE};
use super::session::kill_all;
use super::worker::Worker;
use crate::lock::Lock;
use crate::state_dir::Record;

/// How often a worker that was being spawned is looked for where its supervisor, or it, had the lock a moment ago.
const LOOKS_MAX: u32 = 6;

/// Where the lock was free: if there is one, it has passed the place in its exec where it lets go of the lock.
const LOOKS_FREE: u32 = 2;

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The worker of an earlier supervisor, if one still runs; others of its processes are killed if it does not.
/// `was_locked`: somebody else had the lock at first.
///
/// # Errors
/// The processes can't be looked at.
pub(super) fn find(
    record: &Record,
    name: &str,
    lock: &Lock,
    was_locked: bool,
    registry: &Registry,
    now: Instant,
) -> io::Result<Option<Worker>> {
    let looks = if was_locked { LOOKS_MAX } else { LOOKS_FREE };
    let left = match record {
        Record::Nobody => return Ok(None),
        Record::Somebody { worker, next } => {
            if let Some(identity) = worker {
                let adopted = Worker::adopted(registry, identity, now)?;
                if adopted.is_some() {
                    return Ok(adopted);
                }
                let is_left = |mark: &Mark| mark.name == name && !mark.is_of_another_living_supervisor();
                let is_left = |value: &[u8]| Mark::parse(value).is_some_and(|mark| is_left(&mark));
                let left = platform::processes_with(VARIABLE, is_left, Scope::Everybody)?;
                kill_all(left.into_iter().filter(|pid| platform::is_session_member(*pid, identity.pid)));
            }
            if next.is_empty() {
                return Ok(None);
            }
            look(looks, |value| value == next.as_bytes())?
        }
        Record::Unclear => {
            let prefix = |(pid, started)| format!("{name}:{pid}:{started}:");
            let prefixes: Vec<String> = lock.last_holders().into_iter().map(prefix).collect();
            if prefixes.is_empty() {
                return Ok(None);
            }
            look(LOOKS_MAX, |value| prefixes.iter().any(|prefix| value.starts_with(prefix.as_bytes())))?
        }
    };
    adopt_leader(left, registry, now)
}

/// Ends what is left of the helpers of a supervisor that was killed, where they do not end with it.
pub(super) fn end_helpers(of: (u32, String)) {
    let (pid, started) = of;
    let supervisor = format!("{pid}:{started}");
    let left = platform::processes_with(HELPER_VARIABLE, |value| value == supervisor.as_bytes(), Scope::Everybody);
    // Where nobody can be looked at, there is nobody to be ended.
    kill_all(left.unwrap_or_default());
}

/// Of these processes the one that leads a session; the others that are not in it are killed.
fn adopt_leader(mut left: Vec<Pid>, registry: &Registry, now: Instant) -> io::Result<Option<Worker>> {
    let mut adopted = None;
    if let Some(leader) = left.iter().copied().find(|pid| platform::is_session_member(*pid, *pid))
        && let Some(identity) = platform::identify(leader)?
    {
        adopted = Worker::adopted(registry, &identity, now)?;
        left.retain(|pid| *pid != leader && !platform::is_session_member(*pid, leader));
    }
    kill_all(left);
    Ok(adopted)
}

/// Looks until there is somebody, but no more than so often. The lock is held by a new process too until it executes
/// its program, but its mark can be seen only a moment after that.
fn look(looks: u32, is_left: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Pid>> {
    let marked = || platform::processes_with(VARIABLE, &is_left, Scope::Everybody);
    let mut found = marked()?;
    for _ in 1..looks {
        if found.is_empty() {
            thread::park_timeout(LOOK_PAUSE);
            found = marked()?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn helpers_of_a_supervisor_that_was_killed_are_ended_and_no_others() {
        let helper_of = |supervisor: &str| {
            let mut cat = Command::new("/bin/cat");
            let mut cat =
                cat.env(HELPER_VARIABLE, supervisor).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            // Until it executes its program, its environment can't be seen.
            cat.stdin.as_mut().unwrap().write_all(b"!").unwrap();
            cat.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            cat
        };
        let (mut left, mut other) = (helper_of("1:a start"), helper_of("1:another start"));
        end_helpers((1, "a start".to_owned()));
        assert_eq!(left.wait().unwrap().code(), None);
        drop(other.stdin.take());
        assert_eq!(other.wait().unwrap().code(), Some(0));
    }
}
