//! What `launchctl print` says of a job, by the very file that reads it: what is told of the job stands in its text, a
//! running one has a pid, and no argument or variable, whatever it holds, is taken for an entry of the job's.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "the file has more than is asked of it here")]
#[path = "../../src/commands/launchd/launchctl.rs"]
mod launchctl;

mod commands {
    //! As much of it as running launchctl needs, which is not done here.
    pub(crate) mod restart {
        pub(crate) fn pause(_: std::time::Duration) {}
    }
}

mod supervise {
    //! As much of it as running launchctl needs.
    pub(crate) mod helpers {
        pub(crate) mod process {
            pub(crate) fn own_env() -> Vec<std::ffi::CString> {
                Vec::new()
            }
        }
    }
}

fuzz_target!(|output: &str| {
    let loaded = launchctl::parse_print(output);
    assert!(!loaded.is_running || loaded.pid.is_some() && output.contains(" = running"), "{loaded:?}");
    assert!(loaded.exit_timeout.is_none_or(|timeout| !timeout.is_zero()), "{loaded:?}");
    if let Some(path) = &loaded.path {
        let is_there = |line: &str| line.trim_start().strip_prefix("path = ") == Some(path);
        assert!(output.lines().any(is_there), "{path:?} is not in it");
    }
    assert!(!loaded.words.contains('\n') && loaded.words.len() <= output.len() * 2, "{loaded:?}");
    // The same text as arguments of another job, each on a line of its own.
    let mut other = String::from("gui/501/demo = {\n\tstate = running\n\targuments = {\n");
    for line in output.lines() {
        other.extend(["\t\t", line, "\n"]);
    }
    other.push_str("\t}\n\tpid = 4711\n}\n");
    let loaded = launchctl::parse_print(&other);
    let words = "state = running".to_owned();
    assert_eq!(loaded, launchctl::Loaded { is_running: true, pid: Some(4711), words, ..Default::default() });
});
