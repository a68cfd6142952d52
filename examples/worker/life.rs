//! The life of the worker: its counters, its ends, and the one thread that waits for signals.
//! It promises that a signal costs no wake-up until it comes, that a signal which was blocked or ignored on arrival
//! stays so (a supervisor that hands down such a state must be seen to fail), and that requests which are being
//! answered are finished before the worker exits on TERM, INT or HUP. Hung requests are not waited for.

use std::net::TcpListener;
use std::process::exit;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::descendants;
use crate::inherited::{Inherited, short_name};
use crate::listen::pause;
use crate::options::{Descendant, Options};
use crate::report::{Report, escaped};

/// Signals that are waited for and reported. All but CONT ask the worker to stop.
const WATCHED: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCONT];

/// Everything that the threads of one worker share.
pub(crate) struct Life {
    /// How it is told to behave.
    pub(crate) options: Options,
    /// Where it says what happened.
    pub(crate) report: Report,
    /// Connections that wait for their answer; of those without one, those that are open.
    pub(crate) open: AtomicU32,
    /// Requests that came, of all kinds.
    pub(crate) requests: AtomicU32,
    /// Health requests that came.
    pub(crate) probes: AtomicU32,
    /// Registrations that came.
    pub(crate) syncs: AtomicU32,
    legacy: OnceLock<TcpListener>,
    running: Mutex<u32>,
    idle: Condvar,
}

impl Life {
    /// A worker that has seen nothing yet.
    pub(crate) fn new(options: Options, report: Report) -> Self {
        let zero = || AtomicU32::new(0);
        let (open, requests, probes, syncs) = (zero(), zero(), zero(), zero());
        let (legacy, running, idle) = (OnceLock::new(), Mutex::new(0), Condvar::new());
        Self { options, report, open, requests, probes, syncs, legacy, running, idle }
    }

    /// Starts the thread that waits for signals. To be called before any other thread is started, as each inherits
    /// the mask that makes the kernel keep the signals for it.
    pub(crate) fn watch_signals(self: &Arc<Self>, inherited: &Inherited) {
        let mut watched = SigSet::empty();
        for signal in WATCHED.into_iter().filter(|signal| inherited.lets_through(*signal)) {
            watched.add(signal);
        }
        watched.thread_block().expect("signals can be blocked");
        let life = Arc::clone(self);
        thread::spawn(move || {
            loop {
                let signal = watched.wait().expect("signals can be waited for");
                life.report.event("signal", &format!("name={}", short_name(signal)));
                if signal != Signal::SIGCONT && !life.options.ignore_term {
                    life.stop_on_a_thread_of_its_own();
                }
            }
        });
    }

    /// A second signal is still reported while the first one's drain runs.
    fn stop_on_a_thread_of_its_own(self: &Arc<Self>) {
        let life = Arc::clone(self);
        thread::spawn(move || {
            let idle = life.idle.wait_while(life.running(), |running| *running > 0);
            drop(idle);
            pause(life.options.drain);
            if let Some(listener) = life.legacy.get() {
                descendants::start(&life, Descendant::Serve, Some(listener));
            }
            life.exit(0);
        });
    }

    /// `--bequeath`: what a successor gets once this worker was asked to stop.
    pub(crate) fn keep(&self, listener: &TcpListener) {
        if self.options.bequeath {
            self.legacy.get_or_init(|| listener.try_clone().expect("the socket can be duplicated"));
        }
    }

    /// `--stderr-line`.
    pub(crate) fn say_last_words_early(&self) {
        if let Some(line) = &self.options.stderr_line {
            eprintln!("{line}");
        }
    }

    /// `--exit-after` and `--crash-signal`.
    pub(crate) fn end_when_due(self: &Arc<Self>) {
        let signal = self.options.crash_signal;
        let Some(delay) = self.options.exit_after.or(signal.map(|_| std::time::Duration::ZERO)) else { return };
        let life = Arc::clone(self);
        thread::spawn(move || {
            pause(delay);
            match signal {
                Some(signal) => life.die_of(signal),
                None => life.exit(life.options.exit_code),
            }
        });
    }

    /// Ends the process, saying so.
    pub(crate) fn exit(&self, code: i32) -> ! {
        self.report.event("exit", &format!("code={code}"));
        exit(code)
    }

    /// Kills this process by a signal, saying so.
    pub(crate) fn die_of(&self, signal: Signal) -> ! {
        self.report.event("crash", &format!("signal={}", escaped(&short_name(signal))));
        kill(Pid::this(), signal).expect("a process may signal itself");
        wait_for_ever()
    }

    /// Runs `work` as a request that a stop waits for.
    pub(crate) fn while_running(&self, work: impl FnOnce()) {
        *self.running() += 1;
        work();
        *self.running() -= 1;
        self.idle.notify_all();
    }

    fn running(&self) -> std::sync::MutexGuard<'_, u32> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does nothing until a signal or another thread ends the process.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        thread::park();
    }
}
