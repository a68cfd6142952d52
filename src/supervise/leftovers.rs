//! What a worker that is gone has left: the rest of its session, which ends with it, and what has left the session,
//! which is ended or told of.

use platform::{ExitStatus, Pid, Scope, Signal};

use super::session::{Session, kill_all};
use super::worker::Departure;
use super::{Supervisor, mark};
use crate::policy::Generation;

impl Supervisor {
    /// Ends what a worker that is gone has left of its session, and looks after what has left the session. `place`:
    /// where its end is told among the news.
    pub(super) fn look_after_leftovers(&mut self, departure: &Departure, was_asked: bool, place: usize) {
        if !departure.may_have_left {
            return;
        }
        // As long as a session has members nobody gets its id as a pid: if somebody has, there are none.
        if matches!(platform::identify(departure.pid), Ok(None)) {
            Session::of(departure.pid, scope_of(departure.generation)).signal(&[Signal::Kill]);
        }
        let was_quiet = departure.status == ExitStatus::Code(0) && !was_asked;
        self.look_after_detached(departure.generation, Some(departure.pid), was_quiet, place);
    }

    /// Ends or tells of processes that a worker has left outside of its session. Not of what keeps the port in a stop,
    /// which is ended last of all; else the next launch ends it, as it does with strangers.
    pub(super) fn look_after_detached(
        &mut self,
        generation: Generation,
        leader: Option<Pid>,
        was_quiet: bool,
        place: usize,
    ) {
        let mark = self.launcher.mark(generation);
        let is_of_predecessor = |(pid, started): &(u32, String)| format!("{}:{pid}:{started}:", self.config.name);
        let prefixes: Vec<String> = self.predecessors.iter().map(is_of_predecessor).collect();
        let is_borne = |value: &[u8]| match generation {
            Generation::ADOPTED => prefixes.iter().any(|prefix| value.starts_with(prefix.as_bytes())),
            _ => value == mark.as_bytes(),
        };
        let mut left = platform::processes_with(mark::VARIABLE, is_borne, scope_of(generation)).unwrap_or_default();
        if generation == Generation::ADOPTED {
            self.predecessors.clear();
            self.lock.iter().for_each(|lock| lock.announce(&[]));
        }
        // Those that were killed just now may take a moment to go.
        left.retain(|pid| leader.is_none_or(|leader| !platform::is_session_member(*pid, leader)));
        if self.config.end_detached {
            return kill_all(left);
        }
        if self.end.is_some() && !left.is_empty() {
            let holders = platform::holders(self.config.address()).unwrap_or_default();
            left.retain(|pid| !holders.contains(pid));
        }
        self.reporter.saw_left_running(left, was_quiet, place);
    }
}

/// Where a worker's processes are to be found.
fn scope_of(generation: Generation) -> Scope {
    if generation == Generation::ADOPTED { Scope::Everybody } else { Scope::Descendants }
}
