//! Whose the socket is that gave a healthy answer.
//!
//! The worker itself is asked first, which is quick, since the registration waits for it; the machine is looked
//! through only where that leaves a socket unexplained. Later it is enough that the sockets are the same, where the
//! system tells them apart: the worker may have closed its own, and a stranger have taken the port.

use platform::Ownership;

use super::Supervisor;
use super::mark;
use super::worker::Answered;
use crate::policy::{Event, Generation, Owner};

impl Supervisor {
    /// Finds out whose the listening sockets on the worker's port are.
    pub(super) fn find_owner(&mut self, generation: Generation) -> Event {
        let owner = self.owner(generation);
        Event::OwnerFound { generation, owner }
    }

    fn owner(&mut self, generation: Generation) -> Owner {
        let Some(worker) = &mut self.worker else { return Owner::Unknown };
        let address = self.config.address();
        let answered = match worker.answered {
            Answered::Never => Answered::Once,
            Answered::Once | Answered::Through(_) => {
                Answered::Through(platform::listeners(address).unwrap_or_default())
            }
        };
        if worker.answered == answered {
            return Owner::Own;
        }
        worker.answered = answered;
        let (leader, mark) = (worker.pid(), self.launcher.mark(generation));
        let mut beside_leader = Vec::new();
        let mut is_ours = |pid| {
            let is_ours = platform::is_session_member(pid, leader) || mark::is_of_worker(pid, &mark);
            beside_leader.extend(is_ours.then_some(pid));
            is_ours
        };
        let owner = match platform::ownership(address, leader, &mut is_ours) {
            Ok(Ownership::Own) => Owner::Own,
            Ok(Ownership::Stranger(strangers)) => {
                self.port.name(address, &strangers);
                self.reporter.saw_holders(self.port.names());
                Owner::Stranger
            }
            Ok(Ownership::Unknown) | Err(_) => Owner::Unknown,
        };
        if !beside_leader.is_empty() {
            worker.listens_through(&beside_leader, address, mark);
        }
        owner
    }
}
