//! The port: whether it is free, who holds it instead, and how they are asked to go.
//!
//! The free case is one bind and scans nothing. Holders are pinned by identity when they are found, and checked again
//! right before each signal. Never signals this process, an ancestor, or pid 1 and below, nor anybody while another
//! supervisor of this user has a claim to the address.

use std::io;
use std::net::{IpAddr, SocketAddr};

use platform::{Occupant, Pid, Pinned, PortTrial, Signal};

use super::mark::Mark;
use crate::error::{Error, escape};
use crate::lock::Lock;
use crate::policy::Holders;

/// How much of a program's path or a user's name is shown, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// How many holders are named; the rest are counted.
const NAMED_MAX: usize = 4;

/// Holders of whom nothing is known.
pub(crate) const UNSEEN: &str = if cfg!(target_os = "freebsd") {
    "a process that is not looked up on FreeBSD"
} else {
    "a process that can't be found"
};

/// Who was found on the port, until it is free.
#[derive(Default)]
pub(super) struct PortWatch {
    /// The address that all of it is about; a reload may bring another.
    address: Option<SocketAddr>,
    /// Keeps other supervisors of this user from the address.
    claim: Option<Lock>,
    asked: Vec<Pinned>,
    found: Vec<Pinned>,
    names: Option<String>,
}

impl PortWatch {
    /// Claims an address for this supervisor, for as long as it is the one that is watched. False: another supervisor
    /// of this user has it, and is named.
    ///
    /// # Errors
    /// The claim can't be made, nor can it be known whether another has it.
    pub(super) fn claim(&mut self, address: SocketAddr) -> Result<bool, Error> {
        if self.address != Some(address) {
            // Whoever held another address is in nobody's way any more.
            *self = Self { address: Some(address), ..Self::default() };
        }
        if self.claim.is_some() {
            return Ok(true);
        }
        match Lock::of_address(address)? {
            Ok(lock) => self.claim = Some(lock),
            // One without a pid here has ports of its own, as in a container, or is a stranger as others.
            Err(None) => {}
            Err(Some(pid)) => {
                self.names = Some(describe_supervised(address, pid));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Claims the address anew if somebody has removed the file of the lock.
    pub(super) fn renew_claim(&mut self) {
        if self.claim.as_ref().is_some_and(|lock| !lock.is_in_place()) {
            self.claim = None;
            // Where that fails the next launch says so.
            self.claim = self.address.and_then(|address| Lock::of_address(address).ok()?.ok());
        }
    }

    /// Whether somebody holds the port; `None` if it is free. Looks for the holders only if it is held and those who
    /// were asked to go are gone. `trial`: a socket made ahead, which is used if it is for this address.
    ///
    /// # Errors
    /// The port cannot be tried: the address is not this machine's, or the port needs a privilege. The worker will meet
    /// the same error and say so; that is not this function's to judge.
    pub(super) fn check(&mut self, address: SocketAddr, trial: Option<PortTrial>) -> io::Result<Option<Holders>> {
        let trial = trial.filter(|trial| trial.addr() == address);
        if trial.map_or_else(|| platform::port_is_free(address), PortTrial::is_free)? {
            self.forget_holders();
            return Ok(None);
        }
        self.asked.retain(Pinned::is_alive);
        if !self.asked.is_empty() {
            return Ok(Some(Holders::Asked));
        }
        let found = self.find(address);
        // Holders that went between the two looks are found by none, and the port is free now.
        if found == Holders::Unseen && platform::port_is_free(address)? {
            self.forget_holders();
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn forget_holders(&mut self) {
        (self.asked, self.found, self.names) = (Vec::new(), Vec::new(), None);
    }

    /// The holders found last, in words.
    pub(super) fn names(&self) -> Option<&str> {
        self.names.as_deref()
    }

    /// Names strangers that were found by other means.
    pub(super) fn name(&mut self, address: SocketAddr, strangers: &[Pid]) {
        self.names = Some(describe_holders(address, strangers));
    }

    /// Sends SIGTERM to the holders found last; once more, if it is they who were asked before.
    pub(super) fn ask(&mut self) -> io::Result<()> {
        if !self.found.is_empty() {
            self.asked = std::mem::take(&mut self.found);
        }
        signal_all(&self.asked, Signal::Term)?;
        // A stopped process never sees SIGTERM.
        signal_all(&self.asked, Signal::Cont)
    }

    /// Sends SIGKILL to those of them that are left.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        signal_all(&self.asked, Signal::Kill)
    }

    fn find(&mut self, address: SocketAddr) -> Holders {
        self.found.clear();
        let pids = match platform::holders(address) {
            Ok(pids) => pids,
            Err(error) => {
                self.names = Some(format!("a process that cannot be looked for: {error}"));
                return Holders::Unseen;
            }
        };
        if pids.is_empty() {
            // Looked for again and again: to name who has it takes a look at all processes.
            self.names.get_or_insert_with(|| describe_holders(address, &pids));
            return Holders::Unseen;
        }
        self.names = Some(describe_holders(address, &pids));
        for pid in pids {
            let is_spared = platform::is_self_or_ancestor(pid) || neighbour(pid).is_some();
            match Pinned::open(pid) {
                Ok(Some(holder)) if !is_spared && holder.may_be_signalled() => {
                    self.found.push(holder);
                }
                // Gone since it was found: the next look will tell.
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Holders::Untouchable,
            }
        }
        Holders::Fresh
    }
}

/// Signals each of them, whatever becomes of the others; the first error is told.
fn signal_all(holders: &[Pinned], signal: Signal) -> io::Result<()> {
    let mut outcome = Ok(());
    for holder in holders {
        let sent = holder.signal(signal).map(drop);
        outcome = outcome.and(sent);
    }
    outcome
}

/// The holders of an address in words. `pids` are those that listen and can be seen; where none can, it may be known
/// whose the socket is, or who has the port without listening on it.
pub(crate) fn describe_holders(address: SocketAddr, pids: &[Pid]) -> String {
    if !pids.is_empty() {
        return describe(pids);
    }
    let users = platform::holding_users(address).unwrap_or_default();
    if users.is_empty() {
        return match platform::occupants(address).unwrap_or_default().first() {
            Some(occupant) => describe_occupant(occupant),
            None => UNSEEN.to_owned(),
        };
    }
    let users: Vec<String> = users.iter().map(|user| escape(user, NAME_BYTES_MAX)).collect();
    format!("a process of user {} that we cannot see", users.join(", "))
}

fn describe_occupant(occupant: &Occupant) -> String {
    let unseen = || format!("a process of user {}", escape(platform::user_name(occupant.user_id), NAME_BYTES_MAX));
    let whose = occupant.pid.map_or_else(unseen, |pid| describe(&[pid]));
    match occupant.peer {
        Some(peer) => format!("{whose}, which has it as the local port of a connection to {peer}"),
        None => format!("{whose}, which has bound it and does not listen"),
    }
}

/// The worker of the supervisor with this pid that listens on an address, or that supervisor.
fn describe_supervised(address: SocketAddr, supervisor: u32) -> String {
    let mut workers = platform::holders(address).unwrap_or_default();
    workers.retain(|worker| neighbour(*worker).is_some_and(|mark| mark.supervisor == supervisor));
    if workers.is_empty() {
        let named = Pid::new(supervisor.cast_signed()).map(|pid| describe(&[pid]));
        return format!("another supervisor, {}", named.unwrap_or_else(|| format!("pid {supervisor}")));
    }
    describe(&workers)
}

/// Says that the worker can't listen where it is to be probed.
pub(crate) fn describe_elsewhere(host: IpAddr) -> String {
    format!("{host} is not an address of this machine; set host to the worker's")
}

/// What is odd about a port, as a sentence for the log: an outgoing connection may have got it for its own end when the
/// worker wants to listen there.
pub(crate) fn doubt(port: u16) -> Option<String> {
    let range = platform::ephemeral_ports().filter(|range| range.contains(&port))?;
    let (first, last) = range.into_inner();
    Some(format!(
        "{port} is one of the ports that outgoing connections get ({first} to {last}), and may be taken when the \
         worker starts; use one below {first}"
    ))
}

/// Whether a process belongs to the worker of another living supervisor, so that it is never signalled.
pub(crate) fn is_neighbours(pid: Pid) -> bool {
    neighbour(pid).is_some()
}

/// The supervisor, another than this one, whose live worker a process belongs to.
fn neighbour(pid: Pid) -> Option<Mark> {
    Mark::of(pid).filter(Mark::is_of_another_living_supervisor)
}

/// Processes in words: pid, program and user of each, and which supervisor's it is, if it is another's.
pub(crate) fn describe(pids: &[Pid]) -> String {
    let one = |pid: &Pid| {
        let info = platform::describe(*pid);
        let [program, user] = [&info.program, &info.user].map(|text| escape(text, NAME_BYTES_MAX));
        let whose = neighbour(*pid).map_or_else(String::new, |mark| {
            let name = escape(&mark.name, NAME_BYTES_MAX);
            let place = if mark.is_of_a_container() { ", in a container" } else { "" };
            format!(", the worker of another supervisor{place}: pid {} for configuration {name}", mark.supervisor)
        });
        format!("pid {pid} ({program}, user {user}{whose})")
    };
    let mut names: Vec<String> = pids.iter().take(NAMED_MAX).map(one).collect();
    if pids.len() > NAMED_MAX {
        names.push(format!("{} more", pids.len() - NAMED_MAX));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    #[test]
    fn holders_of_an_earlier_address_are_not_pressed_for_another() {
        let mut elsewhere = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let pinned = Pinned::open(Pid::new(elsewhere.id().cast_signed()).unwrap()).unwrap().unwrap();
        let before = "127.0.0.1:1".parse().ok();
        let mut port = PortWatch { address: before, asked: vec![pinned], ..PortWatch::default() };
        let ours = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ours.local_addr().unwrap();
        assert!(port.claim(address).unwrap());
        let found = port.check(address, None).unwrap();
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
        assert_ne!(found, Some(Holders::Asked));
        assert!(port.asked.is_empty());
    }

    #[test]
    fn many_holders_are_counted() {
        let own = Pid::new(platform::own_pid().cast_signed()).unwrap();
        let text = describe_holders("127.0.0.1:1".parse().unwrap(), &[own; NAMED_MAX + 2]);
        assert_eq!(text.matches(&format!("pid {own} (")).count(), NAMED_MAX);
        assert!(text.ends_with("), 2 more"), "{text}");
    }

    #[test]
    fn holders_that_cannot_be_seen_are_told_all_the_same() {
        assert_eq!(describe_holders("127.0.0.1:1".parse().unwrap(), &[]), UNSEEN);
    }
}
