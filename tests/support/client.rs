//! A blocking HTTP client for tests: one request a connection, a limit on every step.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wait::slowed;

/// For connecting, and for each read and write.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    /// The body, as it came (chunks are not put together).
    pub(crate) body: String,
}

/// A client that is connected to 127.0.0.1 and asks nothing.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    connect_to(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Whether a connection to 127.0.0.1 succeeds. The server sees it.
pub(crate) fn is_listening(port: u16) -> bool {
    connect(port).is_ok()
}

/// Asks 127.0.0.1, without a body, and reads until the server closes.
pub(crate) fn request(port: u16, method: &str, path: &str) -> io::Result<Answer> {
    request_to(SocketAddr::from(([127, 0, 0, 1], port)), method, path)
}

/// As `request`, of any address.
pub(crate) fn request_to(address: SocketAddr, method: &str, path: &str) -> io::Result<Answer> {
    let mut stream = connect_to(address)?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parsed(&String::from_utf8_lossy(&bytes)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, slowed(STEP_LIMIT))?;
    stream.set_read_timeout(Some(slowed(STEP_LIMIT)))?;
    stream.set_write_timeout(Some(slowed(STEP_LIMIT)))?;
    Ok(stream)
}

fn parsed(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
