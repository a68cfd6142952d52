//! launchctl(1): running it, what it prints of a job, and what its exit codes mean.
//!
//! Its output is for people and may change, so that little is asked of it: whether a job is there, its state, its pid
//! and its file, and how long it may take to end. As reported of macOS 10.14 to 26: `print` ends with 113 for a job
//! that is not loaded; the entries of the job itself are indented once. `bootout` returns while the job is still ending
//! (`state = SIGTERMed`), and has no flag to wait: `--wait` is a usage error on macOS 15. Until the job is gone, and
//! for some seconds after, `bootstrap` fails with 5 or 37. A start that nobody asked for (RunAtLoad, KeepAlive) may be
//! put off without an end, `pended nondemand spawn = speculative` in a login that is not over, `inefficient` in Low
//! Power Mode or for a job that ended too often; a start by `kickstart` is not.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use platform::{ExitStatus, Lifetime, Pipe, Reaped};

use crate::commands::restart::pause;
use crate::supervise::helpers::process::own_env;

/// Between two looks at a job.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two looks at launchctl itself.
const READ_INTERVAL: Duration = Duration::from_millis(2);

/// No such process: nothing to boot out.
pub(super) const NO_SUCH_PROCESS: i32 = 3;
/// Input/output error, said of nearly everything; most often the label is still taken.
pub(super) const IO_ERROR: i32 = 5;
/// Operation now in progress.
pub(super) const NOW_IN_PROGRESS: i32 = 36;
/// Operation already in progress.
pub(super) const ALREADY_IN_PROGRESS: i32 = 37;
/// There is no such job.
pub(super) const NO_SERVICE: i32 = 113;

/// Runs launchctl.
pub trait Launchctl {
    /// Runs it with these arguments, to its end.
    ///
    /// # Errors
    /// It can't be started.
    fn run(&mut self, arguments: &[&str]) -> io::Result<Answer>;

    /// Lets a tenth of a second pass.
    fn pause(&mut self);
}

/// What launchctl said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its exit code; None if a signal ended it.
    pub code: Option<i32>,
    /// What it printed, and what it complained about.
    pub output: String,
}

/// The launchctl of this Mac.
#[derive(Clone, Copy, Debug)]
pub struct SystemLaunchctl;

impl Launchctl for SystemLaunchctl {
    fn run(&mut self, arguments: &[&str]) -> io::Result<Answer> {
        // By its full path, since PATH is the user's.
        run_to_its_end(c"/bin/launchctl", arguments)
    }

    fn pause(&mut self) {
        pause(LOOK_INTERVAL);
    }
}

/// Runs a program as workers are run, and reads both of its outputs through one pipe. The standard library's way would
/// make this program 3 % larger.
fn run_to_its_end(program: &CStr, arguments: &[&str]) -> io::Result<Answer> {
    let Pipe { ours, theirs } = platform::pipe_from_helper()?;
    let null = File::open("/dev/null")?;
    let arguments = arguments.iter().map(|argument| CString::new(*argument));
    let args = std::iter::once(Ok(program.to_owned())).chain(arguments).collect::<Result<Vec<_>, _>>()?;
    let (stdin, stdout, stderr) = (null.as_fd(), theirs.as_fd(), theirs.as_fd());
    let (env, dir, lifetime) = (&own_env(), Path::new("/"), Lifetime::ItsOwn);
    let command = platform::Command { program, args: &args, env, dir, lifetime, stdin, stdout, stderr };
    let pid = platform::spawn(&command).map_err(|error| error.cause)?;
    drop(theirs);
    let (mut ours, mut bytes) = (File::from(ours), Vec::new());
    let status = loop {
        let reaped = platform::reap_with_group(pid);
        // What it wrote before its end is in the pipe by now; what comes later ends this with "would block".
        let _ = ours.read_to_end(&mut bytes);
        match reaped {
            Reaped::NotYet => pause(READ_INTERVAL),
            Reaped::Gone(status) => break status,
        }
    };
    let code = if let ExitStatus::Code(code) = status { Some(code) } else { None };
    Ok(Answer { code, output: String::from_utf8_lossy(&bytes).into_owned() })
}

/// What `launchctl print` says of a loaded job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Whether its state is `running`, and not `not running`, `spawn scheduled`, `SIGTERMed`...
    pub(super) is_running: bool,
    /// The pid, while it runs.
    pub(super) pid: Option<u32>,
    /// The property list that it was loaded from.
    pub(super) path: Option<String>,
    /// From SIGTERM to launchd's SIGKILL.
    pub(super) exit_timeout: Option<Duration>,
    /// Its state, why launchd puts its start off, and how it ended the last time, in launchctl's words.
    pub(super) words: String,
}

/// Reads the output of `launchctl print DOMAIN/LABEL`. An entry of the job itself is indented as its first one is; an
/// argument may hold any brace, so that those are not counted.
pub(super) fn parse_print(output: &str) -> Loaded {
    let mut loaded = Loaded::default();
    let mut entries = output.lines().skip(1).peekable();
    let first = entries.peek().copied().unwrap_or_default();
    let indent = &first[..first.len() - first.trim_start().len()];
    if indent.is_empty() {
        return loaded;
    }
    for line in entries {
        let entry = line.strip_prefix(indent).unwrap_or_default();
        let Some((key, value)) = entry.split_once(" = ") else { continue };
        match key {
            "pid" => loaded.pid = value.parse().ok(),
            "path" => loaded.path = Some(value.to_owned()),
            "exit timeout" => loaded.exit_timeout = exit_timeout(value),
            "state" | "pended nondemand spawn" | "last exit code" | "last terminating signal" | "last exit reason" => {
                loaded.is_running |= entry == "state = running";
                loaded.words += if loaded.words.is_empty() { "" } else { ", " };
                loaded.words += entry;
            }
            _ => {}
        }
    }
    loaded.is_running &= loaded.pid.is_some();
    loaded
}

/// 0 is for ever (launchd.plist(5)), which is no time to wait for.
fn exit_timeout(value: &str) -> Option<Duration> {
    value.parse().ok().filter(|&secs: &u32| secs > 0).map(|secs| Duration::from_secs(secs.into()))
}

/// What an exit code means for us, and what to do about it. Below 107 they are errno, above launchd's own, which
/// `launchctl error CODE` names; what they come from is what public reports agree on.
pub(super) fn meaning(code: i32) -> &'static str {
    match code {
        NO_SUCH_PROCESS | NO_SERVICE => "the job is not loaded; run `launchd install`",
        IO_ERROR => {
            "launchd refuses the job or still holds its label; run this again in some seconds, check the file with \
             `plutil -lint`, and see `log show --last 5m --predicate 'process == \"launchd\"'`"
        }
        NOW_IN_PROGRESS | ALREADY_IN_PROGRESS => "launchd is still ending the old job; run this again in some seconds",
        107..=111 | 122 => "launchd can't use the property list; see `plutil -lint`, its owner and its mode",
        112 | 125 | 134 => {
            "this user is not logged in at the screen (or this is sudo): log in there, or run it at boot as \
             launchd/README.md describes. Else see System Settings, Login Items"
        }
        119 | 161 => "the job is disabled; enable it in System Settings, Login Items",
        124 | 146 => "a login or logout is not over; run this again once it is",
        144 | 159 => "a sandbox keeps launchctl from launchd; run this in Terminal",
        150 => "Apple's own jobs are protected; set another label under [launchd]",
        155 => "the program is in quarantine; see `xattr -d com.apple.quarantine`",
        _ => "`launchctl error` explains the code",
    }
}

/// Whether it is for want of a login or a launchd, and not of the job.
pub(super) fn is_unavailable(code: i32) -> bool {
    matches!(code, 112 | 124 | 125 | 134 | 146)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that matter, and some that must not, of what reports show of macOS 10.14.
    const MOJAVE: &str = "\
com.example.agent = {
        active count = 1
        path = /Library/LaunchDaemons/com.example.agent.plist
        state = running

        program = /Library/Example/launcher
        arguments = {
                /Library/Example/launcher
        }

        domain = com.apple.xpc.launchd.domain.system
        minimum runtime = 10
        exit timeout = 5
        runs = 3
        successive crashes = 0
        pid = 1486
        immediate reason = one-shot
        last exit code = 0

        event triggers = {
        }
}
";

    /// Of macOS 14 or 15.
    const SONOMA: &str = "\
gui/501/worker-supervisor.demo = {
\tactive count = 1
\tpath = /Users/joe/Library/LaunchAgents/worker-supervisor.demo.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /usr/local/bin/worker-supervisor
\targuments = {
\t\t/bin/sh
\t\tstate = forged
\t\tif a; then {
\t}

\tenvironment = {
\t\tOSLogRateLimit => 64
\t\tpid = 1
\t}

\tdomain = gui/501 [100002]
\tasid = 100002
\tminimum runtime = 10
\texit timeout = 10
\truns = 2
\tpid = 16090
\timmediate reason = non-ipc demand
\tchecked allocations = 0 (queried = 1)
\tlast terminating signal = Terminated: 15

\tresource coalition = {
\t\tID = 1114
\t\tstate = active
\t\tactive count = 1
\t}

\tspawn type = interactive (4)
\tproperties = keepalive | runatload | inferred program
}
";

    /// Of macOS 26, in a domain that starts nothing by itself.
    const TAHOE: &str = "\
gui/502/worker-supervisor.demo = {
\tactive count = 0
\tpath = /Users/joe/Library/LaunchAgents/worker-supervisor.demo.plist
\ttype = LaunchAgent
\tstate = not running

\tprogram = /usr/local/bin/worker-supervisor
\tLWCR = {
\t\t\"reqs\" => {
\t\t\t\"cdhash\" => {
\t\t\t\t\"$in\" => [
\t\t\t\t\t0 = \t\t\t\t]
\t\t\t}
\t\t}
\t\t\"vers\" => 1
\t}

\tdomain = gui/502 [100025]
\tminimum runtime = 30
\tbase minimum runtime = 30
\texit timeout = 5
\truns = 0
\tpended nondemand spawn = speculative
\tlast exit code = (never exited)

\tspawn type = interactive (4)
\tjob state = exited
}
";

    #[test]
    fn a_program_is_run_to_its_end_and_both_of_its_outputs_are_read() {
        let run = |script| run_to_its_end(c"/bin/sh", &["-c", script]).expect("a shell runs");
        let answer = run("echo out; echo err >&2; exit 3");
        assert_eq!(answer, Answer { code: Some(3), output: "out\nerr\n".into() });
        // More than a pipe holds.
        let long =
            run("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done");
        assert_eq!((long.code, long.output.len()), (Some(0), 3000 * 41));
        assert_eq!(run("kill -9 $$").code, None);
        assert!(run_to_its_end(c"/no/such/program", &[]).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn running_jobs_of_old_and_new_systems_are_understood() {
        let expected = Loaded {
            is_running: true,
            pid: Some(1486),
            path: Some("/Library/LaunchDaemons/com.example.agent.plist".into()),
            exit_timeout: Some(Duration::from_secs(5)),
            words: "state = running, last exit code = 0".into(),
        };
        assert_eq!(parse_print(MOJAVE), expected);
        let expected = Loaded {
            is_running: true,
            pid: Some(16090),
            path: Some("/Users/joe/Library/LaunchAgents/worker-supervisor.demo.plist".into()),
            exit_timeout: Some(Duration::from_secs(10)),
            words: "state = running, last terminating signal = Terminated: 15".into(),
        };
        assert_eq!(parse_print(SONOMA), expected);
    }

    #[test]
    fn a_start_that_is_put_off_is_seen_with_its_reason() {
        let loaded = parse_print(TAHOE);
        let words = "state = not running, pended nondemand spawn = speculative, last exit code = (never exited)";
        assert_eq!((loaded.is_running, loaded.pid, loaded.words.as_str()), (false, None, words));
    }

    #[test]
    fn missing_and_senseless_entries_are_none() {
        let text = "x = {\n    path = /a b/c.plist\n    state = running\n    last exit code = 78\n}\n";
        let loaded = parse_print(text);
        assert_eq!((loaded.path.as_deref(), loaded.is_running), (Some("/a b/c.plist"), false), "it has no pid");
        for nothing in ["", "}\n}\nstate = x", "x = {\n\texit timeout = 0\n\tpid = many\n}", "x = {\n\n\tpid = 1"] {
            assert_eq!(parse_print(nothing), Loaded::default(), "{nothing:?}");
        }
    }

    #[test]
    fn every_code_that_reports_know_has_its_sentence() {
        let known = [3, 5, 36, 37, 108, 109, 111, 112, 113, 119, 122, 124, 125, 134, 144, 146, 150, 155, 159, 161];
        let unknown = meaning(i32::MAX);
        for code in known {
            assert_ne!(meaning(code), unknown, "{code}");
        }
    }
}
