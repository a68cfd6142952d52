//! One HTTP exchange at a time with the worker, over a non-blocking connection of its own.
//!
//! Knows no deadline: the policy says when an exchange has taken too long, and [`Client::cancel`] closes it.
//! Allocates when it is made and when an answer outgrows its buffer, not per exchange.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry};
use platform::Peer;

use super::report::redact::Foreign;
use super::sources::Source;
use crate::http::{self, HttpFailure, Progress, Request, Response, SyncAnswer};
use crate::policy::Generation;

/// How much is read at a time.
const READ_BYTES: usize = 4096;

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// An answer.
    Answered(Answer),
    /// No answer, and why.
    Failed(String),
    /// The supervisor could not ask, and why.
    LocalError(String),
}

/// What is kept of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// If it is a redirect: where to. Empty, if it does not say.
    pub(crate) redirect: Option<Foreign>,
    pub(crate) is_page: bool,
    /// Whether it would accept a registration.
    pub(crate) accepts: bool,
}

impl Answer {
    fn of(response: Response<'_>) -> Self {
        let Response { status, location, is_page, .. } = response;
        let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
        let redirect = is_redirect.then(|| Foreign::new(location));
        Self { status, redirect, is_page, accepts: response.accepts() }
    }
}

/// An exchange that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) generation: Generation,
    pub(crate) verdict: Verdict,
    pub(crate) latency: Duration,
}

/// Sends one kind of request, again and again.
pub(crate) struct Client {
    source: Source,
    worker: Peer,
    request: Request,
    /// Whether the answer's body is wanted; without it an exchange ends with the head. Of an accepted registration only
    /// as much of it as has come by then.
    wants_body: bool,
    response: http::Exchange,
    active: Option<Active>,
}

struct Active {
    generation: Generation,
    stream: TcpStream,
    began_at: Instant,
    is_connected: bool,
    sent: usize,
}

impl Client {
    /// A client at rest.
    pub(crate) fn new(source: Source, worker: Peer, request: Request, wants_body: bool) -> Self {
        Self { source, worker, request, wants_body, response: http::Exchange::new(), active: None }
    }

    /// Begins an exchange, in place of one that may be under way. Some: it has ended already.
    pub(crate) fn begin(&mut self, registry: &Registry, generation: Generation, now: Instant) -> Option<Ended> {
        self.active = None;
        self.response.reset();
        let verdict = match self.connect(registry) {
            Ok(stream) => {
                self.active = Some(Active { generation, stream, began_at: now, is_connected: false, sent: 0 });
                return None;
            }
            Err(error) => verdict_of(&error),
        };
        Some(Ended { generation, verdict, latency: Duration::ZERO })
    }

    /// Forgets the exchange that is under way, if there is one. Its connection closes.
    pub(crate) fn cancel(&mut self) {
        self.active = None;
    }

    /// Goes on with the exchange as far as it goes without waiting. Some: it has ended.
    pub(crate) fn proceed(&mut self, now: Instant) -> Option<Ended> {
        let active = self.active.as_mut()?;
        let verdict = match advance(active, &self.request, &mut self.response, self.wants_body) {
            Ok(()) => match self.response.verdict()? {
                Ok(answer) => Verdict::Answered(Answer::of(answer)),
                Err(failure) => Verdict::Failed(failure.to_string()),
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => verdict_of(&error),
        };
        let Active { generation, began_at, .. } = self.active.take()?;
        Some(Ended { generation, verdict, latency: now.saturating_duration_since(began_at) })
    }

    /// The answer of the exchange that is under way, if its head has come.
    pub(crate) fn heard(&self) -> Option<Answer> {
        self.response.verdict()?.ok().map(Answer::of)
    }

    /// Whether the last exchange ended without a byte of an answer.
    pub(crate) fn met_silence(&self) -> bool {
        matches!(self.response.verdict(), Some(Err(HttpFailure::NoAnswer)))
    }

    /// What the body of the last answer says.
    pub(crate) fn sync_answer(&self) -> SyncAnswer {
        let answer = self.response.verdict().and_then(Result::ok);
        answer.map(|answer| SyncAnswer::read(answer.body)).unwrap_or_default()
    }

    fn connect(&self, registry: &Registry) -> io::Result<TcpStream> {
        let mut stream = TcpStream::from_std(self.worker.connect()?);
        registry.register(&mut stream, self.source.token(), Interest::READABLE | Interest::WRITABLE)?;
        Ok(stream)
    }
}

/// Connects, sends and receives. `Ok`: the response has its verdict.
fn advance(active: &mut Active, request: &Request, response: &mut http::Exchange, wants_body: bool) -> io::Result<()> {
    if !active.is_connected {
        finish_connecting(&active.stream)?;
        active.is_connected = true;
    }
    let request = request.as_bytes();
    while active.sent < request.len() {
        match active.stream.write(&request[active.sent..]) {
            Ok(count) => active.sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut buffer = [0; READ_BYTES];
    loop {
        let room = response.room().min(READ_BYTES);
        let progress = match active.stream.read(&mut buffer[..room]) {
            Ok(0) => response.end(),
            Ok(count) => response.receive(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !has_accepted(response) => return Err(error),
            // A reset, or more to come, after the head is no failure: the status has been heard.
            Err(_) if response.progress() == Progress::Heard => response.end(),
            Err(error) => return Err(error),
        };
        match progress {
            Progress::Done => return Ok(()),
            Progress::Heard if !wants_body => return Ok(()),
            Progress::Heard | Progress::NeedMore => {}
        }
    }
}

/// Whether the head has come, and accepts a registration: it counts, whatever its body is going to say.
fn has_accepted(response: &http::Exchange) -> bool {
    response.verdict().and_then(Result::ok).is_some_and(|answer| answer.accepts())
}

/// Whether the connection stands: no error is pending and there is a peer (connect(2), EINPROGRESS).
fn finish_connecting(stream: &TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

fn verdict_of(error: &io::Error) -> Verdict {
    if platform::is_local_error(error) {
        Verdict::LocalError(error.to_string())
    } else {
        Verdict::Failed(reason_of(error))
    }
}

fn reason_of(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::BrokenPipe => "connection closed".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_a_worker_does_to_a_connection_is_told_in_words_and_what_else_fails_in_the_systems() {
        let reason = |errno: Errno| reason_of(&errno.into());
        assert_eq!(reason(Errno::ECONNREFUSED), "connection refused");
        assert_eq!(reason(Errno::ECONNRESET), "connection reset");
        assert_eq!(reason(Errno::EPIPE), "connection closed");
        assert_eq!(reason_of(&io::Error::other("no route")), "no route");
    }
}
