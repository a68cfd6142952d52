//! What the loop listens to, the token that mio knows each by, and what came of listening.
//!
//! Readiness is only a hint: every source is asked until it has nothing more to say, and a source that was replaced in
//! the same turn finds a needless hint harmless.

use mio::{Events, Token};
use platform::Signal;

use crate::policy::StopSignal;

/// Something that can wake the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The queue of signals.
    Signals,
    /// The bell of the live worker.
    ExitWatch,
    /// The connection of the probe.
    Probe,
    /// The connection of the sync.
    Sync,
    /// A pipe of some helper process; all of them are looked at then.
    Helper,
}

impl Source {
    /// The token to register the source with.
    pub(crate) fn token(self) -> Token {
        Token(match self {
            Self::Signals => 0,
            Self::ExitWatch => 1,
            Self::Probe => 2,
            Self::Sync => 3,
            Self::Helper => 4,
        })
    }

    /// The source that was registered with the token.
    pub(crate) fn of(token: Token) -> Self {
        match token.0 {
            0 => Self::Signals,
            1 => Self::ExitWatch,
            2 => Self::Probe,
            3 => Self::Sync,
            _ => Self::Helper,
        }
    }
}

/// Which sources asked to be looked at.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ready {
    pub(crate) signals: bool,
    pub(crate) worker: bool,
    pub(crate) helpers: bool,
    pub(crate) probe: bool,
    pub(crate) sync: bool,
}

impl Ready {
    /// Those of the events, and the signals in any case if some were left.
    pub(crate) fn of(events: &Events, has_more_signals: bool) -> Self {
        let mut ready = Self { signals: has_more_signals, ..Self::default() };
        for event in events {
            match Source::of(event.token()) {
                Source::Signals => ready.signals = true,
                Source::ExitWatch => ready.worker = true,
                Source::Helper => ready.helpers = true,
                Source::Probe => ready.probe = true,
                Source::Sync => ready.sync = true,
            }
        }
        ready
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
    pub(crate) fn add(&mut self, signal: Signal) {
        let stop = match signal {
            Signal::Child => return self.child = true,
            Signal::Usr1 => return self.restart = true,
            Signal::Term => StopSignal::Term,
            Signal::Int => StopSignal::Int,
            Signal::Hup => StopSignal::Hup,
        };
        self.stop.get_or_insert(stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_the_way_to_a_token_and_back() {
        for source in [Source::Signals, Source::ExitWatch, Source::Probe, Source::Sync, Source::Helper] {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
