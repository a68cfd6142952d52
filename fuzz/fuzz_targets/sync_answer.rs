//! The body of an answer to a sync: read to the same meaning as an independent reading of its JSON, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use worker_supervisor::error::escape;
use worker_supervisor::http::SyncAnswer;

/// As much of a message as a log line repeats, or so.
const SHOWN_BYTES_MAX: usize = 200;

fuzz_target!(|body: &[u8]| {
    let answer = SyncAnswer::read(body);
    let object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    assert_eq!(answer.modified, object.get("modified").and_then(Value::as_bool));
    assert_eq!(answer.message.as_deref(), object.get("message").and_then(Value::as_str));
    let shown = escape(answer.message.as_deref().unwrap_or_default(), SHOWN_BYTES_MAX);
    assert!(!shown.contains(char::is_control), "{shown:?}");
    let shown = escape(body, SHOWN_BYTES_MAX);
    assert!(!shown.contains(char::is_control), "{shown:?}");
});
