//! Whether what is probed and registered makes sense, above all for an Inngest worker.
//!
//! Nothing is connected to. What an Inngest endpoint answers is from the SDK for JavaScript, versions 3 and 4: in
//! cloud mode 401 to an unsigned GET, and 500 to everything while it has no signing key; INNGEST_DEV switches to a dev
//! server. Whatever it is that these hints warn of, the worker could be started.

use std::ffi::OsStr;
use std::path::Path;

use super::report::Finding;
use crate::config::Config;
use crate::policy::StatusRule;
use crate::supervise::launch::environment::{Environment, port_in_dotenv};
use crate::time::secs;

const SIGNING_KEY: &str = "INNGEST_SIGNING_KEY";

/// One finding for the probe, one for the sync, and one for each thing that looks wrong. `environment` is the worker's,
/// without secrets; `None` if it can't be known.
pub(super) fn findings(config: &Config, environment: Option<&Environment>) -> Vec<Finding> {
    let mut findings = vec![health(config), sync(config)];
    findings.extend(environment.and_then(|environment| listens_elsewhere(config, environment)));
    findings.extend(listens_on_localhost(config, environment));
    findings.extend(airplay(config.port).filter(|_| cfg!(target_os = "macos")));
    if is_inngest(config) {
        findings.extend(environment.and_then(|environment| signing_key(config, environment)));
    }
    findings
}

fn is_inngest(config: &Config) -> bool {
    let sync = config.sync_endpoint.as_deref().unwrap_or_default();
    [config.health_endpoint.as_str(), sync].iter().any(|endpoint| endpoint.contains("inngest"))
}

fn health(config: &Config) -> Finding {
    let Config { health_endpoint: path, .. } = config;
    match (&config.health_status, &config.sync_endpoint) {
        (StatusRule::OneOf(statuses), _) if path.contains("inngest") && !statuses.contains(&401) => Finding::warn(
            "health",
            "health_status lacks 401, which an Inngest endpoint in cloud mode answers to a probe; add it".into(),
        ),
        (_, Some(_)) if path == "/" => Finding::warn(
            "health",
            "GET / may get a 404, which is healthy but says little; set health_endpoint to a route such as /health"
                .into(),
        ),
        _ => {
            let (address, interval) = (config.address(), secs(config.health_interval));
            Finding::ok("health", format!("GET http://{address}{path} every {interval}"))
        }
    }
}

fn sync(config: &Config) -> Finding {
    match (&config.sync_endpoint, config.sync_interval) {
        (Some(path), interval) => {
            let again = interval.map_or_else(String::new, |interval| format!(" and every {}", secs(interval)));
            Finding::ok("sync", format!("PUT http://{}{path} after each start{again}", config.address()))
        }
        (None, _) if is_inngest(config) => {
            let path = &config.health_endpoint;
            Finding::warn("sync", format!("nothing registers the functions with Inngest; set sync_endpoint = {path:?}"))
        }
        (None, _) => Finding::ok("sync", "none".into()),
    }
}

/// Many servers take their port from PORT.
fn listens_elsewhere(config: &Config, environment: &Environment) -> Option<Finding> {
    let configured = config.port;
    let text = match environment.value("PORT") {
        Some(port) => {
            let port: u16 = port.to_str()?.parse().ok().filter(|port| *port != configured)?;
            format!(
                "PORT is {port} in the worker's environment, but port is {configured}; make them equal or unset PORT"
            )
        }
        None if Path::new(&config.command[0]).file_name() == Some(OsStr::new("bun")) => {
            let (port, file) = port_in_dotenv(&config.worker_dir).filter(|(port, _)| *port != configured)?;
            format!("PORT is {port} in {file:?}, which bun reads by itself, but port is {configured}; make them equal")
        }
        None => return None,
    };
    Some(Finding::warn("port", text))
}

/// Told to listen on `localhost`, bun tries IPv6 first and stays there (oven-sh/bun#38818), as Node does where the
/// system names it first, macOS among them.
fn listens_on_localhost(config: &Config, environment: Option<&Environment>) -> Option<Finding> {
    let is_localhost = |text: &str| text == "localhost" || text.ends_with("=localhost");
    let said_by = if config.command.iter().any(|word| is_localhost(word)) {
        "command"
    } else if environment?.value("HOST")?.to_str().is_some_and(is_localhost) {
        "HOST in the worker's environment"
    } else {
        return None;
    };
    let ip = config.address().ip();
    let text = format!("{said_by} says localhost, which may be [::1] alone, but {ip} is probed; write {ip} there");
    ip.is_ipv4().then(|| Finding::warn("host", text))
}

/// Since macOS 12.
fn airplay(port: u16) -> Option<Finding> {
    let text = || format!("AirPlay Receiver listens on {port} while it is on, and comes back; set port to another");
    matches!(port, 5000 | 7000).then(|| Finding::warn("port", text()))
}

/// With a key the SDK logs a stack trace for each request that is not signed (4.24: 759 bytes), as no probe is.
fn signing_key(config: &Config, environment: &Environment) -> Option<Finding> {
    let value = |name| environment.value(name).and_then(|value| value.to_str()).unwrap_or_default();
    let is_dev = !matches!(value("INNGEST_DEV"), "" | "0" | "false") || value("NODE_ENV").starts_with("dev");
    let secret = config.secrets.iter().find(|secret| secret.variable == SIGNING_KEY);
    let has_key = environment.value(SIGNING_KEY).is_some() || secret.is_some_and(|secret| secret.required);
    let text = match (is_dev, has_key) {
        (false, false) if secret.is_some() => format!(
            "{SIGNING_KEY} is an optional secret: where it can't be had the worker starts without, and its endpoint \
             answers 500 to every request; list it in required_secrets, or set INNGEST_DEV = \"1\" for a dev server"
        ),
        (false, false) => format!(
            "the worker gets neither {SIGNING_KEY} nor INNGEST_DEV=1: unless it sets one itself, \
             its endpoint answers 500 to every request"
        ),
        (false, true) if config.health_endpoint.contains("inngest") => format!(
            "with {SIGNING_KEY} the SDK logs a stack trace for each probe of {}; \
             better probe a route of its own, such as /health",
            config.health_endpoint
        ),
        (_, _) => return None,
    };
    Some(Finding::warn("inngest", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dry_run::report::{render, tests};
    use crate::config::SecretEntry;
    use std::ffi::OsString;

    fn inngest() -> Config {
        let endpoint = || "/api/inngest".to_owned();
        Config { health_endpoint: endpoint(), sync_endpoint: Some(endpoint()), ..tests::config() }
    }

    /// What is said of a config and an environment, without the verdict.
    fn said(config: &Config, variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let (environment, _) = Environment::build(variables, config, []).unwrap();
        render(&findings(config, Some(&environment))).rsplit_once("\n\n").unwrap().0.to_owned()
    }

    const PROBE: &str = "ok    health      GET http://127.0.0.1:3111/api/inngest every 30 s\n";
    const SYNC: &str = "ok    sync        PUT http://127.0.0.1:3111/api/inngest after each start and every 300 s";

    #[test]
    fn an_inngest_worker_with_key_or_dev_server_is_well() {
        let well = format!("{PROBE}{SYNC}");
        assert_eq!(said(&inngest(), &[("INNGEST_DEV", "1"), ("PORT", "3111")]), well);
        let quiet = || Config { health_endpoint: "/health".into(), ..inngest() };
        let well = well.replace("3111/api/inngest every", "3111/health every");
        assert_eq!(said(&quiet(), &[("INNGEST_SIGNING_KEY", "x")]), well);
        let secret = SecretEntry { variable: SIGNING_KEY.into(), name: "key".into(), required: true };
        let strict = StatusRule::OneOf(vec![200]);
        let config = Config { secrets: vec![secret], health_status: strict, ..quiet() };
        assert_eq!(said(&config, &[("INNGEST_DEV", "0")]), well);
    }

    #[test]
    fn a_signed_inngest_endpoint_is_noisy_when_it_is_probed() {
        let warning = "warn  inngest     with INNGEST_SIGNING_KEY the SDK logs a stack trace for each probe of \
                       /api/inngest; better probe a route of its own, such as /health";
        assert_eq!(said(&inngest(), &[("INNGEST_SIGNING_KEY", "x")]), format!("{PROBE}{SYNC}\n{warning}"));
    }

    #[test]
    fn an_inngest_worker_without_key_will_answer_nothing() {
        let warning = "warn  inngest     the worker gets neither INNGEST_SIGNING_KEY nor INNGEST_DEV=1: unless it sets \
                       one itself, its endpoint answers 500 to every request";
        for variables in [&[][..], &[("INNGEST_DEV", "0")]] {
            assert_eq!(said(&inngest(), variables), format!("{PROBE}{SYNC}\n{warning}"));
        }
    }

    #[test]
    fn a_key_that_is_an_optional_secret_may_be_missing() {
        let secret = SecretEntry { variable: SIGNING_KEY.into(), name: "key".into(), required: false };
        let config = Config { secrets: vec![secret], ..inngest() };
        let warning = "warn  inngest     INNGEST_SIGNING_KEY is an optional secret: where it can't be had the worker \
                       starts without, and its endpoint answers 500 to every request; list it in required_secrets, or \
                       set INNGEST_DEV = \"1\" for a dev server";
        assert_eq!(said(&config, &[]), format!("{PROBE}{SYNC}\n{warning}"));
        assert!(!said(&config, &[("INNGEST_DEV", "1")]).contains("warn"));
    }

    #[test]
    fn statuses_without_401_would_end_a_healthy_worker() {
        let dev = &[("INNGEST_DEV", "1")];
        let strict = |statuses: &[u16]| Config { health_status: StatusRule::OneOf(statuses.into()), ..inngest() };
        let warning = "warn  health      health_status lacks 401, which an Inngest endpoint in cloud mode answers to a \
                       probe; add it\n";
        assert_eq!(said(&strict(&[200]), dev), format!("{warning}{SYNC}"));
        assert_eq!(said(&strict(&[200, 401]), dev), format!("{PROBE}{SYNC}"));
    }

    #[test]
    fn a_default_endpoint_beside_a_sync_says_little() {
        let config = Config { health_endpoint: "/".into(), ..inngest() };
        let warning = "warn  health      GET / may get a 404, which is healthy but says little; set health_endpoint to \
                       a route such as /health\n";
        assert_eq!(said(&config, &[("INNGEST_DEV", "1")]), format!("{warning}{SYNC}"));
    }

    #[test]
    fn an_inngest_worker_without_sync_is_never_registered() {
        let config = Config { sync_endpoint: None, ..inngest() };
        let warning = "warn  sync        nothing registers the functions with Inngest; set sync_endpoint = \
                       \"/api/inngest\"";
        assert_eq!(said(&config, &[("INNGEST_DEV", "1")]), format!("{PROBE}{warning}"));
    }

    #[test]
    fn a_worker_that_is_told_localhost_may_not_be_where_it_is_probed() {
        let well = "ok    health      GET http://127.0.0.1:3111/ every 30 s\nok    sync        none";
        let told = |word: &str| Config { command: vec!["serve".into(), word.into()], ..tests::config() };
        let warning = |who: &str| {
            format!(
                "{well}\nwarn  host        {who} says localhost, which may be [::1] alone, but 127.0.0.1 is probed; \
                 write 127.0.0.1 there"
            )
        };
        for word in ["localhost", "--host=localhost"] {
            assert_eq!(said(&told(word), &[]), warning("command"));
        }
        assert_eq!(said(&tests::config(), &[("HOST", "localhost")]), warning("HOST in the worker's environment"));
        assert_eq!(said(&told("localhost.ts"), &[("HOST", "127.0.0.1")]), well);
        let six = Config { host: crate::config::Host("::1".parse().unwrap()), ..told("localhost") };
        assert!(!said(&six, &[]).contains("warn"));
    }

    #[test]
    fn airplay_has_two_ports() {
        assert!(airplay(5000).is_some() && airplay(7000).is_some() && airplay(3111).is_none());
    }

    #[test]
    fn any_other_worker_needs_no_sync_but_its_port() {
        let config = tests::config();
        let well = "ok    health      GET http://127.0.0.1:3111/ every 30 s\nok    sync        none";
        assert_eq!(said(&config, &[]), well);
        let warning = "warn  port        PORT is 3000 in the worker's environment, but port is 3111; make them equal \
                       or unset PORT";
        assert_eq!(said(&config, &[("PORT", "3000")]), format!("{well}\n{warning}"));
    }
}
