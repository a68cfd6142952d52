//! The words that the policy and the loop share: events (facts), actions (orders), notices (what to tell).
//!
//! Everything here is small and `Copy`, so that handing it over costs nothing and holding it changes nothing.
//! An event never orders and an action never reports; no type is both.

use std::time::Duration;

/// Which worker a fact or an order is about: 1 for the first one spawned, 2 for the next.
/// Pids are reused, generations never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    /// The worker that an earlier supervisor left behind and recorded; this supervisor only ever ends it.
    pub const ADOPTED: Self = Self(0);
    /// The first worker that this supervisor spawns.
    pub const FIRST: Self = Self(1);

    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The bare number, for logs and the status file.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A signal that asks the supervisor to stop, and that its worker is asked to stop with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM: launchd, systemd, `kill`, and every drain that the policy decides on itself.
    Term,
    /// SIGINT: Ctrl-C in a terminal.
    Int,
    /// SIGHUP: the terminal is gone, or a log rotator means well.
    Hup,
}

/// What happened. Every event about a worker or a launch carries its generation; a stale one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A deadline may have passed. Early and needless ones are harmless.
    TimePassed,
    /// The launch succeeded: the worker runs.
    Spawned(Generation),
    /// The launch failed before there was a worker: no program, no directory, no required secret, no process to be had.
    LaunchFailed(Generation),
    /// The launch was put off: somebody else listens on the port.
    PortHeld {
        /// Which launch.
        generation: Generation,
        /// Who holds it.
        holders: Holders,
    },
    /// The launch was put off: secrets are being leased.
    LeaseStarted(Generation),
    /// The leases are over, well or badly; a new launch will tell.
    LeaseEnded(Generation),
    /// The worker's first process is gone, and others of its session go on: only where its end was asked for.
    LeaderExited(Generation),
    /// The worker is gone and reaped, and nothing of its group is left; of its session neither, if its end was asked
    /// for.
    Exited(Generation),
    /// A probe came to its end before its deadline.
    Probed {
        /// Which worker.
        generation: Generation,
        /// How it ended.
        outcome: ProbeOutcome,
    },
    /// Whose the answering socket is: the reply to [`Action::FindOwner`].
    OwnerFound {
        /// Which worker.
        generation: Generation,
        /// Whose it is.
        owner: Owner,
    },
    /// A sync came to its end before its deadline.
    SyncEnded {
        /// Which worker.
        generation: Generation,
        /// Whether the registration was accepted.
        accepted: bool,
    },
    /// Somebody wants the supervisor to stop.
    StopRequested(StopSignal),
    /// Somebody wants a graceful restart with the configuration read anew.
    RestartRequested,
    /// Another supervisor has taken this one's place: a stop, and no haste.
    LockLost,
    /// The machine has slept: what was in flight may never be answered, and the other side of a registration may have
    /// forgotten.
    Slept,
}

/// Who holds the port, as far as it decides what may be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holders {
    /// Processes that may be signalled and have not been asked yet.
    Fresh,
    /// The processes that were signalled last are still there.
    Asked,
    /// At least one that may not be signalled: another user's, an ancestor, the supervisor itself, or pid 1.
    Untouchable,
    /// Nobody that this user can see.
    Unseen,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// An HTTP answer with this status; whether it is healthy is for [`super::StatusRule`] to say.
    Answered(u16),
    /// Refused, reset, or no HTTP.
    Failed,
    /// The supervisor could not ask (no descriptor, no buffer, no local port): says nothing about the worker.
    LocalError,
}

/// Whose socket gave the first healthy answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process of the worker's group, and nobody beside it.
    Own,
    /// Somebody else, alone or beside the worker.
    Stranger,
    /// The system does not say; taken as the worker's own.
    Unknown,
}

/// What to do. The loop carries actions out in order; none of them blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the worker of this generation, if environment, program and port allow. Answered at once, before any other
    /// event, by one of `Spawned`, `LaunchFailed`, `PortHeld` or `LeaseStarted`.
    Launch(Generation),
    /// End the leases that are under way; a `LeaseEnded` no longer comes.
    CancelLease {
        /// Whether because they took too long.
        timed_out: bool,
    },
    /// Ask the port's holders to go (SIGTERM).
    AskHolders,
    /// Make the port's holders go (SIGKILL).
    KillHolders,
    /// Send a health request; `Probed` follows unless cancelled.
    Probe(Generation),
    /// Forget the probe in flight, if there is one.
    CancelProbe {
        /// Whether because it took too long, which counts against the worker; else it is not needed, or excused.
        timed_out: bool,
    },
    /// Find out whose socket answered; `OwnerFound` follows at once.
    FindOwner(Generation),
    /// Send the registration; `SyncEnded` follows unless cancelled.
    Sync(Generation),
    /// Forget the sync in flight, if there is one.
    CancelSync {
        /// Whether because it took too long.
        timed_out: bool,
    },
    /// Ask the worker to finish: the signal, and SIGCONT so that a stopped worker sees it.
    Drain {
        /// Which worker.
        generation: Generation,
        /// The signal to ask with.
        signal: StopSignal,
    },
    /// SIGKILL the worker's group.
    Kill(Generation),
    /// Read the configuration anew; a broken one is reported and the old one stays.
    Reload,
    /// Say it: log, status file, event hooks.
    Tell(Notice),
    /// End the loop.
    Quit {
        /// Whether the kernel did not let the worker go.
        is_stuck: bool,
    },
}

/// Something an operator wants to know, as far as the policy knows it. The loop adds pids, reasons and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A worker left behind by an earlier supervisor is being ended first.
    Adopted,
    /// A worker was spawned.
    Started(Generation),
    /// The worker gave its first healthy answer.
    Ready {
        /// Which worker.
        generation: Generation,
        /// From its spawn.
        after: Duration,
    },
    /// The worker ended by itself.
    Died {
        /// Which worker.
        generation: Generation,
        /// From its spawn.
        uptime: Duration,
        /// Until the next launch.
        delay: Duration,
    },
    /// The worker that was being drained or killed is gone.
    Ended {
        /// Which worker.
        generation: Generation,
        /// What follows.
        after_exit: AfterExit,
        /// Until the next launch, if there is one.
        delay: Duration,
    },
    /// A launch failed.
    LaunchFailed {
        /// Failed starts in a row.
        failures: u32,
        /// Until the next launch.
        delay: Duration,
    },
    /// Somebody holds the port and is asked to go.
    PortConflict {
        /// From 1 to [`super::ROUNDS_MAX`].
        round: u32,
    },
    /// Somebody holds the port and the configuration says to wait.
    PortAwaited,
    /// The port's holders could not be moved.
    PortLost {
        /// Failed starts in a row.
        failures: u32,
        /// Until the next launch.
        delay: Duration,
    },
    /// A stranger answered in the worker's place.
    Impostor(Generation),
    /// A probe came to its end or was given up, and this is what the policy makes of it. Said of every probe, before
    /// what follows from it.
    Probed {
        /// Which worker.
        generation: Generation,
        /// What it says of the worker.
        health: Health,
    },
    /// A probe of a worker that has been healthy failed, and the worker is kept.
    ProbeFailed {
        /// Failures in a row.
        streak: u32,
        /// So many make it unhealthy.
        streak_max: u32,
    },
    /// The first healthy answer after failed probes.
    HealthRegained,
    /// Too many failed probes in a row.
    Unhealthy(Generation),
    /// The worker did not get healthy in time.
    StartupTimedOut(Generation),
    /// The worker is asked to finish.
    Draining {
        /// Which worker.
        generation: Generation,
        /// What follows its end.
        after_exit: AfterExit,
        /// Until SIGKILL.
        patience: Duration,
    },
    /// The worker's first process has finished, and the drain waits for the others.
    DrainWaits(Generation),
    /// The worker is killed.
    Killing {
        /// Which worker.
        generation: Generation,
        /// Why.
        cause: KillCause,
    },
    /// The kernel does not let the killed worker go.
    Stuck(Generation),
    /// The registration was accepted.
    Synced,
    /// The registration failed.
    SyncFailed {
        /// Until the next try.
        delay: Duration,
    },
    /// The supervisor ends.
    Stopped,
}

/// What a probe says of the worker, as the policy judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered as a healthy worker does.
    Healthy,
    /// It failed, and that counts.
    Unhealthy,
    /// Nothing: the supervisor could not ask, or was not there to hear the answer.
    Unknown,
}

/// Why a worker is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillCause {
    /// It did not finish in time.
    Late,
    /// A second stop asked for haste.
    AskedTwice,
}

/// What follows once a worker that is being ended is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterExit {
    /// The supervisor ends.
    Stop,
    /// The next worker, at once.
    Launch,
    /// The configuration is read anew, then the next worker, at once.
    Reload,
    /// The start has failed: the next worker after the backoff.
    Retry,
}

/// The actions that one event leads to, in order.
#[must_use = "an action that is not carried out is a promise broken"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Nothing to do.
    pub const NONE: Self = Self(Vec::new());

    /// These actions.
    pub(super) fn of<const N: usize>(actions: [Action; N]) -> Self {
        Self(actions.into())
    }

    /// These actions and one more.
    pub(super) fn and(mut self, action: Action) -> Self {
        self.0.push(action);
        self
    }

    /// These actions, and those after them.
    pub(super) fn chain(mut self, later: Self) -> Self {
        self.0.extend(later);
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_counted_from_the_adopted_one() {
        let generations = [Generation::ADOPTED, Generation::FIRST, Generation::FIRST.next()];
        assert_eq!(generations.map(Generation::number), [0, 1, 2]);
    }

    #[test]
    fn only_no_actions_are_empty() {
        assert!(Actions::NONE.is_empty());
        assert!(!Actions::of([Action::Reload]).is_empty());
    }
}
