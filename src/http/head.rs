//! The head of an answer: kept until its blank line has come, then parsed once by httparse.
//!
//! Line ends are all that is looked for while bytes come in, so that a head in a thousand pieces costs no more than one
//! in a single piece. The status line alone is parsed early: garbage is refused as soon as it can't become HTTP, and a
//! head beyond its limit still has its status. It refuses to fail for a header; the status has been heard by then.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig};

use super::body::{BODY_BYTES_READ_MAX, Body, Chunk, Framing, push_digit};

/// The longest head that is read: status line and headers, with the blank lines before them, of one answer.
///
/// A worker whose status line was understood has answered, however much it goes on to say; that the rest isn't read
/// is our decision and not its failure, so the status counts. Without a final status line the limit is a failure.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// How many interim answers (1xx, but not 101) may come before the final one.
pub const INTERIM_MAX: u8 = 8;

/// How much of a Location is kept.
pub const LOCATION_BYTES_MAX: usize = 256;

/// How an alert of TLS 1.0 to 1.3 begins: its content type, and the major version (RFC 8446 §5.1).
const TLS_ALERT: &[u8] = &[0x15, 0x03];

/// How many headers are understood. With more, the length of the body is unknown and none is read.
pub const HEADERS_MAX: usize = 100;

/// Why there is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// The first line can't be a status line of HTTP/1.0 or HTTP/1.1.
    NotHttp,
    /// It begins as an alert of TLS does.
    Tls,
    /// [`HEAD_BYTES_MAX`] bytes held no final status line.
    HeadTooLong,
    /// The connection ended before a final head did.
    ClosedEarly,
    /// The connection ended before a single byte came.
    NoAnswer,
    /// More than [`INTERIM_MAX`] interim answers came.
    TooManyInterim,
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => formatter.write_str("answered something that is not HTTP"),
            Self::Tls => formatter.write_str("answered by TLS, and is asked by plain HTTP"),
            Self::HeadTooLong => write!(formatter, "sent {HEAD_BYTES_MAX} bytes without a final status line"),
            Self::ClosedEarly => formatter.write_str("closed the connection in the middle of its answer"),
            Self::NoAnswer => formatter.write_str("closed the connection without an answer"),
            Self::TooManyInterim => write!(formatter, "sent more than {INTERIM_MAX} interim answers"),
        }
    }
}

impl std::error::Error for HttpFailure {}

/// Where an exchange stands.
#[derive(Debug)]
pub(super) enum State {
    Head(Head),
    Body(Body),
    Answered { status: u16 },
    Failed(HttpFailure),
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// What a final head says beside status and framing.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Empty: there is none.
    pub(super) location: Vec<u8>,
    pub(super) is_page: bool,
}

impl Facts {
    /// Forgets them and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.location.clear();
        self.is_page = false;
    }

    fn read(&mut self, headers: &[Header<'_>]) {
        let value = |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let location = value("location").map_or(&[][..], |header| header.value.trim_ascii());
        self.location.extend_from_slice(&location[..location.len().min(LOCATION_BYTES_MAX)]);
        let kind = value("content-type").and_then(|header| header.value.trim_ascii().get(..PAGE.len()));
        self.is_page = kind.is_some_and(|kind| kind.eq_ignore_ascii_case(PAGE));
    }
}

/// The media type of pages (RFC 9110 §8.3); parameters may follow.
const PAGE: &[u8] = b"text/html";

/// The start of a status line that is checked before its end has arrived: `HTTP/1.1 200` and a few bytes more.
const STATUS_PREFIX_BYTES: usize = 16;

/// A head that is still incomplete, and where its parts begin in the kept bytes.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// The status, once its line is complete.
    status: Option<u16>,
    /// Where the status line begins: behind the blank lines that some servers send first.
    status_start: usize,
    /// Where the line begins whose end has not been seen.
    line_start: usize,
    /// How many interim answers came before this one.
    pub(super) interim: u8,
}

impl Head {
    /// Keeps the bytes up to the next line end; says how many were taken, and the next state if this one is over.
    pub(super) fn take(&mut self, kept: &mut Vec<u8>, facts: &mut Facts, bytes: &[u8]) -> (usize, Option<State>) {
        let line_bytes = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |index| index + 1);
        let taken = line_bytes.min(HEAD_BYTES_MAX - kept.len());
        let piece = &bytes[..taken];
        kept.extend_from_slice(piece);
        let next = if taken == 0 {
            Some(self.cut_off())
        } else if piece.ends_with(b"\n") {
            self.finish_line(kept, facts)
        } else {
            self.check_start(kept, taken)
        };
        if next.is_some() {
            kept.clear();
        }
        (taken, next)
    }

    /// The head is longer than its limit: what is known of it decides.
    fn cut_off(&self) -> State {
        match self.status {
            Some(status) if !is_interim(status) => State::Answered { status },
            Some(_) | None => State::Failed(HttpFailure::HeadTooLong),
        }
    }

    /// A line is complete: the status line is parsed at once, the headers all together when the blank line has come.
    fn finish_line(&mut self, kept: &[u8], facts: &mut Facts) -> Option<State> {
        let line = &kept[self.line_start..];
        let is_blank = matches!(line, b"\n" | b"\r\n");
        match (self.status, is_blank) {
            (None, true) | (Some(_), false) => {}
            (None, false) => {
                self.status = match parse_status_line(line) {
                    Ok(Some(status)) => Some(status),
                    Ok(None) | Err(NotHttp) => return Some(State::Failed(not_http(line))),
                };
                self.status_start = self.line_start;
            }
            (Some(status), true) => return Some(self.finish(status, &kept[self.status_start..], facts)),
        }
        self.line_start = kept.len();
        None
    }

    /// Refuses what can't become a status line without waiting for its end, which may never come.
    fn check_start(&self, kept: &[u8], taken: usize) -> Option<State> {
        let line = &kept[self.line_start..];
        let is_checked = line.len() - taken >= STATUS_PREFIX_BYTES;
        // One byte may yet become an alert, or not.
        if self.status.is_some() || is_checked || line == &TLS_ALERT[..1] {
            return None;
        }
        let prefix = &line[..line.len().min(STATUS_PREFIX_BYTES)];
        parse_status_line(prefix).is_err().then(|| State::Failed(not_http(line)))
    }

    /// The head is complete: on to the next one, to the body, or to the end where there is none.
    fn finish(&self, status: u16, head: &[u8], facts: &mut Facts) -> State {
        if is_interim(status) {
            return if self.interim == INTERIM_MAX {
                State::Failed(HttpFailure::TooManyInterim)
            } else {
                State::Head(Head { interim: self.interim + 1, ..Head::default() })
            };
        }
        match parse_headers(status, head, facts) {
            None | Some(Framing::Length { left: 0 }) => State::Answered { status },
            Some(framing) => State::Body(Body { status, framing, bytes_left: BODY_BYTES_READ_MAX }),
        }
    }
}

/// What a first line is that is none of HTTP's.
fn not_http(line: &[u8]) -> HttpFailure {
    if line.starts_with(TLS_ALERT) { HttpFailure::Tls } else { HttpFailure::NotHttp }
}

/// 101 ends HTTP on its connection, so nothing comes after it: it is a final answer (RFC 9110 §15.2.2).
fn is_interim(status: u16) -> bool {
    matches!(status, 100..=199) && status != 101
}

/// The bytes are not HTTP and no further ones can mend that.
struct NotHttp;

/// Tolerates what the standard lets a recipient tolerate, and drops a header line it can't read rather than the head.
fn parser() -> ParserConfig {
    let mut parser = ParserConfig::default();
    parser.allow_multiple_spaces_in_response_status_delimiters(true);
    parser.allow_spaces_after_header_name_in_responses(true);
    parser.ignore_invalid_headers_in_responses(true);
    parser
}

/// The status in `line`, the whole or the start of a status line; `None` if it lies beyond the end.
///
/// httparse lets 000 to 099 pass. They would count as below 500, so they are refused here.
fn parse_status_line(line: &[u8]) -> Result<Option<u16>, NotHttp> {
    let mut response = httparse::Response::new(&mut []);
    parser().parse_response(&mut response, line).map_err(|_| NotHttp)?;
    match response.code {
        Some(..100) => Err(NotHttp),
        code => Ok(code),
    }
}

/// Reads the headers of a complete `head` for its facts and the framing of its body; `None` where there is no body, or
/// no telling.
///
/// The order is RFC 9112 §6.3. A bad or contradictory length and a header that can't be read end the exchange with
/// the status alone: guessing at a body would be worth nothing.
fn parse_headers(status: u16, head: &[u8], facts: &mut Facts) -> Option<Framing> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    parser().parse_response_with_uninit_headers(&mut response, head, &mut headers).ok()?;
    facts.read(response.headers);
    if matches!(status, 101 | 204 | 304) {
        return None;
    }
    match last_coding(response.headers) {
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Some(Framing::Chunked(Chunk::START)),
        Some(_) => Some(Framing::UntilClose),
        None => match content_length(response.headers) {
            Ok(Some(left)) => Some(Framing::Length { left }),
            Ok(None) => Some(Framing::UntilClose),
            Err(BadLength) => None,
        },
    }
}

/// The comma-separated elements of all headers named `name`, in order.
fn elements<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.flat_map(|header| header.value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// The transfer coding that was applied last; it alone says where the body ends.
fn last_coding<'a>(headers: &'a [Header<'a>]) -> Option<&'a [u8]> {
    elements(headers, "transfer-encoding").filter(|coding| !coding.is_empty()).last()
}

/// A Content-Length that is no number, or two that differ.
struct BadLength;

/// The one length that all `Content-Length` headers agree on.
fn content_length<'a>(headers: &'a [Header<'a>]) -> Result<Option<u64>, BadLength> {
    let mut length = None;
    for element in elements(headers, "content-length") {
        let parsed = parse_digits(element).ok_or(BadLength)?;
        if length.is_some_and(|length| length != parsed) {
            return Err(BadLength);
        }
        length = Some(parsed);
    }
    Ok(length)
}

/// A number of digits only, without the sign that Rust's own parser allows.
fn parse_digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(None, |number, &byte| push_digit(number, byte, 10).map(Some)).flatten()
}
