//! Text of an `env_file`: entries that can be written down and read again, or the place of a wrong line.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/supervise/launch/dotenv.rs"]
mod dotenv;

fuzz_target!(|text: &str| {
    let entries = dotenv::parse(text);
    match &entries {
        Ok(entries) => {
            for (name, value) in entries {
                let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
                assert!(!name.is_empty() && name.chars().all(is_name), "{name:?} is no name");
                assert!(!value.contains('\0'), "{name} holds a NUL");
            }
            let written: String = entries.iter().map(|(name, value)| written(name, value)).collect();
            assert_eq!(dotenv::parse(&written).as_ref(), Ok(entries), "written as\n{written}");
        }
        Err(wrong) => assert!((1..=1 + text.matches(['\n', '\r']).count()).contains(&wrong.line), "{wrong:?}"),
    }
    match (dotenv::contested(text), &entries) {
        (Ok(names), Ok(entries)) => assert!(names.iter().all(|name| entries.iter().any(|entry| entry.0 == *name))),
        (names, entries) => assert_eq!(names.err(), entries.as_ref().err().copied()),
    }
    if !text.contains('\r') {
        assert_eq!(dotenv::parse(&text.replace('\n', "\r\n")), entries, "with CRLF line ends");
    }
});

/// One entry in double quotes, with everything escaped that can be.
fn written(name: &str, value: &str) -> String {
    let mut line = format!("export {name} = \"");
    for character in value.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '"' | '\\' | '$' => line.extend(['\\', character]),
            _ => line.push(character),
        }
    }
    line + "\" # a comment\n"
}
