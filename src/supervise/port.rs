//! The port: whether it is free, who holds it instead, and how they are asked to go.
//!
//! The free case is one bind and scans nothing. Holders are pinned by identity when they are found, and checked again
//! right before each signal. Never signals this process, an ancestor, or pid 1 and below.

use std::io;
use std::net::SocketAddr;

use platform::{Pid, Pinned, PortTrial, Signal};

use crate::error::escape;
use crate::policy::Holders;

/// How much of a program's path is shown.
const PROGRAM_BYTES_MAX: usize = 200;

/// How many holders are named; the rest are counted.
const NAMED_MAX: usize = 4;

/// Who was found on the port, until it is free.
#[derive(Default)]
pub(super) struct PortWatch {
    /// The address that all of it is about; a reload may bring another.
    address: Option<SocketAddr>,
    asked: Vec<Pinned>,
    found: Vec<Pinned>,
    names: Option<String>,
}

impl PortWatch {
    /// Whether somebody holds the port; `None` if it is free. Looks for the holders only if it is held and those who
    /// were asked to go are gone. `trial`: a socket made ahead, which is used if it is for this address.
    ///
    /// # Errors
    /// The port cannot be tried: the address is not this machine's, or the port needs a privilege. The worker will meet
    /// the same error and say so; that is not this function's to judge.
    pub(super) fn check(&mut self, address: SocketAddr, trial: Option<PortTrial>) -> io::Result<Option<Holders>> {
        let trial = trial.filter(|trial| trial.addr() == address);
        if self.address != Some(address) {
            // Whoever held another address is in nobody's way any more.
            *self = Self { address: Some(address), ..Self::default() };
        }
        if trial.map_or_else(|| platform::port_is_free(address), PortTrial::is_free)? {
            *self = Self::default();
            return Ok(None);
        }
        self.asked.retain(Pinned::is_alive);
        if !self.asked.is_empty() {
            return Ok(Some(Holders::Asked));
        }
        let found = self.find(address);
        // Holders that went between the two looks are found by none, and the port is free now.
        if found == Holders::Unseen && platform::port_is_free(address)? {
            *self = Self::default();
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// The holders found last, in words.
    pub(super) fn names(&self) -> Option<&str> {
        self.names.as_deref()
    }

    /// Names strangers that were found by other means.
    pub(super) fn name(&mut self, strangers: &[Pid]) {
        self.names = Some(describe(strangers));
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
            self.names = describe_unseen(address);
            return Holders::Unseen;
        }
        self.names = Some(describe(&pids));
        for pid in pids {
            match Pinned::open(pid) {
                Ok(Some(holder)) if !platform::is_self_or_ancestor(pid) && holder.may_be_signalled() => {
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

fn describe(pids: &[Pid]) -> String {
    let mut names: Vec<String> = pids.iter().take(NAMED_MAX).map(|pid| describe_one(*pid)).collect();
    if pids.len() > NAMED_MAX {
        names.push(format!("{} more", pids.len() - NAMED_MAX));
    }
    names.join(", ")
}

/// Whose the sockets are can be seen even where the processes can't.
fn describe_unseen(address: SocketAddr) -> Option<String> {
    let users = platform::holding_users(address).unwrap_or_default();
    let users: Vec<String> = users.iter().map(|user| escape(user, PROGRAM_BYTES_MAX)).collect();
    (!users.is_empty()).then(|| format!("a process of user {} that we cannot see", users.join(", ")))
}

fn describe_one(pid: Pid) -> String {
    let info = platform::describe(pid);
    format!("pid {pid} ({}, user {})", escape(&info.program, PROGRAM_BYTES_MAX), escape(&info.user, PROGRAM_BYTES_MAX))
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
        let found = port.check(ours.local_addr().unwrap(), None).unwrap();
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
        assert_ne!(found, Some(Holders::Asked));
        assert!(port.asked.is_empty());
    }
}
