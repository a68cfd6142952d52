//! The end of what a worker wrote to its standard error: what is told of it is a part of one line, and never blank
//! unless all is. With a value in it, in whole or cut at either end, nothing that is shown has the value.
//!
//! The first two bytes say where the value is put, and how much of it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use supervise::launch::environment::Secret;
use supervise::logs::last_words;
use supervise::report::redact::{Foreign, Redactor};

const VALUE: &[u8] = b"correct-horse-battery";
/// Shorter pieces are not looked for.
const PIECE_BYTES_MIN: usize = 6;

mod error {
    //! The real one.
    pub(crate) use worker_supervisor::error::escape;
}

#[allow(dead_code, reason = "each file has more than is asked of it here")]
#[path = "../../src/supervise"]
mod supervise {
    //! As much of it as last words need.
    pub(crate) mod launch {
        pub(crate) mod environment {
            //! The real one.
            pub(crate) use worker_supervisor::supervise::launch::environment::Secret;
        }
    }

    pub(crate) mod logs {
        pub(crate) mod last_words;
    }

    pub(crate) mod report {
        pub(crate) mod redact;
    }
}

fuzz_target!(|input: &[u8]| {
    let [place, cut, text @ ..] = input else { return };
    match last_words::choose(text) {
        Some(line) => {
            assert!(!line.is_empty() && !line.contains(&b'\n'), "{line:?}");
            assert!(text.windows(line.len()).any(|part| part == line), "{line:?} was not written");
        }
        None => assert!(text.trim_ascii().is_empty(), "{text:?} has a line"),
    }
    let mut redactor = Redactor::default();
    redactor.learn("VALUE", &Secret::new(VALUE.into()));
    let piece = &VALUE[..VALUE.len() - usize::from(*cut) % (VALUE.len() - PIECE_BYTES_MIN)];
    let text = &text[..text.len().min(1000)];
    let (before, after) = text.split_at(text.len() * usize::from(*place) / 255);
    // Cut only where the text ends.
    let whole = if piece.len() < VALUE.len() { [text, piece].concat() } else { [before, VALUE, after].concat() };
    let shown = redactor.show(&Foreign::new(whole), 10_000);
    let survives = without_numbers(&shown).contains(std::str::from_utf8(piece).expect("text"));
    assert!(!survives || piece.len() < VALUE.len(), "{shown:?}");
    if piece.len() < VALUE.len() && !text.ends_with(b"\\") {
        assert!(shown.ends_with("[secret VALUE]"), "{shown:?}");
    }
});

/// Without what stands for bytes that are no text: `\x8c` in front of the rest of a value would make it whole.
fn without_numbers(shown: &str) -> String {
    let mut parts = shown.split("\\x");
    let first = parts.next().map(str::to_owned);
    let rest = parts.map(|part| part.get(2..).unwrap_or_default());
    first.into_iter().chain(rest.map(|part| format!(" {part}"))).collect()
}
