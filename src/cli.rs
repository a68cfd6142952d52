//! The command line: what was typed becomes one [`Invocation`], or a usage error with exit code 64.
//!
//! `--config` may stand before or after a subcommand, once. Help and version are invocations like others: nothing here
//! prints, exits or reads the environment.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, CommandInfoWithArgs, EarlyExit, FromArgValue, FromArgs};

use crate::error::{Error, ExitCode, escape};

/// The program's name in help, version and messages.
pub const PROGRAM: &str = "worker-supervisor";

/// The config that is used without `--config`, below HOME.
pub const CONFIG_DEFAULT: &str = ".config/worker-supervisor.toml";

/// How many lines `logs` shows without `-n`.
const LINES_DEFAULT: u32 = 10;

/// How much of a usage message is shown, in bytes.
const MESSAGE_BYTES_MAX: usize = 300;

/// What the program was asked to do. Paths are as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Supervise the worker.
    Run {
        /// The config file.
        config: PathBuf,
        /// Log at debug level.
        verbose: bool,
    },
    /// Say what would keep it from starting, and change nothing.
    DryRun {
        /// The config file.
        config: PathBuf,
    },
    /// Write a config.
    Init {
        /// The config file to be.
        config: PathBuf,
        /// What to go by, instead of the files of this directory.
        named: Option<PathBuf>,
    },
    /// Say how the worker is.
    Status {
        /// The config file.
        config: PathBuf,
        /// For whom.
        form: StatusForm,
    },
    /// Go on saying for people how the worker is.
    Watch {
        /// The config file.
        config: PathBuf,
    },
    /// Restart the worker gracefully.
    Restart {
        /// The config file.
        config: PathBuf,
    },
    /// Show the worker's logs.
    Logs {
        /// The config file.
        config: PathBuf,
        /// Go on showing what is appended.
        follow: bool,
        /// How many lines of each log to start with; may be 0.
        lines: u32,
    },
    /// Deal with the launchd job.
    Launchd {
        /// The config file.
        config: PathBuf,
        /// What to do with it.
        action: LaunchdAction,
    },
    /// Print this text, the help or the version.
    Print(String),
}

/// For whom a status is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusForm {
    /// For people.
    Page,
    /// For scripts: as the status file has it.
    Json,
    /// For Prometheus: its text format.
    Prometheus,
}

/// What to do with the launchd job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchdAction {
    /// Print its property list.
    Print,
    /// Write the property list and load the job.
    Install,
    /// Unload the job and remove the property list.
    Uninstall,
}

impl FromArgValue for LaunchdAction {
    fn from_arg_value(value: &str) -> Result<Self, String> {
        match value {
            "print" => Ok(Self::Print),
            "install" => Ok(Self::Install),
            "uninstall" => Ok(Self::Uninstall),
            _ => Err("expected print, install or uninstall".into()),
        }
    }
}

/// Keeps one worker alive: starts it, watches its exit, checks its health over HTTP, registers it, drains it.
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("-h", "--help", "help"))]
struct Typed {
    /// the config file (default: ~/.config/worker-supervisor.toml)
    #[argh(option, arg_name = "path")]
    config: Option<String>,
    /// print the effective config and every problem, and change nothing
    #[argh(switch)]
    dry_run: bool,
    /// log at debug level
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// print the version
    #[argh(switch, short = 'V')]
    version: bool,
    #[argh(subcommand)]
    subcommand: Option<Subcommand>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
enum Subcommand {
    Status(Status),
    Restart(Restart),
    Logs(Logs),
    Launchd(Launchd),
    Init(Init),
}

/// Write a config for the program in this directory, as far as its files tell how it is run.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "init", help_triggers("-h", "--help", "help"))]
struct Init {
    /// the config file
    #[argh(option, arg_name = "path")]
    config: Option<String>,
    /// a launchd property list, or an ecosystem file of pm2 as JSON, to go by instead
    #[argh(positional)]
    file: Option<String>,
}

/// Say how the worker is; exit 0 if healthy, 1 if not, 3 if no supervisor runs.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "status", help_triggers("-h", "--help", "help"))]
struct Status {
    /// the config file
    #[argh(option, arg_name = "path")]
    config: Option<String>,
    /// print the status file as it is
    #[argh(switch)]
    json: bool,
    /// print metrics in the text format of Prometheus; exit 0 once they are printed
    #[argh(switch)]
    prometheus: bool,
    /// go on showing it as it changes, until Ctrl-C
    #[argh(switch)]
    watch: bool,
}

/// Restart the worker gracefully and wait until it is healthy; exit 0 if it is, 1 if not, 3 if no supervisor runs.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "restart", help_triggers("-h", "--help", "help"))]
struct Restart {
    /// the config file
    #[argh(option, arg_name = "path")]
    config: Option<String>,
}

/// Show both logs of the worker.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "logs", help_triggers("-h", "--help", "help"))]
struct Logs {
    /// the config file
    #[argh(option, arg_name = "path")]
    config: Option<String>,
    /// go on showing what is appended
    #[argh(switch, short = 'f')]
    follow: bool,
    /// how many lines of each log to start with (default: 10)
    #[argh(option, short = 'n', arg_name = "count", default = "LINES_DEFAULT")]
    lines: u32,
}

/// Print, install or uninstall the launchd job of this config.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "launchd", help_triggers("-h", "--help", "help"))]
struct Launchd {
    /// the config file
    #[argh(option, arg_name = "path")]
    config: Option<String>,
    /// print, install or uninstall
    #[argh(positional)]
    action: LaunchdAction,
}

/// Understands the arguments after the program's name. `home` is HOME, needed where no config is named.
///
/// # Errors
/// A usage error (64) with one line; a config error (78) if the default config is needed and HOME is not set.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, home: Option<&OsStr>) -> Result<Invocation, Error> {
    let arguments = separate_values(arguments)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Typed::from_args(&[PROGRAM], &arguments) {
        Ok(typed) => resolve(typed, home),
        Err(EarlyExit { output, status: Ok(()) }) => Ok(Invocation::Print(output)),
        Err(EarlyExit { output, status: Err(()) }) => Err(usage(&output)),
    }
}

/// All commands and options, for those who describe them elsewhere: the shells' completions are made from it.
#[must_use]
pub fn described() -> CommandInfoWithArgs {
    Typed::get_args_info()
}

/// The arguments as text, each `--name=value` before a `--` cut in two.
fn separate_values(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Error> {
    let mut separate = Vec::new();
    let mut options_ended = false;
    for argument in arguments {
        let argument = argument.into_string().map_err(|raw| usage(&format!("argument {raw:?} is not valid UTF-8")))?;
        options_ended |= argument == "--";
        match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") && !options_ended => {
                separate.extend([name.to_owned(), value.to_owned()]);
            }
            _ => separate.push(argument),
        }
    }
    Ok(separate)
}

fn resolve(typed: Typed, home: Option<&OsStr>) -> Result<Invocation, Error> {
    if typed.version {
        return Ok(Invocation::Print(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION"))));
    }
    if typed.subcommand.is_some() && (typed.dry_run || typed.verbose) {
        return Err(usage("--dry-run and --verbose go without a subcommand"));
    }
    let config = |inner| config_path(typed.config, inner, home);
    Ok(match typed.subcommand {
        None if typed.dry_run => Invocation::DryRun { config: config(None)? },
        None => Invocation::Run { config: config(None)?, verbose: typed.verbose },
        Some(Subcommand::Status(status)) => {
            let form = status_form(&status)?;
            let config = config(status.config)?;
            if status.watch { Invocation::Watch { config } } else { Invocation::Status { config, form } }
        }
        Some(Subcommand::Init(init)) => {
            Invocation::Init { config: config(init.config)?, named: init.file.map(PathBuf::from) }
        }
        Some(Subcommand::Restart(restart)) => Invocation::Restart { config: config(restart.config)? },
        Some(Subcommand::Logs(logs)) => {
            Invocation::Logs { config: config(logs.config)?, follow: logs.follow, lines: logs.lines }
        }
        Some(Subcommand::Launchd(launchd)) => {
            Invocation::Launchd { config: config(launchd.config)?, action: launchd.action }
        }
    })
}

fn status_form(status: &Status) -> Result<StatusForm, Error> {
    match (status.json, status.prometheus, status.watch) {
        (false, false, _) => Ok(StatusForm::Page),
        (true, false, false) => Ok(StatusForm::Json),
        (false, true, false) => Ok(StatusForm::Prometheus),
        _ => Err(usage("of --json, --prometheus and --watch one at a time")),
    }
}

/// The config that was named before or after the subcommand, or the default.
fn config_path(before: Option<String>, after: Option<String>, home: Option<&OsStr>) -> Result<PathBuf, Error> {
    if before.is_some() && after.is_some() {
        return Err(usage("--config is given twice"));
    }
    match before.or(after) {
        Some(path) if path.is_empty() => Err(usage("--config needs a path, not an empty string")),
        Some(path) => Ok(path.into()),
        None => match home.map(Path::new).filter(|home| home.is_absolute()) {
            Some(home) => Ok(home.join(CONFIG_DEFAULT)),
            None => Err(Error::cannot(
                ExitCode::Config,
                format_args!("find the config ~/{CONFIG_DEFAULT}"),
                "HOME is not set to an absolute path; set it or pass --config PATH",
            )),
        },
    }
}

/// A usage error in one line, whatever lines its cause has.
fn usage(cause: &str) -> Error {
    let words: Vec<&str> = cause.split_whitespace().collect();
    let line = escape(words.join(" ").trim_end_matches('.'), MESSAGE_BYTES_MAX);
    Error::new(ExitCode::Usage, format!("cannot understand the command line: {line}; try {PROGRAM} --help"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn parse_words(words: &[&str]) -> Result<Invocation, Error> {
        parse(words.iter().map(OsString::from), Some(OsStr::new("/home/joe")))
    }

    fn run(config: &str, verbose: bool) -> Invocation {
        Invocation::Run { config: config.into(), verbose }
    }

    fn dry_run(config: &str) -> Invocation {
        Invocation::DryRun { config: config.into() }
    }

    const DEFAULT: &str = "/home/joe/.config/worker-supervisor.toml";

    #[test]
    fn no_arguments_run_the_default_config() {
        assert_eq!(parse_words(&[]), Ok(run(DEFAULT, false)));
    }

    #[test]
    fn options_are_understood_in_all_their_spellings() {
        assert_eq!(parse_words(&["--config", "a b.toml"]), Ok(run("a b.toml", false)));
        assert_eq!(parse_words(&["--config=x=y.toml", "--dry-run"]), Ok(dry_run("x=y.toml")));
        assert_eq!(parse_words(&["-v"]), Ok(run(DEFAULT, true)));
        assert_eq!(parse_words(&["--verbose", "--dry-run"]), Ok(dry_run(DEFAULT)));
    }

    #[test]
    fn config_goes_before_or_after_a_subcommand_but_once() {
        let expected = Ok(Invocation::Status { config: "x".into(), form: StatusForm::Json });
        assert_eq!(parse_words(&["--config", "x", "status", "--json"]), expected);
        assert_eq!(parse_words(&["status", "--json", "--config", "x"]), expected);
        assert_eq!(parse_words(&["status", "--config=x", "--json"]), expected);
        let error = parse_words(&["--config", "x", "status", "--config", "y"]).unwrap_err();
        assert!(error.code == ExitCode::Usage && error.message.contains("twice"), "{error}");
    }

    #[test]
    fn every_subcommand_is_understood() {
        let config = PathBuf::from(DEFAULT);
        assert_eq!(parse_words(&["restart"]), Ok(Invocation::Restart { config: config.clone() }));
        assert_eq!(parse_words(&["status", "--watch"]), Ok(Invocation::Watch { config: config.clone() }));
        let logs = |follow, lines| Ok(Invocation::Logs { config: config.clone(), follow, lines });
        assert_eq!(parse_words(&["logs"]), logs(false, 10));
        assert_eq!(parse_words(&["logs", "-f", "-n", "0"]), logs(true, 0));
        assert_eq!(parse_words(&["logs", "--lines=3", "--follow"]), logs(true, 3));
        let init =
            |named: Option<&str>| Ok(Invocation::Init { config: config.clone(), named: named.map(PathBuf::from) });
        assert_eq!(parse_words(&["init"]), init(None));
        assert_eq!(parse_words(&["init", "job.plist"]), init(Some("job.plist")));
        for (word, action) in [
            ("print", LaunchdAction::Print),
            ("install", LaunchdAction::Install),
            ("uninstall", LaunchdAction::Uninstall),
        ] {
            let expected = Ok(Invocation::Launchd { config: config.clone(), action });
            assert_eq!(parse_words(&["launchd", word]), expected);
        }
    }

    #[test]
    fn help_is_no_error_and_names_every_subcommand() {
        for words in [&["--help"][..], &["-h"], &["help"], &["--dry-run", "--help"]] {
            let Ok(Invocation::Print(text)) = parse_words(words) else { panic!("{words:?}") };
            for word in ["status", "restart", "logs", "launchd", "init", "--config", "--dry-run", "--version"] {
                assert!(text.contains(word), "{words:?}: no {word} in {text}");
            }
        }
        let Ok(Invocation::Print(text)) = parse_words(&["logs", "--help"]) else { panic!("no help") };
        assert!(text.contains("--follow") && text.contains("worker-supervisor logs"), "{text}");
    }

    #[test]
    fn version_needs_neither_home_nor_config() {
        for word in ["--version", "-V"] {
            let version = parse([OsString::from(word)], None);
            assert_eq!(version, Ok(Invocation::Print(format!("worker-supervisor {}", env!("CARGO_PKG_VERSION")))));
        }
    }

    #[test]
    fn nonsense_is_a_usage_error_of_one_line() {
        for (words, mention) in [
            (&["--confg", "x"][..], "--confg"),
            (&["--config"], "--config"),
            (&["--config="], "needs a path"),
            (&["--config", "x", "--config", "y"], "--config"),
            (&["start"], "start"),
            (&["status", "now"], "now"),
            (&["status", "--json", "--prometheus"], "one at a time"),
            (&["status", "--json", "--watch"], "one at a time"),
            (&["status", "--watch", "--prometheus"], "one at a time"),
            (&["launchd"], "action"),
            (&["launchd", "load"], "print, install or uninstall"),
            (&["launchd", "print", "install"], "install"),
            (&["logs", "-n", "-1"], "-n"),
            (&["logs", "-n", "many"], "many"),
            (&["logs", "-n"], "-n"),
            (&["--dry-run", "status"], "--dry-run"),
            (&["status", "--dry-run"], "--dry-run"),
            (&["\u{1b}[31m\n"], "\\x1b[31m"),
        ] {
            let error = parse_words(words).expect_err("nonsense was understood");
            assert_eq!(error.code, ExitCode::Usage, "{words:?}");
            assert!(error.message.contains(mention), "{words:?}: {error}");
            assert!(
                !error.message.contains('\n') && error.message.ends_with("try worker-supervisor --help"),
                "{error}"
            );
        }
        let error = parse([OsString::from_vec(b"--config=\xff".to_vec())], None).unwrap_err();
        assert!(error.code == ExitCode::Usage && error.message.contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_missing_home_matters_only_to_the_default_config() {
        for home in [None, Some(OsStr::new("")), Some(OsStr::new("rel"))] {
            let error = parse([], home).unwrap_err();
            assert!(error.code == ExitCode::Config && error.message.contains("HOME"), "{error}");
            assert_eq!(parse(["--config".into(), "x".into()], home), Ok(run("x", false)));
        }
    }
}
