//! The program's entry: parse the command line, run what it says, exit with a named code.
#![forbid(unsafe_code)]

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode as ProcessExitCode;

use worker_supervisor::cli::{self, Invocation};
use worker_supervisor::commands::{self, Style, dry_run, launchd, logs, restart, status};
use worker_supervisor::config::{Config, Loaded};
use worker_supervisor::error::{Error, ExitCode};
use worker_supervisor::supervise::{self, report::own_log};

fn main() -> ProcessExitCode {
    let home = std::env::var_os("HOME");
    let done = cli::parse(std::env::args_os().skip(1), home.as_deref()).and_then(run);
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "{}: {error}", cli::PROGRAM);
            error.code.into()
        }
    }
}

fn run(invocation: Invocation) -> Result<ExitCode, Error> {
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    match invocation {
        Invocation::Run { config, dry_run: true, .. } => dry_run::examine(&config, &mut stdout),
        Invocation::Run { config, dry_run: false, verbose } => {
            own_log::init(verbose);
            supervise::start::run(&config)
        }
        Invocation::Status { config, json } => {
            let style = Style::of(stdout.is_terminal(), std::env::var_os("NO_COLOR").as_deref());
            status::status(
                &warned(Config::load_for_looking(&config)?),
                json,
                style,
                commands::wall_clock_ms(),
                &mut stdout,
            )
        }
        Invocation::Restart { config } => {
            let config = load(&config)?;
            let progress = stderr.is_terminal().then_some(&mut stderr as &mut dyn Write);
            restart::restart(&config, &mut stdout, progress)
        }
        Invocation::Logs { config, follow, lines } => {
            let fd = stdout.as_raw_fd();
            let config = warned(Config::load_for_looking(&config)?);
            logs::logs(&config, lines, follow, (&mut stdout, fd), &mut stderr)
        }
        Invocation::Launchd { config, action } => launchd::run(action, &load(&config)?, &mut stdout),
        Invocation::Version(text) | Invocation::Help(text) => print(&text),
    }
}

fn load(path: &Path) -> Result<Config, Error> {
    Ok(warned(Config::load(path)?))
}

/// The configuration, its warnings said.
fn warned(Loaded { config, warnings }: Loaded) -> Config {
    for warning in warnings {
        let _ = writeln!(io::stderr(), "{}: warning: {warning}", cli::PROGRAM);
    }
    config
}

fn print(text: &str) -> Result<ExitCode, Error> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Ok(()) => Ok(ExitCode::Ok),
        Err(error) => Err(Error::cannot(ExitCode::Internal, "print", error)),
    }
}
