//! What the loop listens to, the token that mio knows each by, and what came of listening.
//!
//! Readiness is only a hint: every source is asked until it has nothing more to say, and a source that was replaced in
//! the same turn finds a needless hint harmless.

use std::io;
use std::os::fd::AsRawFd;

use log::warn;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};
use platform::{Signal, Signals};

use crate::policy::StopSignal;

/// How many signals one turn reads. Equal ones merge in the queue, so that more come in a storm only; they are read in
/// the next turn, and the rest of this one is not put off.
const SIGNALS_MAX: usize = 64;

/// Something that can wake the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The queue of signals.
    Signals,
    /// The exit watch of the live worker.
    Exit,
    /// The connection of the probe.
    Probe,
    /// The connection of the sync.
    Sync,
    /// A pipe of some helper process; all of them are looked at in each turn.
    Helper,
}

impl Source {
    /// The token to register the source with.
    pub(crate) fn token(self) -> Token {
        Token(self as usize)
    }

    /// The source that was registered with the token.
    fn of(token: Token) -> Self {
        let known = [Self::Signals, Self::Exit, Self::Probe, Self::Sync];
        known.into_iter().find(|source| source.token() == token).unwrap_or(Self::Helper)
    }
}

/// Which sources asked to be looked at.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ready {
    pub(crate) signals: bool,
    pub(crate) exit: bool,
    pub(crate) probe: bool,
    pub(crate) sync: bool,
}

impl Ready {
    /// Those of the events.
    pub(crate) fn of(events: &Events) -> Self {
        let mut ready = Self::default();
        for event in events {
            match Source::of(event.token()) {
                Source::Signals => ready.signals = true,
                Source::Exit => ready.exit = true,
                Source::Probe => ready.probe = true,
                Source::Sync => ready.sync = true,
                Source::Helper => {}
            }
        }
        ready
    }
}

/// The queue of signals, read a bounded part at a time.
pub(crate) struct SignalReader {
    signals: Signals,
    /// Whether some were left for the next turn.
    has_more: bool,
}

impl SignalReader {
    /// Listens to the queue, from its beginning.
    ///
    /// # Errors
    /// What registering it reports.
    pub(crate) fn new(signals: Signals, registry: &Registry) -> io::Result<Self> {
        registry.register(&mut SourceFd(&signals.as_raw_fd()), Source::Signals.token(), Interest::READABLE)?;
        Ok(Self { signals, has_more: false })
    }

    /// Whether to read on without waiting.
    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Reads what has come.
    pub(crate) fn read(&mut self) -> TakenSignals {
        let mut taken = TakenSignals::default();
        self.has_more = false;
        for _ in 0..SIGNALS_MAX {
            match self.signals.take() {
                Ok(Some(signal)) => taken.add(signal),
                Ok(None) => return taken,
                Err(error) => {
                    warn!("cannot read signals: {error}");
                    return taken;
                }
            }
        }
        self.has_more = true;
        taken
    }
}

/// The signals of one turn. Several stops at once are one wish, not a wish for haste.
#[derive(Default)]
pub(crate) struct TakenSignals {
    pub(crate) child: bool,
    pub(crate) restart: bool,
    pub(crate) stop: Option<StopSignal>,
}

impl TakenSignals {
    fn add(&mut self, signal: Signal) {
        let stop = match signal {
            Signal::Child => return self.child = true,
            Signal::Usr1 => return self.restart = true,
            // The worker is to finish its requests: by default SIGQUIT would end it at once, with a core dump.
            Signal::Term | Signal::Quit => StopSignal::Term,
            Signal::Int => StopSignal::Int,
            Signal::Hup => StopSignal::Hup,
            // Not listened to.
            Signal::Kill | Signal::Cont => return,
        };
        self.stop.get_or_insert(stop);
    }
}
