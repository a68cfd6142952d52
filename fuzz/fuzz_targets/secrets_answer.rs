//! What a secrets tool printed, by the very file that the supervisor reads it with; its neighbours stand in below.
//!
//! The first byte says how the tool ended.
#![no_main]

use libfuzzer_sys::fuzz_target;
use platform::ExitStatus;

#[path = "../../src/supervise/helpers/secret_answer.rs"]
#[expect(dead_code, reason = "the bound on what is read of a tool is its neighbour's to use")]
mod answer;

/// Longer values are none.
const VALUE_BYTES_MAX: usize = 64 << 10;

mod env {
    //! The real one.
    pub(crate) use worker_supervisor::supervise::launch::environment::Secret;
}

mod error {
    //! The real one.
    pub(crate) use worker_supervisor::error::escape;
}

mod runtime {
    //! As much of the runtime as an answer needs.
    pub(crate) mod helper {
        //! How a tool ended.
        pub(crate) struct Done {
            pub(crate) status: Option<platform::ExitStatus>,
            pub(crate) output: Vec<u8>,
            pub(crate) overflowed: bool,
        }
    }

    pub(crate) mod words {
        //! Any words will do.
        pub(crate) fn reason_of_exit(status: Option<platform::ExitStatus>) -> String {
            format!("{status:?}")
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&end, output)) = input.split_first() else { return };
    let status = match end {
        0 => None,
        1 => Some(ExitStatus::Code(1)),
        2 => Some(ExitStatus::Signal { number: 9, core: false }),
        _ => Some(ExitStatus::Code(0)),
    };
    let done = runtime::helper::Done { status, output: output.to_vec(), overflowed: end == 3 };
    match answer::value(done) {
        Ok(secret) => {
            let value = secret.expose();
            assert!(end > 3, "a value of a tool that failed");
            assert!(!value.is_empty() && value.len() <= VALUE_BYTES_MAX && !value.contains(&0), "no use as a value");
        }
        Err(reason) => assert!(!reason.is_empty() && !reason.contains(char::is_control), "{reason:?}"),
    }
});
