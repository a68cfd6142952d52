//! Named exit codes, the error that ends a start, and the escaping of foreign text.
//!
//! Every failure before the supervisor runs is an [`Error`]: a code that says whose fault it is and a message of the
//! form "cannot VERB OBJECT: cause". `main` prints it, once, and exits with its code; nothing else prints or exits.
//! Text that comes from the worker, a tool or the network passes through [`escape`] before it reaches a log line.

use std::fmt;

/// How the program ends. The numbers are an interface: launchd jobs and scripts read them. 64 and up are those of
/// sysexits(3), 75 being its "temporary failure".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for was done; for a running supervisor: the worker is gone.
    Ok = 0,
    /// The kernel would not let go of the worker. For `status`: not healthy; for `restart`: not healthy again.
    Failed = 1,
    /// `status` and `restart`: no supervisor runs for this config.
    NotRunning = 3,
    /// The command line makes no sense.
    Usage = 64,
    /// This system lacks what was asked for.
    Unavailable = 69,
    /// A system call failed that never should.
    Internal = 70,
    /// Another supervisor holds this config's lock.
    AlreadyRunning = 75,
    /// The config can't be used.
    Config = 78,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that ends the program before it supervises anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Who is to blame, as an exit code.
    pub code: ExitCode,
    /// What could not be done and why: lower case, paths quoted, no full stop. One line, or one line per problem.
    pub message: String,
}

impl Error {
    /// An error with a finished message.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// "cannot `task`: `cause`", with `task` as in `open the lock "/a/b"`.
    pub fn cannot(code: ExitCode, task: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self { code, message: cannot(&task, &cause) }
    }
}

/// Once for all types: a copy of its own for each pair of them takes a kilobyte.
fn cannot(task: &dyn fmt::Display, cause: &dyn fmt::Display) -> String {
    format!("cannot {task}: {cause}")
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What [`escape`] puts at the end of text that it cut.
const CUT_MARK: &str = "…";

/// How much of a name, or of what was typed, a message repeats, in bytes.
pub(crate) const SHOWN_BYTES_MAX: usize = 60;

/// Foreign bytes as text that is safe in a log line and on a terminal: control characters, ESC, line breaks, bytes that
/// are not UTF-8 and characters that reorder or hide text come out as `\n`, `\xNN` or `\u{NNNN}`, a backslash doubled.
///
/// At most `bytes_max` bytes of the input are read; `…` marks a cut, which never splits a character. The result is at
/// most 4 × `bytes_max` + 3 bytes long.
pub fn escape(foreign: impl AsRef<[u8]>, bytes_max: usize) -> String {
    let foreign = foreign.as_ref();
    let kept = &foreign[..boundary_before(foreign, bytes_max)];
    let mut safe = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut safe, character);
        }
        for byte in chunk.invalid() {
            push_byte(&mut safe, *byte);
        }
    }
    if kept.len() < foreign.len() {
        safe.push_str(CUT_MARK);
    }
    safe
}

/// Cuts text that is fit to be shown to at most `bytes_max` bytes, and marks the cut.
pub fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(boundary_before(text.as_bytes(), bytes_max));
        text.push_str(CUT_MARK);
    }
}

/// A page for a terminal, of which parts may be foreign: as [`escape`], but with its own lines and backslashes.
pub fn printable(page: &str) -> String {
    let mut safe = String::with_capacity(page.len());
    for character in page.chars() {
        match character {
            '\n' | '\\' => safe.push(character),
            _ => push_escaped(&mut safe, character),
        }
    }
    safe
}

/// The last index up to `limit` that is not inside a UTF-8 character.
fn boundary_before(bytes: &[u8], limit: usize) -> usize {
    if bytes.len() <= limit {
        return bytes.len();
    }
    let is_continuation = |index: usize| bytes[index] & 0xc0 == 0x80;
    // No character is longer than four bytes: a longer run of continuation bytes is no UTF-8 and may be cut anywhere.
    (limit.saturating_sub(3)..=limit).rev().find(|&index| !is_continuation(index)).unwrap_or(limit)
}

fn push_escaped(safe: &mut String, character: char) {
    match character {
        '\\' => safe.push_str("\\\\"),
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        '\0'..='\x1f' | '\x7f' => push_byte(safe, character as u8),
        _ if hides_or_reorders(character) => safe.extend(character.escape_unicode()),
        _ => safe.push(character),
    }
}

fn push_byte(safe: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    safe.push_str("\\x");
    safe.push(DIGITS[usize::from(byte >> 4)] as char);
    safe.push(DIGITS[usize::from(byte & 15)] as char);
}

/// Characters that a terminal shows as nothing or that change how their neighbours are shown: C1 controls, soft hyphen,
/// zero-width and bidirectional marks, line and paragraph separators, invisible operators, byte order mark, tags.
pub(crate) fn hides_or_reorders(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_language_stays_as_it_is() {
        for text in ["", "plain", "größer 日本語 🦀", "a=\"b\" 'c'"] {
            assert_eq!(escape(text, 100), text);
        }
    }

    #[test]
    fn control_characters_cannot_reach_a_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\r\nc\td\0\u{7f}", 100), "a\\x1b[31mb\\r\\nc\\td\\x00\\x7f");
        assert_eq!(escape("\u{9b}31m", 100), "\\u{9b}31m");
    }

    #[test]
    fn a_backslash_is_doubled_so_that_escapes_cannot_be_forged() {
        assert_eq!(escape("\\n", 100), "\\\\n");
    }

    #[test]
    fn characters_that_hide_or_reorder_text_are_escaped() {
        assert_eq!(escape("\u{202e}abc\u{200b}\u{feff}\u{2028}", 100), "\\u{202e}abc\\u{200b}\\u{feff}\\u{2028}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_escaped() {
        assert_eq!(escape(b"a\xff\xc3(", 100), "a\\xff\\xc3(");
    }

    #[test]
    fn a_cut_is_marked_and_never_splits_a_character() {
        assert_eq!(escape("abcdef", 3), "abc…");
        assert_eq!(escape("abc", 3), "abc");
        assert_eq!(escape("äöü", 3), "ä…");
        assert_eq!(escape("🦀🦀", 7), "🦀…");
        assert_eq!(escape([0x80; 9], 6), "\\x80".repeat(6) + "…");
        assert_eq!(escape("abc", 0), "…");
    }

    #[test]
    fn text_that_was_cut_is_marked_and_no_character_is_split() {
        let cut = |text: &str, bytes_max| {
            let mut text = text.to_owned();
            cut(&mut text, bytes_max);
            text
        };
        assert_eq!([cut("abcdef", 6), cut("abcdef", 3), cut("äöü", 3)], ["abcdef", "abc…", "ä…"]);
    }

    #[test]
    fn a_page_keeps_its_lines_and_nothing_that_changes_a_terminal() {
        assert_eq!(printable("a\n\"\\u{202e}\"\r\u{202e}\u{1b}[31m"), "a\n\"\\u{202e}\"\\r\\u{202e}\\x1b[31m");
    }

    #[test]
    fn the_output_is_bounded_by_the_input() {
        for text in ["\u{e0001}".repeat(50), "\0".repeat(200), "\u{80}".repeat(100)] {
            assert!(escape(&text, 100).len() <= 4 * 100 + CUT_MARK.len());
        }
    }

    #[test]
    fn errors_read_as_one_sentence() {
        let error = Error::cannot(ExitCode::Internal, "open the lock \"/x\"", "permission denied");
        assert_eq!(error.to_string(), "cannot open the lock \"/x\": permission denied");
    }
}
