//! What a secrets tool printed, by the very files that the supervisor reads it with; their neighbours stand in below.
//! Nothing that is told of it holds a value that is known.
//!
//! The first byte says how the tool ended, the second how much of the rest it wrote to standard error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use platform::ExitStatus;
use supervise::helpers::process::Done;
use supervise::helpers::secret_answer;
use supervise::launch::environment::Secret;
use supervise::report::redact::Redactor;

/// Longer values are none.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// A value that is known already.
const KNOWN: &str = "hunter \"22\"";

mod error {
    //! The real one.
    pub(crate) use worker_supervisor::error::escape;
}

#[allow(dead_code, reason = "each file has more than is asked of it here")]
#[path = "../../src/supervise"]
mod supervise {
    //! As much of it as an answer needs.
    pub(crate) mod helpers {
        pub(crate) mod process {
            //! How a tool ended.
            pub(crate) struct Done {
                pub(crate) status: platform::ExitStatus,
                pub(crate) output: Vec<u8>,
                pub(crate) overflowed: bool,
                pub(crate) errors: Vec<u8>,
            }
        }

        pub(crate) mod secret_answer;
    }

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
    let [end, errors, rest @ ..] = input else { return };
    let status = match end {
        0 => ExitStatus::Unknown,
        1 => ExitStatus::Code(1),
        2 => ExitStatus::Signal { number: 9, core: false },
        _ => ExitStatus::Code(0),
    };
    let (errors, output) = rest.split_at(rest.len() * usize::from(*errors) / 255);
    let done = Done { status, output: output.to_vec(), overflowed: *end == 3, errors: errors.to_vec() };
    match secret_answer::value(done) {
        Ok(secret) => {
            let value = secret.expose();
            assert!(*end > 3, "a value of a tool that failed");
            assert!(!value.is_empty() && value.len() <= VALUE_BYTES_MAX && !value.contains(&0), "no use as a value");
        }
        Err(refusal) => {
            let mut redactor = Redactor::default();
            redactor.learn("KNOWN", &Secret::new(KNOWN.into()));
            let shown = refusal.shown(&redactor);
            assert!(!shown.is_empty() && !shown.contains(char::is_control) && !shown.contains(KNOWN), "{shown:?}");
        }
    }
});
