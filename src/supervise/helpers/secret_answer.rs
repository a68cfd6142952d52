//! What a secrets tool has answered: from its end and its output to a value, or to the reason why there is none.
//!
//! The output less one trailing LF or CRLF is the value, byte for byte. agent-secrets wraps it into a JSON object where
//! it is asked to, and up to 0.4 always: `success` or `ok`, beside `data` with a `value`, or beside an `error`, with
//! which it may exit 0. Only an object with both is taken for that; all other JSON is a value like any other.
//! Refuses to cut: what is too long for a value is none. A reason tells what the tool says of its failure, and nothing
//! else of what it has printed.

use platform::ExitStatus;
use serde_json::{Map, Value};

use super::process::Done;
use crate::supervise::launch::environment::Secret;
use crate::supervise::logs::last_words;
use crate::supervise::report::redact::{Foreign, Redactor};

/// The longest value.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The most output that is kept of a tool: the longest value in an envelope, where six characters may stand for a byte
/// of it (`\u003c`), and the rest is short.
pub(crate) const OUTPUT_BYTES_MAX: usize = VALUE_BYTES_MAX * 6 + 4096;

/// How much is repeated of a tool's own message, and of its advice.
const SHOWN_BYTES_MAX: usize = 200;

/// Why there is no value, with what the tool says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    reason: String,
    said: Option<Foreign>,
    fix: Option<Foreign>,
}

impl Refusal {
    /// For this reason, of which the tool says nothing.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), said: None, fix: None }
    }

    /// The end of "cannot lease secret X: …".
    pub(crate) fn shown(&self, redactor: &Redactor) -> String {
        let mut shown = self.reason.clone();
        for (before, text) in [(" ", &self.said), (", fix: ", &self.fix)] {
            if let Some(text) = text {
                shown.extend([before, "\"", &redactor.show(text, SHOWN_BYTES_MAX), "\""]);
            }
        }
        shown
    }
}

/// The value that a tool has answered.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn value(done: Done) -> Result<Secret, Refusal> {
    if done.overflowed {
        return Err(too_long());
    }
    let value = match Answer::of(&done.output) {
        Answer::Value(value) => value.into_bytes(),
        Answer::Bare => without_line_end(done.output),
        Answer::Failure { said, fix } => {
            let reason = if said.is_some() { "the tool says" } else { "the tool says that it failed, not why" };
            return Err(Refusal { said, fix, ..Refusal::new(reason) });
        }
    };
    if done.status != ExitStatus::Code(0) {
        let said = last_words::choose(&done.errors).map(Foreign::new);
        let saying = if said.is_some() { ", saying" } else { "" };
        return Err(Refusal { said, ..Refusal::new(format!("the tool failed: {}{saying}", done.status)) });
    }
    checked(value)
}

fn checked(value: Vec<u8>) -> Result<Secret, Refusal> {
    if value.is_empty() {
        Err(Refusal::new("the tool printed an empty value"))
    } else if value.len() > VALUE_BYTES_MAX {
        Err(too_long())
    } else if value.contains(&0) {
        Err(Refusal::new("the value holds a NUL, which no variable can"))
    } else {
        Ok(Secret::new(value))
    }
}

fn too_long() -> Refusal {
    Refusal::new(format!("the value is longer than {} KiB", VALUE_BYTES_MAX / 1024))
}

/// One LF or CRLF is the end of the line, not of the value. More are the value's own.
fn without_line_end(mut output: Vec<u8>) -> Vec<u8> {
    if output.ends_with(b"\n") {
        output.pop();
        if output.ends_with(b"\r") {
            output.pop();
        }
    }
    output
}

/// What a tool's output is.
enum Answer {
    /// A value in an envelope.
    Value(String),
    /// An envelope that tells of a failure, with the message and the advice in it.
    Failure { said: Option<Foreign>, fix: Option<Foreign> },
    /// A value as it is, if the tool has succeeded.
    Bare,
}

impl Answer {
    fn of(output: &[u8]) -> Self {
        // The first character saves parsing what is no object.
        let is_object = output.trim_ascii_start().starts_with(b"{");
        let parsed = if is_object { serde_json::from_slice(output).ok() } else { None };
        let Some(Value::Object(mut envelope)) = parsed else { return Self::Bare };
        match envelope.get("success").or_else(|| envelope.get("ok")) {
            Some(Value::Bool(true)) => match envelope.get_mut("data").map(Value::take) {
                Some(Value::Object(mut data)) => text(&mut data, "value").map_or(Self::Bare, Self::Value),
                _ => Self::Bare,
            },
            Some(Value::Bool(false)) if envelope.get("error").is_some_and(|error| !error.is_null()) => {
                let fix = text(&mut envelope, "fix");
                let said = match envelope.get_mut("error") {
                    Some(Value::Object(error)) => text(error, "message"),
                    _ => text(&mut envelope, "error"),
                };
                let foreign = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).map(Foreign::new);
                Self::Failure { said: foreign(said), fix: foreign(fix) }
            }
            _ => Self::Bare,
        }
    }
}

/// The member of an object, if it is a text.
fn text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.get_mut(name)?.take() {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(output: &[u8]) -> Result<Vec<u8>, String> {
        ended(ExitStatus::Code(0), output)
    }

    fn ended(status: ExitStatus, output: &[u8]) -> Result<Vec<u8>, String> {
        said(status, output, b"")
    }

    fn said(status: ExitStatus, output: &[u8], errors: &[u8]) -> Result<Vec<u8>, String> {
        let done = Done { status, output: output.to_vec(), overflowed: false, errors: errors.to_vec() };
        value(done).map(|secret| secret.expose().to_vec()).map_err(|refusal| refusal.shown(&Redactor::default()))
    }

    #[test]
    fn a_bare_value_loses_one_line_end_and_nothing_else() {
        for (output, value) in [
            (&b"abc"[..], &b"abc"[..]),
            (b"abc\n", b"abc"),
            (b"abc\r\n", b"abc"),
            (b"abc\r", b"abc\r"),
            (b"abc\n\n", b"abc\n"),
            (b"abc\r\n\r\n", b"abc\r\n"),
            (b"abc\n\r\n", b"abc\n"),
            (b"  a b\t\n", b"  a b\t"),
            (b"-----BEGIN-----\nx\n-----END-----\n", b"-----BEGIN-----\nx\n-----END-----"),
            (b"\xff\xfe\n", b"\xff\xfe"),
        ] {
            assert_eq!(printed(output).as_deref(), Ok(value), "{output:?}");
        }
    }

    #[test]
    fn an_empty_value_is_none() {
        for output in [&b""[..], b"\n", b"\r\n", b"{\"success\":true,\"data\":{\"value\":\"\"}}"] {
            assert!(printed(output).unwrap_err().contains("empty"), "{output:?}");
        }
    }

    #[test]
    fn a_nul_makes_a_value_unusable() {
        for output in [&b"canary\0\n"[..], b"\0", b"{\"success\":true,\"data\":{\"value\":\"canary\\u0000\"}}"] {
            let reason = printed(output).unwrap_err();
            assert!(reason.contains("NUL") && !reason.contains("canary"), "{reason}");
        }
    }

    #[test]
    fn a_value_may_have_64_kib_and_is_never_cut() {
        let longest = vec![b'x'; VALUE_BYTES_MAX];
        assert_eq!(printed(&longest).as_ref(), Ok(&longest));
        assert_eq!(printed(&[&longest[..], b"\r\n"].concat()), Ok(longest.clone()));
        assert!(printed(&[&longest[..], b"x"].concat()).unwrap_err().contains("64 KiB"));
        let overflow = Done { status: ExitStatus::Code(0), output: vec![], overflowed: true, errors: vec![] };
        assert_eq!(value(overflow).unwrap_err(), too_long());
    }

    #[test]
    fn the_bound_is_the_values_and_not_its_envelopes() {
        let envelope = |bytes| format!("{{\"success\":true,\"data\":{{\"value\":\"{}\"}}}}", "\\u003c".repeat(bytes));
        assert_eq!(printed(envelope(VALUE_BYTES_MAX).as_bytes()), Ok(vec![b'<'; VALUE_BYTES_MAX]));
        assert!(envelope(VALUE_BYTES_MAX).len() < OUTPUT_BYTES_MAX);
        assert_eq!(printed(envelope(VALUE_BYTES_MAX + 1).as_bytes()), Err("the value is longer than 64 KiB".into()));
    }

    #[test]
    fn a_tool_that_fails_has_no_value_whatever_it_printed() {
        let killed = ExitStatus::Signal { number: 9, core: false };
        for (status, word) in
            [(ExitStatus::Code(1), "exit code 1"), (killed, "SIGKILL"), (ExitStatus::Unknown, "status unknown")]
        {
            for output in [&b"canary\n"[..], b"{\"success\":true,\"data\":{\"value\":\"canary\"}}"] {
                let reason = ended(status, output).unwrap_err();
                assert!(reason.contains(word) && !reason.contains("canary"), "{reason}");
            }
        }
    }

    #[test]
    fn an_envelope_is_opened() {
        for output in [
            r#"{"success":true,"data":{"value":"a\u003cb\n"}}"#,
            r#"
 {
  "success": true,
  "message": "Lease acquired",
  "data": { "client_id": "mac", "lease_id": "1", "ttl": "24h", "value": "a<b\n" },
  "actions": [{ "name": "revoke", "command": "secrets revoke 1" }]
}
"#,
        ] {
            assert_eq!(printed(output.as_bytes()).as_deref(), Ok(&b"a<b\n"[..]), "{output}");
        }
    }

    #[test]
    fn a_failure_in_an_envelope_is_one_whatever_the_exit_code() {
        let output = "{\"success\": false, \"error\": \"no such\\n\\u001b[31msecret\", \"exit_code\": 3}\n";
        for code in [0, 3] {
            let reason = ended(ExitStatus::Code(code), output.as_bytes()).unwrap_err();
            assert_eq!(reason, "the tool says \"no such\\n\\x1b[31msecret\"");
        }
        for output in [r#"{"success":false,"error":{"a":1}}"#, r#"{"ok":false,"error":" "}"#] {
            assert!(printed(output.as_bytes()).unwrap_err().contains("not why"), "{output}");
        }
        let long = format!("{{\"success\":false,\"error\":\"{}\"}}", "x".repeat(5000));
        assert!(printed(long.as_bytes()).unwrap_err().len() < 300);
    }

    #[test]
    fn message_and_fix_of_a_failure_are_shown_and_nothing_else_of_it() {
        let output = br#"{"ok":false,"error":{"message":"x","code":"y"},"fix":"z","data":{"value":"canary"}}"#;
        for code in [0, 1] {
            let reason = said(ExitStatus::Code(code), output, b"chatter\n");
            assert_eq!(reason, Err("the tool says \"x\", fix: \"z\"".into()));
        }
    }

    #[test]
    fn what_a_tool_says_on_its_standard_error_is_told_where_it_fails() {
        let errors = b"Traceback (most recent call last):\n  File \"t\", line 1\nKeyError: 'token'\n";
        let reason = "the tool failed: exit code 3, saying \"KeyError: 'token'\"".to_owned();
        assert_eq!(said(ExitStatus::Code(3), b"canary", errors), Err(reason));
        assert_eq!(said(ExitStatus::Code(0), b"value", errors), Ok(b"value".to_vec()));
        assert!(said(ExitStatus::Code(3), b"", &[b'x'; 5000]).unwrap_err().len() < 300);
    }

    #[test]
    fn what_a_tool_says_is_told_without_a_value() {
        let mut redactor = Redactor::default();
        redactor.learn("OTHER", &Secret::new(b"hunter22".to_vec()));
        let output = br#"{"success":false,"error":"hunter22 has expired","fix":"ask for \u0068unter22"}"#.to_vec();
        let done = Done { status: ExitStatus::Code(0), output, overflowed: false, errors: vec![] };
        let shown = value(done).unwrap_err().shown(&redactor);
        assert_eq!(shown, "the tool says \"[secret OTHER] has expired\", fix: \"ask for [secret OTHER]\"");
    }

    #[test]
    fn other_json_is_a_value_like_any_other() {
        for output in [
            r#"{"type":"service_account","key":"x"}"#,
            r#"{"success":"true","data":{"value":"x"}}"#,
            r#"{"data":{"value":"x"}}"#,
            r#"{"success":true}"#,
            r#"{"success":true,"data":{"value":1}}"#,
            r#"{"success":true,"data":{"other":"x"}}"#,
            r#"{"success":false}"#,
            r#"{"ok":false,"error":null}"#,
            r#"{"error":"x"}"#,
            r#"[true,{"value":"x"},null]"#,
            r#"{"success":true,"data":{"value":"x"}"#,
            r#""x""#,
            "{}",
            "{",
        ] {
            assert_eq!(printed(output.as_bytes()).as_deref(), Ok(output.as_bytes()));
        }
    }
}
