//! Bytes of a status file, shown as `status` shows them: a forged one can't reach the terminal's controls.
//!
//! The first eight bytes are the time at which it is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use worker_supervisor::commands::status::{Style, Trust, render};
use worker_supervisor::supervise::report::status::Status;

/// What a coloured page may hold of controls.
const COLOURS: [&str; 4] = ["\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"];

fuzz_target!(|input: &[u8]| {
    let Some((now_ms, file)) = input.split_first_chunk() else { return };
    let now_ms = u64::from_le_bytes(*now_ms);
    // As `Status::read` does, less the file.
    let Ok(status) = Status::parse(file) else { return };
    let written = serde_json::to_vec(&status).expect("a status can be written");
    assert_eq!(Status::parse(&written).ok().as_ref(), Some(&status), "written and read again");
    for trust in [Trust::Fresh, Trust::Stale, Trust::Dead] {
        let plain = render(&status, trust, now_ms, Style::Plain);
        check(&plain);
        let mut coloured = render(&status, trust, now_ms, Style::Coloured);
        for colour in COLOURS {
            coloured = coloured.replace(colour, "");
        }
        assert_eq!(coloured, plain, "colours change no text");
    }
});

fn check(page: &str) {
    assert!(page.ends_with('\n'), "{page:?} ends within a line");
    assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{page:?} holds controls");
}
