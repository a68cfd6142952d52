//! That a release is packed alike each time, and holds what it should: `scripts/dist.sh`, with something else in the
//! place of the programs that it packs. Needs GNU tar.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::TempDir;

const TARGETS: [&str; 3] = ["universal-apple-darwin", "x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the script, with its results in this directory, after these commands of a shell.
fn dist(results: &Path, before: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec sh scripts/dist.sh \"$@\""), "sh"]).args(arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("DIST", results).env("SOURCE_DATE_EPOCH", "1700000000");
    command.output().expect("a shell")
}

/// What a run that ends well prints.
#[track_caller]
fn dist_well(results: &Path, before: &str, arguments: &[&str]) -> String {
    let output = dist(results, before, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn archive(target: &str) -> String {
    format!("worker-supervisor-{VERSION}-{target}.tar.gz")
}

/// An archive for each target, packed after these commands of a shell.
fn packed(before: &str) -> TempDir {
    let dir = TempDir::new();
    for target in TARGETS {
        let program = dir.join("program");
        fs::write(&program, target).expect("a file");
        dist_well(dir.path(), before, &["pack", target, program.to_str().expect("text")]);
    }
    dir
}

#[test]
fn archive_has_the_same_bytes_each_time() {
    let (first, second) = (packed("umask 022; export TZ=UTC"), packed("umask 077; export TZ=Asia/Tokyo LC_ALL=C"));
    for name in TARGETS.map(archive) {
        assert!(fs::read(first.join(&name)).ok() == fs::read(second.join(&name)).ok(), "{name}");
    }
}

#[test]
fn archive_has_one_directory_with_all_that_is_promised() {
    let dir = packed(":");
    let list = |target: &str| {
        let output = Command::new("tar").arg("-tzf").arg(dir.join(archive(target))).output().expect("tar");
        String::from_utf8(output.stdout).expect("text")
    };
    for target in TARGETS {
        let (names, top) = (list(target), format!("worker-supervisor-{VERSION}-{target}/"));
        let below: Vec<&str> = names.lines().map(|name| name.strip_prefix(&top).expect("one directory")).collect();
        for name in [
            "worker-supervisor",
            "worker-supervisor.1",
            "LICENSE",
            "completions/_worker-supervisor",
            "completions/worker-supervisor.bash",
            "completions/worker-supervisor.fish",
            "examples/minimal.toml",
            "examples/production.toml",
            "schema/worker-supervisor.schema.json",
        ] {
            assert!(below.contains(&name), "{name} is not in {below:?}");
        }
        assert_eq!(below.contains(&"systemd/worker-supervisor.service"), target.contains("linux"), "{below:?}");
    }
}

#[test]
fn formula_has_the_address_and_the_sum_of_each_archive() {
    let dir = packed(":");
    dist_well(dir.path(), ":", &["formula", "https://example.com/joe/worker-supervisor/"]);
    let formula = fs::read_to_string(dir.join("worker-supervisor.rb")).expect("the formula");
    assert!(!formula.contains('@'), "{formula}");
    let sums = dist_well(dir.path(), ":", &["sums"]);
    assert_eq!(fs::read_to_string(dir.join("SHA256SUMS")).expect("sums"), sums);
    for name in TARGETS.map(archive) {
        let address = format!("https://example.com/joe/worker-supervisor/releases/download/v{VERSION}/{name}");
        let (_, rest) = formula.split_once(&format!("url \"{address}\"\n")).expect("the address");
        let sum = sums.lines().find_map(|line| line.strip_suffix(&format!("  {name}"))).expect("a sum");
        assert!(sum.len() == 64 && rest.trim_start().starts_with(&format!("sha256 \"{sum}\"\n")), "{formula}");
    }
}

#[test]
fn formula_of_a_release_that_lacks_an_archive_is_none() {
    let dir = packed(":");
    fs::remove_file(dir.join(archive(TARGETS[2]))).expect("it goes");
    let output = dist(dir.path(), ":", &["formula", "https://example.com"]);
    assert!(!output.status.success() && !dir.join("worker-supervisor.rb").exists());
}

#[test]
fn notes_are_the_changelogs_section() {
    let dir = TempDir::new();
    let notes = dist_well(dir.path(), ":", &["notes"]);
    let changelog =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md")).expect("it is there");
    let (_, section) = changelog.split_once(&format!("\n## {VERSION}, ")).expect("the section");
    let (_, section) = section.split_once('\n').expect("a heading of one line");
    let section = section.split("\n## ").next().expect("a section");
    assert_eq!(notes.trim(), section.trim());
}

#[test]
fn tag_of_another_version_is_refused() {
    let dir = TempDir::new();
    assert_eq!(dist_well(dir.path(), ":", &["version"]).trim(), VERSION);
    let output = dist(dir.path(), ":", &["version", "v99.0.0"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the tag v99.0.0 is not v"), "{output:?}");
}

/// The unit that packages bring is the one that the manual shows, but for where the program is.
#[test]
fn unit_of_the_packages_is_the_manuals() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it is there");
    let settings = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("Documentation="));
        lines.map(|line| line.replace("/usr/local/bin/worker-", "/usr/bin/worker-")).collect::<Vec<_>>()
    };
    let manual = read("docs/operations.md");
    let (_, shown) = manual.split_once("```ini\n").expect("a unit");
    let shown = shown.split_once("```").expect("its end").0;
    assert_eq!(settings(&read("packaging/systemd/worker-supervisor.service")), settings(shown));
}
