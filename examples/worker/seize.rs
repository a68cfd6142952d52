//! A tracer that never waits: while it lives, the kernel keeps the exit of what it traces from everybody else.
//! On Linux that makes the state between an exit and its status last, which other systems go through in microseconds.

use std::process::ExitCode;

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::life::wait_for_ever;

/// Traces the process until this one is killed; says `seized` once it does.
pub(crate) fn hold(pid: &str) -> ExitCode {
    let Ok(raw) = pid.parse() else {
        eprintln!("worker: --seize needs a pid");
        return ExitCode::from(64);
    };
    match ptrace::seize(Pid::from_raw(raw), ptrace::Options::empty()) {
        Ok(()) => {
            println!("seized");
            wait_for_ever()
        }
        Err(errno) => {
            eprintln!("worker: cannot trace {pid}: {errno}");
            ExitCode::from(77)
        }
    }
}
