//! What a start needs of the file system: the directory, the environment file, the program, the logs.
//!
//! Looks the way a start would, by the same functions where they change nothing, and never opens anything for writing.
//! The answers hold for this moment and this user.

use std::ffi::CString;
use std::io;
use std::path::Path;

use super::report::Finding;
use crate::config::Config;
use crate::error::{SHOWN_BYTES_MAX, escape};
use crate::supervise::disks::remote;
use crate::supervise::launch::environment::{self as env, EnvFile, Environment};
use crate::supervise::launch::{check_log, refusal};
use crate::supervise::logs::shared;

/// How many variables are named; the rest are counted.
const NAMES_MAX: usize = 8;

/// Whether the worker can run where it should.
pub(super) fn worker_dir(config: &Config) -> Finding {
    let dir = &config.worker_dir;
    let entered = env::ensure_worker_dir(dir).map_err(|error| error.to_string()).and_then(|()| {
        platform::check_executable(dir).map_err(|error| format!("cannot enter worker_dir {dir:?}: {error}"))
    });
    match entered {
        Ok(()) => Finding::ok("worker_dir", format!("{dir:?}")),
        Err(cause) => Finding::fail("worker_dir", format!("{cause}; create it or set worker_dir to another")),
    }
}

/// What `env_file` holds, counted: its values may be secrets. Nothing where there is none.
pub(super) fn env_file(config: &Config) -> Vec<Finding> {
    let Some(path) = &config.env_file else { return Vec::new() };
    match EnvFile::examine(path) {
        Ok(EnvFile { count, contested, warning }) => {
            let variables = if count == 1 { "variable" } else { "variables" };
            let found = Finding::ok("env_file", format!("{path:?} sets {count} {variables}"));
            let warnings = warning.into_iter().chain(read_otherwise(&contested));
            std::iter::once(found).chain(warnings.map(|text| Finding::warn("env_file", text))).collect()
        }
        Err(error) => vec![Finding::fail("env_file", format!("{error}; fix the file or change env_file"))],
    }
}

/// What to say of variables that other programs would read otherwise.
fn read_otherwise(names: &[String]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let shown = names.iter().take(NAMES_MAX).map(|name| escape(name, SHOWN_BYTES_MAX)).collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMES_MAX { format!(" and {} more", names.len() - NAMES_MAX) } else { String::new() };
    Some(format!(
        "bun, Node.js or dotenv would read {shown}{more} otherwise, for a `$`, `\\`, `#` or CR in it; \
         the manual has a table of that"
    ))
}

/// Whether a program could be given the arguments and the variables, of which secrets are left out; nothing if so.
pub(super) fn variables(config: &Config, environment: &Environment) -> Option<Finding> {
    let args: Vec<_> = config.command.iter().flat_map(|word| CString::new(word.as_str())).collect();
    let fault = match environment.to_exec() {
        Ok(env) => refusal::too_long(&args, &env)?,
        Err(error) => error.to_string(),
    };
    Some(Finding::fail("exec", format!("{fault}; put what is so long into a file")))
}

/// The program behind `command`, found on the PATH that the worker will have, or on the supervisor's own where that
/// can't be known.
pub(super) fn program(config: &Config, environment: Option<&Environment>) -> Finding {
    let own = std::env::var_os("PATH");
    let path = environment.map_or(own.as_deref(), |environment| environment.value("PATH"));
    let program = &config.command[0];
    match runnable(program, path, &config.worker_dir) {
        Ok(program) => Finding::ok("program", program),
        Err(cause) if program.contains('/') => Finding::fail("program", format!("{cause}; install it or fix command")),
        Err(cause) => Finding::fail("program", format!("{cause}; install it, set PATH in [env], or write its path")),
    }
}

/// The absolute path of a program, quoted, if this user can run it.
pub(super) fn runnable(program: &str, path: Option<&std::ffi::OsStr>, dir: &Path) -> Result<String, String> {
    let program = env::resolve(program, path, dir).map_err(|error| error.to_string())?;
    let cannot = |cause: String| format!("cannot run program {program:?}: {cause}");
    platform::check_executable(&program).map_err(|error| cannot(error.to_string()))?;
    match refusal::fault(&program, path, dir) {
        None => Ok(format!("{program:?}")),
        Some(fault) => Err(cannot(fault)),
    }
}

/// Whether the worker's output has where to go.
pub(super) fn logs(config: &Config) -> Vec<Finding> {
    let both = [("log_stdout", &config.log_stdout), ("log_stderr", &config.log_stderr)];
    let looks = both.into_iter().map(|(key, path)| log(key, path, check_log(path), || creatable(path)));
    let shared = shared(config).into_iter().map(|text| Finding::warn("logs", text));
    let remote = remote(config).into_iter().map(|text| Finding::warn("disks", text));
    looks.chain(shared).chain(remote).collect()
}

/// A log that can't be opened keeps no worker from starting: its output is discarded.
fn log(
    key: &'static str,
    path: &Path,
    checked: io::Result<()>,
    creatable: impl FnOnce() -> Result<(), String>,
) -> Finding {
    let lost = |cause| Finding::warn(key, format!("{cause}: output would be discarded; fix that or set {key}"));
    match checked {
        Ok(()) => Finding::ok(key, format!("{path:?}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match creatable() {
            Ok(()) => Finding::ok(key, format!("{path:?} would be created")),
            Err(cause) => lost(format!("{path:?} is missing, and {cause}")),
        },
        Err(error) => lost(format!("cannot write {path:?}: {error}")),
    }
}

/// Whether something that is missing could be made, with the directories that lead to it.
pub(super) fn creatable(path: &Path) -> Result<(), String> {
    for dir in path.ancestors().skip(1) {
        match platform::check_creatable_in(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("nothing can be created in {dir:?}: {error}")),
        }
    }
    Err(format!("no directory leads to {path:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_can_be_used_or_created_is_well() {
        let path = Path::new("/l/w.log");
        let look = |checked| log("log_stdout", path, checked, || Ok(()));
        assert_eq!(look(Ok(())), Finding::ok("log_stdout", "\"/l/w.log\"".into()));
        let missing = Err(io::ErrorKind::NotFound.into());
        assert_eq!(look(missing), Finding::ok("log_stdout", "\"/l/w.log\" would be created".into()));
    }

    #[test]
    fn of_many_variables_that_others_would_read_otherwise_some_are_named() {
        let told = |count: usize| read_otherwise(&vec!["A".to_owned(); count]).unwrap_or_default();
        assert_eq!(told(0), "");
        assert!(told(NAMES_MAX).contains("read A, A") && !told(NAMES_MAX).contains("more"), "{}", told(NAMES_MAX));
        assert!(told(NAMES_MAX + 2).contains(" and 2 more otherwise"), "{}", told(NAMES_MAX + 2));
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_a_warning() {
        let path = Path::new("/l/w.log");
        let look = |error| log("log_stderr", path, Err(error), || Err("nothing can be created in \"/l\": no".into()));
        assert_eq!(
            look(io::ErrorKind::NotFound.into()),
            Finding::warn(
                "log_stderr",
                "\"/l/w.log\" is missing, and nothing can be created in \"/l\": no: \
                 output would be discarded; fix that or set log_stderr"
                    .into()
            )
        );
        assert_eq!(
            look(io::Error::other("is a FIFO, not a regular file")),
            Finding::warn(
                "log_stderr",
                "cannot write \"/l/w.log\": is a FIFO, not a regular file: \
                 output would be discarded; fix that or set log_stderr"
                    .into()
            )
        );
    }

    #[test]
    fn what_is_missing_can_be_made_where_its_nearest_directory_allows_it() {
        let dir = std::env::temp_dir();
        assert_eq!(creatable(&dir.join("ws-none-a/b/c")), Ok(()));
        let below_a_file = std::env::current_exe().unwrap().join("x");
        assert!(creatable(&below_a_file).unwrap_err().starts_with("nothing can be created in"));
    }
}
