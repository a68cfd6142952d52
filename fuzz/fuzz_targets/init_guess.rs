//! What `init` reads: a file that is named, and files of a project, with a NUL between each two. A command and a port,
//! or a reason; and what is told of a guess holds no control characters.
#![no_main]

use libfuzzer_sys::fuzz_target;
use worker_supervisor::commands::init::{Project, complete, read_named};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let [named, package, python, procfile] = [part(), part(), part(), part()];
    let file = |name: &str| match name {
        "package.json" => package,
        "pyproject.toml" => python,
        _ => procfile,
    };
    let read = |name: &str| Ok(Some(file(name).to_vec()).filter(|content| !content.is_empty()));
    let project = Project { read: &read, exists: &|name| name.len() % 2 == 0, dotenv_port: None };
    let mut guess = read_named(named).unwrap_or_default();
    match complete(&mut guess, &project) {
        Ok(()) => {
            assert!(!guess.config.command.is_empty() && guess.config.port > 0);
            for (key, why) in &guess.said {
                assert!(!why.contains(char::is_control), "{key}: {why:?}");
            }
        }
        Err(reason) => assert!(!reason.is_empty(), "refused without a reason"),
    }
});
