//! The contract of the platform seam, the same on every system. Each test runs in a process of its own with one thread,
//! since signals, masks, limits and the working directory belong to the process. The tests' helper processes are this
//! program too, in a role of `fixture`: compiled, because a shell would clean up what it inherits.
//!
//! `cargo test -p worker-supervisor-platform --test contract [PART OF A NAME]`

#[path = "contract/exits.rs"]
mod exits;
#[path = "contract/files.rs"]
mod files;
#[path = "contract/fixture.rs"]
mod fixture;
#[path = "contract/ports.rs"]
mod ports;
#[path = "contract/signals.rs"]
mod signals;
#[path = "contract/spawning.rs"]
mod spawning;
#[path = "contract/support.rs"]
mod support;

use std::process::{Command, ExitCode, Stdio};

/// A test by name.
type Test = (&'static str, fn());

/// Lists functions as tests, by their own names.
#[macro_export]
macro_rules! tests {
    ($($(#[$when:meta])? $name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::Test] = &[$($(#[$when])? (stringify!($name), $name as fn())),*];
    };
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let all = [signals::TESTS, exits::TESTS, spawning::TESTS, ports::TESTS, files::TESTS].concat();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["fixture", role, rest @ ..] => fixture::run(role, rest),
        ["alone", name] => {
            let (_, test) = all.iter().find(|(known, _)| known == name).expect("a test of that name");
            test();
            ExitCode::SUCCESS
        }
        options => run_all(&all, options.iter().find(|option| !option.starts_with('-')).copied().unwrap_or("")),
    }
}

/// Runs each test whose name contains `filter` in a process of its own, and reports as the standard harness does.
fn run_all(all: &[Test], filter: &str) -> ExitCode {
    let program = std::env::current_exe().expect("our own path");
    let chosen: Vec<_> = all.iter().filter(|(name, _)| name.contains(filter)).collect();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (name, _) in &chosen {
        let ran = Command::new(&program).args(["alone", name]).stdin(Stdio::null()).output().expect("a test process");
        println!("test {name} ... {}", if ran.status.success() { "ok" } else { "FAILED" });
        if !ran.status.success() {
            failed += 1;
            println!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        }
    }
    let (verdict, passed, left_out) =
        (if failed == 0 { "ok" } else { "FAILED" }, chosen.len() - failed, all.len() - chosen.len());
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
