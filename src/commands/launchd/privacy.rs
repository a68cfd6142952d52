//! Places that macOS keeps from programs that launchd starts, although the same command works in Terminal.
//!
//! Transparency, consent and control: Terminal has been allowed into these places, an agent has not, and nobody is
//! there to be asked. What it gets is EPERM, "Operation not permitted". Looks at paths, and at where symbolic links
//! lead.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::config::Config;

/// What to do about paths of this config, of a program at `program` and a user at home in `home`; None: all are well.
pub(crate) fn warning(config: &Config, program: &Path, home: &Path) -> Option<String> {
    let paths: [(&str, &Path); 8] = [
        ("this program", program),
        ("config", &config.path),
        ("command", Path::new(&config.command[0])),
        ("worker_dir", &config.worker_dir),
        ("env_file", config.env_file.as_deref().unwrap_or(Path::new(""))),
        ("log_stdout", &config.log_stdout),
        ("log_stderr", &config.log_stderr),
        ("state_dir", &config.state_dir),
    ];
    let mut found = String::new();
    for (what, path) in paths.into_iter().filter(|(_, path)| path.is_absolute()) {
        if let Some(place) = guarded(path, home).or_else(|| guarded(&path.canonicalize().ok()?, home)) {
            let _ = write!(found, "{what} is in {place}, ");
        }
    }
    (!found.is_empty()).then(|| {
        found += "where macOS may not let in what launchd starts, though it works in Terminal; \
                  move it, or allow this program under Privacy & Security, Full Disk Access";
        found
    })
}

/// The place that a path lies in, if it is a guarded one. Names are compared as APFS does by default, without case.
fn guarded(path: &Path, home: &Path) -> Option<&'static str> {
    const PLACES: [(&str, &str); 6] = [
        ("Documents", "~/Documents"),
        ("Desktop", "~/Desktop"),
        ("Downloads", "~/Downloads"),
        ("Library/Mobile Documents", "iCloud Drive"),
        ("Library/CloudStorage", "a cloud's folder"),
        ("/Volumes", "/Volumes"),
    ];
    PLACES.iter().find(|(folder, _)| is_below(path, &home.join(folder))).map(|(_, name)| *name)
}

fn is_below(path: &Path, root: &Path) -> bool {
    let [path, root] = [path, root].map(|path| path.as_os_str().as_bytes());
    path.get(..root.len()).is_some_and(|start| start.eq_ignore_ascii_case(root)) && path.get(root.len()) == Some(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Option<&'static str> {
        guarded(Path::new(path), Path::new("/Users/joe"))
    }

    #[test]
    fn guarded_places_are_known_and_others_are_not() {
        let table = [
            ("/Users/joe/Documents/app/worker.toml", Some("~/Documents")),
            ("/users/Joe/documents/app", Some("~/Documents")),
            ("/Users/joe/Desktop/app", Some("~/Desktop")),
            ("/Users/joe/Downloads/worker-supervisor", Some("~/Downloads")),
            ("/Users/joe/Library/Mobile Documents/com~apple~CloudDocs/app", Some("iCloud Drive")),
            ("/Users/joe/Library/CloudStorage/Dropbox/app", Some("a cloud's folder")),
            ("/Volumes/Work/app", Some("/Volumes")),
            ("/Users/joe/Documents", None),
            ("/Users/joe/Documents2/app", None),
            ("/Users/joe/code/Documents/app", None),
            ("/Users/ann/Documents/app", None),
            ("/Users/joe/.config/worker-supervisor.toml", None),
            ("/opt/homebrew/bin/bun", None),
            ("bun", None),
        ];
        for (path, expected) in table {
            assert_eq!(place(path), expected, "{path}");
        }
    }

    #[test]
    fn each_key_is_named_with_its_place_and_what_to_do() {
        let config = Config {
            path: "/Users/joe/Documents/w.toml".into(),
            command: vec!["bun".into()],
            worker_dir: "/Volumes/Work/app".into(),
            env_file: Some("/Users/joe/.env".into()),
            ..Config::default()
        };
        let said = |config: &Config| warning(config, Path::new("/usr/local/bin/x"), Path::new("/Users/joe"));
        let text = said(&config).unwrap();
        assert!(
            text.starts_with("config is in ~/Documents, worker_dir is in /Volumes, where macOS may not let "),
            "{text}"
        );
        assert!(text.contains("Full Disk Access"), "{text}");
        let well = Config { path: "/Users/joe/w.toml".into(), worker_dir: "/Users/joe/app".into(), ..config };
        assert_eq!(said(&well), None);
    }

    #[test]
    fn a_symbolic_link_is_followed() {
        let home = std::env::temp_dir().join(format!("worker-supervisor-privacy-{}", std::process::id()));
        std::fs::create_dir_all(home.join("Documents/app")).unwrap();
        let home = home.canonicalize().unwrap();
        std::os::unix::fs::symlink(home.join("Documents/app"), home.join("app")).unwrap();
        let config = Config { command: vec!["bun".into()], worker_dir: home.join("app"), ..Config::default() };
        let text = warning(&config, Path::new("/usr/local/bin/x"), &home);
        std::fs::remove_dir_all(&home).unwrap();
        assert!(text.is_some_and(|text| text.starts_with("worker_dir is in ~/Documents, where ")));
    }
}
