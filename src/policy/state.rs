//! The states, each holding exactly the deadlines and the worker that it has.

use std::time::Instant;

use super::exchange::{Probes, Sync};
use super::types::{AfterExit, Generation, StopSignal};

/// Where the machine is. `policy/mod.rs` has the picture and the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A launch was ordered and is answered in the same breath.
    Launching { clearing: Option<Clearing>, stop: Option<StopSignal> },
    /// Secrets are being leased.
    Leasing { give_up_at: Instant },
    /// The port's holders are being moved.
    Clearing { clearing: Clearing, recheck_at: Instant },
    /// Nothing lives; the next launch is due later.
    Waiting { until: Instant, why: Pause },
    /// A worker lives and has not been healthy yet.
    Starting { worker: Worker, startup_at: Instant, probes: Probes },
    /// A worker lives and has been healthy.
    Running { worker: Worker, probes: Probes, sync: Sync },
    /// The worker was asked to finish.
    Draining { generation: Generation, kill_at: Instant, after_exit: AfterExit },
    /// The worker's group was killed.
    Killing { generation: Generation, give_up_at: Instant, after_exit: AfterExit },
    /// The end.
    Stopped,
}

/// A live worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) generation: Generation,
    pub(super) spawned_at: Instant,
}

/// One effort to free the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clearing {
    /// 1 for the first set of holders, 2 for those who came after them.
    pub(super) round: u32,
    pub(super) stage: Stage,
}

/// How far the current holders have been pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody was found yet.
    Unseen {
        give_up_at: Instant,
    },
    Asked {
        kill_at: Instant,
    },
    Killed {
        give_up_at: Instant,
    },
}

/// Why nothing is being launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    Backoff,
    PortHeld,
}

/// What the machine is doing, in one word, for people and the status file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    /// A launch is being carried out.
    Launching,
    /// Secrets are being leased.
    Leasing,
    /// The port's holders are being moved.
    ClearingPort,
    /// The port is held, and the configuration says to wait.
    AwaitingPort,
    /// The last start failed or the worker did not live long; the next one is due later.
    BackingOff,
    /// The worker has not been healthy yet.
    Starting,
    /// The worker is healthy, or was and is being watched.
    Running,
    /// The worker was asked to finish.
    Draining,
    /// The worker was killed and is not gone yet.
    Killing,
    /// The supervisor is at its end.
    Stopped,
}

impl Condition {
    /// The word, as the status file and `status` show it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Leasing => "leasing-secrets",
            Self::ClearingPort => "clearing-port",
            Self::AwaitingPort => "awaiting-port",
            Self::BackingOff => "backing-off",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Killing => "killing",
            Self::Stopped => "stopped",
        }
    }
}

impl State {
    /// When to come back if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::Launching { .. } | Self::Stopped => None,
            Self::Waiting { until: at, .. }
            | Self::Clearing { recheck_at: at, .. }
            | Self::Draining { kill_at: at, .. }
            | Self::Leasing { give_up_at: at }
            | Self::Killing { give_up_at: at, .. } => Some(at),
            Self::Starting { startup_at, probes, .. } => probes.deadline().into_iter().chain([startup_at]).min(),
            Self::Running { probes, sync, .. } => {
                probes.deadline().into_iter().chain(sync.deadline(probes.streak() == 0)).min()
            }
        }
    }

    /// The worker that lives, as far as is known.
    pub(super) fn worker(&self) -> Option<Generation> {
        match self {
            Self::Launching { .. }
            | Self::Leasing { .. }
            | Self::Clearing { .. }
            | Self::Waiting { .. }
            | Self::Stopped => None,
            Self::Starting { worker, .. } | Self::Running { worker, .. } => Some(worker.generation),
            Self::Draining { generation, .. } | Self::Killing { generation, .. } => Some(*generation),
        }
    }

    /// The state in one word.
    pub(super) fn condition(&self) -> Condition {
        match self {
            Self::Launching { .. } => Condition::Launching,
            Self::Leasing { .. } => Condition::Leasing,
            Self::Clearing { .. } => Condition::ClearingPort,
            Self::Waiting { why: Pause::PortHeld, .. } => Condition::AwaitingPort,
            Self::Waiting { why: Pause::Backoff, .. } => Condition::BackingOff,
            Self::Starting { .. } => Condition::Starting,
            Self::Running { .. } => Condition::Running,
            Self::Draining { .. } => Condition::Draining,
            Self::Killing { .. } => Condition::Killing,
            Self::Stopped => Condition::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_status_file_stay_as_they_are() {
        let conditions = [
            (Condition::Launching, "launching"),
            (Condition::Leasing, "leasing-secrets"),
            (Condition::ClearingPort, "clearing-port"),
            (Condition::AwaitingPort, "awaiting-port"),
            (Condition::BackingOff, "backing-off"),
            (Condition::Starting, "starting"),
            (Condition::Running, "running"),
            (Condition::Draining, "draining"),
            (Condition::Killing, "killing"),
            (Condition::Stopped, "stopped"),
        ];
        assert_eq!(conditions.map(|(condition, _)| condition.word()), conditions.map(|(_, word)| word));
    }
}
