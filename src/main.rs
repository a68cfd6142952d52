//! The program's entry: parse the command line, run what it says, exit with a named code.
#![forbid(unsafe_code)]

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode as ProcessExitCode;

use platform::Signals;
use worker_supervisor::cli::{self, Invocation};
use worker_supervisor::commands::status::Style;
use worker_supervisor::commands::{dry_run, init, launchd, logs, restart, status};
use worker_supervisor::config::{Config, Loaded};
use worker_supervisor::error::{Error, ExitCode};
use worker_supervisor::print::print;
use worker_supervisor::supervise;

fn main() -> ProcessExitCode {
    let home = env::var_os("HOME");
    let done = cli::parse(env::args_os().skip(1), home.as_deref()).and_then(run);
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
        Invocation::Run { config, verbose } => {
            let signals = Signals::open();
            let signals = signals.map_err(|error| Error::cannot(ExitCode::Internal, "receive signals", error))?;
            supervise::start::run(&config, verbose, signals)
        }
        Invocation::DryRun { config } => dry_run::examine(&config, &mut stdout),
        Invocation::Init { config, named } => init::init(&config, named.as_deref(), &mut stdout),
        Invocation::Status { config, form } => {
            let (loaded, reading) = Config::load_for_looking(&config)?;
            status::status(&warned(loaded), reading, form, style(), &mut stdout)
        }
        Invocation::Watch { config } => {
            let (loaded, reading) = Config::load_for_looking(&config)?;
            status::watch(&warned(loaded), reading, style(), &mut stdout)
        }
        Invocation::Restart { config } => restart::restart(&warned(Config::load(&config)?), &mut stdout, &mut stderr),
        Invocation::Logs { config, follow, lines } => {
            let (loaded, reading) = Config::load_for_looking(&config)?;
            logs::logs(&warned(loaded), reading, lines, follow, &mut stdout, &mut stderr)
        }
        Invocation::Launchd { config, action } => launchd::run(action, &warned(Config::load(&config)?), &mut stdout),
        Invocation::Print(text) => print(&mut stdout, &format!("{}\n", text.trim_end()), ExitCode::Ok),
    }
}

fn style() -> Style {
    Style::of(io::stdout().is_terminal(), env::var_os("NO_COLOR").as_deref())
}

/// The configuration, its warnings said.
fn warned(Loaded { config, warnings }: Loaded) -> Config {
    for warning in warnings {
        let _ = writeln!(io::stderr(), "{}: warning: {warning}", cli::PROGRAM);
    }
    config
}
