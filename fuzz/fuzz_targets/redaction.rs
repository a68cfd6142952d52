//! A leased value, put into text as JSON, an address or a form write it, and the text cut at both ends: of a value that
//! is still there, or of six bytes of it, nothing is shown.
//!
//! The first five bytes say how it is written, how long it is, where it is put, and what is cut off at either end; the
//! value comes next, then the text around it.
#![no_main]

use std::fmt::Write;

use libfuzzer_sys::fuzz_target;
use supervise::launch::environment::Secret;
use supervise::report::redact::{Foreign, Redactor};

/// Shorter values, and parts of them, are not looked for.
const PIECE_BYTES_MIN: usize = 6;
const VALUE_BYTES_MAX: usize = 64;
/// More text than this is not looked at.
const TEXT_BYTES_MAX: usize = 4096;

mod error {
    //! The real one.
    pub(crate) use worker_supervisor::error::escape;
}

#[allow(dead_code, reason = "the file has more than is asked of it here")]
#[path = "../../src/supervise"]
mod supervise {
    //! As much of it as redaction needs.
    pub(crate) mod launch {
        pub(crate) mod environment {
            //! The real one.
            pub(crate) use worker_supervisor::supervise::launch::environment::Secret;
        }
    }

    pub(crate) mod report {
        pub(crate) mod redact;
    }
}

fuzz_target!(|input: &[u8]| {
    let [way, length, place, start, end, rest @ ..] = input else { return };
    let length = PIECE_BYTES_MIN + usize::from(*length) % (VALUE_BYTES_MAX - PIECE_BYTES_MIN);
    let Some((value, around)) = rest.split_at_checked(length) else { return };
    let Some(written) = written(value, way % 7) else { return };
    let around = &around[..around.len().min(TEXT_BYTES_MAX / 2)];
    let (before, after) = around.split_at(around.len() * usize::from(*place) / 255);
    let text = [before, &written.concat(), after].concat();
    let start = usize::from(*start).min(text.len());
    let end = (text.len() - usize::from(*end).min(text.len())).max(start);

    // From the first character that is left of the value to the last one.
    let mut at = before.len();
    let (mut left, mut bytes) = (None, 0);
    for (character, of_value) in written.iter().zip(lengths(value, &written)) {
        if at >= start && at + character.len() <= end {
            let (first, _) = left.unwrap_or((at, at));
            left = Some((first, at + character.len()));
            bytes += of_value;
        }
        at += character.len();
    }
    let mut redactor = Redactor::default();
    redactor.learn("KEY", &Secret::new(value.into()));
    let shown = redactor.show(&Foreign::new(&text[start..end]), TEXT_BYTES_MAX);
    assert!(!shown.contains(char::is_control), "{shown:?}");
    let Some((first, last)) = left.filter(|_| bytes >= PIECE_BYTES_MIN) else { return };
    let allowed = [&text[start..first], &text[last..end]];
    for part in shown.split("[secret KEY]") {
        let part = unescaped(part);
        let is_allowed = allowed.iter().any(|text| part.is_empty() || text.windows(part.len()).any(|it| it == part));
        assert!(is_allowed, "{shown:?} of {:?}", text[start..end].escape_ascii().to_string());
    }
});

/// The value's characters, each as it is written; only text can be written as JSON.
fn written(value: &[u8], way: u8) -> Option<Vec<Vec<u8>>> {
    let in_json = |slash: &str, is_ascii: bool| {
        let character = |character: char| {
            let mut json = serde_json::to_string(&character).expect("a character can be written");
            json = json[1..json.len() - 1].replace('/', slash);
            if is_ascii && !character.is_ascii() {
                json.clear();
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(json, "\\u{unit:04x}").expect("a string takes all");
                }
            }
            json.into_bytes()
        };
        std::str::from_utf8(value).ok().map(|text| text.chars().map(character).collect())
    };
    let in_address = |plain: &str, space: &str| {
        let byte = |&byte: &u8| match byte {
            b' ' if !space.is_empty() => space.into(),
            _ if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) => vec![byte],
            _ if way == 4 => format!("%{byte:02x}").into_bytes(),
            _ => format!("%{byte:02X}").into_bytes(),
        };
        Some(value.iter().map(byte).collect())
    };
    match way {
        0 => Some(value.iter().map(|&byte| vec![byte]).collect()),
        1 => in_json("/", false),
        2 => in_json("\\/", false),
        3 => in_json("/", true),
        4 => in_address("", ""),
        5 => in_address("-._~/", ""),
        _ => in_address("-._*", "+"),
    }
}

/// How many bytes of the value each of its written characters stands for.
fn lengths(value: &[u8], written: &[Vec<u8>]) -> Vec<usize> {
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().count() == written.len() => text.chars().map(char::len_utf8).collect(),
        _ => vec![1; written.len()],
    }
}

/// What was escaped for a log line.
fn unescaped(shown: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), shown);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        let (kind, after) = escaped.split_at(1);
        let (byte, after) = match kind {
            "n" => (b'\n', after),
            "r" => (b'\r', after),
            "t" => (b'\t', after),
            "x" => (u8::from_str_radix(&after[..2], 16).expect("two digits"), &after[2..]),
            "u" => {
                let (code, after) = after[1..].split_once('}').expect("braces around digits");
                let code = u32::from_str_radix(code, 16).expect("digits");
                let character = char::from_u32(code).expect("a character").to_string();
                let (last, others) = character.as_bytes().split_last().expect("it has bytes");
                bytes.extend(others);
                (*last, after)
            }
            _ => (b'\\', after),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes.extend(rest.as_bytes());
    bytes
}
