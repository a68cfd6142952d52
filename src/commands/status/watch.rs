//! `status --watch`: the page once more whenever something has happened.
//!
//! A terminal shows how it is now: each page is drawn over the last one, also once a second for the ages in it, and cut
//! to the terminal's size, so that what is drawn over is all that was drawn. It is the screen that the shell uses, so
//! that the last page stays there. Anything else gets a page for each thing that happens, after an empty line, and no
//! escape sequence. Looking again never ends it: what can't be looked at any more is said in the page's place.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use platform::TerminalSize;

use super::page::Style;
use super::view::View;
use crate::commands::wait::Wait;
use crate::config::{Config, Reading};
use crate::error::{Error, ExitCode};
use crate::print;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How old a page on a terminal may grow.
const PAGE_AGE_MAX: Duration = Duration::from_secs(1);

/// Line wrap, DECAWM of the VT100: without it a line of wide characters is cut by the terminal itself.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";
/// To the end of the screen.
const ERASE: &str = "\x1b[J";

/// Shows the page until a signal asks to end or the reader goes away. Returns what `status` would for the last one.
///
/// # Errors
/// Signals can't be received, or the output not be written (70).
pub fn watch(
    config: &Config,
    reading: Reading,
    style: Style,
    output: &mut (impl Write + AsFd),
) -> Result<ExitCode, Error> {
    let wait = Wait::new(output.as_fd().as_raw_fd());
    let mut wait = wait.map_err(|error| Error::cannot(ExitCode::Internal, "receive signals", error))?;
    let mut screen = Screen::new();
    let mut code = ExitCode::Ok;
    let mut show = || loop {
        let seen = Seen::look(config, reading, style);
        code = seen.code;
        let text = screen.update(seen, platform::terminal_size(output), Instant::now());
        output.write_all(text.as_bytes())?;
        output.flush()?;
        if wait.is_over(LOOK_INTERVAL)? {
            return Ok(());
        }
    };
    let shown = show();
    print::end(shown, code)
}

/// What a look has shown.
struct Seen {
    /// What differs only if something has happened.
    gist: String,
    page: String,
    code: ExitCode,
}

impl Seen {
    fn look(config: &Config, reading: Reading, style: Style) -> Seen {
        match View::look(config, reading) {
            Ok(view) => {
                let (page, code) = (view.page(style), view.code());
                Seen { gist: view.gist().unwrap_or_else(|| page.clone()), page, code }
            }
            Err(error) => {
                let page = format!("{}: {error}\n", config.name);
                Seen { gist: page.clone(), page, code: error.code }
            }
        }
    }
}

/// What was shown last.
struct Screen {
    gist: String,
    size: Option<TerminalSize>,
    lines: usize,
    drawn_at: Instant,
}

impl Screen {
    fn new() -> Screen {
        Screen { gist: String::new(), size: None, lines: 0, drawn_at: Instant::now() }
    }

    /// What to write to show this; nothing if it is shown already, and fresh.
    fn update(&mut self, seen: Seen, size: Option<TerminalSize>, now: Instant) -> String {
        let is_old = size.is_some() && now.saturating_duration_since(self.drawn_at) >= PAGE_AGE_MAX;
        if !is_old && self.gist == seen.gist && self.size == size {
            return String::new();
        }
        let mut text = String::new();
        // A terminal of another size has moved the lines about: they stay, and the page begins anew below.
        let above = if self.size == size { self.lines } else { 0 };
        let Some(TerminalSize { columns, rows }) = size else {
            text += if above > 0 { "\n" } else { "" };
            text += &seen.page;
            *self = Screen { gist: seen.gist, size, lines: 1, drawn_at: now };
            return text;
        };
        text += WRAP_OFF;
        if above > 0 {
            text += &format!("\x1b[{above}A{ERASE}");
        }
        let mut lines = 0;
        // The cursor stands below them.
        for line in seen.page.lines().take(usize::from(rows).saturating_sub(1)) {
            push_cut(&mut text, line, columns.into());
            text.push('\n');
            lines += 1;
        }
        *self = Screen { gist: seen.gist, size, lines, drawn_at: now };
        text + WRAP_ON
    }
}

/// Adds a line as far as so many columns show it, and marks a cut. Colours take no column, and are all kept, so that
/// none stays on.
fn push_cut(text: &mut String, line: &str, columns: usize) {
    let (mut shown, mut last_at, mut is_colour) = (0, 0, false);
    for character in line.chars() {
        is_colour |= character == '\x1b';
        if is_colour {
            is_colour = character != 'm';
            text.push(character);
            continue;
        }
        shown += 1;
        if shown <= columns {
            last_at = text.len();
            text.push(character);
        } else if shown == columns + 1 {
            let last = text.split_off(last_at);
            text.push('…');
            text.extend(last.chars().skip(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(gist: &str, page: &str) -> Seen {
        Seen { gist: gist.into(), page: page.into(), code: ExitCode::Ok }
    }

    fn terminal(columns: u16, rows: u16) -> Option<TerminalSize> {
        Some(TerminalSize { columns, rows })
    }

    /// What a fresh screen writes for these pages, one after the other, at the same moment.
    fn written(size: Option<TerminalSize>, pages: &[(&str, &str)]) -> Vec<String> {
        let mut screen = Screen::new();
        let now = screen.drawn_at;
        pages.iter().map(|(gist, page)| screen.update(seen(gist, page), size, now)).collect()
    }

    #[test]
    fn a_pipe_gets_a_page_for_each_thing_that_happens_and_nothing_for_the_time_that_passes() {
        let pages = [("a", "up 1 s\n"), ("a", "up 2 s\n"), ("b", "down\n")];
        assert_eq!(written(None, &pages), ["up 1 s\n", "", "\ndown\n"]);
        let mut screen = Screen::new();
        let now = screen.drawn_at;
        assert_eq!(screen.update(seen("a", "up 1 s\n"), None, now), "up 1 s\n");
        assert_eq!(screen.update(seen("a", "up 2 min\n"), None, now + Duration::from_secs(120)), "");
    }

    #[test]
    fn a_terminal_gets_each_page_over_the_last_one() {
        let pages = [("a", "one\ntwo\n"), ("a", "one\ntwo\n"), ("b", "three\n"), ("c", "four\n")];
        let expected = [
            "\x1b[?7lone\ntwo\n\x1b[?7h",
            "",
            "\x1b[?7l\x1b[2A\x1b[Jthree\n\x1b[?7h",
            "\x1b[?7l\x1b[1A\x1b[Jfour\n\x1b[?7h",
        ];
        assert_eq!(written(terminal(80, 24), &pages), expected);
    }

    #[test]
    fn a_terminal_gets_the_same_again_after_a_second_and_below_when_its_size_changes() {
        let mut screen = Screen::new();
        let now = screen.drawn_at;
        let mut update = |size, millis| screen.update(seen("a", "one\n"), size, now + Duration::from_millis(millis));
        assert!(update(terminal(80, 24), 0).ends_with("one\n\x1b[?7h"));
        assert_eq!(update(terminal(80, 24), 999), "");
        assert_eq!(update(terminal(80, 24), 1000), "\x1b[?7l\x1b[1A\x1b[Jone\n\x1b[?7h");
        assert_eq!(update(terminal(40, 24), 1001), "\x1b[?7lone\n\x1b[?7h");
    }

    #[test]
    fn a_page_is_cut_to_what_the_terminal_shows() {
        let page = "\x1b[31m12345\x1b[0m\n\x1b[31m123456\x1b[0m\n1\x1b[31m2345\x1b[0m6\nnot shown\n";
        let expected = "\x1b[?7l\x1b[31m12345\x1b[0m\n\x1b[31m1234…\x1b[0m\n1\x1b[31m234…\x1b[0m\n\x1b[?7h".to_owned();
        assert_eq!(written(terminal(5, 4), &[("a", page)]), [expected]);
        for tiny in [terminal(1, 1), terminal(1, 2), terminal(2, 1)] {
            assert!(written(tiny, &[("a", page), ("b", page)])[1].lines().count() <= 2);
        }
    }
}
