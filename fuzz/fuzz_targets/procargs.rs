//! The buffer that macOS fills with a process's arguments and environment, by the very file that reads it.
//! A variable that is found stands in the buffer, with its name before it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../platform/src/tree/procargs.rs"]
mod procargs;

fuzz_target!(|input: &[u8]| {
    for name in ["A", "WORKER_SUPERVISOR_ID"] {
        if let Some(value) = procargs::variable(input, name) {
            let entry = [b"\0", name.as_bytes(), b"=", value, b"\0"].concat();
            assert!(input.windows(entry.len()).any(|part| part == entry), "{value:?} is not in the buffer");
            assert!(!value.contains(&0));
        }
    }
});
