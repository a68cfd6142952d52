//! The launchd job of one config: its names, its paths and its property list. Pure but for a look whether two logs are
//! one file.
//!
//! The list says all that launchd's defaults would get wrong: time enough for a drain (the default of 5 s kills a
//! supervisor that waits for its worker), no throttling of CPU and disk, files enough, a PATH and a HOME, and a log of
//! the supervisor's own. It holds no secret: those are leased by the supervisor. Sources: launchd.plist(5), and
//! launchd-842, the last one whose source is open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::policy::KILL_TIME;

/// What launchd waits beyond drain and kill time before it sends SIGKILL.
const EXIT_SLACK: Duration = Duration::from_secs(3);
/// The shortest time between two starts, in seconds; launchd's default.
const THROTTLE_SECS: u64 = 10;
/// Open files that the worker starts with; launchd's default is 256.
const FILES_SOFT: u64 = 10_240;
/// Open files that it may ask for; XNU cuts this to kern.maxfilesperproc.
const FILES_HARD: u64 = 65_536;

/// What every property list begins with, up to its dictionary.
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>"#;

/// The launchd job of one config, for one user.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// What the job supervises.
    pub config: &'a Config,
    /// The supervisor's program, absolute.
    pub program: &'a Path,
    /// PATH for the supervisor and its worker; entries that are not absolute are left out.
    pub search_path: &'a str,
    /// The user's home, absolute.
    pub home: &'a Path,
}

impl Job<'_> {
    /// The job's name.
    pub fn label(&self) -> &str {
        &self.config.launchd_label
    }

    /// Where launchd looks for the property list at each login.
    pub fn plist_path(&self) -> PathBuf {
        self.home.join("Library/LaunchAgents").join(format!("{}.plist", self.label()))
    }

    /// The supervisor's own log. Not the worker's: launchd keeps this one open and never rotates it.
    pub fn log_path(&self) -> PathBuf {
        self.home.join(".local/log").join(format!("{}.supervisor.log", self.config.name))
    }

    /// From SIGTERM to launchd's SIGKILL.
    pub fn exit_timeout(&self) -> Duration {
        let least = self.config.drain_timeout + KILL_TIME + EXIT_SLACK;
        Duration::from_secs(least.as_secs() + u64::from(least.subsec_nanos() > 0))
    }

    /// The property list as XML.
    ///
    /// # Errors
    /// Exit code 78: a path is not absolute or can't stand in XML, or the worker logs to the supervisor's log.
    pub fn plist(&self) -> Result<String, Error> {
        let log = self.log_path();
        if [&self.config.log_stdout, &self.config.log_stderr].into_iter().any(|path| platform::is_same_file(path, &log))
        {
            let cause = format_args!("{log:?} is the supervisor's log; set log_stdout and log_stderr to others");
            return Err(unusable(cause));
        }
        let [program, config, log, home] = [self.program, &self.config.path, &log, self.home].map(path_text);
        let (program, config, log, home) = (program?, config?, log?, home?);
        let absolute: Vec<&str> = self.search_path.split(':').filter(|entry| entry.starts_with('/')).collect();
        let (label, search_path) = (xml_text(self.label())?, xml_text(&absolute.join(":"))?);
        let exit_timeout = self.exit_timeout().as_secs();
        Ok(format!(
            "{HEAD}
	<key>Label</key>
	<string>{label}</string>
	<key>ProgramArguments</key>
	<array>
		<string>{program}</string>
		<string>--config</string>
		<string>{config}</string>
	</array>
	<key>EnvironmentVariables</key>
	<dict>
		<key>HOME</key>
		<string>{home}</string>
		<key>PATH</key>
		<string>{search_path}</string>
	</dict>
	<key>WorkingDirectory</key>
	<string>{home}</string>
	<key>StandardOutPath</key>
	<string>{log}</string>
	<key>StandardErrorPath</key>
	<string>{log}</string>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<true/>
	<key>ThrottleInterval</key>
	<integer>{THROTTLE_SECS}</integer>
	<key>ExitTimeOut</key>
	<integer>{exit_timeout}</integer>
	<key>ProcessType</key>
	<string>Interactive</string>
	<key>SoftResourceLimits</key>
	<dict>
		<key>NumberOfFiles</key>
		<integer>{FILES_SOFT}</integer>
	</dict>
	<key>HardResourceLimits</key>
	<dict>
		<key>NumberOfFiles</key>
		<integer>{FILES_HARD}</integer>
	</dict>
</dict>
</plist>
"
        ))
    }
}

fn path_text(path: &Path) -> Result<String, Error> {
    if !path.is_absolute() {
        return Err(unusable(format_args!("{path:?} is not absolute")));
    }
    xml_text(path.to_str().ok_or_else(|| unusable(format_args!("{path:?} is not valid UTF-8")))?)
}

/// Text as XML has it. Control characters have no place in XML 1.0, not even as references.
fn xml_text(text: &str) -> Result<String, Error> {
    if text.contains(|character: char| character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}')) {
        return Err(unusable(format_args!("{text:?} holds a control character")));
    }
    Ok(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

pub(super) fn unusable(cause: impl std::fmt::Display) -> Error {
    Error::cannot(ExitCode::Config, "describe the launchd job", cause)
}
