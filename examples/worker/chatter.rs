//! Output that never rests: numbered lines, one write each, so that a test can tell which of them got lost.

use std::io::{Write, stdout};
use std::time::Duration;

use crate::listen::pause;

/// Between two lines: some thousand a second leave a busy machine room for its other work.
const PAUSE: Duration = Duration::from_micros(100);

/// Writes the lines to standard output from a thread of its own: a number of nine digits and 54 points, 64 bytes with
/// the line feed.
pub(crate) fn start(lines: u32) {
    std::thread::spawn(move || {
        for number in 0..lines {
            // A full disk is what some tests are about.
            let _full = writeln!(stdout(), "{number:09}{:.>54}", "");
            pause(PAUSE);
        }
    });
}
