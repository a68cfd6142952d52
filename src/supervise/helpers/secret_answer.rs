//! What a secrets tool has answered: from its end and its output to a value, or to the reason why there is none.
//!
//! The output less one trailing LF or CRLF is the value, byte for byte. agent-secrets up to 0.4 wraps it into a JSON
//! object instead (`success`, then `data` with `value`, or `error`), and exits 0 when it fails. Any JSON object whose
//! `success` is a boolean is taken for that; other JSON is a value like any other. A secret that itself is such an
//! object can't be told apart: store it in another form.
//! Refuses to cut: what is too long for a value is none. No reason holds anything of a value.

use platform::ExitStatus;
use serde::Deserialize;

use super::process::Done;
use crate::error::escape;
use crate::supervise::launch::environment::Secret;

/// The longest value.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// The most output that is kept of a tool: the longest value and its line end. An envelope must fit as well.
pub(crate) const OUTPUT_BYTES_MAX: usize = VALUE_BYTES_MAX + 2;

/// How much is repeated of a tool's own message.
const SHOWN_BYTES_MAX: usize = 200;

/// The value that a tool has answered.
///
/// # Errors
/// The reason why there is none, as the end of "cannot lease secret X: …".
pub(crate) fn value(done: Done) -> Result<Secret, String> {
    if done.overflowed {
        return Err(too_long());
    }
    let envelope = Envelope::of(&done.output);
    if let Some(Envelope { success: false, error, .. }) = &envelope {
        return Err(failure_in_envelope(error));
    }
    if done.status != ExitStatus::Code(0) {
        return Err(format!("the tool failed: {}", done.status));
    }
    checked(match envelope {
        Some(envelope) => envelope.into_value().ok_or("the tool's answer has no data.value that is a string")?,
        None => without_line_end(done.output),
    })
}

fn checked(value: Vec<u8>) -> Result<Secret, String> {
    if value.is_empty() {
        Err("the tool printed an empty value".into())
    } else if value.len() > VALUE_BYTES_MAX {
        Err(too_long())
    } else if value.contains(&0) {
        Err("the value holds a NUL, which no variable can".into())
    } else {
        Ok(Secret::new(value))
    }
}

fn too_long() -> String {
    format!("the tool printed more than {} KiB", VALUE_BYTES_MAX / 1024)
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

/// agent-secrets' answer; `message`, `exit_code`, `actions` and `update` may be there too.
#[derive(Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    data: serde_json::Value,
    #[serde(default)]
    error: serde_json::Value,
}

impl Envelope {
    fn of(output: &[u8]) -> Option<Self> {
        // Also an array would deserialize, field by field.
        if !output.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        serde_json::from_slice(output).ok()
    }

    fn into_value(self) -> Option<Vec<u8>> {
        let serde_json::Value::Object(mut data) = self.data else { return None };
        let serde_json::Value::String(value) = data.remove("value")? else { return None };
        Some(value.into_bytes())
    }
}

fn failure_in_envelope(error: &serde_json::Value) -> String {
    match error.as_str().map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => format!("the tool says \"{}\"", escape(text, SHOWN_BYTES_MAX)),
        None => "the tool says that it failed, not why".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(output: &[u8]) -> Result<Vec<u8>, String> {
        ended(ExitStatus::Code(0), output)
    }

    fn ended(status: ExitStatus, output: &[u8]) -> Result<Vec<u8>, String> {
        value(Done { status, output: output.to_vec(), overflowed: false }).map(|secret| secret.expose().to_vec())
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
        let overflow = Done { status: ExitStatus::Code(0), output: Vec::new(), overflowed: true };
        assert!(value(overflow).unwrap_err().contains("64 KiB"));
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
        for output in
            [r#"{"success":false}"#, r#"{"success":false,"error":{"a":1}}"#, r#"{"success":false,"error":" "}"#]
        {
            assert!(printed(output.as_bytes()).unwrap_err().contains("not why"), "{output}");
        }
        let long = format!("{{\"success\":false,\"error\":\"{}\"}}", "x".repeat(5000));
        assert!(printed(long.as_bytes()).unwrap_err().len() < 300);
    }

    #[test]
    fn an_envelope_without_a_value_is_a_failure() {
        for output in [
            r#"{"success":true}"#,
            r#"{"success":true,"data":null}"#,
            r#"{"success":true,"data":"canary"}"#,
            r#"{"success":true,"data":{"value":1}}"#,
            r#"{"success":true,"data":{"other":"canary"}}"#,
        ] {
            let reason = printed(output.as_bytes()).unwrap_err();
            assert!(reason.contains("data.value") && !reason.contains("canary"), "{output}: {reason}");
        }
    }

    #[test]
    fn other_json_is_a_value_like_any_other() {
        for output in [
            r#"{"type":"service_account","key":"x"}"#,
            r#"{"success":"true","data":{"value":"x"}}"#,
            r#"{"data":{"value":"x"}}"#,
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
