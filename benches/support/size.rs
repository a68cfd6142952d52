//! How large the release binaries are, what is in the one of plain cargo, and what it takes to build that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::programs::{OF_CARGO, product_program};

/// The release binary of Apple silicon that `make macos` leaves, from the root.
const MACOS: &str = "target/cross/aarch64-apple-darwin/release/worker-supervisor";

/// The one of this machine that `make linux` leaves.
const LINUX: &str = "target/cross/linux/worker-supervisor";

/// In bytes: crates with less are not named.
const SMALL: u64 = 1_500;

/// Of one binary.
pub(crate) struct Size {
    /// The system that it is for, and how it was built.
    pub(crate) target: String,
    /// Its length in bytes.
    pub(crate) bytes: u64,
}

/// The binaries that were built, with a word on which of them was measured.
pub(crate) fn binaries() -> Vec<Size> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = [
        ("this machine's, `cargo build --release`", OF_CARGO),
        ("this machine's, `make linux`", LINUX),
        ("aarch64-apple-darwin, `make macos`", MACOS),
    ];
    let found = names.into_iter().filter_map(|(target, path)| {
        let path = root.join(path);
        let measured = if path == product_program() { ", measured above" } else { "" };
        Some(Size { target: format!("{target}{measured}"), bytes: std::fs::metadata(path).ok()?.len() })
    });
    found.collect()
}

/// What went into the binary.
pub(crate) struct Making {
    /// How long a build from nothing took, in seconds; whole crates are compiled at once on each core.
    pub(crate) secs: f64,
    /// How many crates of others are linked into it, or build it.
    pub(crate) dependencies: usize,
    /// Bytes of machine code by crate, largest first. Nothing where there is no `nm` that tells sizes.
    pub(crate) crates: Vec<(String, u64)>,
}

/// Builds the binary once more, from nothing and with its names left in it. None: it could not be built.
///
/// Link-time optimization puts the code of small functions into their callers, and is counted there.
pub(crate) fn make() -> Option<Making> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = root.join("target/named");
    drop(std::fs::remove_dir_all(&place));
    let began = Instant::now();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--bin", env!("CARGO_PKG_NAME"), "--target-dir"])
        .arg(&place)
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .current_dir(root)
        .status();
    let secs = began.elapsed().as_secs_f64();
    if !built.is_ok_and(|status| status.success()) {
        return None;
    }
    let crates = crates(&place);
    Some(Making { secs, dependencies: dependencies(root), crates })
}

fn dependencies(root: &Path) -> usize {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--quiet", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]).current_dir(root);
    let output = tree.output().map_or_else(|_| Vec::new(), |output| output.stdout);
    let text = String::from_utf8_lossy(&output);
    let names = text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty());
    let own = |line: &&str| line.starts_with(env!("CARGO_PKG_NAME"));
    names.filter(|line| !own(line)).collect::<BTreeSet<_>>().len()
}

fn crates(place: &Path) -> Vec<(String, u64)> {
    let program = place.join("release").join(env!("CARGO_PKG_NAME"));
    let names = Command::new("nm").args(["--print-size", "--demangle"]).arg(program).output();
    let text = names.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, size) in text.lines().filter_map(symbol) {
        *bytes.entry(name).or_default() += size;
    }
    let mut crates: Vec<(String, u64)> = bytes.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
    crates.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    // What the crates of a few bytes have is told together.
    let small: u64 = crates.iter().filter(|(_, size)| *size < SMALL).map(|(_, size)| size).sum();
    crates.retain(|(_, size)| *size >= SMALL);
    crates.push(("all others".to_owned(), small));
    crates
}

/// The crate and size of a function: `ADDRESS SIZE t NAME`.
fn symbol(line: &str) -> Option<(&str, u64)> {
    let mut words = line.splitn(4, ' ');
    let (_, size, kind, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if !matches!(kind, "t" | "T") {
        return None;
    }
    // An implementation of a trait is named `<crate::Type as Trait>::method`.
    let name = name.trim_start_matches(['<', '&', '*']).trim_start_matches("mut ").trim_start_matches("dyn ");
    // One for a primitive type is named `<u32 as crate::Trait>::method`.
    let name = name.split_once(" as ").filter(|(of, _)| !of.contains("::")).map_or(name, |(_, of)| of);
    let owner = name.split_once("::").map_or("without a crate's name", |(owner, _)| owner);
    let is_name = owner.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Some((if is_name { owner } else { "without a crate's name" }, u64::from_str_radix(size, 16).ok()?))
}
