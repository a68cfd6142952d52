//! Installing and uninstalling the job: a short list of steps, each checked by its effect and not by its exit code.
//!
//! What must not happen is that an old definition stays loaded, or that a job is gone and not replaced, without a word.
//! launchd keeps the definition that it has, whatever the file says, and ends a job some time after `bootout` returned;
//! so an old job is booted out, seen to be gone, and only then replaced, and the new one is seen to run. Every wait has
//! an end. Every step is safe to do again, so that the answer to a failure is to run the command again.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use super::Job;
use super::launchctl::{self, Answer, LOOK_INTERVAL, Launchctl, Loaded};
use crate::error::{Error, ExitCode, escape};
use crate::state_dir::{Held, Lock, StateDir};

/// For launchd itself, on top of what the job takes to end or to start.
const LAUNCHD_MAX: Duration = Duration::from_secs(15);
/// How much of launchctl's complaint is shown, in bytes.
const COMPLAINT_BYTES_MAX: usize = 300;

/// Writes the property list and puts the job to work, in place of one that is loaded. Says on `output` what it did.
///
/// # Errors
/// 64 as root, whose jobs are no agents; 69 if this user has no graphical login or the system no launchctl; 78 for a
/// config that can't be a job; 1 for a file that can't be written or a command that fails, named with its exit code,
/// what that means, and what to do.
pub fn install(
    job: &Job<'_>,
    user_id: u32,
    launchctl: &mut dyn Launchctl,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let mut session = Session::new(job, user_id, launchctl, output)?;
    let plist = job.plist()?;
    session.warn_of_a_passing_program();
    let old = session.loaded()?;
    session.write_files(&plist)?;
    match &old {
        Some(old) => session.unload(old)?,
        None => session.warn_of_another_supervisor(),
    }
    session.checked(&["enable", &session.target.clone()])?;
    session.load()?;
    session.see_it_run()
}

/// Unloads the job and removes its property list. Says on `output` what it did and what it left.
///
/// # Errors
/// As [`install`].
pub fn uninstall(
    job: &Job<'_>,
    user_id: u32,
    launchctl: &mut dyn Launchctl,
    output: &mut dyn Write,
) -> Result<(), Error> {
    let mut session = Session::new(job, user_id, launchctl, output)?;
    let old = session.loaded()?;
    match &old {
        Some(old) => session.unload(old)?,
        None => session.say(format_args!("{} is not loaded", job.label())),
    }
    let path = job.plist_path();
    match fs::remove_file(&path) {
        Ok(()) => session.say(format_args!("removed {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(format_args!("remove {path:?}"), error)),
    }
    let config = job.config;
    let left =
        [&config.path, &config.log_stdout, &config.log_stderr, &job.log_path(), &config.state_dir.join(&config.name)]
            .map(|path| path.display().to_string());
    session.say(format_args!("left in place: {}", left.join(", ")));
    Ok(())
}

fn failed(task: impl std::fmt::Display, cause: impl std::fmt::Display) -> Error {
    Error::cannot(ExitCode::Failed, task, cause)
}

/// One run of a command.
struct Session<'a> {
    job: &'a Job<'a>,
    /// `gui/UID`: the user's graphical login.
    domain: String,
    /// `gui/UID/LABEL`.
    target: String,
    launchctl: &'a mut dyn Launchctl,
    output: &'a mut dyn Write,
}

impl<'a> Session<'a> {
    fn new(
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
        replace(&path, plist).map_err(|error| failed(format_args!("write {path:?}"), error))?;
        self.say(format_args!("wrote {}", path.display()));
        Ok(())
    }

    /// The job as it is loaded now; None if it is not.
    fn loaded(&mut self) -> Result<Option<Loaded>, Error> {
        let target = self.target.clone();
        let answer = self.run(&["print", &target])?;
        match answer.code {
            Some(0) => Ok(Some(launchctl::parse_print(&answer.stdout))),
            Some(launchctl::NO_SERVICE) => Ok(None),
            Some(_) | None => Err(complaint(&["print", &target], &answer)),
        }
    }

    /// Boots the job out and waits until it is gone, which may take as long as launchd lets it.
    fn unload(&mut self, old: &Loaded) -> Result<(), Error> {
        let target = self.target.clone();
        let answer = self.run(&["bootout", &target])?;
        if !matches!(
            answer.code,
            Some(0 | launchctl::NO_SUCH_PROCESS | launchctl::NO_SERVICE | launchctl::NOW_IN_PROGRESS)
        ) {
            return Err(complaint(&["bootout", &target], &answer));
        }
        let limit = self.job.exit_timeout() + LAUNCHD_MAX;
        self.wait(limit, |session| Ok(session.loaded()?.is_none().then_some(())))?.ok_or_else(|| {
            let cause = format_args!("it is still there {} s after bootout; run this again", limit.as_secs());
            failed(format_args!("unload {target}"), cause)
        })?;
        let pid = old.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
        self.say(format_args!("unloaded the job that was there{pid}"));
        let path = self.job.plist_path();
        if let Some(old_path) = old.path.as_ref().filter(|old_path| Path::new(old_path) != path) {
            self.say(format_args!("warning: it came from {old_path}, which is still there; remove that file"));
        }
        Ok(())
    }

    /// Bootstraps the job. The label may be taken for some seconds after the old job is gone.
    fn load(&mut self) -> Result<(), Error> {
        let path = self.job.plist_path();
        // It became part of an XML text, so that it is UTF-8.
        let path = path.to_string_lossy();
        let domain = self.domain.clone();
        let arguments = ["bootstrap", &domain, &path];
        let mut last = Answer::default();
        let loaded = self.wait(LAUNCHD_MAX, |session| {
            last = session.run(&arguments)?;
            match last.code {
                Some(0) => Ok(Some(Ok(()))),
                Some(launchctl::IO_ERROR | launchctl::NOW_IN_PROGRESS | launchctl::ALREADY_IN_PROGRESS) => Ok(None),
                Some(_) | None => Ok(Some(Err(()))),
            }
        })?;
        if loaded == Some(Ok(())) { Ok(()) } else { Err(complaint(&arguments, &last)) }
    }

    fn see_it_run(&mut self) -> Result<(), Error> {
        let mut last = None;
        let running = self.wait(LAUNCHD_MAX, |session| {
            last = session.loaded()?;
            Ok(last.clone().filter(Loaded::is_running))
        })?;
        let (job, target) = (self.job, self.target.clone());
        let log = job.log_path();
        let Some(running) = running else {
            let last = last.unwrap_or_default();
            let exit = last.last_exit.map_or_else(String::new, |code| format!(", last exit code {code}"));
            let cause = format_args!("it does not run (state {:?}{exit}); see {}", last.state, log.display());
            return Err(failed(format_args!("start {target}"), cause));
        };
        let expected = job.plist_path();
        if let Some(path) = running.path.filter(|path| Path::new(path) != expected) {
            return Err(failed(format_args!("load {target}"), format_args!("launchd runs it from {path:?} instead")));
        }
        let pid = running.pid.unwrap_or_default();
        self.say(format_args!("loaded {}; it runs, pid {pid}, and will at every login", job.label()));
        self.say(format_args!("its own log: {}", log.display()));
        self.say(format_args!("undo: worker-supervisor launchd uninstall --config {}", job.config.path.display()));
        Ok(())
    }

    /// Looks until there is an answer, for as long as `limit` at most.
    fn wait<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        for _ in 0..limit.as_millis() / LOOK_INTERVAL.as_millis() {
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
            self.launchctl.pause();
        }
        Ok(None)
    }

    fn checked(&mut self, arguments: &[&str]) -> Result<(), Error> {
        let answer = self.run(arguments)?;
        if answer.code == Some(0) { Ok(()) } else { Err(complaint(arguments, &answer)) }
    }

    fn run(&mut self, arguments: &[&str]) -> Result<Answer, Error> {
        let cannot = |error| Error::cannot(ExitCode::Unavailable, "run /bin/launchctl", error);
        self.launchctl.run(arguments).map_err(cannot)
    }
}

fn complaint(arguments: &[&str], answer: &Answer) -> Error {
    let task = format!("run `launchctl {}`", arguments.join(" "));
    let Some(code) = answer.code else { return failed(task, "a signal ended it") };
    let words = escape(answer.stderr.trim(), COMPLAINT_BYTES_MAX);
    let blame = match code {
        launchctl::NO_DOMAIN | launchctl::DOMAIN_UNFIT => ExitCode::Unavailable,
        _ => ExitCode::Failed,
    };
    Error::cannot(blame, task, format_args!("exit code {code} ({words}); {}", launchctl::meaning(code)))
}

/// Puts a file in place of another in one step; launchd refuses one that others may write.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("plist.new");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}
