//! The loop: waits, looks at the clock, lets the policy decide, carries out what it ordered, and tells about it.
//!
//! One thread, one poll, one place that reads the clock. A turn goes: poll, clock, exits, signals, helpers, exchanges,
//! time; each fact is settled before the next is looked at, and what is to be told is told at the turn's end, after
//! everything that was ordered has been done. The status file comes last of all, before the next wait. Nothing here
//! waits but the poll. After the start only the policy's `Quit` or a failed poll ends it; all else becomes an event or
//! a line in the log.

mod child;
mod client;
mod helpers;
pub mod launch;
pub mod logs;
mod perform;
mod port;
pub mod report;
mod sources;
mod start;
mod worker;

pub use start::run;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::warn;
use mio::{Events, Poll};
use platform::{SignalQueue, Signals};

use self::client::{Ended, Exchanger, Verdict};
use self::helpers::hooks::{HookEvent, Hooks};
use self::helpers::secrets::Secrets;
use self::launch::{Outputs, Prepared};
use self::logs::Logs;
use self::port::PortWatch;
use self::report::messages::{self as words, Line};
use self::report::{Now, Reporter, millis};
use self::sources::{Ready, TakenSignals};
use self::worker::Worker;
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::policy::{Actions, Condition, Event, Generation, Machine, Notice, ProbeOutcome};
use crate::state_dir::WorkerRecord;

/// How many events one poll may return; the rest come with the next.
const EVENTS_MAX: usize = 32;

/// From so many descriptors on there are some to spare: the loop has 14 at rest, and two or three for each helper.
const DESCRIPTORS_ENOUGH: u64 = 128;

/// How many signals one turn reads. Equal ones merge in the queue, so that more come in a storm only; they are read in
/// the next turn, and the rest of this one is not put off.
const SIGNALS_MAX: usize = 64;

/// Everything that one supervisor holds.
struct Supervisor {
    poll: Poll,
    signals: Signals,
    config: Config,
    machine: Machine,
    /// The live worker.
    worker: Option<Worker>,
    probe: Exchanger,
    sync: Exchanger,
    port: PortWatch,
    secrets: Secrets,
    /// What the live or last worker was spawned from.
    prepared: Option<Prepared>,
    /// Log files for the next worker, opened ahead.
    outputs: Option<Outputs>,
    hooks: Hooks,
    logs: Logs,
    record: WorkerRecord,
    reporter: Reporter,
    /// /dev/null, held open so that a launch finds it even when descriptors have run out.
    null: File,
    /// Whether this process may have so few descriptors that it may run out of them.
    has_few_descriptors: bool,
    /// The environment that this process was started with.
    inherited: Vec<(OsString, OsString)>,
    /// What is to be told at the end of the turn, in the order in which it came about.
    told: Vec<Told>,
    /// Facts that followed from an order of this turn.
    replies: VecDeque<Event>,
    /// The launch that leases are under way for.
    leasing: Option<Generation>,
    /// Whether signals were left for the next turn.
    has_more_signals: bool,
    /// Whether to look at the worker in the next turn even if nothing rings.
    is_sweep_due: bool,
    /// Whether the worker record is out of date.
    is_record_stale: bool,
    /// Whether the status file is out of date.
    is_status_stale: bool,
    /// Whether it was out of date already when the last turn began.
    is_status_put_off: bool,
    /// Whether the code that reads configurations has run since code was last given back.
    has_read_config: bool,
    /// Set by the policy's `Quit`.
    end: Option<ExitCode>,
}

/// Something to be told.
enum Told {
    /// What the policy decided.
    Notice(Notice),
    /// What the runtime met on its way.
    Line(Line),
}

impl Supervisor {
    /// Runs until the policy quits. Apart from the code of the start, which is given back.
    #[inline(never)]
    fn supervise(mut self) -> Result<ExitCode, Error> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            // First of all what came of the first launch: it is news now, not when the first event comes.
            let now = read_clock();
            self.tell(now);
            if let Some(code) = self.end {
                self.leave(now);
                return Ok(code);
            }
            let ready = self.wait(&mut events, now)?;
            self.turn(ready, read_clock());
        }
    }

    /// Ends what nobody else would end. All else goes with the process: taking it down piece by piece takes the time of
    /// a whole exit.
    fn leave(mut self, now: Now) {
        self.write_status(now);
        self.hooks.kill_all();
        self.logs.abandon();
        std::mem::forget(self);
    }

    /// Waits for events. The status file is written meanwhile, unless there are some already: then it can tell of them
    /// too, in the next turn.
    fn wait(&mut self, events: &mut Events, now: Now) -> Result<Ready, Error> {
        let has_more_signals = std::mem::take(&mut self.has_more_signals);
        if self.is_status_stale {
            self.poll(events, Some(Duration::ZERO))?;
            self.is_status_put_off = !events.is_empty() && !self.is_status_put_off;
            if !self.is_status_put_off {
                self.write_status(now);
            }
        } else {
            events.clear();
        }
        if events.is_empty() {
            let due_at = if has_more_signals { Some(now.instant) } else { self.next_deadline() };
            self.poll(events, due_at.map(|at| at.saturating_duration_since(Instant::now())))?;
        }
        Ok(Ready::of(events, has_more_signals))
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
        let signals = if ready.signals { self.take_signals() } else { TakenSignals::default() };
        let is_worker_due = self.worker.as_ref().and_then(Worker::deadline).is_some_and(|at| now.instant >= at);
        let is_sweep_due = std::mem::take(&mut self.is_sweep_due);
        if ready.worker || signals.child || is_worker_due || is_sweep_due {
            self.look_at_worker(now);
        }
        if let Some(signal) = signals.stop {
            self.settle(now, Event::StopRequested(signal));
        }
        if signals.restart {
            self.settle(now, Event::RestartRequested);
        }
        self.look_at_helpers(now);
        if ready.probe {
            self.look_at_probe(now);
        }
        if ready.sync {
            self.look_at_sync(now);
        }
        self.settle(now, Event::TimePassed);
    }

    /// Lets the policy handle a fact, carries out its orders, and does the same with every fact that follows at once.
    fn settle(&mut self, now: Now, fact: Event) {
        let actions = self.machine.handle(now.instant, fact);
        self.begin(actions, now);
    }

    /// Carries out orders and settles every fact that follows from them at once.
    fn begin(&mut self, orders: Actions, now: Now) {
        let mut orders = orders;
        loop {
            for order in orders {
                let reply = self.perform(now, order);
                self.replies.extend(reply);
            }
            let Some(fact) = self.replies.pop_front() else { return };
            orders = self.machine.handle(now.instant, fact);
        }
    }

    fn take_signals(&mut self) -> TakenSignals {
        let mut taken = TakenSignals::default();
        for _ in 0..SIGNALS_MAX {
            match self.signals.next() {
                Ok(Some(signal)) => taken.add(signal),
                Ok(None) => return taken,
                Err(error) => {
                    warn!("cannot read signals: {error}");
                    return taken;
                }
            }
        }
        self.has_more_signals = true;
        taken
    }

    fn look_at_worker(&mut self, now: Now) {
        let Some(departure) = self.worker.as_mut().and_then(|worker| worker.look(now.instant)) else { return };
        let worker = self.worker.take();
        self.is_record_stale = true;
        let output = self.logs.output_of_worker();
        self.settle(now, Event::Exited(departure.generation));
        // Only now, with the next worker under way, is there time to take down the bell and to read what the last one
        // said.
        drop(worker);
        self.reporter.saw_exit(&departure, self.logs.last_line(&output), now);
    }

    fn look_at_helpers(&mut self, now: Now) {
        self.hooks.proceed(now.instant);
        if self.secrets.proceed(now.instant)
            && let Some(generation) = self.leasing.take()
        {
            self.settle(now, Event::LeaseEnded(generation));
        }
    }

    fn look_at_probe(&mut self, now: Now) {
        if let Some(ended) = self.probe.proceed(now.instant) {
            self.look_behind(&ended, now);
            let event = self.probed(&ended, now);
            self.settle(now, event);
        }
    }

    fn look_at_sync(&mut self, now: Now) {
        if let Some(ended) = self.sync.proceed(now.instant) {
            self.look_behind(&ended, now);
            let event = self.synced(&ended, now);
            self.settle(now, event);
        }
    }

    /// A dying worker closes its connections before it can be reaped. So a failure first asks whether the worker is
    /// gone; if it is, the failure is stale by the time it is told.
    fn look_behind(&mut self, ended: &Ended, now: Now) {
        if let Verdict::Failed(_) = ended.verdict {
            self.look_at_worker(now);
        }
    }

    fn probed(&mut self, ended: &Ended, now: Now) -> Event {
        let (outcome, is_healthy) = match &ended.verdict {
            Verdict::Answered(status) => (ProbeOutcome::Answered(*status), self.config.health_status.accepts(*status)),
            Verdict::Failed(_) => (ProbeOutcome::Failed, false),
            Verdict::LocalError(_) => (ProbeOutcome::LocalError, false),
        };
        let is_other = self.reporter.saw_probe(ended, is_healthy, now);
        // A start asks every few milliseconds, and is mostly refused: there only another result is news.
        self.is_status_stale |= is_other || self.machine.condition() == Condition::Running;
        Event::Probed { generation: ended.generation, outcome }
    }

    fn synced(&mut self, ended: &Ended, now: Now) -> Event {
        let (result, accepted) = match &ended.verdict {
            Verdict::Answered(status) => {
                (words::sync_result(*status, &self.sync.sync_answer()), (200..300).contains(status))
            }
            Verdict::Failed(reason) | Verdict::LocalError(reason) => (reason.clone(), false),
        };
        self.reporter.saw_sync(ended.generation, result, accepted, now);
        Event::SyncEnded { generation: ended.generation, accepted }
    }

    /// The earliest moment at which something is due.
    fn next_deadline(&self) -> Option<Instant> {
        let worker = self.worker.as_ref().and_then(Worker::deadline);
        [self.machine.next_deadline(), worker, self.secrets.deadline(), self.hooks.deadline(), self.logs.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn write_status(&mut self, now: Now) {
        if std::mem::take(&mut self.is_status_stale) {
            self.reporter.write(&self.machine, now);
        }
    }

    /// What can wait until the work of the turn is done: record, log lines, hooks, log rotation.
    fn tell(&mut self, now: Now) {
        if std::mem::take(&mut self.is_record_stale) {
            self.write_record(now);
        }
        for told in std::mem::take(&mut self.told) {
            let notice = match told {
                Told::Notice(notice) => notice,
                Told::Line(line) => {
                    self.reporter.say(now, &line);
                    continue;
                }
            };
            self.is_status_stale = true;
            // From here on it may be weeks until any of it runs again.
            if matches!(notice, Notice::Ready { .. }) && std::mem::take(&mut self.has_read_config) {
                platform::give_back_code();
            }
            for event in self.reporter.tell(notice, &self.machine, now) {
                self.fire(event, now);
            }
        }
        self.rotate_logs(now);
        if self.machine.condition() == Condition::Running {
            self.prepare_next();
        }
    }

    fn fire(&mut self, event: HookEvent, now: Now) {
        if !self.hooks.is_used() {
            return;
        }
        // What is told of the state has to be what it is now.
        self.reporter.write(&self.machine, now);
        let details = self.reporter.details(event);
        self.hooks.fire(event, &details, self.poll.registry(), now.instant);
    }

    /// Keeps on record who is to be ended by the next supervisor, should this one be killed.
    fn write_record(&mut self, now: Now) {
        let written = match &self.worker {
            None => self.record.clear(),
            Some(worker) => platform::identify(worker.pid()).and_then(|identity| match identity {
                Some(identity) => self.record.write(&identity),
                // Gone already; the bell will tell.
                None => Ok(()),
            }),
        };
        if let Err(error) = written {
            let text = format!("cannot record the worker: {error}; if this supervisor is killed, it can be an orphan");
            self.reporter.warn("record", text, now);
            // Tried again in the next turn: descriptors and disks come back.
            self.is_record_stale = true;
        }
    }

    fn rotate_logs(&mut self, now: Now) {
        for problem in self.logs.step(now.instant) {
            self.reporter.warn("log-rotation", problem, now);
        }
    }
}

/// The one look at the clocks per turn.
fn read_clock() -> Now {
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
    Now { instant: Instant::now(), wall_ms }
}
