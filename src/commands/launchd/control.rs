//! Installing and uninstalling the job: a short list of steps, each checked by its effect and not by its exit code.
//!
//! What must not happen is that an old definition stays loaded, or that a job is gone and not replaced, without a word.
//! launchd keeps the definition that it has, whatever the file says, and ends a job some time after `bootout` returned;
//! so an old job is booted out, seen to be gone, and only then replaced, and the new one is seen to run. Every wait has
//! an end. Every step is safe to do again, so that the answer to a failure is to run the command again.

use std::ffi::CString;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use platform::Dir;

use super::job::Job;
use super::launchctl::{self, Answer, LOOK_INTERVAL, Launchctl, Loaded};
use super::privacy;
use crate::error::{Error, ExitCode, escape};
use crate::lock::{Held, Lock};
use crate::state_dir::StateDir;

/// For launchd itself, on top of what the job takes to end or to start.
const LAUNCHD_MAX: Duration = Duration::from_secs(15);
/// How often a loaded job is looked at before its start is asked for: a second.
const LOOKS_BEFORE_KICKSTART: u32 = 10;
/// How much of launchctl's complaint is shown, in bytes.
const COMPLAINT_BYTES_MAX: usize = 300;

/// One run of a command.
pub struct Session<'a> {
    job: &'a Job<'a>,
    /// `gui/UID`: the user's graphical login.
    domain: String,
    /// `gui/UID/LABEL`.
    target: String,
    launchctl: &'a mut dyn Launchctl,
    output: &'a mut dyn Write,
}

impl<'a> Session<'a> {
    /// A session for this job and user, which says on `output` what it does.
    ///
    /// # Errors
    /// 64 as root, whose jobs are no agents.
    pub fn new(
        job: &'a Job<'a>,
        user_id: u32,
        launchctl: &'a mut dyn Launchctl,
        output: &'a mut dyn Write,
    ) -> Result<Self, Error> {
        if user_id == 0 {
            let cause = "this is root, and the job belongs to the user who logs in; run it without sudo";
            return Err(Error::cannot(ExitCode::Usage, "deal with the launchd job", cause));
        }
        let domain = format!("gui/{user_id}");
        let target = format!("{domain}/{}", job.label());
        Ok(Session { job, domain, target, launchctl, output })
    }

    /// Writes the property list and puts the job to work, in place of one that is loaded.
    ///
    /// # Errors
    /// 69 if this user has no graphical login or the system no launchctl; 78 for a config that can't be a job; 1 for a
    /// file that can't be written or a command that fails, named with its exit code, what that means, and what to do.
    pub fn install(&mut self) -> Result<(), Error> {
        let plist = self.job.plist()?;
        self.warn_of_a_passing_program();
        if let Some(text) = privacy::warning(self.job.config, self.job.program, self.job.home) {
            self.say(format_args!("warning: {text}"));
        }
        let old = self.loaded()?;
        self.write_files(&plist)?;
        match &old {
            Some(old) => self.unload(old)?,
            None => self.warn_of_another_supervisor(),
        }
        self.ask("enable", &[0])?;
        self.load()?;
        self.see_it_run()
    }

    /// Unloads the job and removes its property list, and says what it left.
    ///
    /// # Errors
    /// As [`Session::install`].
    pub fn uninstall(&mut self) -> Result<(), Error> {
        let Job { config, .. } = *self.job;
        match &self.loaded()? {
            Some(old) => self.unload(old)?,
            None => self.say(format_args!("{} is not loaded", self.job.label())),
        }
        let path = self.job.plist_path();
        match fs::remove_file(&path) {
            Ok(()) => self.say(format_args!("removed {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(format_args!("remove {path:?}"), error)),
        }
        let (log, state) = (self.job.log_path(), config.state_dir.join(&config.name));
        let left = [&config.path, &config.log_stdout, &config.log_stderr, &log, &state];
        self.say(format_args!("left in place: {}", left.map(|path| path.display().to_string()).join(", ")));
        Ok(())
    }

    /// Half an installation is worse than a reader who has gone away: what can't be told is left untold.
    fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.output, "{line}");
    }

    /// A program in a build or temporary directory is gone one day, and with it the job.
    fn warn_of_a_passing_program(&mut self) {
        let program = self.job.program;
        let is_build = program.components().any(|component| component.as_os_str() == "target");
        if is_build || program.starts_with(std::env::temp_dir()) || program.starts_with("/private/tmp") {
            let place = program.display();
            self.say(format_args!(
                "warning: the job will run {place}, which may not stay; install the program elsewhere"
            ));
        }
    }

    /// One that was started by hand holds the lock: the job would wait for it, end with 75 and be tried again for ever.
    fn warn_of_another_supervisor(&mut self) {
        let config = self.job.config;
        let Ok(Some(dir)) = StateDir::existing(&config.state_dir, &config.name) else { return };
        let pid = match Lock::holder(&dir) {
            Ok(Held::By(holder)) => format!("pid {}", holder.pid),
            Ok(Held::Unknown) => "its pid unknown".to_owned(),
            Ok(Held::Free) | Err(_) => return,
        };
        self.say(format_args!(
            "warning: another supervisor runs already, {pid}; the job can't work until that is stopped"
        ));
    }

    /// launchd makes no directories: a job whose log has none does not start.
    fn write_files(&mut self, plist: &str) -> Result<(), Error> {
        let (path, log) = (self.job.plist_path(), self.job.log_path());
        for directory in [path.parent(), log.parent()].into_iter().flatten() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| failed(format_args!("create {directory:?}"), error))?;
        }
        let written = platform::safe_path(&path).and_then(|_| {
            let (dir, name) = path.parent().zip(path.file_name()).ok_or(io::ErrorKind::InvalidInput)?;
            let dir = Dir::open(platform::safe_path(dir)?.real())?;
            let file = dir.replace_file(&CString::new(name.as_bytes())?, plist.as_bytes())?;
            // launchd reads it as the user, and refuses one that others may write.
            file.set_permissions(Permissions::from_mode(0o644))
        });
        written.map_err(|error| failed(format_args!("write {path:?}"), error))?;
        self.say(format_args!("wrote {}", path.display()));
        Ok(())
    }

    /// The job as it is loaded now; None if it is not.
    fn loaded(&mut self) -> Result<Option<Loaded>, Error> {
        let answer = self.ask("print", &[0, launchctl::NO_SERVICE])?;
        Ok((answer.code == Some(0)).then(|| launchctl::parse_print(&answer.output)))
    }

    /// Boots the job out and waits until it is gone, which may take as long as launchd lets it: the old job's own time,
    /// whatever the new one's is.
    fn unload(&mut self, old: &Loaded) -> Result<(), Error> {
        let gone_or_going = [0, launchctl::NO_SUCH_PROCESS, launchctl::NO_SERVICE, launchctl::NOW_IN_PROGRESS];
        self.ask("bootout", &gone_or_going)?;
        let limit = old.exit_timeout.unwrap_or_else(|| self.job.exit_timeout()) + LAUNCHD_MAX;
        if !self.wait(limit, &mut |session| Ok(session.loaded()?.is_none()))? {
            let cause = format_args!("it is still there {} s after bootout; run this again", limit.as_secs());
            return Err(failed(format_args!("unload {}", self.target), cause));
        }
        let pid = old.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        self.say(format_args!("unloaded the job that was there{pid}"));
        let path = self.job.plist_path();
        if let Some(old_path) = old.path.as_ref().filter(|old_path| !platform::is_same_file(Path::new(old_path), &path))
        {
            self.say(format_args!("warning: it came from {old_path}, which is still there; remove that file"));
        }
        Ok(())
    }

    /// Bootstraps the job. The label may be taken for some seconds after the old job is gone.
    fn load(&mut self) -> Result<(), Error> {
        let done_or_taken = [0, launchctl::IO_ERROR, launchctl::NOW_IN_PROGRESS, launchctl::ALREADY_IN_PROGRESS];
        let (domain, path) = (self.domain.clone(), self.job.plist_path());
        // It became part of an XML text, so that it is UTF-8.
        let arguments = ["bootstrap", &domain, &path.to_string_lossy()];
        let mut last = Answer::default();
        let is_loaded = self.wait(LAUNCHD_MAX, &mut |session| {
            last = session.run(&arguments, &done_or_taken)?;
            Ok(last.code == Some(0))
        })?;
        if is_loaded { Ok(()) } else { Err(complaint(&arguments, &last)) }
    }

    /// Waits until the job runs. launchd may put off a start that nobody asked for, so that it is asked once.
    fn see_it_run(&mut self) -> Result<(), Error> {
        let (mut last, mut looks, mut kickstart) = (Loaded::default(), 0, Answer::default());
        let is_running = self.wait(LAUNCHD_MAX, &mut |session| {
            last = session.loaded()?.unwrap_or_default();
            looks += 1;
            if looks == LOOKS_BEFORE_KICKSTART {
                kickstart = session.ask("kickstart", &[])?;
            }
            Ok(last.is_running)
        })?;
        if !is_running {
            return Err(self.does_not_run(&last, &kickstart));
        }
        let (job, running) = (self.job, last);
        let expected = job.plist_path();
        if let Some(path) = running.path.filter(|path| !platform::is_same_file(Path::new(path), &expected)) {
            return Err(failed(
                format_args!("load {}", self.target),
                format_args!("launchd runs it from {path:?} instead"),
            ));
        }
        let pid = running.pid.unwrap_or_default();
        self.say(format_args!("loaded {}; it runs, pid {pid}, and will at every login", job.label()));
        self.say(format_args!("its own log: {}", job.log_path().display()));
        self.say(format_args!("undo: worker-supervisor launchd uninstall --config {}", job.config.path.display()));
        Ok(())
    }

    /// What is known of a job that is loaded and does not run.
    fn does_not_run(&self, last: &Loaded, kickstart: &Answer) -> Error {
        let refused = kickstart
            .code
            .filter(|&code| code != 0)
            .map_or_else(String::new, |code| format!(", kickstart's exit code {code}: {}", launchctl::meaning(code)));
        let words = &last.words;
        let log = self.job.log_path();
        let cause = format_args!("it does not run ({words}{refused}); see {}", log.display());
        failed(format_args!("start {}", self.target), cause)
    }

    /// Looks until it is so, for as long as `limit` at most; whether it is.
    fn wait(
        &mut self,
        limit: Duration,
        is_so: &mut dyn FnMut(&mut Self) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        for _ in 0..limit.as_millis() / LOOK_INTERVAL.as_millis() {
            if is_so(self)? {
                return Ok(true);
            }
            self.launchctl.pause();
        }
        Ok(false)
    }

    /// Runs a command about the job; any code will do if none is expected.
    fn ask(&mut self, verb: &str, expected: &[i32]) -> Result<Answer, Error> {
        let target = self.target.clone();
        self.run(&[verb, &target], expected)
    }

    /// Runs a command that has to end with one of these codes.
    fn run(&mut self, arguments: &[&str], expected: &[i32]) -> Result<Answer, Error> {
        let ran = self.launchctl.run(arguments);
        let answer = ran.map_err(|error| Error::cannot(ExitCode::Unavailable, "run /bin/launchctl", error))?;
        if expected.is_empty() || answer.code.is_some_and(|code| expected.contains(&code)) {
            Ok(answer)
        } else {
            Err(complaint(arguments, &answer))
        }
    }
}

fn failed(task: impl std::fmt::Display, cause: impl std::fmt::Display) -> Error {
    Error::cannot(ExitCode::Failed, task, cause)
}

fn complaint(arguments: &[&str], answer: &Answer) -> Error {
    let task = format!("run `launchctl {}`", arguments.join(" "));
    let Some(code) = answer.code else { return failed(task, "a signal ended it") };
    let words = escape(answer.output.trim(), COMPLAINT_BYTES_MAX);
    let blame = if launchctl::is_unavailable(code) { ExitCode::Unavailable } else { ExitCode::Failed };
    Error::cannot(blame, task, format_args!("exit code {code} ({words}); {}", launchctl::meaning(code)))
}
