//! How an answer looks on the wire: well-formed, or wrong in one named way.
//! Everything is bounded: an endless body ends when the client closes, or at `BIG_BYTES`.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use crate::listen::pause;

/// How much an endless body or a big head amounts to.
const BIG_BYTES: usize = 10 * 1024 * 1024;
/// In the bytes of `--raw`: a pause between two writes; as the last one, how the connection ends.
const PAUSE: u8 = 0x1e;
const END_BY_RESET: u8 = 0x04;
const END_BY_SILENCE: u8 = 0x05;
/// Long enough that what was written before it is read before what comes after it.
const RAW_PAUSE: Duration = Duration::from_millis(50);
const FILLER: [u8; 16 * 1024] = [b'x'; 16 * 1024];

/// The shape of each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// HTTP/1.1 with a length.
    Plain,
    /// HTTP/1.1 in chunks.
    Chunked,
    /// Plain, one byte a second.
    SlowBytes,
    /// A head without a length and a body without an end.
    Endless,
    /// Header lines without an end.
    BigHead,
    /// 103 and 100 before the answer.
    Interim,
    /// HTTP/1.0, bare line feeds, no reason, no length.
    Bare,
    /// Bytes that are no HTTP.
    Garbage,
    /// Plain, then the connection is reset.
    ResetAfter,
    /// The connection is reset without an answer.
    Reset,
    /// The connection is closed without an answer.
    Close,
    /// No answer until the client closes.
    Hang,
}

impl Shape {
    /// The shape that an option names.
    pub(crate) fn named(flag: &str) -> Option<Self> {
        Some(match flag {
            "--chunked" => Self::Chunked,
            "--slow-bytes" => Self::SlowBytes,
            "--endless" => Self::Endless,
            "--big-head" => Self::BigHead,
            "--interim" => Self::Interim,
            "--bare" => Self::Bare,
            "--garbage" => Self::Garbage,
            "--reset-after" => Self::ResetAfter,
            "--reset" => Self::Reset,
            "--close" => Self::Close,
            "--hang" => Self::Hang,
            _ => return None,
        })
    }
}

/// What is said, whatever the shape.
pub(crate) struct Answer {
    /// 100-999.
    pub(crate) status: u16,
    /// The reason phrase, sent as it is.
    pub(crate) reason: String,
    /// The media type.
    pub(crate) content_type: &'static str,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// Sends this answer in a shape. A client that went away is an error.
    pub(crate) fn send(&self, shape: Shape, stream: &mut TcpStream) -> io::Result<()> {
        match shape {
            Shape::Plain => stream.write_all(&self.plain()),
            Shape::Chunked => self.send_chunked(stream),
            Shape::SlowBytes => self.plain().iter().try_for_each(|byte| {
                stream.write_all(&[*byte])?;
                pause(Duration::from_secs(1));
                Ok(())
            }),
            Shape::Endless => {
                write!(stream, "{}\r\n", self.head())?;
                send_filler(stream)
            }
            Shape::BigHead => {
                write!(stream, "{}X-Filler: ", self.head())?;
                send_filler(stream)?;
                stream.write_all(b"\r\n\r\n")
            }
            Shape::Interim => {
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")?;
                stream.write_all(&self.plain())
            }
            Shape::Bare => write!(stream, "HTTP/1.0 {}\n\n{}", self.status, self.body),
            Shape::Garbage => stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
            Shape::ResetAfter => {
                stream.write_all(&self.plain())?;
                reset_when_closed(stream)
            }
            Shape::Reset => reset_when_closed(stream),
            Shape::Close | Shape::Hang => Ok(()),
        }
    }

    fn plain(&self) -> Vec<u8> {
        format!("{}Content-Length: {}\r\n\r\n{}", self.head(), self.body.len(), self.body).into_bytes()
    }

    fn head(&self) -> String {
        let (status, reason, content_type) = (self.status, &self.reason, self.content_type);
        format!("HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nConnection: close\r\n")
    }

    fn send_chunked(&self, stream: &mut TcpStream) -> io::Result<()> {
        write!(stream, "{}Transfer-Encoding: chunked\r\n\r\n", self.head())?;
        for chunk in self.body.as_bytes().chunks(FILLER.len()) {
            write!(stream, "{:x}\r\n", chunk.len())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")
    }
}

fn send_filler(stream: &mut TcpStream) -> io::Result<()> {
    (0..BIG_BYTES / FILLER.len()).try_for_each(|_| stream.write_all(&FILLER))
}

/// Sends bytes as they are, but for the control characters that `--raw` gives a meaning.
pub(crate) fn send_raw(bytes: &[u8], stream: &mut TcpStream) -> io::Result<()> {
    let (bytes, end) = match bytes.split_last() {
        Some((&end @ (END_BY_RESET | END_BY_SILENCE), rest)) => (rest, Some(end)),
        Some(_) | None => (bytes, None),
    };
    for (index, piece) in bytes.split(|byte| *byte == PAUSE).enumerate() {
        if index > 0 {
            pause(RAW_PAUSE);
        }
        stream.write_all(piece)?;
    }
    match end {
        Some(END_BY_RESET) => reset_when_closed(stream),
        Some(_) => io::copy(stream, &mut io::sink()).map(drop),
        None => Ok(()),
    }
}

/// With a linger time of zero, closing sends RST instead of FIN.
fn reset_when_closed(stream: &TcpStream) -> io::Result<()> {
    setsockopt(stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).map_err(io::Error::from)
}
