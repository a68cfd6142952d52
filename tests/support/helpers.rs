//! Secrets tools and event hooks as shell scripts, and what the worker got of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::config::quoted;
use super::scene::Scene;
use super::wait::{LIMIT, wait_for};

/// A shell that runs `script` in the scene's directory, as a TOML array; `placeholder` becomes its `$1`.
pub(crate) fn shell(scene: &Scene, script: &str, placeholder: &str) -> String {
    let dir = scene.file("").display().to_string();
    let script = format!("cd '{dir}' || exit 98; {script}");
    let words = ["/bin/sh", "-c", &script, "helper", placeholder].map(quoted);
    format!("[{}]", words.join(", "))
}

/// What `--dump-env` wrote last.
#[track_caller]
pub(crate) fn dumped(path: &Path) -> BTreeMap<String, String> {
    let bytes = std::fs::read(path).expect("the worker has written its environment");
    let records = bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty());
    let pair = |record: &[u8]| {
        let text = String::from_utf8_lossy(record).into_owned();
        let (name, value) = text.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    };
    records.map(pair).collect()
}

/// Waits for a file with a whole line, and returns that line.
#[track_caller]
pub(crate) fn wait_for_line(scene: &Scene, name: &str) -> String {
    let look = || std::fs::read_to_string(scene.file(name)).ok()?.strip_suffix('\n').map(str::to_owned);
    wait_for(&format!("a line in {name}"), LIMIT, || scene.story(), look)
}

/// Waits for a file with a pid.
#[track_caller]
pub(crate) fn wait_for_pid(scene: &Scene, name: &str) -> i32 {
    wait_for_line(scene, name).parse().expect("a pid")
}

/// All files below a directory, symbolic links aside.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory of the test") {
        let path = entry.expect("an entry").path();
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => files.extend(files_below(&path)),
            Ok(metadata) if metadata.is_file() => files.push(path),
            Ok(_) | Err(_) => {}
        }
    }
    files
}
