//! One HTTP/1.1 exchange without its connection: the bytes of a request, and a verdict on the bytes of its answer.
//!
//! A [`Request`] is rendered once and sent as often as needed. An [`Exchange`] is fed what was read, in pieces of any
//! size; the verdict depends on the bytes alone, never on how they were cut. It promises that every buffer and loop is
//! bounded, that each byte is looked at a bounded number of times, and that after [`Exchange::reset`] nothing is
//! allocated again. Once a final status line and its head have arrived the verdict is that status, whatever becomes of
//! the body: the body is a courtesy for [`SyncAnswer`].
//!
//! It reads no clock, opens nothing and logs nothing. It refuses keep-alive, redirects and HTTP/2.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod body;
mod head;

use self::body::Body;
use self::head::{Facts, State};

pub use self::body::{BODY_BYTES_KEPT_MAX, BODY_BYTES_READ_MAX};
pub use self::head::{HEAD_BYTES_MAX, HEADERS_MAX, HttpFailure, INTERIM_MAX, LOCATION_BYTES_MAX};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A probe.
    Get,
    /// A sync; sent with `Content-Length: 0`.
    Put,
}

/// A request, rendered once and sent for each probe or sync.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Box<[u8]>,
}

impl Request {
    /// Renders a request for `endpoint`, a path that starts with `/`, on the host named `host_header`.
    ///
    /// Both come from the configuration, which has refused line ends and, in the endpoint, spaces; so the request
    /// can't be split.
    pub fn new(method: Method, endpoint: &str, host_header: &str) -> Self {
        debug_assert!(endpoint.starts_with('/') && !endpoint.contains([' ', '\r', '\n']), "unchecked {endpoint:?}");
        debug_assert!(!host_header.contains(['\r', '\n']), "unchecked {host_header:?}");
        let (verb, length) = match method {
            Method::Get => ("GET", ""),
            Method::Put => ("PUT", "Content-Length: 0\r\n"),
        };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "{verb} {endpoint} HTTP/1.1\r\nHost: {host_header}\r\nUser-Agent: worker-supervisor/{version}\r\n\
             Accept: */*\r\nConnection: close\r\n{length}\r\n"
        );
        Self { bytes: text.into_bytes().into_boxed_slice() }
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Nothing can be said yet: read on.
    NeedMore,
    /// The status is known and the body still comes: a probe may stop here, a sync reads on.
    Heard,
    /// The verdict is final and further bytes are ignored: close the connection.
    Done,
}

/// An answer: its status, what its head says beside it, and what was kept of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The final status, 100 to 999. What RFC 9110 §15 has no meaning for (600 and above) is to be treated as a 5xx.
    pub status: u16,
    /// Where a redirect leads: the header Location, at most [`LOCATION_BYTES_MAX`] of it, and empty without one. Not
    /// escaped.
    pub location: &'a [u8],
    /// Whether it is a page for people, by its Content-Type `text/html`.
    pub is_page: bool,
    /// The start of the decoded body, at most [`BODY_BYTES_KEPT_MAX`]; less if it isn't complete or its framing is bad.
    pub body: &'a [u8],
}

impl Response<'_> {
    /// Whether it accepts a registration: a page does not, whatever its status. It is what a server gives that knows no
    /// such endpoint and answers everything.
    pub fn accepts(&self) -> bool {
        (200..300).contains(&self.status) && !self.is_page
    }
}

/// What the answer to a sync says in its body, as far as it is a JSON object that says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Whether the registration changed anything: the boolean `modified`.
    pub modified: Option<bool>,
    /// In the worker's words, what came of it: the string `message`. Not escaped.
    pub message: Option<String>,
}

impl SyncAnswer {
    /// Reads a body; one that is no JSON object says nothing.
    pub fn read(body: &[u8]) -> Self {
        let body = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        Self {
            modified: body.get("modified").and_then(serde_json::Value::as_bool),
            message: body.get("message").and_then(serde_json::Value::as_str).map(str::to_owned),
        }
    }
}

/// The answer's side of one exchange, reusable through [`Exchange::reset`].
#[derive(Debug, Default)]
pub struct Exchange {
    /// The head until it is complete, then the body: at most twice [`BODY_BYTES_KEPT_MAX`] are ever allocated.
    kept: Vec<u8>,
    facts: Facts,
    state: State,
}

impl Exchange {
    /// An exchange that has received nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the answer and keeps the memory, ready for the next one.
    pub fn reset(&mut self) {
        self.kept.clear();
        self.facts.clear();
        self.state = State::default();
    }

    /// Takes the next bytes of the answer, as many as were read. An empty slice is not the end; see [`Exchange::end`].
    pub fn receive(&mut self, bytes: &[u8]) -> Progress {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, next) = match &mut self.state {
                State::Head(head) => head.take(&mut self.kept, &mut self.facts, rest),
                State::Body(body) => {
                    let (taken, is_over) = body.take(&mut self.kept, rest);
                    (taken, is_over.then_some(State::Answered { status: body.status }))
                }
                State::Answered { .. } | State::Failed(_) => break,
            };
            debug_assert!(taken > 0 || next.is_some(), "each turn consumes something");
            rest = &rest[taken..];
            if let Some(next) = next {
                self.state = next;
            }
        }
        self.progress()
    }

    /// Takes note that the connection has ended. After a read error, too: a status heard before it stands.
    pub fn end(&mut self) -> Progress {
        match &self.state {
            State::Head(head) => {
                let is_silent = self.kept.is_empty() && head.interim == 0;
                self.state = State::Failed(if is_silent { HttpFailure::NoAnswer } else { HttpFailure::ClosedEarly });
            }
            State::Body(body) => self.state = State::Answered { status: body.status },
            State::Answered { .. } | State::Failed(_) => {}
        }
        self.progress()
    }

    /// How far the answer is.
    pub fn progress(&self) -> Progress {
        match self.state {
            State::Head(_) => Progress::NeedMore,
            State::Body(_) => Progress::Heard,
            State::Answered { .. } | State::Failed(_) => Progress::Done,
        }
    }

    /// How many bytes to read next at most, 0 when done. More may be fed; what has no meaning is ignored.
    pub fn room(&self) -> usize {
        match &self.state {
            State::Head(_) => HEAD_BYTES_MAX + 1 - self.kept.len(),
            State::Body(body) => body.room(),
            State::Answered { .. } | State::Failed(_) => 0,
        }
    }

    /// The verdict, or `None` while more bytes are needed for one.
    ///
    /// From [`Progress::Heard`] on it is the status, and only the body may still grow; so it is also what to ask when a
    /// deadline passes or a read fails.
    pub fn verdict(&self) -> Option<Result<Response<'_>, HttpFailure>> {
        match &self.state {
            State::Head(_) => None,
            State::Body(Body { status, .. }) | State::Answered { status } => {
                let Facts { location, is_page } = &self.facts;
                Some(Ok(Response { status: *status, location, is_page: *is_page, body: &self.kept }))
            }
            State::Failed(failure) => Some(Err(*failure)),
        }
    }
}

#[cfg(test)]
mod tests;
