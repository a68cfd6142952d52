//! `--dry-run`: the effective config, then one line for each thing that a start of the worker depends on.
//!
//! Each line says that it is well, that it will go another way than one may think, or that it would keep the worker
//! from starting, and then what to do. To find out, it reads files and asks the kernel, no more: nothing is created,
//! written, locked for longer than a look, signalled, run or connected to. What was found is judged by pure functions,
//! and `report` puts it together. It holds for this moment, this user and this environment.

mod endpoints;
mod files;
mod port;
mod report;
mod standing;
mod tools;
pub(in crate::commands) mod wrapper;

use std::io::Write;
use std::path::Path;

use crate::commands::launchd::privacy;
use crate::config::file::path_warnings;
use crate::config::{Config, ConfigError, Loaded};
use crate::error::{Error, ExitCode, printable};
use crate::policy::KILL_TIME;
use crate::print::print;
use crate::supervise::launch::environment::Environment;
use crate::supervise::port::doubt;
use crate::time::secs;
use report::{Finding, render, would_start};
use standing::Standing;

/// With fewer open files than this a server under load runs out of them.
const OPEN_FILES_FEW: u64 = 1024;

/// Examines the config at `path` and everything that it names, and prints what it finds. The code is 0 if a worker
/// could be started now (or the reader has gone away), and 78 if anything would keep it from starting.
///
/// # Errors
/// Exit code 70: it can't be printed.
pub fn examine(path: &Path, output: &mut dyn Write) -> Result<ExitCode, Error> {
    let (effective, findings) = match Config::load(path) {
        Ok(loaded) => (format!("{}\n", loaded.config.effective()), look_at_all(&loaded)),
        Err(error) => (String::new(), problems(error)),
    };
    let page = effective + &render(&findings);
    print(output, &printable(&page), if would_start(&findings) { ExitCode::Ok } else { ExitCode::Config })
}

/// One finding for each thing that is wrong with the config file.
fn problems(error: ConfigError) -> Vec<Finding> {
    match error {
        ConfigError::File(message) => vec![Finding::fail("config", message)],
        ConfigError::Content { path, problems } => {
            let line = |problem| ConfigError::Content { path: path.clone(), problems: vec![problem] }.to_string();
            problems.into_iter().map(|problem| Finding::fail("config", line(problem))).collect()
        }
    }
}

/// In the order in which a start would meet them.
fn look_at_all(Loaded { config, warnings }: &Loaded) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("config", format!("{:?}", config.path))];
    findings.extend(warnings.iter().map(|warning| Finding::warn("config", warning.clone())));
    let standing = Standing::look(config);
    findings.extend(standing.findings(config));
    findings.extend(path_warnings(config).into_iter().map(|warning| Finding::warn("paths", warning)));
    findings.push(files::worker_dir(config));
    findings.extend(files::env_file(config));
    let environment = Environment::build(std::env::vars_os(), config, []).ok().map(|(environment, _)| environment);
    findings.extend(environment.as_ref().and_then(|environment| files::variables(config, environment)));
    findings.push(files::program(config, environment.as_ref()));
    findings.extend(wrapper::finding(&config.command));
    findings.extend(tools::secrets(config));
    findings.push(port::finding(config, &standing));
    findings.extend(doubt(config.port).map(|text| Finding::warn("port", text)));
    findings.extend(files::logs(config));
    findings.extend(tools::on_event(config));
    findings.extend(endpoints::findings(config, environment.as_ref()));
    findings.push(stop(config));
    findings.extend(launchd(config));
    findings.push(open_files(platform::open_files_limit()));
    findings
}

fn stop(config: &Config) -> Finding {
    let [drain, kill, both] = [config.drain_timeout, KILL_TIME, config.drain_timeout + KILL_TIME].map(secs);
    Finding::ok(
        "stop",
        format!("takes at most {both}: {drain} to drain, {kill} to kill; `launchd install` has launchd wait for it"),
    )
}

/// What launchd would do otherwise than Terminal does, on macOS.
fn launchd(config: &Config) -> Option<Finding> {
    let (program, home) = (std::env::current_exe().ok()?, std::env::var_os("HOME")?);
    let text = privacy::warning(config, &program, Path::new(&home)).filter(|_| cfg!(target_os = "macos"))?;
    Some(Finding::warn("launchd", text))
}

fn open_files(limit: std::io::Result<u64>) -> Finding {
    match limit {
        Ok(limit) if limit < OPEN_FILES_FEW => {
            Finding::warn("open files", format!("the worker may have {limit}, which is few; raise the hard limit"))
        }
        Ok(limit) => Finding::ok("open files", format!("the worker may have {limit}")),
        Err(error) => Finding::warn("open files", format!("cannot read the limit: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dry_run::report::tests::config;
    use crate::config::Problem;

    #[test]
    fn each_problem_of_a_config_is_a_finding_of_its_own() {
        let problem = |line, message: &str| Problem { line, column: 1, message: message.into() };
        let problems = vec![problem(3, "unknown key a"), problem(4, "unknown key b")];
        let found = super::problems(ConfigError::Content { path: "/w.toml".into(), problems });
        assert_eq!(
            render(&found),
            "FAIL  config      /w.toml:3:1: unknown key a\n\
             FAIL  config      /w.toml:4:1: unknown key b\n\
             \n\
             The worker can't start: 2 problems.\n"
        );
    }

    #[test]
    fn a_stop_tells_its_parts() {
        assert_eq!(
            stop(&config()),
            Finding::ok(
                "stop",
                "takes at most 7 s: 5 s to drain, 2 s to kill; `launchd install` has launchd wait for it".into()
            )
        );
    }

    #[test]
    fn few_open_files_are_a_warning() {
        assert_eq!(open_files(Ok(10_240)), Finding::ok("open files", "the worker may have 10240".into()));
        let warning = "the worker may have 256, which is few; raise the hard limit";
        assert_eq!(open_files(Ok(256)), Finding::warn("open files", warning.into()));
    }
}
