//! launchctl(1): running it, what it prints of a job, and what its exit codes mean.
//!
//! Its output is for people and may change, so that little is asked of it: whether a job is there, its state, its pid
//! and its file. As reported of macOS 11 to 26: `print` ends with 113 for a job that is not loaded; the entries of the
//! job itself are those outside any inner braces. `bootout` returns while the job is still ending (`state =
//! SIGTERMed`), and has no flag to wait: `--wait` is a usage error on macOS 15. Until the job is gone, and for some
//! seconds after, `bootstrap` fails with 5 or 37.

use std::io;
use std::process::Command;
use std::time::Duration;

use crate::commands::restart::pause;

/// Between two looks at a job.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// No such process: nothing to boot out.
pub(super) const NO_SUCH_PROCESS: i32 = 3;
/// Input/output error, said of nearly everything; most often the label is still taken.
pub(super) const IO_ERROR: i32 = 5;
/// Operation now in progress.
pub(super) const NOW_IN_PROGRESS: i32 = 36;
/// Operation already in progress.
pub(super) const ALREADY_IN_PROGRESS: i32 = 37;
/// There is no such domain.
pub(super) const NO_DOMAIN: i32 = 112;
/// There is no such job.
pub(super) const NO_SERVICE: i32 = 113;
/// The job is disabled.
pub(super) const DISABLED: i32 = 119;
/// The domain can't do that.
pub(super) const DOMAIN_UNFIT: i32 = 125;

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
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The launchctl of this Mac.
#[derive(Clone, Copy, Debug)]
pub struct SystemLaunchctl;

impl Launchctl for SystemLaunchctl {
    fn run(&mut self, arguments: &[&str]) -> io::Result<Answer> {
        // By its full path, since PATH is the user's.
        let output = Command::new("/bin/launchctl").args(arguments).output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    fn pause(&mut self) {
        pause(LOOK_INTERVAL);
    }
}

/// What `launchctl print` says of a loaded job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// `running`, `not running`, `spawn scheduled`, `SIGTERMed`...
    pub(super) state: String,
    /// The pid, while it runs.
    pub(super) pid: Option<u32>,
    /// The property list that it was loaded from.
    pub(super) path: Option<String>,
    /// How it ended the last time, in launchctl's words.
    pub(super) last_exit: Option<String>,
}

impl Loaded {
    pub(super) fn is_running(&self) -> bool {
        self.state == "running" && self.pid.is_some()
    }
}

/// Reads the output of `launchctl print DOMAIN/LABEL`.
pub(super) fn parse_print(output: &str) -> Loaded {
    let mut loaded = Loaded::default();
    let mut depth = 0_usize;
    for line in output.lines().map(str::trim) {
        if line.ends_with('{') {
            depth += 1;
        } else if line == "}" {
            depth = depth.saturating_sub(1);
        } else if let (1, Some((key, value))) = (depth, line.split_once(" = ")) {
            match key {
                "state" => loaded.state = value.to_owned(),
                "pid" => loaded.pid = value.parse().ok(),
                "path" => loaded.path = Some(value.to_owned()),
                "last exit code" => loaded.last_exit = Some(value.to_owned()),
                _ => {}
            }
        }
    }
    loaded
}

/// What an exit code means for us, and what to do about it.
pub(super) fn meaning(code: i32) -> &'static str {
    match code {
        NO_SUCH_PROCESS | NO_SERVICE => "the job is not loaded; run `launchd install`",
        IO_ERROR => {
            "launchd refuses the job or still holds its label; look at it with `launchctl print`, check the file with \
             `plutil -lint`, and run this again"
        }
        NOW_IN_PROGRESS | ALREADY_IN_PROGRESS => "launchd is still ending the old job; run this again in some seconds",
        NO_DOMAIN | DOMAIN_UNFIT => {
            "this user is not logged in at the screen (or this is sudo), so there is nobody to run the job for; log in \
             there once, or run it at boot as launchd/README.md describes"
        }
        DISABLED => "the job is disabled, perhaps in System Settings, Login Items; enable it there",
        _ => "`launchctl error` explains the code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_entries_of_the_job_itself_count() {
        let output = "\
gui/501/worker-supervisor.demo = {
\tactive count = 1
\tpath = /Users/joe/Library/LaunchAgents/worker-supervisor.demo.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /usr/local/bin/worker-supervisor
\targuments = {
\t\t/usr/local/bin/worker-supervisor
\t\tstate = forged
\t\t--config
\t}

\tenvironment = {
\t\tPATH => /usr/bin:/bin
\t}

\tdomain = gui/501 [100005]
\texit timeout = 10
\truns = 1
\tpid = 4711
\tlast exit code = (never exited)

\tspawn type = interactive (4)
\tendpoints = {
\t\t\"x\" = {
\t\t\tstate = active
\t\t\tpid = 1
\t\t}
\t}
}
";
        let expected = Loaded {
            state: "running".into(),
            pid: Some(4711),
            path: Some("/Users/joe/Library/LaunchAgents/worker-supervisor.demo.plist".into()),
            last_exit: Some("(never exited)".into()),
        };
        assert_eq!(parse_print(output), expected);
        assert!(expected.is_running());
    }

    #[test]
    fn spaces_in_the_place_of_tabs_and_missing_entries_are_understood() {
        let loaded =
            parse_print("x = {\n    path = /a b/c.plist\n    state = spawn scheduled\n    last exit code = 78\n}\n");
        assert_eq!((loaded.state.as_str(), loaded.path.as_deref()), ("spawn scheduled", Some("/a b/c.plist")));
        assert!(!loaded.is_running());
        assert_eq!(parse_print(""), Loaded::default());
        assert_eq!(parse_print("}\n}\nstate = x"), Loaded::default());
    }
}
