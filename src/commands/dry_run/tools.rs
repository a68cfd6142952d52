//! The programs that run beside the worker: the secrets tool and the event hook. They are looked for, never run.
//!
//! Secrets are shown by the names of variable and secret. Nothing here could show a value: none is ever asked for.

use std::path::Path;

use super::files::runnable;
use super::report::{Finding, Level};
use crate::config::Config;
use crate::error::{SHOWN_BYTES_MAX, escape};
use crate::time::secs;

/// The tool, and what it would be asked for. Nothing where there are no secrets.
pub(super) fn secrets(config: &Config) -> Vec<Finding> {
    let Some(first) = config.secrets.first() else { return Vec::new() };
    judge_secrets(config, find(config, &config.secrets_command[0].replace("{name}", &first.name)))
}

/// Whether the hook could be run. Nothing where there is none.
pub(super) fn on_event(config: &Config) -> Option<Finding> {
    let program = config.on_event.first()?;
    Some(match find(config, &program.replace("{event}", "started")) {
        Ok(program) => Finding::ok("on_event", format!("{program} runs at each event")),
        Err(cause) => Finding::warn("on_event", format!("{cause}; install it, or nobody is told of events")),
    })
}

/// Looks the way the supervisor would: on its own PATH, and from the config file's directory.
fn find(config: &Config, program: &str) -> Result<String, String> {
    let dir = config.path.parent().unwrap_or(Path::new("/"));
    runnable(program, std::env::var_os("PATH").as_deref(), dir)
}

fn judge_secrets(config: &Config, tool: Result<String, String>) -> Vec<Finding> {
    let is_required = config.secrets.iter().any(|secret| secret.required);
    let (found, level_required, level_optional) = match tool {
        Ok(tool) => {
            let time = secs(config.secrets_timeout);
            (Finding::ok("secrets", format!("{tool} gets {time} for all of them")), Level::Ok, Level::Ok)
        }
        Err(cause) => {
            let level = if is_required { Level::Fail } else { Level::Warn };
            let text = format!("{cause}; install it or set secrets_command");
            (Finding { level, subject: "secrets", text }, Level::Fail, Level::Warn)
        }
    };
    let each = config.secrets.iter().map(|secret| {
        let (level, need) = if secret.required { (level_required, "required") } else { (level_optional, "optional") };
        let variable = escape(&secret.variable, SHOWN_BYTES_MAX);
        Finding { level, subject: "secret", text: format!("{variable} ← {:?}, {need}", secret.name) }
    });
    std::iter::once(found).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dry_run::report::{render, tests};
    use crate::config::SecretEntry;

    fn config(secrets: &[(&str, bool)]) -> Config {
        let entry = |&(name, required): &(&str, bool)| SecretEntry {
            variable: name.to_uppercase(),
            name: name.into(),
            required,
        };
        Config { secrets: secrets.iter().map(entry).collect(), ..tests::config() }
    }

    #[test]
    fn secrets_are_shown_by_name_with_the_tool_that_leases_them() {
        let found = judge_secrets(&config(&[("api_key", true), ("token", false)]), Ok("\"/bin/secrets\"".into()));
        assert_eq!(
            render(&found),
            "ok    secrets     \"/bin/secrets\" gets 10 s for all of them\n\
             ok    secret      API_KEY ← \"api_key\", required\n\
             ok    secret      TOKEN ← \"token\", optional\n\
             \n\
             The worker can start.\n"
        );
    }

    #[test]
    fn a_missing_tool_stops_the_start_only_where_a_secret_is_required() {
        let tool = || Err("cannot find program \"secrets\"".into());
        assert_eq!(
            render(&judge_secrets(&config(&[("api_key", true), ("token", false)]), tool())),
            "FAIL  secrets     cannot find program \"secrets\"; install it or set secrets_command\n\
             FAIL  secret      API_KEY ← \"api_key\", required\n\
             warn  secret      TOKEN ← \"token\", optional\n\
             \n\
             The worker can't start: 2 problems, 1 warning.\n"
        );
        let optional = judge_secrets(&config(&[("token", false)]), tool());
        assert!(optional.iter().all(|finding| finding.level == Level::Warn), "{optional:?}");
    }

    #[test]
    fn without_secrets_and_hook_there_is_nothing_to_say() {
        let config = tests::config();
        assert_eq!((secrets(&config), on_event(&config)), (Vec::new(), None));
    }
}
