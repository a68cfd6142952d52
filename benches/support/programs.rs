//! The product, and the programs in C, compiled by whatever `cc` is: where Rust links, there is one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where cargo lets benchmarks put files.
const PLACE: &str = env!("CARGO_TARGET_TMPDIR");

/// The product as plain cargo builds it.
pub(crate) const OF_CARGO: &str = env!("CARGO_BIN_EXE_worker-supervisor");

/// The product that is measured: what BENCH_PRODUCT names, or cargo's.
pub(crate) fn product_program() -> PathBuf {
    std::env::var_os("BENCH_PRODUCT").map_or_else(|| PathBuf::from(OF_CARGO), PathBuf::from)
}

/// The product before a change.
pub(crate) fn base_program() -> PathBuf {
    std::env::var_os("BENCH_BASE").map_or_else(product_program, PathBuf::from)
}

/// The worker of all contenders.
pub(crate) fn worker() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("worker"))
}

/// The bare loop.
pub(crate) fn bare() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("bare"))
}

/// The crowd.
pub(crate) fn crowd() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("crowd"))
}

/// What tells what a process uses.
#[cfg(target_os = "macos")]
pub(crate) fn usage() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("usage"))
}

/// Where files may be large: the system's directory for temporary ones may be memory.
pub(crate) fn roomy() -> &'static Path {
    Path::new(PLACE)
}

/// Compiles a source beside this file, under another name first: another benchmark may be running the last one.
fn compile(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/support").join(name).with_extension("c");
    let program = Path::new(PLACE).join(format!("bench-{name}"));
    let fresh = program.with_extension(std::process::id().to_string());
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wno-deprecated-declarations", "-o"]).arg(&fresh).arg(&source);
    assert!(compiler.status().is_ok_and(|status| status.success()), "cannot compile {}", source.display());
    std::fs::rename(&fresh, &program).expect("a file of ours can be renamed");
    program
}

/// Whether a program is on the PATH, and where.
pub(crate) fn helper(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}
