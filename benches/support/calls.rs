//! System calls of one restart, counted by strace where there is one. It slows what it watches, so it says nothing of
//! time.

use std::fs::read_to_string;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::TempDir;
use super::{Contender, Recipe, Results, Summary, THROTTLE, helper, wait_for};

const TABLE: &str = "System calls of a restart (strace, one restart)";

/// Adds the calls of one restart, for each contender.
pub(crate) fn count(results: &mut Results, recipes: &[Recipe]) {
    if helper("strace").is_none() {
        return results.remark("system calls: strace is not installed, none counted".to_owned());
    }
    for recipe in recipes {
        let dir = TempDir::new();
        let path = dir.join("calls");
        let mut contender = Contender::ready(*recipe);
        contender.wait_age(THROTTLE);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o"]).arg(&path).arg("-p").arg(contender.pid().to_string());
        let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace starts");
        wait_for(|| "strace".to_owned(), || is_traced(contender.pid()).then_some(()));
        contender.restart();
        contender.wait_ready();
        kill(Pid::from_raw(i32::try_from(strace.id()).expect("a pid")), Signal::SIGTERM).expect("strace runs");
        strace.wait().expect("a child can be waited for");
        let calls = Calls::read(&path, contender.pid());
        for (what, number) in [
            ("from the exit to the order to spawn", calls.to_spawn),
            ("in the new process, until it is the worker", calls.in_child),
            ("in all, until it is ready", calls.in_all),
        ] {
            results.add(TABLE, recipe.name, what, Summary::once(number as f64));
        }
    }
}

fn is_traced(pid: i32) -> bool {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

struct Calls {
    to_spawn: usize,
    in_child: usize,
    in_all: usize,
}

impl Calls {
    /// A line is `PID CALL(…`; `<… CALL resumed>` ends an earlier one, `---` and `+++` tell of signals and exits.
    fn read(path: &Path, supervisor: i32) -> Self {
        let text = read_to_string(path).expect("strace wrote a file");
        let lines: Vec<(i32, &str)> = text.lines().filter_map(call).collect();
        let is_spawn = |call: &str| ["clone", "vfork", "fork"].iter().any(|name| call.starts_with(name));
        let spawn_at = lines.iter().position(|(_, call)| is_spawn(call)).unwrap_or(lines.len());
        let child = lines[spawn_at..].iter().map(|(pid, _)| *pid).find(|pid| *pid != supervisor);
        let childs = lines.iter().filter(|(pid, _)| Some(*pid) == child).map(|(_, call)| *call);
        let exec_at = childs.clone().take_while(|call| !call.starts_with("execve")).count();
        let in_child = (exec_at + 1).min(childs.count());
        let supervisors = lines.iter().filter(|(pid, _)| *pid == supervisor).count();
        let to_spawn = lines[..spawn_at].iter().filter(|(pid, _)| *pid == supervisor).count();
        // The poll that was left when the exit came began before the restart.
        Self { to_spawn: to_spawn.saturating_sub(1), in_child, in_all: supervisors - 1 + in_child }
    }
}

fn call(line: &str) -> Option<(i32, &str)> {
    let (pid, call) = line.split_once(' ')?;
    let call = call.trim_start();
    call.starts_with(|c: char| c.is_ascii_lowercase()).then_some((pid.parse().ok()?, call))
}
