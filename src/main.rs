//! The program's entry: parse the command line, run what it says, exit with a named code.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode as ProcessExitCode;

use worker_supervisor::cli::{self, Invocation};
use worker_supervisor::doctor;
use worker_supervisor::error::{Error, ExitCode};
use worker_supervisor::{ownlog, runtime};

fn main() -> ProcessExitCode {
    let home = std::env::var_os("HOME");
    let done = cli::parse(std::env::args_os().skip(1), home.as_deref()).and_then(run);
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "{}: {error}", cli::PROGRAM);
            error.code.into()
        }
    }
}

fn run(invocation: Invocation) -> Result<ExitCode, Error> {
    match invocation {
        Invocation::Run { config, dry_run: true, .. } => doctor::examine(&config, &mut std::io::stdout()),
        Invocation::Run { config, dry_run: false, verbose } => {
            ownlog::init(verbose);
            runtime::run(&config)
        }
        Invocation::Version(text) | Invocation::Help(text) => print(&text),
        Invocation::Status { .. }
        | Invocation::Restart { .. }
        | Invocation::Logs { .. }
        | Invocation::Launchd { .. } => Err(Error::new(ExitCode::Unavailable, "not built yet")),
    }
}

fn print(text: &str) -> Result<ExitCode, Error> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Ok(()) => Ok(ExitCode::Ok),
        Err(error) => Err(Error::cannot(ExitCode::Internal, "print", error)),
    }
}
