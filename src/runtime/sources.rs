//! What the loop listens to, and the token that mio knows each by.
//!
//! Readiness is only a hint: every source is asked until it has nothing more to say, and a source that was replaced in
//! the same turn finds a needless hint harmless.

use mio::Token;

/// Something that can wake the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The queue of signals.
    Signals,
    /// The bell of the live worker.
    Bell,
    /// The connection of the probe.
    Probe,
    /// The connection of the sync.
    Sync,
    /// A pipe of some helper process; all of them are looked at then.
    Helper,
}

impl Source {
    /// The token to register the source with.
    pub(super) fn token(self) -> Token {
        Token(match self {
            Self::Signals => 0,
            Self::Bell => 1,
            Self::Probe => 2,
            Self::Sync => 3,
            Self::Helper => 4,
        })
    }

    /// The source that was registered with the token.
    pub(super) fn of(token: Token) -> Self {
        match token.0 {
            0 => Self::Signals,
            1 => Self::Bell,
            2 => Self::Probe,
            3 => Self::Sync,
            _ => Self::Helper,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_the_way_to_a_token_and_back() {
        for source in [Source::Signals, Source::Bell, Source::Probe, Source::Sync, Source::Helper] {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
