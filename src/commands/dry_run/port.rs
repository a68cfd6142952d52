//! The worker's address: whether it is this machine's and free, and if not, what a start would do about the holders.
//!
//! Binds without listening to find out, so that no client ever reaches it. Looks for holders only if that fails, and
//! signals none: whether one could be ended is asked by the signal 0, which is none.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use platform::{Ownership, Pid, Pinned};

use super::report::Finding;
use super::standing::Standing;
use crate::config::{Config, PortConflict};
use crate::supervise::port::{describe_elsewhere, describe_holders, is_neighbours};
use crate::time::secs;

/// What stands at the address.
#[derive(Debug)]
enum Seat {
    Free,
    /// No address of this machine.
    Elsewhere,
    /// It can't be tried, for this reason.
    Untried(String),
    /// Held by these, and what would become of them.
    Held {
        names: String,
        ends: Vec<End>,
    },
    /// Held by processes that can't be seen.
    Unseen(String),
    /// Held by one that does not listen, so that no list of listeners has it.
    Occupied(String),
    /// Held by the recorded worker, whose supervisor runs or not.
    Worker {
        is_supervised: bool,
        name: String,
    },
}

/// Whether a supervisor would end a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Possible,
    /// It is this process or one that it descends from.
    WouldEndUs,
    /// It is another supervisor's worker.
    Spared,
    NotAllowed,
}

/// What a start would find at the worker's address, and do.
pub(super) fn finding(config: &Config, standing: &Standing) -> Finding {
    judge(config.address(), config.port_conflict, config.port_grace, look(config.address(), standing))
}

fn look(address: SocketAddr, standing: &Standing) -> Seat {
    match platform::port_is_free(address) {
        Ok(true) => Seat::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Seat::Elsewhere,
        Err(error) => Seat::Untried(error.to_string()),
        Ok(false) => look_at_holders(address, standing),
    }
}

fn look_at_holders(address: SocketAddr, standing: &Standing) -> Seat {
    // What can't be listed can't be seen.
    let pids = platform::holders(address).unwrap_or_default();
    let is_holder = |worker: &Pid| match platform::ownership(address, *worker, &mut |pid| {
        platform::is_session_member(pid, *worker)
    }) {
        Ok(Ownership::Own) => true,
        // It found the port free when it was started.
        Ok(Ownership::Unknown) | Err(_) => pids.is_empty(),
        Ok(Ownership::Stranger(_)) => false,
    };
    if let Some(worker) = standing.worker().filter(is_holder) {
        return Seat::Worker { is_supervised: standing.is_supervised(), name: describe_holders(address, &[worker]) };
    }
    let (living, ends): (Vec<Pid>, Vec<End>) = pids.into_iter().filter_map(|pid| Some((pid, end_of(pid)?))).unzip();
    let names = describe_holders(address, &living);
    if !living.is_empty() {
        return Seat::Held { names, ends };
    }
    match platform::port_is_free(address) {
        // They have gone meanwhile.
        Ok(true) => Seat::Free,
        Ok(false) | Err(_) if is_occupied(address) => Seat::Occupied(names),
        Ok(false) | Err(_) => Seat::Unseen(names),
    }
}

/// Whether who has the address without listening on it can be seen.
fn is_occupied(address: SocketAddr) -> bool {
    platform::occupants(address).unwrap_or_default().first().is_some_and(|occupant| occupant.pid.is_some())
}

/// None: it has gone since.
fn end_of(pid: Pid) -> Option<End> {
    match Pinned::open(pid) {
        Ok(None) => None,
        Ok(Some(_)) if platform::is_self_or_ancestor(pid) => Some(End::WouldEndUs),
        Ok(Some(_)) if is_neighbours(pid) => Some(End::Spared),
        Ok(Some(pinned)) if pinned.may_be_signalled() => Some(End::Possible),
        Ok(Some(_)) | Err(_) => Some(End::NotAllowed),
    }
}

fn judge(address: SocketAddr, conflict: PortConflict, grace: Duration, seat: Seat) -> Finding {
    let fail = |text: String| Finding::fail("port", format!("{address} is held by {text}"));
    let warn = |text: String| Finding::warn("port", format!("{address} is held by {text}"));
    match seat {
        Seat::Free => Finding::ok("port", format!("{address} is free")),
        Seat::Elsewhere => Finding::fail("host", describe_elsewhere(address.ip())),
        // The worker may listen on another address than the one that is probed.
        Seat::Untried(cause) => Finding::warn("port", format!("cannot try {address}: {cause}; take a port above 1023")),
        Seat::Worker { is_supervised: true, name } => {
            Finding::ok("port", format!("{address} is held by {name}, the worker of the supervisor that runs"))
        }
        Seat::Worker { is_supervised: false, name } => warn(format!("{name}, the worker that would be ended first")),
        Seat::Unseen(names) => {
            let port = address.port();
            let find = if cfg!(target_os = "freebsd") {
                format!("sockstat -l -p {port}")
            } else {
                format!("sudo lsof -nP -iTCP:{port} -sTCP:LISTEN")
            };
            fail(format!("{names}; find it with `{find}` and stop it"))
        }
        Seat::Occupied(names) => fail(format!("{names}; stop it, or set port to another")),
        Seat::Held { names, .. } if conflict == PortConflict::Wait => {
            fail(format!("{names}: a start waits until it is free; stop it, or set port_conflict = \"kill\""))
        }
        Seat::Held { names, ends } => match ends.into_iter().find(|end| *end != End::Possible) {
            Some(End::WouldEndUs) => {
                fail(format!("{names}, which this process descends from and would not end; stop it yourself"))
            }
            Some(End::Spared) => {
                fail(format!("{names}: a start waits until it is gone; stop that supervisor, or set port to another"))
            }
            Some(End::NotAllowed) => {
                fail(format!("{names}, which we may not end; stop it yourself, with sudo, or set port to another"))
            }
            Some(End::Possible) | None => {
                warn(format!("{names}; it would get SIGTERM, and SIGKILL after {}", secs(grace)))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dry_run::report::Level;

    fn held_by(ends: &[End]) -> Seat {
        let names: Vec<String> = (7..).take(ends.len()).map(|pid| format!("pid {pid} (bun, user joe)")).collect();
        Seat::Held { names: names.join(", "), ends: ends.to_vec() }
    }

    fn judged(conflict: PortConflict, seat: Seat) -> (Level, String) {
        let Finding { level, text, .. } =
            judge("127.0.0.1:3111".parse().unwrap(), conflict, Duration::from_secs(2), seat);
        (level, text)
    }

    fn at(level: Level, text: &str) -> (Level, String) {
        (level, format!("127.0.0.1:3111 is {text}"))
    }

    #[test]
    fn a_free_port_is_well() {
        assert_eq!(judged(PortConflict::Kill, Seat::Free), at(Level::Ok, "free"));
    }

    #[test]
    fn a_holder_that_can_be_ended_is_a_warning_that_says_how() {
        assert_eq!(
            judged(PortConflict::Kill, held_by(&[End::Possible])),
            at(Level::Warn, "held by pid 7 (bun, user joe); it would get SIGTERM, and SIGKILL after 2 s")
        );
    }

    #[test]
    fn a_holder_that_is_only_waited_for_keeps_the_worker_from_starting() {
        assert_eq!(
            judged(PortConflict::Wait, held_by(&[End::Possible])),
            at(
                Level::Fail,
                "held by pid 7 (bun, user joe): a start waits until it is free; \
                 stop it, or set port_conflict = \"kill\""
            )
        );
    }

    #[test]
    fn one_holder_out_of_reach_is_enough_to_fail() {
        assert_eq!(
            judged(PortConflict::Kill, held_by(&[End::Possible, End::NotAllowed])),
            at(
                Level::Fail,
                "held by pid 7 (bun, user joe), pid 8 (bun, user joe), which we may not end; \
                 stop it yourself, with sudo, or set port to another"
            )
        );
        assert_eq!(
            judged(PortConflict::Kill, held_by(&[End::Spared])),
            at(
                Level::Fail,
                "held by pid 7 (bun, user joe): a start waits until it is gone; \
                 stop that supervisor, or set port to another"
            )
        );
        let (level, text) = judged(PortConflict::Kill, held_by(&[End::WouldEndUs]));
        assert!(
            level == Level::Fail
                && text.ends_with("which this process descends from and would not end; stop it yourself")
        );
    }

    #[test]
    #[cfg(not(target_os = "freebsd"))]
    fn a_holder_that_cannot_be_seen_can_be_found_with_more_rights() {
        let whose = "a process of user root that we cannot see";
        let find = "find it with `sudo lsof -nP -iTCP:3111 -sTCP:LISTEN` and stop it";
        let found = judged(PortConflict::Kill, Seat::Unseen(whose.into()));
        assert_eq!(found, at(Level::Fail, &format!("held by {whose}; {find}")));
    }

    #[test]
    fn a_holder_that_does_not_listen_is_not_to_be_found_among_those_that_do() {
        let whose = "pid 7 (bun, user joe), which has bound it and does not listen";
        let found = judged(PortConflict::Kill, Seat::Occupied(whose.into()));
        assert_eq!(found, at(Level::Fail, &format!("held by {whose}; stop it, or set port to another")));
    }

    #[test]
    fn the_own_worker_on_the_port_is_as_it_should_be() {
        let seat = |is_supervised| Seat::Worker { is_supervised, name: "pid 7 (bun, user joe)".into() };
        assert_eq!(
            judged(PortConflict::Wait, seat(true)),
            at(Level::Ok, "held by pid 7 (bun, user joe), the worker of the supervisor that runs")
        );
        assert_eq!(
            judged(PortConflict::Wait, seat(false)),
            at(Level::Warn, "held by pid 7 (bun, user joe), the worker that would be ended first")
        );
    }

    #[test]
    fn an_address_of_another_machine_can_never_be_listened_on() {
        let (level, text) = judged(PortConflict::Kill, Seat::Elsewhere);
        assert_eq!(
            (level, text.as_str()),
            (Level::Fail, "127.0.0.1 is not an address of this machine; set host to the worker's")
        );
    }
}
