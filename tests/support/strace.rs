//! The program under strace: what it calls, and faults and delays in its calls.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use super::scene::Scene;
use super::users::same_surroundings;
use super::wait::{LIMIT, wait_until};

/// The calls that make a process.
const FORKS: [&str; 4] = ["clone(", "clone3(", "fork(", "vfork("];

/// The program with its calls written to a file, as a child of the test itself: the tracer is the one that steps aside.
pub(crate) fn traced(scene: &Scene, trace: &Path, calls: &str) -> Command {
    traced_with(scene, trace, calls, &[])
}

/// The same with further options of strace.
pub(crate) fn traced_with(scene: &Scene, trace: &Path, calls: &str, options: &[&str]) -> Command {
    let program = scene.program();
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-q", "-s", "300", "-o"]).arg(trace);
    command.args(["-e", &format!("trace={calls}")]).args(options);
    command.arg(program.get_program()).args(program.get_args());
    same_surroundings(&mut command, &program);
    command
}

/// What one process called until now, once that is enough.
#[track_caller]
pub(crate) fn calls_of(trace: &Path, pid: i32, is_enough: impl Fn(&[String]) -> bool) -> Vec<String> {
    let own = format!("{pid} ");
    let read = || -> Vec<String> {
        let text = read_to_string(trace).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.filter_map(|line| line.strip_prefix(&own)).map(|call| call.trim_start().to_owned()).collect()
    };
    wait_until("the calls of the supervisor in the trace", LIMIT, || is_enough(&read()));
    read()
}

/// Whether a call makes a process.
pub(crate) fn is_fork(call: &str) -> bool {
    FORKS.iter().any(|fork| call.starts_with(fork))
}
