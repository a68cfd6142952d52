//! Why a worker is not reached where it is asked: what is known of it beside "connection refused".
//!
//! Looked at only when something has failed, never while all is well: whether it is stopped, and where its processes
//! listen. What the system does not tell (FreeBSD: who listens) is not said.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use platform::{Pid, Scope};

use super::Supervisor;
use super::launch::environment::port_in_dotenv;
use super::mark;
use super::report::happening::Happening;
use crate::config::Config;
use crate::policy::{Condition, Notice};
use crate::time::Now;

/// A start that takes longer than this is worth a look at what keeps the worker from being reached.
const START_LONG: Duration = Duration::from_secs(2);

/// How many places are named.
const PLACES_MAX: usize = 4;

/// What is wrong with a worker that can't be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// One of its processes is stopped.
    Stopped(Pid),
    /// It listens at the port, but on none of the address's.
    OtherHost(SocketAddr),
    /// It listens, but not at the port. A file that the worker reads by itself may say so.
    OtherPort { port: u16, listening: Vec<SocketAddr>, file: Option<PathBuf> },
    /// It listens nowhere.
    Nowhere,
    /// It listens where it should, and closes each connection without a word.
    Silent,
}

impl Supervisor {
    /// Puts a notice among the news; with what is known of a worker that is not reached, before its end is asked for.
    pub(super) fn tell_of(&mut self, notice: Notice) {
        if let Notice::StartupTimedOut(_) | Notice::ProbeFailed { streak: 1, .. } | Notice::Unhealthy(_) = notice
            && let Some(fault) = self.find_fault()
        {
            self.reporter.saw_fault(&fault.to_string());
        }
        self.reporter.news.push(Happening::Notice(notice));
    }

    /// Says of a worker whose start takes long what keeps it from being reached, if that is known: not only when its
    /// time is up.
    pub(super) fn explain_start(&mut self, now: Now) {
        let is_starting = self.machine.condition() == Condition::Starting;
        let Some(worker) = self.worker.as_mut().filter(|_| is_starting) else { return };
        let Some(spawned_at) = worker.spawned_at else { return };
        let age = now.instant.saturating_duration_since(spawned_at);
        if age < START_LONG.max(worker.look_around_at) {
            return;
        }
        worker.look_around_at = 2 * age;
        match self.find_fault() {
            // It may yet begin to listen.
            None | Some(Fault::Nowhere) => {}
            Some(fault) => {
                let address = self.config.address();
                self.reporter.warn("reach", format!("worker is not reached at {address} yet: {fault}"));
            }
        }
    }

    fn find_fault(&self) -> Option<Fault> {
        let worker = self.worker.as_ref()?;
        let mark = self.launcher.mark(worker.generation());
        let is_borne = |value: &[u8]| value == mark.as_bytes();
        let mut pids = platform::session_members(worker.pid(), Scope::Descendants).unwrap_or_default();
        pids.extend(platform::processes_with(mark::VARIABLE, is_borne, Scope::Descendants).unwrap_or_default());
        pids.push(worker.pid());
        pids.sort_unstable();
        pids.dedup();
        Fault::find(&self.config, &pids, self.probe.met_silence())
    }
}

impl Fault {
    /// Looks at these processes of a worker. `is_silent`: the last connection was closed without an answer.
    fn find(config: &Config, pids: &[Pid], is_silent: bool) -> Option<Self> {
        if let Some(stopped) = pids.iter().find(|pid| platform::is_stopped(**pid)) {
            return Some(Self::Stopped(*stopped));
        }
        let address = config.address();
        let listening = platform::listening_of(pids, address).ok()??;
        if listening.is_reached {
            return is_silent.then_some(Self::Silent);
        }
        let file = port_in_dotenv(&config.worker_dir);
        let is_so = |port| listening.addrs.iter().any(|addr| addr.port() == port);
        let file = file.filter(|(port, _)| is_so(*port)).map(|(_, file)| file);
        Some(Self::of(address, listening.addrs, file))
    }

    fn of(address: SocketAddr, listening: Vec<SocketAddr>, file: Option<PathBuf>) -> Self {
        let port = address.port();
        match listening.iter().find(|addr| addr.port() == port) {
            Some(addr) => Self::OtherHost(*addr),
            None if listening.is_empty() => Self::Nowhere,
            None => Self::OtherPort { port, listening, file },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(pid) => {
                write!(formatter, "pid {pid} is stopped, by a signal (`kill -CONT {pid}`) or a debugger")
            }
            Self::OtherHost(addr) => {
                let host = match addr.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                write!(formatter, "it listens on {addr}; set host = \"{host}\"")
            }
            Self::OtherPort { port, listening, file } => {
                let places: Vec<String> = listening.iter().take(PLACES_MAX).map(SocketAddr::to_string).collect();
                write!(
                    formatter,
                    "it listens on {}, not on port {port}; set port, or PORT in [env]",
                    places.join(", ")
                )?;
                let Some(file) = file else { return Ok(()) };
                write!(formatter, " (PORT is in {file:?}, which bun reads by itself)")
            }
            Self::Nowhere => formatter.write_str("it listens nowhere"),
            Self::Silent => formatter.write_str("it may speak TLS, and is asked by plain HTTP"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str, listening: &[&str], file: Option<&str>) -> String {
        let listening = listening.iter().map(|addr| addr.parse().unwrap()).collect();
        Fault::of(address.parse().unwrap(), listening, file.map(PathBuf::from)).to_string()
    }

    #[test]
    fn where_it_listens_instead_is_told_with_what_to_set() {
        let address = "127.0.0.1:3111";
        assert_eq!(told(address, &["[::1]:3111"], None), "it listens on [::1]:3111; set host = \"::1\"");
        assert_eq!(told(address, &["[::]:3111"], None), "it listens on [::]:3111; set host = \"::1\"");
        assert_eq!(told("[::1]:3111", &["0.0.0.0:3111"], None), "it listens on 0.0.0.0:3111; set host = \"127.0.0.1\"");
        let elsewhere = "it listens on 127.0.0.1:3000, not on port 3111; set port, or PORT in [env]";
        assert_eq!(told(address, &["127.0.0.1:3000"], None), elsewhere);
        let read = " (PORT is in \"/w/.env\", which bun reads by itself)";
        assert_eq!(told(address, &["127.0.0.1:3000"], Some("/w/.env")), format!("{elsewhere}{read}"));
        assert_eq!(told(address, &[], None), "it listens nowhere");
    }

    #[test]
    fn a_stopped_process_is_named_with_what_to_do() {
        let pid = Pid::new(7).unwrap();
        assert_eq!(Fault::Stopped(pid).to_string(), "pid 7 is stopped, by a signal (`kill -CONT 7`) or a debugger");
    }
}
