//! What a config file may say, and what is said about one that can't be used.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use worker_supervisor::config::keys::KEYS;
use worker_supervisor::config::{Config, ConfigError, Loaded, PortConflict, SecretEntry};
use worker_supervisor::policy::StatusRule;

/// A directory of its own for each test, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let unique = format!("ws-config-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file for the test");
        // Whatever the umask: a group-writable file earns a warning.
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("the mode to be set");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const HOME: &str = "/home/joe";

/// The two required keys, on lines 1 and 2.
const REQUIRED: &str = "command = [\"bun\", \"run\", \"src/serve.ts\"]\nport = 3111\n";

fn load_at(path: &Path) -> Result<Loaded, ConfigError> {
    Config::load_with_home(path, Some(OsStr::new(HOME)))
}

fn load(content: impl AsRef<[u8]>) -> Result<Loaded, ConfigError> {
    load_at(&Dir::new().write("worker.toml", content))
}

/// What comes after the required keys, so from line 3 on.
fn load_with(rest: &str) -> Result<Loaded, ConfigError> {
    load(format!("{REQUIRED}{rest}"))
}

fn config_with(rest: &str) -> Config {
    load_with(rest).unwrap_or_else(|error| panic!("{rest}: {error}")).config
}

/// The problems as they are printed, without the path in front.
fn problems(result: Result<Loaded, ConfigError>) -> Vec<String> {
    match result.expect_err("a bad config was accepted") {
        ConfigError::File(message) => vec![message],
        ConfigError::Content { path, problems } => {
            let shown = ConfigError::Content { path: path.clone(), problems }.to_string();
            let prefix = format!("{}:", path.display());
            shown.lines().map(|line| line.strip_prefix(&prefix).expect("a path in front").to_owned()).collect()
        }
    }
}

/// Asserts that the lines after the required keys have exactly one problem, at `place`, that mentions all `words`.
#[track_caller]
fn assert_problem(rest: &str, place: &str, words: &[&str]) {
    let problems = problems(load_with(rest));
    assert_eq!(problems.len(), 1, "{rest}: {problems:#?}");
    assert!(problems[0].starts_with(&format!("{place}: ")), "{rest}: expected {place}, got {}", problems[0]);
    for word in words {
        assert!(problems[0].contains(word), "{rest}: no {word:?} in {}", problems[0]);
    }
}

#[test]
fn the_two_required_keys_are_enough() {
    let dir = Dir::new();
    let Loaded { config, warnings } = load_at(&dir.write("system-bus.toml", REQUIRED)).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let secs = Duration::from_secs;
    let expected = Config {
        path: dir.0.join("system-bus.toml"),
        name: "system-bus".into(),
        command: ["bun", "run", "src/serve.ts"].map(String::from).into(),
        worker_dir: dir.0.clone(),
        host: "127.0.0.1".parse().unwrap(),
        port: 3111,
        host_header: "127.0.0.1:3111".into(),
        health_endpoint: "/".into(),
        sync_endpoint: None,
        health_status: StatusRule::Below500,
        health_interval: secs(30),
        health_timeout: secs(5),
        health_failures_before_restart: 3,
        startup_timeout: secs(60),
        stable: secs(10),
        restart_backoff_min: secs(1),
        restart_backoff_max: secs(30),
        sync_interval: Some(secs(300)),
        drain_timeout: secs(5),
        stop_group: false,
        end_detached: false,
        port_conflict: PortConflict::Kill,
        port_grace: secs(2),
        log_stdout: "/home/joe/.local/log/system-bus.log".into(),
        log_stderr: "/home/joe/.local/log/system-bus.err".into(),
        log_bytes_max: Some(10_485_760),
        log_keep: 3,
        env_file: None,
        env: vec![],
        secrets: vec![],
        secrets_command: ["secrets", "lease", "{name}", "--ttl", "24h"].map(String::from).into(),
        secrets_timeout: secs(10),
        secrets_max_age: secs(43_200),
        on_event: vec![],
        state_dir: "/home/joe/.local/state/worker-supervisor".into(),
        launchd_label: "worker-supervisor.system-bus".into(),
    };
    assert_eq!(config, expected);
}

const EVERYTHING: &str = r#"
command = ["~/.bun/bin/bun", "run", "~/kept"]
name = "bus_1.x"
port = 3_112
worker_dir = "~/app"
host = "[::1]"
host_header = "worker.local:80"
health_endpoint = "/api/inngest?x=%20"
sync_endpoint = "/api/inngest"
health_status = [200, 401]
health_interval_secs = 0.05
health_timeout_secs = 1.5
health_failures_before_restart = 0x10
startup_timeout_secs = 31536000
stable_secs = 0
restart_backoff_min_secs = 0.0
restart_backoff_max_secs = 0
sync_interval_secs = 0
drain_timeout_secs = 0
stop_group = true
port_conflict = "wait"
port_grace_secs = 0
log_stdout = "logs/out.log"
log_stderr = "logs/out.log"
log_max_bytes = 0
log_keep = 100
env_file = ".env"
required_secrets = ["API_KEY"]
secrets_command = ["~/bin/lease", "--name={name}"]
secrets_timeout_secs = 0.001
secrets_max_age_secs = 0
on_event = ["notify", "{event}"]
state_dir = "/var/state"

[env]
PLAIN = "a \"b\" \\ \u001b ü"
"with.dot" = ""

[secrets]
API_KEY = "api key"
OTHER = "other"

[launchd]
label = "com.joel.worker"
"#;

#[test]
fn every_key_is_understood() {
    let dir = Dir::new();
    let Loaded { config, warnings } = load_at(&dir.write("worker.toml", EVERYTHING)).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let expected = Config {
        path: dir.0.join("worker.toml"),
        name: "bus_1.x".into(),
        command: ["/home/joe/.bun/bin/bun", "run", "~/kept"].map(String::from).into(),
        worker_dir: "/home/joe/app".into(),
        host: "::1".parse().unwrap(),
        port: 3112,
        host_header: "worker.local:80".into(),
        health_endpoint: "/api/inngest?x=%20".into(),
        sync_endpoint: Some("/api/inngest".into()),
        health_status: StatusRule::OneOf(vec![200, 401]),
        health_interval: Duration::from_millis(50),
        health_timeout: Duration::from_millis(1500),
        health_failures_before_restart: 16,
        startup_timeout: Duration::from_secs(31_536_000),
        stable: Duration::ZERO,
        restart_backoff_min: Duration::ZERO,
        restart_backoff_max: Duration::ZERO,
        sync_interval: None,
        drain_timeout: Duration::ZERO,
        stop_group: true,
        end_detached: false,
        port_conflict: PortConflict::Wait,
        port_grace: Duration::ZERO,
        log_stdout: dir.0.join("logs/out.log"),
        log_stderr: dir.0.join("logs/out.log"),
        log_bytes_max: None,
        log_keep: 100,
        env_file: Some(dir.0.join(".env")),
        env: vec![("PLAIN".into(), "a \"b\" \\ \u{1b} ü".into()), ("with.dot".into(), String::new())],
        secrets: vec![
            SecretEntry { variable: "API_KEY".into(), name: "api key".into(), required: true },
            SecretEntry { variable: "OTHER".into(), name: "other".into(), required: false },
        ],
        secrets_command: ["/home/joe/bin/lease", "--name={name}"].map(String::from).into(),
        secrets_timeout: Duration::from_millis(1),
        secrets_max_age: Duration::ZERO,
        on_event: ["notify", "{event}"].map(String::from).into(),
        state_dir: "/var/state".into(),
        launchd_label: "com.joel.worker".into(),
    };
    assert_eq!(config, expected);
}

#[test]
fn the_effective_config_means_the_same_when_it_is_read_again() {
    for content in [REQUIRED, EVERYTHING] {
        let dir = Dir::new();
        let path = dir.write("worker.toml", content);
        let first = load_at(&path).unwrap().config;
        let effective = first.effective();
        let again = Config::load_with_home(&dir.write("worker.toml", &effective), None);
        assert_eq!(again.unwrap_or_else(|error| panic!("{error}\n{effective}")).config, first);
    }
}

#[test]
fn the_effective_config_hides_and_reorders_nothing() {
    let dir = Dir::new();
    let hiding = "command = [\"a\\u202Eb\\U000E0041\"]\nport = 1\n";
    let first = load_at(&dir.write("worker.toml", hiding)).unwrap().config;
    let effective = first.effective();
    assert!(effective.is_ascii() && effective.contains(r#"["a\U0000202eb\U000e0041"]"#), "{effective}");
    let again = Config::load_with_home(&dir.write("worker.toml", &effective), None);
    assert_eq!(again.unwrap().config, first);
}

#[test]
fn the_effective_config_shows_every_documented_key() {
    let effective = load(EVERYTHING).unwrap().config.effective();
    for row in KEYS {
        let (table, key) = row.name.split_once('.').unwrap_or(("", row.name));
        let line = format!("\n{key} = ");
        let is_shown = effective.contains(&line) || effective.contains(&format!("\n[{key}]\n")) || key == "name";
        assert!(is_shown && (table.is_empty() || effective.contains(&format!("[{table}]"))), "{}", row.name);
    }
}

#[test]
fn documented_defaults_are_the_defaults() {
    let shown = config_with("").effective();
    for row in KEYS {
        if let Some(rest) = shown.split(&format!("\n{} = ", row.name)).nth(1) {
            let value = rest.lines().next().unwrap_or_default();
            let is_worded = row.default.contains(|c: char| c.is_uppercase() || c == '\'') || row.default == "required";
            let is_none = row.default == "none" && value == "[]";
            let is_path = value.trim_matches('"') == row.default.replace('~', HOME);
            assert!(value == row.default || is_worded || is_none || is_path, "{}: {value} {}", row.name, row.default);
        }
    }
}

#[test]
fn a_missing_required_key_is_named_with_an_example() {
    let problems = problems(load(""));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.starts_with("1:1: ")));
    assert!(problems.iter().any(|problem| problem.contains("command is missing") && problem.contains("[\"bun\"")));
    assert!(problems.iter().any(|problem| problem.contains("port is missing") && problem.contains("port = 3111")));
}

#[test]
fn unknown_keys_are_answered_with_the_nearest_name() {
    assert_problem("helth_endpoint = \"/\"", "3:1", &["unknown key helth_endpoint", "did you mean health_endpoint?"]);
    assert_problem("\n  Host = \"::1\"", "4:3", &["unknown key Host", "did you mean host?"]);
    assert_problem("drain-timeout-secs = 1", "3:1", &["did you mean drain_timeout_secs?"]);
    assert_problem("health_interval = 1", "3:1", &["did you mean health_interval_secs?"]);
    assert_problem("qqqqqqq = 1", "3:1", &["unknown key qqqqqqq", "delete it"]);
    assert_problem("[launchd]\nlabl = \"x\"", "4:1", &["launchd.labl", "did you mean launchd.label?"]);
    assert_problem("[launchd]\nlog_keep = 1", "4:1", &["launchd.log_keep", "above the first [table]"]);
    assert_problem("[secret]\nA = \"b\"", "3:2", &["unknown key secret", "did you mean secrets?"]);
    assert_problem("\"launchd.label\" = \"x\"", "3:1", &["unknown key launchd.label"]);
    assert_problem("\"a\\u001bb\" = 1", "3:1", &["unknown key a\\x1bb"]);
}

#[test]
fn keys_of_earlier_versions_say_what_replaced_them() {
    assert_problem(
        "startup_sync_delay_secs = 5",
        "3:1",
        &["startup_sync_delay_secs", "delete it", "synced at its first"],
    );
    assert_problem("http_timeout_secs = 5", "3:1", &["http_timeout_secs", "write health_timeout_secs"]);
}

#[test]
fn a_duplicate_key_is_named() {
    assert_problem("port = 3112", "3:1", &["duplicate key port", "keep one"]);
    assert_problem("[env]\nA = \"1\"\nA = \"2\"", "5:1", &["duplicate key A"]);
    assert_problem("[env]\n[env]", "4:2", &["duplicate key env"]);
}

#[test]
fn wrong_types_say_what_was_expected_and_what_was_found() {
    for (rest, place, words) in [
        ("name = 5", "3:8", &["name must be a string", "not 5"][..]),
        ("worker_dir = [\"a\"]", "3:14", &["worker_dir must be a path", "not an array"]),
        ("log_keep = \"5\"", "3:12", &["an integer from 1 to 100", "the string \"5\"", "without quotes"]),
        ("log_keep = 5.0", "3:12", &["an integer", "not 5.0"]),
        ("health_interval_secs = \"5\"", "3:24", &["number of seconds", "without quotes"]),
        ("health_interval_secs = true", "3:24", &["number of seconds", "not true"]),
        ("health_interval_secs = 1979-05-27", "3:24", &["number of seconds", "a date"]),
        ("stop_group = 1", "3:14", &["true or false", "not 1"]),
        ("stop_group = \"true\"", "3:14", &["true or false", "without quotes"]),
        ("port_conflict = \"Kill\"", "3:17", &["\"kill\" or \"wait\"", "the string \"Kill\""]),
        ("port_conflict = 1", "3:17", &["\"kill\" or \"wait\"", "not 1"]),
        ("on_event = \"notify\"", "3:12", &["an array of strings", "the string \"notify\"", "[\"program\""]),
        ("on_event = [\"a\", 1]", "3:18", &["an array of strings", "not 1"]),
        ("required_secrets = \"A\"", "3:20", &["an array of strings", "brackets"]),
        ("health_status = 200", "3:17", &["array of status codes from 100 to 599", "not 200"]),
        ("health_status = []", "3:17", &["non-empty", "an empty array"]),
        ("health_status = [200, 99]", "3:23", &["from 100 to 599", "not 99"]),
        ("health_status = [600]", "3:18", &["from 100 to 599", "not 600"]),
        ("health_status = [200.0]", "3:18", &["from 100 to 599", "not 200.0"]),
        ("env = \"A=b\"", "3:7", &["env must be a table of strings"]),
        ("[[env]]\nA = \"b\"", "3:1", &["env must be a table of strings", "an array"]),
        ("[env]\nPORT = 3111", "4:8", &["env.PORT must be a string", "not 3111", "in quotes"]),
        ("[env]\nlog_keep = 3", "4:12", &["env.log_keep", "move it above [env]"]),
        ("[secrets]\nA = [\"b\"]", "4:5", &["secrets.A must be a string", "an array"]),
        ("launchd = 1", "3:11", &["launchd must be a table", "not 1"]),
        ("[launchd]\nlabel = 1", "4:9", &["launchd.label must be a string", "not 1"]),
    ] {
        assert_problem(rest, place, words);
    }
}

#[test]
fn numbers_outside_their_bounds_are_refused_with_the_range() {
    for key in KEYS.iter().filter(|row| row.name.ends_with("_secs")) {
        let column = format!("3:{}", key.name.len() + 4);
        let takes_zero = [
            "stable_secs",
            "restart_backoff_min_secs",
            "restart_backoff_max_secs",
            "sync_interval_secs",
            "drain_timeout_secs",
            "port_grace_secs",
            "secrets_max_age_secs",
        ];
        for value in [
            "nan",
            "-nan",
            "inf",
            "-inf",
            "-1",
            "-0.001",
            "1e300",
            "31536000.1",
            "9223372036854775807",
            "99999999999999999999999",
            "0x7fffffffffffffff",
        ] {
            assert_problem(&format!("{} = {value}", key.name), &column, &[key.name, "to 31536000", "not "]);
        }
        let zero = format!("{} = 0", key.name);
        if !takes_zero.contains(&key.name) {
            assert_problem(&zero, &column, &["from 0.001 to 31536000", "not 0"]);
            assert_problem(&format!("{} = 1e-300", key.name), &column, &["from 0.001"]);
        } else if key.name != "restart_backoff_max_secs" {
            config_with(&zero);
        }
    }
    for (rest, words) in [
        ("log_keep = 0", ["log_keep", "from 1 to 100", "not 0"]),
        ("log_keep = 101", ["log_keep", "from 1 to 100", "not 101"]),
        ("log_keep = -9223372036854775808", ["log_keep", "from 1 to 100", "not -9223372036854775808"]),
        ("log_keep = 9223372036854775808", ["log_keep", "from 1 to 100", "not 9223372036854775808"]),
        ("log_max_bytes = 4095", ["log_max_bytes", "0 or an integer from 4096 to 1099511627776", "not 4095"]),
        ("log_max_bytes = 1099511627777", ["log_max_bytes", "to 1099511627776", "not 1099511627777"]),
        ("health_failures_before_restart = 0", ["health_failures_before_restart", "from 1 to 1000", "not 0"]),
        ("health_failures_before_restart = 1001", ["health_failures_before_restart", "from 1 to 1000", "not 1001"]),
    ] {
        assert_problem(rest, &format!("3:{}", rest.find('=').unwrap() + 3), &words);
    }
    for port in ["0", "-1", "65536", "3111.0", "\"3111\"", "9223372036854775807"] {
        let found = problems(load(format!("command = [\"a\"]\nport = {port}\n")));
        assert!(found[0].starts_with("2:8: port must be an integer from 1 to 65535, not "), "{found:?}");
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn the_backoff_range_must_not_be_turned_round() {
    assert_problem("restart_backoff_min_secs = 31", "3:28", &["(31)", "restart_backoff_max_secs (30, the default)"]);
    assert_problem("restart_backoff_max_secs = 0.5", "3:28", &["restart_backoff_min_secs (1)", "(0.5)"]);
    assert_problem("restart_backoff_min_secs = 31\nrestart_backoff_max_secs = \"x\"", "4:28", &["number of seconds"]);
    config_with("restart_backoff_min_secs = 7\nrestart_backoff_max_secs = 7");
}

#[test]
fn strings_that_would_break_their_use_are_refused() {
    for (rest, place, words) in [
        ("name = \"\"", "3:8", &["name must be 1 to 64"][..]),
        ("name = \"../x\"", "3:8", &["name must be", "\"../x\""]),
        ("name = \".x\"", "3:8", &["not start with '.'"]),
        ("host = \"localhost\"", "3:8", &["host must be an IPv4 or IPv6 address", "write \"127.0.0.1\""]),
        ("host = \"\"", "3:8", &["host must be an IPv4 or IPv6 address"]),
        ("host_header = \"a\\r\\nb\"", "3:15", &["host_header may hold only visible ASCII"]),
        ("host_header = \"\"", "3:15", &["must not be empty"]),
        ("health_endpoint = \"api\"", "3:19", &["must start with \"/\"", "\"api\""]),
        ("health_endpoint = \"\"", "3:19", &["must start with \"/\""]),
        ("health_endpoint = \"/a b\"", "3:19", &["no space, CR or LF", "\" \"", "%XX"]),
        ("sync_endpoint = \"/a\\r\\nX: y\"", "3:17", &["sync_endpoint may hold only", "\\r"]),
        ("sync_endpoint = \"/ä\"", "3:17", &["visible ASCII", "ä"]),
        ("on_event = [\"\"]", "3:13", &["on_event must start with a program"]),
        ("on_event = [\"a\\u0000\"]", "3:13", &["NUL"]),
        ("on_event = [\"a\", \"b\\u0000\"]", "3:18", &["on_event must not hold a NUL"]),
        ("log_stdout = \"\"", "3:14", &["log_stdout must not be empty"]),
        ("log_stdout = \"a\\u0000b\"", "3:14", &["NUL"]),
        ("state_dir = \"~root/x\"", "3:13", &["only `~/` expands"]),
        ("[env]\n\"A=B\" = \"c\"", "4:1", &["[env]:", "can't name a variable", "\"A=B\""]),
        ("[env]\n\"\" = \"c\"", "4:1", &["can't name a variable"]),
        ("[env]\nA = \"b\\u0000\"", "4:5", &["env.A must not hold a NUL"]),
        ("[secrets]\nA = \"\"", "4:5", &["secrets.A must name a secret"]),
        ("[launchd]\nlabel = \"a b\"", "4:9", &["launchd.label must be 1 to 128"]),
        ("secrets_command = []", "3:19", &["secrets_command must not be empty"]),
        ("secrets_command = [\"x\"]\n[secrets]\nA = \"b\"", "3:19", &["secrets_command must hold \"{name}\""]),
    ] {
        assert_problem(rest, place, words);
    }
    assert!(problems(load("command = []\nport = 1"))[0].starts_with("1:11: command must not be empty"));
    assert!(problems(load("command = [\"\"]\nport = 1"))[0].starts_with("1:12: command must start with a program"));
    assert!(problems(load("command = \"bun run\"\nport = 1"))[0].contains("write [\"program\", \"argument\"]"));
}

#[test]
fn a_required_secret_must_be_a_secret() {
    let secrets = "[secrets]\nAPI_KEY = \"x\"";
    let wrong = format!("required_secrets = [\"API_KEY\", \"API_KYE\"]\n{secrets}");
    assert_problem(&wrong, "3:32", &["\"API_KYE\"", "not in [secrets]", "did you mean API_KEY?"]);
    assert_problem(&format!("required_secrets = [\"QQQ\"]\n{secrets}"), "3:21", &["\"QQQ\"", "add it there"]);
}

#[test]
fn a_secrets_command_needs_no_placeholder_without_secrets() {
    config_with("secrets_command = [\"x\"]");
}

#[test]
fn all_problems_are_reported_at_once_by_place() {
    let found = problems(load_with(
        "log_keep = 0\nnam = \"x\"\nhost = \"localhost\"\nhealth_timeout_secs = nan\n[env]\nA = 1\nB = 2\n",
    ));
    let places: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["3:12", "4:1", "5:8", "6:23", "8:5", "9:5"], "{found:#?}");
}

#[test]
fn a_file_full_of_problems_is_answered_shortly() {
    let content: String = (0..50_000).map(|number| format!("unknown_{number} = 1\n")).collect();
    assert_eq!(problems(load(content)).len(), 100);
}

#[test]
fn a_syntax_error_has_a_place() {
    for (rest, place) in [("port", "3:5"), ("x = ", "3:5"), ("a = \"b", "3:7"), ("= 1", "3:1"), ("[env", "3:5")] {
        let found = problems(load_with(rest));
        assert!(found[0].starts_with(&format!("{place}: ")) && found[0].contains("TOML"), "{rest}: {found:?}");
    }
    let nested = format!("on_event = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(problems(load_with(&nested))[0].starts_with("3:"));
}

#[test]
fn home_is_needed_only_where_something_expands_from_it() {
    let dir = Dir::new();
    let path = dir.write("worker.toml", format!("{REQUIRED}worker_dir = \"~/app\"\n"));
    for home in [None, Some(OsStr::new("")), Some(OsStr::new("relative"))] {
        let found = problems(Config::load_with_home(&path, home));
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found.iter().all(|problem| problem.contains("HOME")), "{found:#?}");
        assert!(found[3].starts_with("3:14: worker_dir needs HOME for \"~/app\""), "{found:#?}");
        assert!(found[0].starts_with("1:1: log_stdout needs HOME for \"~/.local/log/worker.log\""), "{found:#?}");
    }
    let without = "log_stdout = \"/l\"\nlog_stderr = \"/l\"\nstate_dir = \"/s\"\n";
    let path = dir.write("worker.toml", format!("{REQUIRED}{without}"));
    Config::load_with_home(&path, None).unwrap();
}

#[test]
fn the_default_name_must_be_usable() {
    let dir = Dir::new();
    let found = problems(load_at(&dir.write("my worker.toml", REQUIRED)));
    assert!(found[0].starts_with("1:1: name is missing") && found[0].contains("my worker"), "{found:?}");
    load_at(&dir.write("my worker.toml", format!("{REQUIRED}name = \"w\""))).unwrap();
}

#[test]
fn a_byte_order_mark_and_crlf_are_accepted() {
    let content = format!("\u{feff}{REQUIRED}").replace('\n', "\r\n");
    assert_eq!(load(&content).unwrap().config.port, 3111);
    let found = problems(load(format!("{content}log_keep = 0\r\n")));
    assert!(found[0].starts_with("3:12: "), "{found:?}");
    let found = problems(load("\u{feff}prot = 1"));
    assert!(found.iter().any(|problem| problem.starts_with("1:1: unknown key prot")), "{found:?}");
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    let found = problems(load(b"port = 1\nname = \"\xff\"\n"));
    assert!(found[0].starts_with("2:9: ") && found[0].contains("UTF-8"), "{found:?}");
    let found = problems(load(b"port = 1\n\0\n"));
    assert!(found[0].starts_with("2:1: "), "{found:?}");
    let found = problems(load("port = 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()));
    assert!(found[0].starts_with("1:2: ") && found[0].contains("UTF-8"), "{found:?}");
}

#[test]
fn what_is_no_small_regular_file_is_refused() {
    let dir = Dir::new();
    let huge = dir.write("huge.toml", vec![b'#'; 1024 * 1024 + 1]);
    assert!(problems(load_at(&huge))[0].contains("longer than 1048576 bytes"));
    dir.write("full.toml", [REQUIRED.as_bytes(), &vec![b'#'; 1024 * 1024 - REQUIRED.len()]].concat());
    load_at(&dir.0.join("full.toml")).unwrap();
    assert!(problems(load_at(&dir.0))[0].contains("a directory"));
    assert!(problems(load_at(Path::new("/dev/null")))[0].contains("not a regular file"));
    let fifo = dir.0.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    assert!(problems(load_at(&fifo))[0].contains("FIFO"));
    let below_file = huge.join("x.toml");
    assert!(problems(load_at(&below_file))[0].starts_with("cannot read config"));
}

#[test]
fn a_missing_file_is_answered_with_an_example_that_works() {
    let dir = Dir::new();
    let path = dir.0.join("none.toml");
    let message = load_at(&path).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot read config {path:?}: no such file")), "{message}");
    let example = message.split_once("\n\n").expect("an example").1;
    load_at(&dir.write("worker.toml", example)).unwrap();
}

#[test]
fn a_file_that_anyone_may_write_is_refused_and_a_group_is_warned_about() {
    let dir = Dir::new();
    let path = dir.write("worker.toml", REQUIRED);
    for mode in [0o646, 0o666, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let message = load_at(&path).unwrap_err().to_string();
        assert!(message.contains("anyone may write it") && message.contains("chmod o-w"), "{message}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    let warnings = load_at(&path).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("a group may write"), "{warnings:?}");
}

#[test]
fn confusing_variables_are_warned_about() {
    let warnings = load_with("[env]\nname = \"x\"\nA = \"b\"\n[secrets]\nA = \"c\"\n").unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("move it above [env]")));
    assert!(warnings.iter().any(|warning| warning.starts_with("A is in [env] and in [secrets]")));
}

#[test]
fn what_a_shell_would_expand_in_a_path_is_warned_about() {
    let warnings = load_with("worker_dir = \"$HOME/x\"\nlog_stdout = \"~/${A}/y\"\nenv_file = \"/a$/5$1\"\n").unwrap();
    let expected = [
        "worker_dir holds $HOME/x: no variable is expanded there, but `~/` at the start is",
        "log_stdout holds ${A}/y: no variable is expanded there, but `~/` at the start is",
    ];
    assert_eq!(warnings.warnings, expected);
}

#[test]
fn a_relative_path_to_the_config_becomes_absolute() {
    let error = Config::load_with_home(Path::new("does/not/exist.toml"), None).unwrap_err().to_string();
    assert!(error.contains("\"does/not/exist.toml\""), "{error}");
    let manifest = Path::new("Cargo.toml");
    let found = problems(Config::load_with_home(manifest, Some(OsStr::new(HOME))));
    assert!(found.iter().any(|problem| problem.contains("unknown key package")), "{found:?}");
}

#[test]
fn the_example_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/inngest-bun/worker-supervisor.toml");
    if let Err(error) = load_at(&path) {
        panic!("{error}");
    }
}
