//! The mark that each worker bears in its environment, WORKER_SUPERVISOR_ID, and that its descendants inherit: which
//! configuration, which supervisor, which generation.
//!
//! It finds a worker that no record tells of, tells a holder of the port as our own or as another supervisor's, and
//! is something that a worker can write into its logs. `NAME:PID:START:NAMESPACE:GENERATION`: a name holds no colon,
//! START is the supervisor's start time in the system's own words, or empty where that can't be told, and NAMESPACE
//! says whose pids these are, on Linux.

use platform::{Identity, Pid, StartTime};

use crate::policy::Generation;

/// The variable's name.
pub(super) const VARIABLE: &str = "WORKER_SUPERVISOR_ID";

/// What each helper has in its environment, and all that it starts: which supervisor's it is, as
/// [`platform::own_identity`] has it.
pub(super) const HELPER_VARIABLE: &str = "WORKER_SUPERVISOR_HELPER_OF";

/// Marks the workers of one supervisor.
pub(super) struct Marker {
    prefix: String,
}

impl Marker {
    /// For the workers of the configuration `name`.
    pub(super) fn new(name: &str) -> Self {
        Self { prefix: format!("{name}:{}:{}", platform::own_identity(), platform::pid_namespace()) }
    }

    /// The mark of one worker.
    pub(super) fn mark(&self, generation: Generation) -> String {
        format!("{}:{}", self.prefix, generation.number())
    }

    /// Whether a process bears the mark of any worker of this supervisor, or descends from it.
    pub(super) fn is_of_any_worker(&self, pid: Pid) -> bool {
        let is_ours = |mark: &[u8]| mark.strip_prefix(self.prefix.as_bytes()).is_some_and(|it| it.starts_with(b":"));
        platform::variable_of(pid, VARIABLE).is_some_and(|mark| is_ours(&mark)) || platform::descends_from_us(pid)
    }
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) name: String,
    /// The supervisor's pid. A plain number: in a container it may be 1.
    pub(super) supervisor: u32,
    started: String,
    namespace: String,
}

impl Mark {
    /// The mark that a process bears, if it does and may be looked at.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Self::parse(&platform::variable_of(pid, VARIABLE)?)
    }

    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (name, rest) = std::str::from_utf8(value).ok()?.split_once(':')?;
        let (supervisor, rest) = rest.split_once(':')?;
        let (rest, _generation) = rest.rsplit_once(':')?;
        let (started, namespace) = rest.rsplit_once(':')?;
        let supervisor = supervisor.parse().ok()?;
        Some(Self { name: name.to_owned(), supervisor, started: started.to_owned(), namespace: namespace.to_owned() })
    }

    /// Whether the supervisor runs in another container than this one: its pid is nobody's that can be looked up here.
    pub(super) fn is_of_a_container(&self) -> bool {
        let own = platform::pid_namespace();
        self.namespace != own && !self.namespace.is_empty() && !own.is_empty()
    }

    /// Whether the supervisor that it names still runs, and is not this one. One in another container counts as such.
    pub(super) fn is_of_another_living_supervisor(&self) -> bool {
        self.is_of_a_container() || self.supervisor != platform::own_pid() && self.supervisor_lives()
    }

    fn supervisor_lives(&self) -> bool {
        match Pid::new(self.supervisor.cast_signed()) {
            // The first process of a container: all that it has started ends with it.
            None => self.supervisor == 1,
            Some(pid) => {
                let written = Identity { pid, started: StartTime::from(self.started.clone()) };
                platform::identify(pid).is_ok_and(|now| now == Some(written))
            }
        }
    }
}

/// Whether a process bears this very mark, or descends from this supervisor: a program that starts others with an
/// environment of their own, as `su -` does, drops the mark.
pub(super) fn is_of_worker(pid: Pid, mark: &str) -> bool {
    is_borne_by(pid, mark) || platform::descends_from_us(pid)
}

fn is_borne_by(pid: Pid, mark: &str) -> bool {
    platform::variable_of(pid, VARIABLE).is_some_and(|value| value == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_mark_says_whose_it_is() {
        let mark = Mark::parse(Marker::new("worker").mark(Generation::FIRST).as_bytes()).unwrap();
        assert_eq!((mark.name.as_str(), mark.supervisor), ("worker", platform::own_pid()));
        assert!(!mark.is_of_another_living_supervisor());
    }

    #[test]
    fn what_is_no_mark_says_nothing() {
        for value in [&b""[..], b"worker", b"worker:1", b"worker:x:y::1", b"\xff:1:2::3", b"a:99999999999:b::1"] {
            assert_eq!(Mark::parse(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_supervisor_that_is_gone_or_another_now_counts_as_none() {
        let mut cat = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::new(cat.id().cast_signed()).unwrap();
        let started = platform::identify(pid).unwrap().unwrap().started;
        let supervisor = cat.id();
        let lives = |started: &str| {
            let (name, started) = ("a".into(), started.to_owned());
            let mark = Mark { name, supervisor, started, namespace: platform::pid_namespace() };
            mark.is_of_another_living_supervisor()
        };
        assert!(lives(started.as_str()) && !lives("another start"));
        drop(cat.stdin.take());
        cat.wait().unwrap();
        assert!(!lives(started.as_str()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_supervisor_with_other_pids_lives_and_one_with_ours_can_be_looked_up() {
        let mark = |namespace: &str| Mark::parse(format!("a:4194305:x/1:{namespace}:1").as_bytes()).unwrap();
        assert!(mark("1").is_of_another_living_supervisor());
        for namespace in ["", &platform::pid_namespace()] {
            assert!(!mark(namespace).is_of_another_living_supervisor(), "{namespace:?}");
        }
    }

    #[test]
    fn the_first_process_of_a_container_lives_as_long_as_what_bears_its_mark() {
        let mark = Mark::parse(b"a:1:::1").unwrap();
        assert!(mark.is_of_another_living_supervisor() || platform::own_pid() == 1);
    }
}
