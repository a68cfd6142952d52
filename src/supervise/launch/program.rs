//! Finding the worker's program before it is started.
//!
//! A bare name is looked for in the PATH that the worker will have; a name with a slash starts from the worker's
//! directory. The current directory is never searched: empty and relative entries of PATH are skipped, so that what
//! lies about in some directory is not run by accident. The answer is a hint of the moment; what counts in the end is
//! what exec says.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is searched where the worker's environment has no PATH: the one that launchd gives its jobs.
pub const PATH_DEFAULT: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// Why a program or directory can't be used for a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// No directory of PATH has it.
    NotInPath {
        /// The bare name.
        program: String,
        /// What was searched.
        searched: OsString,
    },
    /// It is there, but can't be run.
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// Why it can't be run.
        cause: String,
    },
    /// The directory to run in is none.
    NoDirectory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
}

impl fmt::Display for ResolveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInPath { program, searched } => {
                write!(
                    formatter,
                    "cannot find program {program:?}: it is in no absolute directory of PATH {searched:?}{}",
                    split_hint(program)
                )
            }
            Self::Unusable { path, cause } => write!(formatter, "cannot run program {path:?}: {cause}"),
            Self::NoDirectory { path, cause } => write!(formatter, "cannot run in worker_dir {path:?}: {cause}"),
        }
    }
}

impl std::error::Error for ResolveError {}

/// The absolute path of `program`, given the worker's PATH and its directory, which must be absolute.
///
/// # Errors
/// If there is no such program or if what is found is no executable file.
pub fn resolve(program: &str, path: Option<&OsStr>, worker_dir: &Path) -> Result<PathBuf, ResolveError> {
    if program.contains('/') {
        let path = worker_dir.join(program);
        return match ensure_executable(&path) {
            Ok(()) => Ok(path),
            Err(cause) => {
                let hint = if is_absence(&cause) { split_hint(program) } else { String::new() };
                Err(ResolveError::Unusable { path, cause: cause_text(&cause) + &hint })
            }
        };
    }
    let searched = path.unwrap_or(OsStr::new(PATH_DEFAULT));
    let mut unusable = None;
    for dir in std::env::split_paths(searched).filter(|dir| dir.is_absolute()) {
        let path = dir.join(program);
        match ensure_executable(&path) {
            Ok(()) => return Ok(path),
            Err(cause) if is_absence(&cause) => {}
            Err(cause) => unusable = unusable.or(Some((path, cause))),
        }
    }
    Err(match unusable {
        Some((path, cause)) => ResolveError::Unusable { path, cause: cause_text(&cause) },
        None => ResolveError::NotInPath { program: program.into(), searched: searched.into() },
    })
}

/// Checks that the worker can be started in `dir`.
///
/// # Errors
/// If it is missing, unreachable or no directory.
pub fn ensure_worker_dir(dir: &Path) -> Result<(), ResolveError> {
    let cause = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => "it is not a directory".into(),
        Err(error) => cause_text(&error),
    };
    Err(ResolveError::NoDirectory { path: dir.into(), cause })
}

/// Checks mode bits, not whether this very user may run it: exec knows that better.
fn ensure_executable(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::other("it is not executable; run `chmod +x` on it"));
    }
    Ok(())
}

/// What to do about a whole command line in the place of a program.
fn split_hint(program: &str) -> String {
    let words: Vec<&str> = program.split_whitespace().collect();
    if words.len() < 2 { String::new() } else { format!("; if these are a program and its arguments, write {words:?}") }
}

fn is_absence(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn cause_text(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "there is none".into(),
        io::ErrorKind::IsADirectory => "it is a directory".into(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    struct Dir(PathBuf);

    impl Dir {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ws-program-{}-{test}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }

        fn path_of(&self, dirs: &[&str]) -> OsString {
            std::env::join_paths(dirs.iter().map(|dir| self.0.join(dir))).unwrap()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_bare_name_is_the_first_executable_file_in_path() {
        let dir = Dir::new("first");
        dir.file("a/prog", 0o644);
        fs::create_dir_all(dir.0.join("b/prog")).unwrap();
        let (found, _) = (dir.file("c/prog", 0o755), dir.file("d/prog", 0o755));
        let path = dir.path_of(&["none", "a", "b", "c", "d"]);
        assert_eq!(resolve("prog", Some(&path), &dir.0), Ok(found));
    }

    #[test]
    fn no_relative_entry_of_path_is_searched() {
        let dir = Dir::new("relative");
        dir.file("prog", 0o755);
        for path in ["", ":", ".", "::.:..", "a/../.", "relative"] {
            let error = resolve("prog", Some(OsStr::new(path)), &dir.0).unwrap_err();
            assert!(matches!(error, ResolveError::NotInPath { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn a_name_with_a_slash_starts_from_the_worker_dir() {
        let dir = Dir::new("slash");
        let found = dir.file("bin/prog", 0o700);
        assert_eq!(resolve("bin/prog", None, &dir.0), Ok(found.clone()));
        assert_eq!(resolve(found.to_str().unwrap(), None, Path::new("/")), Ok(found));
    }

    #[test]
    fn a_missing_path_means_the_default_one() {
        let error = resolve("no-such-program-anywhere", None, Path::new("/")).unwrap_err().to_string();
        assert!(error.contains(PATH_DEFAULT) && error.contains("no-such-program-anywhere"), "{error}");
        assert_eq!(resolve("sh", None, Path::new("/")).unwrap().file_name(), Some(OsStr::new("sh")));
    }

    #[test]
    fn an_unusable_program_says_why() {
        let dir = Dir::new("why");
        dir.file("plain", 0o644);
        let cause = |program: &str, path: &OsStr| resolve(program, Some(path), &dir.0).unwrap_err().to_string();
        let here = dir.path_of(&["."]);
        assert!(cause("./plain", OsStr::new("")).ends_with("it is not executable; run `chmod +x` on it"));
        assert!(cause("plain", &here).contains("not executable"));
        assert!(cause("./", OsStr::new("")).ends_with("it is a directory"));
        assert!(cause("./none", OsStr::new("")).ends_with("there is none"));
        assert!(cause("/dev/null", OsStr::new("")).contains("not executable"));
    }

    #[test]
    fn a_command_line_in_the_place_of_a_program_is_told_apart() {
        let error = |program: &str| resolve(program, None, Path::new("/")).unwrap_err().to_string();
        assert!(
            error("bun run x").ends_with("; if these are a program and its arguments, write [\"bun\", \"run\", \"x\"]")
        );
        assert!(
            error("/no/bun run x").ends_with(
                "there is none; if these are a program and its arguments, write [\"/no/bun\", \"run\", \"x\"]"
            )
        );
        assert!(!error("no-such-program").contains("arguments"));
    }

    #[test]
    fn the_worker_dir_must_be_a_directory() {
        let dir = Dir::new("dir");
        let file = dir.file("file", 0o644);
        assert_eq!(ensure_worker_dir(&dir.0), Ok(()));
        assert!(ensure_worker_dir(&file).unwrap_err().to_string().ends_with("it is not a directory"));
        assert!(ensure_worker_dir(&dir.0.join("x")).unwrap_err().to_string().ends_with("there is none"));
    }
}
