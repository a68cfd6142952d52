//! The loop: waits, looks at the clock, lets the policy decide, carries out what it ordered, and tells about it.
//!
//! One thread, one poll, time as an argument. A turn goes: poll, clock, exits, signals, helpers, exchanges,
//! time; each fact is dispatched before the next is looked at, and what is to be told is told at the turn's end, after
//! everything that was ordered has been done. The status file comes last of all, before the next wait. Nothing here
//! waits but the poll. After the start only the policy's `Quit` or a failed poll ends it; all else becomes an event or
//! a line in the log.

mod adopt;
mod client;
pub mod disks;
pub(crate) mod helpers;
pub mod launch;
mod leftovers;
mod locks;
pub mod logs;
mod mark;
mod owner;
mod perform;
pub(crate) mod port;
mod reach;
pub mod report;
mod session;
mod sources;
pub mod start;
mod worker;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use platform::{ChildList, Identity, Pid};

use self::client::{Client, Ended, Verdict};
use self::helpers::hooks::Hooks;
use self::helpers::secrets::Secrets;
use self::launch::Launcher;
use self::logs::Logs;
use self::port::PortWatch;
use self::report::Reporter;
use self::report::happening::HookEvent;
use self::session::kill_all;
use self::sources::{Ready, SignalReader, TakenSignals};
use self::worker::{Found, Worker};
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::lock::Lock;
use crate::policy::{Actions, Condition, Event, Machine};
use crate::state_dir::WorkerRecord;
use crate::time::{Now, SleepWatch};

/// How many events one poll may return; the rest come with the next.
const EVENTS_MAX: usize = 32;

/// How much of a worker's last words is told, in bytes.
const WORDS_BYTES_MAX: usize = 300;

/// Everything that one supervisor holds.
struct Supervisor {
    poll: Poll,
    signals: SignalReader,
    config: Config,
    machine: Machine,
    /// The live worker.
    worker: Option<Worker>,
    /// The last one, until it is reaped.
    departed: Option<Worker>,
    probe: Client,
    sync: Client,
    port: PortWatch,
    secrets: Secrets,
    launcher: Launcher,
    child_list: Option<ChildList>,
    hooks: Hooks,
    logs: Logs,
    /// `None`: another supervisor has it, and this one gives way.
    lock: Option<Lock>,
    record: WorkerRecord,
    /// Pids and start times of earlier supervisors, whose workers' descendants are not looked after yet.
    predecessors: Vec<(u32, String)>,
    reporter: Reporter,
    sleep: SleepWatch,
    /// Set by the policy's `Quit`.
    end: Option<ExitCode>,
}

impl Supervisor {
    /// Runs until the policy quits.
    fn supervise(mut self) -> Result<ExitCode, Error> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            // First of all what came of the first launch: it is news now, not when the first event comes.
            let now = Now::read();
            self.tell(now);
            if self.keep_locks(now) {
                continue;
            }
            if let Some(code) = self.end {
                self.leave(now);
                return Ok(code);
            }
            let ready = self.wait(&mut events, now)?;
            self.turn(ready, Now::read());
        }
    }

    /// Ends what nobody else would end. All else goes with the process: taking it down piece by piece takes the time of
    /// a whole exit.
    fn leave(mut self, now: Now) {
        let address = self.config.address();
        // Nearly always it is free, which is seen sooner than who has it.
        if !platform::port_is_free(address).unwrap_or(false) {
            let mut holders = platform::holders(address).unwrap_or_default();
            holders.retain(|pid| self.launcher.is_of_any_worker(*pid));
            if !holders.is_empty() {
                log::warn!("killing what keeps {address}: {}", port::describe(&holders));
            }
            kill_all(holders);
        }
        if self.reporter.is_status_stale(&self.machine) {
            self.write_status(now);
        }
        self.hooks.kill_all();
        self.logs.abandon();
        std::mem::forget(self);
    }

    /// Waits for events. The status file is written meanwhile, unless there are some already: then it can tell of them
    /// too, in the next turn.
    fn wait(&mut self, events: &mut Events, now: Now) -> Result<Ready, Error> {
        events.clear();
        if self.reporter.is_status_stale(&self.machine) {
            self.poll(events, Some(Duration::ZERO))?;
            if events.is_empty() || !self.reporter.put_status_off() {
                self.write_status(now);
            }
        }
        if events.is_empty() {
            let due_at = if self.signals.has_more() { Some(now.instant) } else { self.next_deadline() };
            self.poll(events, due_at.map(|at| at.saturating_duration_since(Instant::now())))?;
        }
        Ok(Ready::of(events))
    }

    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<(), Error> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(Error::cannot(ExitCode::Internal, "wait for events", error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn turn(&mut self, ready: Ready, now: Now) {
        if self.sleep.has_slept(now) {
            self.dispatch(now, Event::Slept);
        }
        let is_signalled = ready.signals || self.signals.has_more();
        let signals = if is_signalled { self.signals.read() } else { TakenSignals::default() };
        let is_due = self.worker.as_mut().is_some_and(|worker| worker.is_due(now.instant));
        if ready.exit || signals.child || is_due {
            self.look_at_worker(now);
        }
        if let Some(signal) = signals.stop {
            self.dispatch(now, Event::StopRequested(signal));
        }
        if signals.restart {
            self.dispatch(now, Event::RestartRequested);
        }
        self.look_at_helpers(now);
        if signals.child {
            // What descendants have left to us.
            platform::reap_orphans(&self.children());
        }
        if ready.probe {
            self.look_at_probe(now);
        }
        if ready.sync {
            self.look_at_sync(now);
        }
        self.dispatch(now, Event::TimePassed);
    }

    /// Lets the policy handle a fact, carries out its orders, and does the same with every fact that follows at once.
    fn dispatch(&mut self, now: Now, fact: Event) {
        let orders = self.machine.handle(now.instant, fact);
        self.carry_out(now, orders);
    }

    /// Carries out orders and dispatches every fact that follows from them at once.
    fn carry_out(&mut self, now: Now, mut orders: Actions) {
        let mut facts = VecDeque::new();
        loop {
            for order in orders {
                facts.extend(self.perform(now, order));
            }
            let Some(fact) = facts.pop_front() else { return };
            orders = self.machine.handle(now.instant, fact);
        }
    }

    fn look_at_worker(&mut self, now: Now) {
        let known = self.children();
        let Some(worker) = &mut self.worker else { return };
        let pid = worker.pid();
        let may_have_left = || self.child_list.as_ref().is_none_or(|list| list.may_be_left_by(pid, &known));
        let departure = match worker.look(now.instant, may_have_left) {
            None => return,
            Some(Found::Gone(departure)) => departure,
            Some(Found::LeaderGone) => {
                let (generation, rest) = (worker.generation(), port::describe(worker.rest()));
                self.reporter.saw_rest(rest);
                return self.dispatch(now, Event::LeaderExited(generation));
            }
        };
        let was_asked = worker.was_asked_to_end();
        self.departed = self.worker.take();
        // Of one that was asked to end nobody wants to know why it did, and its logs may lie on a disk that hangs.
        let output = (!was_asked).then(|| self.logs.output_of_worker());
        let place = self.reporter.news.len();
        self.dispatch(now, Event::Exited(departure.generation));
        // Only now, with the next worker under way, is there time to reap the last one, to take down its exit watch,
        // and to read what it said.
        self.departed.take().into_iter().for_each(Worker::bury);
        let words = output.and_then(|output| self.logs.last_words(&output));
        let words = words.map(|words| self.secrets.redactor().show(&words, WORDS_BYTES_MAX));
        self.reporter.saw_exit(&departure, words, place, now);
        self.look_after_leftovers(&departure, was_asked, place);
    }

    fn look_at_helpers(&mut self, now: Now) {
        self.hooks.proceed(now.instant, &mut self.reporter.news);
        let news = &mut self.reporter.news;
        let told = news.len();
        let ended = self.secrets.proceed(now.instant, news);
        if news.len() > told {
            self.reporter.saw_secrets(self.secrets.stale(), self.secrets.left_out());
        }
        if let Some(generation) = ended {
            self.dispatch(now, Event::LeaseEnded(generation));
        }
    }

    /// The children that we have made.
    fn children(&self) -> Vec<Pid> {
        let worker = self.worker.as_ref().map(Worker::pid);
        worker.into_iter().chain(self.hooks.pids()).chain(self.secrets.pids()).collect()
    }

    fn look_at_probe(&mut self, now: Now) {
        if let Some(ended) = self.probe.proceed(now.instant)
            && !self.is_stale(&ended, now)
        {
            let fact = self.probed(ended, now);
            self.dispatch(now, fact);
        }
    }

    fn look_at_sync(&mut self, now: Now) {
        if let Some(ended) = self.sync.proceed(now.instant)
            && !self.is_stale(&ended, now)
        {
            let fact = self.synced(ended);
            self.dispatch(now, fact);
        }
    }

    /// Whether an exchange was with a worker that is gone. A dying worker closes its connections before it can be
    /// reaped, so that a failure first asks whether it is.
    fn is_stale(&mut self, ended: &Ended, now: Now) -> bool {
        if let Verdict::Failed(_) = ended.verdict {
            self.look_at_worker(now);
        }
        self.worker.as_ref().is_none_or(|worker| worker.generation() != ended.generation)
    }

    /// The earliest moment at which something is due.
    fn next_deadline(&self) -> Option<Instant> {
        let worker = self.worker.as_ref().and_then(Worker::deadline);
        [self.machine.next_deadline(), worker, self.secrets.deadline(), self.hooks.deadline(), self.logs.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What can wait until the work of the turn is done: record, log lines, hooks, log rotation, and what the next
    /// launch will need.
    fn tell(&mut self, now: Now) {
        self.write_record();
        self.logs.step(now.instant, &mut self.reporter.news);
        // A hook that can't be started is news as well.
        while !self.reporter.news.is_empty() {
            for happening in std::mem::take(&mut self.reporter.news) {
                for event in self.reporter.tell(happening, &self.machine, now) {
                    self.fire(event, now);
                }
            }
        }
        if self.machine.condition() == Condition::Running {
            self.launcher.make_ahead(&self.config);
        }
    }

    fn fire(&mut self, event: HookEvent, now: Now) {
        if !self.hooks.is_due(event, now.instant) {
            return;
        }
        // What is told of the state has to be what it is now.
        self.write_status(now);
        let details = self.reporter.details(event);
        self.hooks.fire(event, &details, self.poll.registry(), now.instant, &mut self.reporter.news);
    }

    fn write_status(&mut self, now: Now) {
        // Another supervisor's file is not written over.
        if self.lock.is_some() {
            self.reporter.write_status(&self.machine, now);
        }
    }

    /// Keeps on record who is to be ended by the next supervisor, should this one be killed.
    fn write_record(&mut self) {
        let worker = self.worker.as_ref().map(|worker| (worker.pid(), worker.generation()));
        if self.lock.is_none() || self.record.names(worker.map(|(pid, _)| pid)) {
            return;
        }
        let written = match worker {
            None => self.record.clear(),
            Some((pid, generation)) => match identify(pid) {
                Ok(Some(identity)) => self.record.write(identity, self.launcher.mark(generation.next())),
                // Gone already; the exit watch will tell.
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            },
        };
        // Tried again in the next turn: descriptors and disks come back.
        if let Err(error) = written {
            let text = format!("cannot record the worker in {:?}: {error}; trying again", self.record.path());
            self.reporter.warn("record", text);
        }
    }
}

/// Of one that is hidden from this user the next supervisor can at least tell that it lives.
fn identify(pid: Pid) -> io::Result<Option<Identity>> {
    platform::identify(pid).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Ok(Some(Identity { pid, started: String::new().into() })),
        _ => Err(error),
    })
}
