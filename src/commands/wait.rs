//! How a command waits that goes on until it is told to end: `logs -f`, `status --watch`.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use platform::{Signal, Signals};

const SIGNALS: Token = Token(0);
const OUTPUT: Token = Token(1);

/// Waits for a while, or for a reason to end.
pub(super) struct Wait {
    poll: Poll,
    events: Events,
    signals: Signals,
}

impl Wait {
    pub(super) fn new(output_fd: RawFd) -> io::Result<Wait> {
        let signals = Signals::open()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        // A pipe whose reader is gone rings, so that `logs -f | head` ends although no more is logged. Regular files
        // can't be watched, and need not be.
        drop(poll.registry().register(&mut SourceFd(&output_fd), OUTPUT, Interest::WRITABLE));
        Ok(Wait { poll, events: Events::with_capacity(4), signals })
    }

    /// True: a signal asks to end, or the reader is gone.
    pub(super) fn is_over(&mut self, at_most: Duration) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if self.events.iter().any(|event| event.token() == OUTPUT && (event.is_error() || event.is_write_closed())) {
            return Ok(true);
        }
        while let Some(signal) = self.signals.take()? {
            match signal {
                Signal::Term | Signal::Int | Signal::Hup | Signal::Quit => return Ok(true),
                Signal::Usr1 | Signal::Child | Signal::Kill | Signal::Cont => {}
            }
        }
        Ok(false)
    }
}
