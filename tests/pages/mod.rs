//! Pages of documentation, and the blocks of code in them, for tests that hold pages to what the program does.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use worker_supervisor::config::{Config, ConfigError, Loaded};

/// The home of whoever reads the page.
pub(crate) const HOME: &str = "/Users/joe";

/// Where a page is.
pub(crate) fn page_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// The text of a page.
pub(crate) fn page(name: &str) -> String {
    let path = page_path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"))
}

/// The blocks between fences that open with exactly these words, such as `toml`.
pub(crate) fn blocks(page: &str, words: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if info == words {
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

/// The only block between fences that open with these words.
#[track_caller]
pub(crate) fn block(page: &str, words: &str) -> String {
    let mut found = blocks(page, words);
    assert_eq!(found.len(), 1, "blocks of {words:?}");
    found.remove(0)
}

/// Loads a config that is called `NAME.toml`, as [`HOME`]'s owner. Nothing of it stays on the disk.
pub(crate) fn load(name: &str, content: &str) -> Result<Loaded, ConfigError> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let unique = format!("ws-pages-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(unique);
    fs::create_dir_all(&dir).expect("a directory for the test");
    let path = dir.join(format!("{name}.toml"));
    fs::write(&path, content).expect("a file for the test");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the mode to be set");
    let loaded = Config::load_with_home(&path, Some(OsStr::new(HOME)));
    fs::remove_dir_all(dir).expect("the directory goes");
    loaded
}

/// Loads a config that the page shows as it should be: without any problem or warning.
#[track_caller]
pub(crate) fn load_well(name: &str, content: &str) -> Config {
    let Loaded { config, warnings } = load(name, content).unwrap_or_else(|error| panic!("{content}\n{error}"));
    assert_eq!(warnings, [""; 0], "{content}");
    config
}
