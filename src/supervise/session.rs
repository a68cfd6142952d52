//! What belongs to a worker beside its first process: the rest of its session, and whoever of it listens on its port.
//!
//! A worker leads a session, and what it starts is in it unless it calls setsid(2). Who did has asked to outlive its
//! parent and is left alone, but for one thing: nothing of a worker keeps the port. Who listens on it counts, with the
//! session that this one is in, as under a process manager that puts each of its programs into one.
//!
//! A session's id is nobody else's as long as it has members; and each process is looked at again right before a
//! signal.

use std::net::SocketAddr;

use platform::{Pid, Pinned, Scope, Signal};

use super::mark;

/// The processes of one worker but its first.
pub(super) struct Session {
    leader: Pid,
    /// Where its members are to be found.
    scope: Scope,
    /// Set once something outside of the session has listened on the port for this worker.
    outside: Option<Outside>,
    /// Those found last.
    rest: Vec<Pid>,
}

/// How to know who listens in the worker's place from outside of its session.
struct Outside {
    address: SocketAddr,
    mark: String,
    /// The sessions in which somebody was found to listen.
    sessions: Vec<Pid>,
}

impl Session {
    /// The session that `leader` leads or led.
    pub(super) fn of(leader: Pid, scope: Scope) -> Self {
        Self { leader, scope, outside: None, rest: Vec::new() }
    }

    /// Processes that bear this mark, or descend from us, belong to it also outside, if they or others of their session
    /// listen on this address.
    pub(super) fn reaches_outside(&mut self, address: SocketAddr, mark: String) {
        self.outside = Some(Outside { address, mark, sessions: Vec::new() });
    }

    /// Whether nobody is left. Those known are asked first, and all processes looked at only when none of them is left.
    pub(super) fn is_empty(&mut self) -> bool {
        let mut rest = std::mem::take(&mut self.rest);
        rest.retain(|pid| self.has(*pid));
        self.rest = if rest.is_empty() { self.find() } else { rest };
        self.rest.is_empty()
    }

    /// Those found last.
    pub(super) fn rest(&self) -> &[Pid] {
        &self.rest
    }

    /// Whether any of it listens there.
    pub(super) fn listens_on(&self, address: SocketAddr) -> bool {
        platform::holders(address).unwrap_or_default().into_iter().any(|pid| self.has(pid))
    }

    /// Sends signals to all of it, to each process one after the other.
    pub(super) fn signal(&mut self, signals: &[Signal]) {
        self.rest = self.find();
        for pid in &self.rest {
            // One that has gone needs none, and one that may not be signalled is met again.
            if let Ok(Some(pinned)) = Pinned::open(*pid)
                && self.has(*pid)
            {
                signals.iter().for_each(|signal| drop(pinned.signal(*signal)));
            }
        }
    }

    /// A table that can't be read shows nobody: there is nobody to be found then either.
    fn find(&mut self) -> Vec<Pid> {
        let mut found = platform::session_members(self.leader, self.scope).unwrap_or_default();
        if let Some(outside) = &mut self.outside {
            found.extend(outside.find(self.scope).into_iter().filter(|pid| *pid != self.leader));
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    fn has(&self, pid: Pid) -> bool {
        let is_outside = |outside: &Outside| mark::is_of_worker(pid, &outside.mark);
        platform::is_session_member(pid, self.leader) || self.outside.as_ref().is_some_and(is_outside)
    }
}

impl Outside {
    fn find(&mut self, scope: Scope) -> Vec<Pid> {
        let mut found = platform::holders(self.address).unwrap_or_default();
        found.retain(|pid| mark::is_of_worker(*pid, &self.mark));
        self.sessions.extend(found.iter().filter_map(|pid| platform::session_of(*pid)));
        self.sessions.sort_unstable();
        self.sessions.dedup();
        for leader in &self.sessions {
            let members = platform::session_members(*leader, scope).unwrap_or_default();
            found.extend(members.into_iter().chain([*leader]).filter(|pid| mark::is_of_worker(*pid, &self.mark)));
        }
        // A session's members are none of these, but its leader and who holds a port may be.
        found.retain(|pid| !platform::is_self_or_ancestor(*pid));
        found
    }
}

/// Kills processes that bear our mark.
pub(super) fn kill_all(pids: impl IntoIterator<Item = Pid>) {
    for pid in pids {
        // One that has gone needs no signal.
        if let Ok(Some(pinned)) = Pinned::open(pid) {
            let _ = pinned.signal(Signal::Kill);
        }
    }
}

/// Kills what an adopted worker left in its group. Another's child can't be held back from being reaped, but as long
/// as a group has members no process gets its id as a pid (Linux: kernel/pid.c; XNU: forkproc skips ids that pgfind
/// knows). So if nobody has the pid now, the members are those that the worker left.
pub(super) fn kill_leaderless_group(leader: Pid) {
    if let Ok(None) = platform::identify(leader) {
        // Nobody left is no error, and there is no other.
        let _ = platform::signal_group(leader, Signal::Kill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env::current_exe;
    use std::net::TcpListener;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_session_is_empty_when_only_its_leader_is_left() {
        let mut cat = Command::new("/bin/cat").stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let leader = Pid::new(cat.id().cast_signed()).unwrap();
        let mut session = Session::of(leader, Scope::Everybody);
        assert!(session.is_empty());
        // Another of the leader's group counts as one of its session, which is how systems without sessions see it.
        let mut other = Command::new("/bin/cat").stdin(Stdio::piped()).process_group(leader.as_raw()).spawn().unwrap();
        assert!(!session.is_empty());
        assert_eq!(session.rest(), [Pid::new(other.id().cast_signed()).unwrap()]);
        session.signal(&[Signal::Kill]);
        assert!(!other.wait().unwrap().success());
        assert!(session.is_empty());
        cat.kill().unwrap();
        cat.wait().unwrap();
    }

    const MARK: &str = "worker:1:0:1";

    #[test]
    fn whoever_looks_from_within_the_old_worker_spares_itself() {
        let mut test = Command::new(current_exe().unwrap());
        test.args(["--ignored", "--exact", "supervise::session::tests::within_the_old_worker"]);
        let ran = test.env(mark::VARIABLE, MARK).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && told.contains("1 passed"), "{told}");
    }

    #[test]
    #[ignore = "run by another test, with a worker's mark"]
    fn within_the_old_worker() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = Pid::new(std::process::id().cast_signed()).unwrap();
        assert!(platform::holders(address).unwrap().contains(&own) && mark::is_of_worker(own, MARK));
        let mut outside = Outside { address, mark: MARK.to_owned(), sessions: Vec::new() };
        let found = outside.find(Scope::Everybody);
        assert!(!found.contains(&own), "{found:?}");
    }
}
