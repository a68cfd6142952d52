//! The live worker: its exit, its signals, its end.
//!
//! Status comes from waitpid alone, and never by waiting: exit watch, SIGCHLD and health ticks only say when to look.
//! Before a worker is reaped, what is left of its group gets SIGKILL; until then the group's id cannot be anybody
//! else's.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use platform::{ExitStatus, ExitWatch, Identity, Pid, Pinned, Reaped, Scope, Signal};

use super::session::{Session, kill_leaderless_group};
use super::sources::Source;
use crate::policy::{Generation, StopSignal};

/// Between an exit that was announced and the next attempt to reap it. On XNU and FreeBSD the announcement comes before
/// the child can be reaped, and is not repeated.
const REAP_PAUSES: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
];

/// How many such pauses the killed rest of a reaped worker's group gets to go: 238 ms together, which a busy machine
/// may need. Where pid 1 reaps nobody (some containers), zombies stay, and each such restart takes that long.
const GROUP_PAUSES: usize = 9;

/// After so many pauses, 88 ms, a server that has been asked to end has closed its port.
const PASS_ON_PAUSES: usize = REAP_PAUSES.len();

/// A worker that runs, or was last seen running.
pub(super) struct Worker {
    generation: Generation,
    pid: Pid,
    /// `None`: before this supervisor's time.
    pub(super) spawned_at: Option<Instant>,
    origin: Origin,
    exit_watch: Option<ExitWatch>,
    /// Set once an exit was announced that could not be reaped yet.
    retry: Option<Retry>,
    /// Whether to look in the next turn, even if nothing announces an exit.
    is_look_due: bool,
    end: End,
    session: Session,
    /// How old it has to be for a further look at what keeps it from being reached.
    pub(super) look_around_at: Duration,
    /// The port, if others than its first process listen on it: then its session has to be looked at when it dies by
    /// itself, too.
    served_at: Option<SocketAddr>,
    /// Whether it was said that others go on where it has finished.
    is_leader_told: bool,
    /// What its healthy answers came from.
    pub(super) answered: Answered,
}

/// What is known of the sockets that healthy answers came from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Answered {
    /// There was no such answer.
    #[default]
    Never,
    /// Their owner was found, in a hurry.
    Once,
    /// By these sockets, whose owner was found.
    Through(Vec<u64>),
}

/// Whether the worker was asked to end, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotAsked,
    /// It may finish: its end is its session's. Those beside its first process may have to be asked yet.
    Asked(Signal),
    /// As before, and all of them have been asked.
    AllAsked,
    Killed,
}

/// What a look at a worker has found.
pub(super) enum Found {
    /// It was asked to end, and its first process has; others of its session go on. Said once.
    LeaderGone,
    /// It is gone.
    Gone(Departure),
}

enum Origin {
    /// Spawned by this supervisor.
    Child,
    /// Left behind by an earlier one: there is no status to be had, only whether it is there.
    Adopted(Pinned),
    /// Spawned by this supervisor, and reaped, with this status; of its group somebody was still there. Its pid may be
    /// anybody's now: no signal is sent any more.
    Reaped(ExitStatus),
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    /// 0 for the first, and counted on after the pauses have reached their longest.
    attempt: usize,
}

/// A worker that is gone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Departure {
    pub(super) generation: Generation,
    pub(super) pid: Pid,
    /// Unknown, if it was not this supervisor's child.
    pub(super) status: ExitStatus,
    /// From its spawn until its exit was seen, if this supervisor spawned it.
    pub(super) lived: Option<Duration>,
    /// Whether there may be somebody whom it has left.
    pub(super) may_have_left: bool,
}

impl Worker {
    /// A worker that was just spawned. Without a watch (no descriptor, or the system refuses) SIGCHLD and the health
    /// ticks have to do; the error says why.
    pub(super) fn spawned(
        registry: &Registry,
        generation: Generation,
        pid: Pid,
        now: Instant,
    ) -> (Self, Option<io::Error>) {
        let (exit_watch, error) = match watch_exit(registry, pid) {
            Ok(watch) => (Some(watch), None),
            Err(error) => (None, Some(error)),
        };
        let worker = Self { spawned_at: Some(now), exit_watch, ..Self::new(generation, pid, Origin::Child) };
        (worker.listening(now), error)
    }

    /// The recorded worker of an earlier supervisor, if it still runs under its recorded identity. Never this process
    /// or one that it descends from, whatever the record says.
    pub(super) fn adopted(registry: &Registry, recorded: &Identity, now: Instant) -> io::Result<Option<Self>> {
        let Some(pinned) = Pinned::open(recorded.pid)? else { return Ok(None) };
        if pinned.identity() != recorded || platform::is_self_or_ancestor(recorded.pid) {
            return Ok(None);
        }
        let exit_watch = watch_exit(registry, recorded.pid).ok();
        let worker = Self { exit_watch, ..Self::new(Generation::ADOPTED, recorded.pid, Origin::Adopted(pinned)) };
        Ok(Some(worker.listening(now)))
    }

    fn new(generation: Generation, pid: Pid, origin: Origin) -> Self {
        let scope = match origin {
            Origin::Child | Origin::Reaped(_) => Scope::Descendants,
            Origin::Adopted(_) => Scope::Everybody,
        };
        Self {
            generation,
            pid,
            spawned_at: None,
            origin,
            exit_watch: None,
            retry: None,
            is_look_due: false,
            end: End::NotAsked,
            look_around_at: Duration::ZERO,
            session: Session::of(pid, scope),
            served_at: None,
            is_leader_told: false,
            answered: Answered::Never,
        }
    }

    /// Looks again at once if the exit was announced while the watch was registered: on kqueue systems its descriptor
    /// then stays silent (EV_ADD fails with ESRCH from the moment that an exit begins; XNU, kern_event.c).
    fn listening(mut self, now: Instant) -> Self {
        if self.is_exit_expected() {
            self.retry = Some(Retry { at: now, attempt: 0 });
        }
        self
    }

    /// Whether the exit was announced, or is one that nothing would announce: no SIGCHLD comes for another's child.
    fn is_exit_expected(&mut self) -> bool {
        match (&mut self.exit_watch, &self.origin) {
            (Some(watch), _) => watch.has_fired(),
            (None, Origin::Adopted(_)) => true,
            (None, Origin::Child | Origin::Reaped(_)) => false,
        }
    }

    /// Its pid.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Which worker it is.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Looks in the next turn, whatever wakes the loop then: at each health tick, should an exit never be announced.
    pub(super) fn look_soon(&mut self) {
        self.is_look_due = true;
    }

    /// Whether to look now, even if nothing announces an exit.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        std::mem::take(&mut self.is_look_due) || self.retry.is_some_and(|retry| now >= retry.at)
    }

    /// When to look again without being woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Whoever listens on the port for this worker was found to be these processes, beside its first.
    pub(super) fn listens_through(&mut self, pids: &[Pid], address: SocketAddr, mark: String) {
        self.served_at = Some(address);
        if pids.iter().any(|pid| !platform::is_session_member(*pid, self.pid)) {
            self.session.reaches_outside(address, mark);
        }
    }

    /// Those of its session that a drain waits for.
    pub(super) fn rest(&self) -> &[Pid] {
        self.session.rest()
    }

    /// Looks whether the worker is gone, and if so takes down what it may have left of its group. A worker that was
    /// asked to end is gone when its session is. Once it has returned `Gone`, the worker is to be buried.
    pub(super) fn look(&mut self, now: Instant, may_have_left: impl FnOnce() -> bool) -> Option<Found> {
        let unreaped = self.unreaped();
        if unreaped.is_some() && !self.is_session_over(now) {
            self.pass_on();
            let is_news = self.was_asked() && !std::mem::replace(&mut self.is_leader_told, true);
            return is_news.then_some(Found::LeaderGone);
        }
        let reaped = match (&self.origin, unreaped) {
            (Origin::Child, Some(status)) if !may_have_left() => {
                return Some(Found::Gone(self.departure(now, status, false)));
            }
            (Origin::Child, _) => platform::reap_with_group(self.pid),
            (Origin::Adopted(_), None) => Reaped::NotYet,
            (Origin::Adopted(_), Some(status)) => {
                kill_leaderless_group(self.pid);
                Reaped::Gone(status)
            }
            (Origin::Reaped(status), _) => Reaped::Gone(*status),
        };
        match reaped {
            Reaped::Gone(status) => self.has_left(now, status).then(|| Found::Gone(self.departure(now, status, true))),
            Reaped::NotYet if self.is_exit_expected() && self.retry.is_none_or(|retry| now >= retry.at) => {
                self.schedule_retry(now);
                None
            }
            Reaped::NotYet => None,
        }
    }

    fn departure(&self, now: Instant, status: ExitStatus, may_have_left: bool) -> Departure {
        let lived = self.spawned_at.map(|spawned_at| now.saturating_duration_since(spawned_at));
        Departure { generation: self.generation, pid: self.pid, status, lived, may_have_left }
    }

    /// Reaps one that is gone, if that was left for later. It takes longer than all else between an exit and the next
    /// spawn: 20 µs, and for a worker whose 20,000 descriptors have been looked at some milliseconds. It was seen to be
    /// a zombie, and so is gone after this.
    pub(super) fn bury(self) {
        if let Origin::Child = self.origin {
            platform::reap_with_group(self.pid);
        }
    }

    /// Whether somebody has wanted it to end.
    pub(super) fn was_asked_to_end(&self) -> bool {
        self.end != End::NotAsked
    }

    fn was_asked(&self) -> bool {
        matches!(self.end, End::Asked(_) | End::AllAsked)
    }

    /// Asks the others of its session to finish: a shell or a package manager that dies of its signal has often told
    /// nobody. Not if the server beside it has closed its port: it was told, and a second signal ends some at once.
    fn pass_on(&mut self) {
        let End::Asked(signal) = self.end else { return };
        let has_waited = self.retry.is_some_and(|retry| retry.attempt >= PASS_ON_PAUSES);
        if self.served_at.is_some() && !has_waited {
            return;
        }
        self.end = End::AllAsked;
        if self.served_at.is_none_or(|address| self.session.listens_on(address)) {
            self.session.signal(&[signal, Signal::Cont]);
        }
    }

    /// How its first process has ended, if it has. One that is our child still holds its pid then.
    fn unreaped(&self) -> Option<ExitStatus> {
        match &self.origin {
            Origin::Child => platform::unreaped(self.pid),
            Origin::Adopted(pinned) => (!pinned.is_alive()).then_some(ExitStatus::Unknown),
            Origin::Reaped(_) => None,
        }
    }

    /// Whether the others of the session have gone as well, or need not be waited for. Those of a worker that died by
    /// itself are killed, and get as long as its group does.
    fn is_session_over(&mut self, now: Instant) -> bool {
        match self.end {
            End::NotAsked if self.served_at.is_none() => return true,
            End::NotAsked | End::Killed => self.session.signal(&[Signal::Kill]),
            End::Asked(_) | End::AllAsked => {}
        }
        if self.session.is_empty() {
            return true;
        }
        let attempt = self.retry.map_or(0, |retry| retry.attempt);
        if self.end == End::NotAsked && attempt + 1 >= GROUP_PAUSES {
            return true;
        }
        if self.retry.is_none_or(|retry| now >= retry.at) {
            self.schedule_retry(now);
        }
        false
    }

    /// Whether the group of a worker that is gone has gone as well, or had its time to. SIGKILL takes effect when the
    /// kernel gets to it: until then the next worker would find the port held, and its holder be taken for a stranger.
    fn has_left(&mut self, now: Instant, status: ExitStatus) -> bool {
        match self.origin {
            Origin::Adopted(_) => return true,
            Origin::Child => (self.origin, self.retry) = (Origin::Reaped(status), None),
            Origin::Reaped(_) => {}
        }
        if platform::group_is_gone(self.pid) {
            return true;
        }
        match self.retry {
            Some(retry) if now < retry.at => false,
            Some(retry) if retry.attempt + 1 >= GROUP_PAUSES => true,
            Some(_) | None => {
                self.schedule_retry(now);
                false
            }
        }
    }

    /// Asks the worker to finish: the signal, and SIGCONT, without which a stopped worker would never see it. An error
    /// means that the signal may not be sent; a worker that is gone is none.
    pub(super) fn drain(&mut self, signal: StopSignal, whole_session: bool) -> io::Result<()> {
        let signal = match signal {
            StopSignal::Term => Signal::Term,
            StopSignal::Int => Signal::Int,
            StopSignal::Hup => Signal::Hup,
        };
        self.end = if whole_session { End::AllAsked } else { End::Asked(signal) };
        if whole_session {
            self.session.signal(&[signal, Signal::Cont]);
        }
        self.send(signal, whole_session)?;
        self.send(Signal::Cont, whole_session)
    }

    /// Kills the worker with its group and session.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.end = End::Killed;
        let sent = self.send(Signal::Kill, true).and_then(|()| self.send(Signal::Kill, false));
        self.session.signal(&[Signal::Kill]);
        sent
    }

    fn send(&self, signal: Signal, whole_group: bool) -> io::Result<()> {
        match (&self.origin, whole_group) {
            (Origin::Child, true) => platform::signal_group(self.pid, signal),
            (Origin::Child, false) => platform::signal(self.pid, signal),
            (Origin::Adopted(pinned), true) => pinned.signal_group(signal),
            (Origin::Adopted(pinned), false) => pinned.signal(signal),
            (Origin::Reaped(_), true | false) => Ok(false),
        }
        .map(drop)
    }

    fn schedule_retry(&mut self, now: Instant) {
        let attempt = self.retry.map_or(0, |retry| retry.attempt.saturating_add(1));
        let pause = REAP_PAUSES[attempt.min(REAP_PAUSES.len() - 1)];
        self.retry = Some(Retry { at: now + pause, attempt });
    }
}

fn watch_exit(registry: &Registry, pid: Pid) -> io::Result<ExitWatch> {
    let watch = ExitWatch::register(pid)?;
    registry.register(&mut SourceFd(&watch.as_raw_fd()), Source::Exit.token(), Interest::READABLE)?;
    Ok(watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    #[test]
    fn an_adopted_worker_without_an_exit_watch_is_looked_at_now_and_then() {
        let mut adopted = Command::new("/bin/cat").stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = Pid::new(adopted.id().cast_signed()).unwrap();
        let origin = Origin::Adopted(Pinned::open(pid).unwrap().unwrap());
        let mut worker = Worker::new(Generation::ADOPTED, pid, origin);
        let now = Instant::now();
        assert!(worker.look(now, || true).is_none());
        let next = worker.deadline();
        adopted.kill().unwrap();
        adopted.wait().unwrap();
        assert_eq!(next, Some(now + REAP_PAUSES[0]));
        assert!(matches!(worker.look(now, || true), Some(Found::Gone(departure)) if departure.pid == pid));
    }

    #[test]
    fn a_group_that_never_goes_holds_up_the_next_worker_for_a_quarter_of_a_second_only() {
        // What the kernel does not let go, and zombies that nobody reaps, look like this: somebody is there for ever.
        let mut rest = Command::new("/bin/cat").stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = Pid::new(rest.id().cast_signed()).unwrap();
        let start = Instant::now();
        let mut worker = Worker::new(Generation::FIRST, pid, Origin::Reaped(ExitStatus::Unknown));
        worker.schedule_retry(start);
        let mut departed_at = None;
        while let (None, Some(at)) = (departed_at, worker.deadline().filter(|at| *at < start + Duration::from_secs(1)))
        {
            departed_at = worker.look(at, || true).map(|_| at);
        }
        rest.kill().unwrap();
        rest.wait().unwrap();
        assert_eq!(departed_at, Some(start + Duration::from_millis(238)));
    }
}
