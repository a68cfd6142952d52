//! `launchd`: prints the property list of one config's job, or puts the job to work, or takes it away.
//!
//! Rendering works everywhere, the rest needs launchctl.

mod control;
mod job;
mod launchctl;
pub(crate) mod privacy;

use std::io::{self, Write};
use std::path::Path;

pub use control::Session;
pub use job::Job;
pub use launchctl::{Answer, Launchctl, SystemLaunchctl};

use crate::cli::{LaunchdAction, PROGRAM};
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::print::print;

/// Carries out one of the `launchd` subcommands for this user and program. What was done goes to `output`.
///
/// # Errors
/// 78 if HOME is not set or the config can't be a job; 69 where there is no launchd, for all but `print`; else as
/// [`Session`] has them.
pub fn run(action: LaunchdAction, config: &Config, output: &mut dyn Write) -> Result<ExitCode, Error> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    if home.is_empty() {
        return Err(job::unusable("HOME is not set"));
    }
    let program =
        std::env::current_exe().map_err(|error| Error::cannot(ExitCode::Internal, "find this program", error))?;
    let search_path = std::env::var("PATH").unwrap_or_default();
    let job = Job { config, program: &program, search_path: &search_path, home: Path::new(&home) };
    let change = match action {
        LaunchdAction::Print => {
            if let Some(text) = privacy::warning(config, &program, job.home) {
                let _ = writeln!(io::stderr(), "{PROGRAM}: warning: {text}");
            }
            return print(output, &job.plist()?, ExitCode::Ok);
        }
        LaunchdAction::Install => Session::install,
        LaunchdAction::Uninstall => Session::uninstall,
    };
    ensure_supported()?;
    change(&mut Session::new(&job, platform::effective_user_id(), &mut SystemLaunchctl, output)?)?;
    Ok(ExitCode::Ok)
}

/// Whether this system has a launchd to install jobs into.
///
/// # Errors
/// Exit code 69: it has not.
pub fn ensure_supported() -> Result<(), Error> {
    if cfg!(target_os = "macos") {
        return Ok(());
    }
    let cause = "only macOS has launchd; `launchd print` works everywhere";
    Err(Error::cannot(ExitCode::Unavailable, "install or uninstall a launchd job", cause))
}
