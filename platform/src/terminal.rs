//! How much a terminal shows. It changes whenever somebody moves an edge of its window, so it is asked each time.

use std::os::fd::{AsFd, AsRawFd};

/// What a terminal is taken for that does not say how large it is, as on a serial line: the size of a VT100.
const UNKNOWN: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// How much a terminal shows, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Of a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// How much the terminal behind a descriptor shows (TIOCGWINSZ). None: it is no terminal.
pub fn terminal_size(fd: &impl AsFd) -> Option<TerminalSize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize, and `size` is a live one.
    let asked = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let is_told = size.ws_col > 0 && size.ws_row > 0;
    let told = if is_told { TerminalSize { columns: size.ws_col, rows: size.ws_row } } else { UNKNOWN };
    (asked == 0).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::{OpenptyResult, Winsize, openpty};

    #[test]
    fn a_terminal_says_its_size_and_nothing_else_has_one() {
        let small = Winsize { ws_row: 7, ws_col: 31, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master: _master, slave } = openpty(Some(&small), None).expect("a terminal");
        assert_eq!(terminal_size(&slave), Some(TerminalSize { columns: 31, rows: 7 }));
        let OpenptyResult { master: _master, slave } = openpty(None, None).expect("a terminal");
        assert_eq!(terminal_size(&slave), Some(UNKNOWN));
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        assert_eq!(terminal_size(&reader), None);
    }
}
