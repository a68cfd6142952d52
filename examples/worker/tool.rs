//! The fixture as a secrets tool that leaves a daemon behind: one in a group of its own that keeps the tool's standard
//! output open. The tool itself prints its value and is gone; whoever waits for the end of its output waits in vain.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use crate::listen::pause;

/// What makes this program the daemon.
pub(crate) const DAEMON: &str = "--daemon-of-tool";
/// When the daemon ends by itself.
const LIFETIME: Duration = Duration::from_secs(120);

/// Starts the daemon, writes its pid to a file, prints the value.
pub(crate) fn lease(words: &[String]) -> ExitCode {
    let [pid_file, value] = words else {
        eprintln!("worker: --tool needs a file and a value");
        return ExitCode::from(64);
    };
    let program = std::env::current_exe().expect("this program has a path");
    let daemon = Command::new(program).arg(DAEMON).process_group(0).stdin(Stdio::null()).spawn();
    std::fs::write(pid_file, format!("{}\n", daemon.expect("a daemon starts").id())).expect("the pid is written");
    println!("{value}");
    ExitCode::SUCCESS
}

/// The daemon: holds what it inherited, and does nothing.
pub(crate) fn linger() -> ExitCode {
    pause(LIFETIME);
    ExitCode::SUCCESS
}
