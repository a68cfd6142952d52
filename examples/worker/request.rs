//! One request, read from a connection: as little of HTTP/1.1 as probes, registrations and tests need.
//! Head and body have limits; what is longer, or no HTTP, or cut off is no request.

use std::io::{self, Read};

/// Longest head, and longest body, in bytes.
const BYTES_MAX: usize = 64 * 1024;

/// What a client asked.
pub(crate) struct Request {
    /// In capitals, as it came.
    pub(crate) method: String,
    /// With the query, if it has one.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Reads head and body; `None` where the client closed, failed, or sent something else.
    pub(crate) fn read(stream: &mut impl Read) -> Option<Self> {
        let (head, body_bytes_read) = read_head(stream).ok()?;
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let request = Self { method, path, headers };
        let expected = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let missing = usize::min(expected, BYTES_MAX).saturating_sub(body_bytes_read);
        stream.read_exact(&mut vec![0; missing]).ok()?;
        Some(request)
    }

    /// The value of a header by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The part of the path after `prefix`.
    pub(crate) fn after(&self, prefix: &str) -> Option<&str> {
        self.path.strip_prefix(prefix)
    }

    /// Whether this is a registration.
    pub(crate) fn is_sync(&self) -> bool {
        self.method == "PUT" || self.method == "POST"
    }
}

/// The head without its empty line, and how many bytes of the body came with it.
fn read_head(stream: &mut impl Read) -> io::Result<(String, usize)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body_bytes_read = bytes.len() - end - 4;
            bytes.truncate(end);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body_bytes_read));
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 || bytes.len() > BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}
