//! Reading the two files that decide what runs: the config and the worker's `env_file`.
//!
//! Promises: never blocks on a FIFO or device, reads at most [`BYTES_MAX`] bytes, refuses a file that anyone may write
//! or another user could replace, and reports one that a group may write. It follows symbolic links; what counts is the
//! file that they lead to, and every directory on the way.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Config;

/// The longest file that is read, in bytes.
pub(crate) const BYTES_MAX: u64 = 1024 * 1024;

/// The content of a trusted file.
#[derive(Debug)]
pub(crate) struct Trusted {
    /// All of it.
    pub(crate) bytes: Vec<u8>,
    /// Set if a group may write the file.
    pub(crate) warning: Option<String>,
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no such file.
    Missing,
    /// Any other cause, and what to do about it where that is known.
    Refused(String),
}

/// Reads a file that decides what runs.
pub(crate) fn read_trusted(path: &Path) -> Result<Trusted, ReadError> {
    let safe = platform::safe_path(path).map_err(refusal)?;
    // Looked at before it is opened: opening a device may do something.
    ensure_regular(&fs::metadata(safe.real()).map_err(refusal)?)?;
    let file = safe.open(OpenOptions::new().read(true)).map_err(refusal)?;
    let metadata = file.metadata().map_err(refusal)?;
    ensure_regular(&metadata)?;
    platform::ensure_trusted(safe.real(), &metadata).map_err(refusal)?;
    ensure_not_writable_by_all(path, &metadata)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refusal)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(ReadError::Refused(format!("it is longer than {BYTES_MAX} bytes")));
    }
    Ok(Trusted { bytes, warning: group_warning(path, &metadata) })
}

/// Who else could replace what the supervisor reads and writes, since a group or an access control list may change a
/// directory that leads there, as sentences for the log.
pub(crate) fn path_warnings(config: &Config) -> Vec<String> {
    let state = config.state_dir.join(&config.name);
    let paths = [&config.path, &state, &config.log_stdout, &config.log_stderr];
    let mut warnings = Vec::new();
    for path in paths.into_iter().chain(&config.env_file) {
        let found = platform::safe_path(path).ok().and_then(|safe| safe.warning());
        warnings.extend(found.filter(|warning| !warnings.contains(warning)));
    }
    warnings
}

fn refusal(error: io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        _ => ReadError::Refused(error.to_string()),
    }
}

fn ensure_regular(metadata: &Metadata) -> Result<(), ReadError> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() { "a directory" } else { "a FIFO, socket or device" };
    Err(ReadError::Refused(format!("it is {what}, not a regular file")))
}

fn ensure_not_writable_by_all(path: &Path, metadata: &Metadata) -> Result<(), ReadError> {
    if metadata.mode() & 0o002 == 0 {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    Err(ReadError::Refused(format!(
        "anyone may write it (mode {mode:04o}) and it decides what runs; run `chmod o-w {}`",
        path.display()
    )))
}

fn group_warning(path: &Path, metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode() & 0o7777;
    (mode & 0o020 != 0).then(|| {
        format!(
            "a group may write {path:?} (mode {mode:04o}) and it decides what runs; run `chmod g-w {}`",
            path.display()
        )
    })
}

/// Line and column of a byte, both counted from 1. Columns count characters; bytes that are no UTF-8 count one each.
pub(crate) fn position(bytes: &[u8], offset: usize) -> (usize, usize) {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let before = &bytes[..offset.min(bytes.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let prefix = &before[line_start..];
    let prefix = prefix.strip_prefix(BYTE_ORDER_MARK).unwrap_or(prefix);
    let column =
        1 + prefix.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum::<usize>();
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        assert_eq!(position(b"", 0), (1, 1));
        assert_eq!(position(b"ab\ncd", 1), (1, 2));
        assert_eq!(position(b"ab\ncd", 2), (1, 3));
        assert_eq!(position(b"ab\ncd", 4), (2, 2));
        assert_eq!(position(b"ab\r\ncd", 4), (2, 1));
        assert_eq!(position("äö\nü = 1".as_bytes(), 8), (2, 3));
        assert_eq!(position(b"ab", 99), (1, 3));
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        assert_eq!(position(b"\xef\xbb\xbfa", 3), (1, 1));
        assert_eq!(position(b"\xef\xbb\xbfab", 4), (1, 2));
    }
}
