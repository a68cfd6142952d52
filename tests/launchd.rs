//! The launchd job: its property list read back, and the steps of install and uninstall against a launchd that is slow,
//! stubborn or gone.

mod operator_support;

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use operator_support::{Dir, names};
use plist::{Dictionary, Value};
use worker_supervisor::commands::launchd::{Answer, Job, Launchctl, Session, ensure_supported};
use worker_supervisor::config::Config;
use worker_supervisor::error::{Error, ExitCode};
use worker_supervisor::lock::Lock;
use worker_supervisor::state_dir::StateDir;

const PROGRAM: &str = "/usr/local/bin/worker-supervisor";
const SEARCH_PATH: &str = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

fn config(dir: &Dir, rest: &str) -> Config {
    let text = format!("name = \"demo\"\ncommand = [\"true\"]\nport = 1\n{rest}");
    fs::write(dir.join("worker.toml"), text).expect("written");
    Config::load_with_home(&dir.join("worker.toml"), Some(dir.path().as_os_str())).expect("a config").config
}

fn job<'a>(config: &'a Config, home: &'a Path) -> Job<'a> {
    Job { config, program: Path::new(PROGRAM), search_path: SEARCH_PATH, home }
}

fn parsed(xml: &str) -> Dictionary {
    let value = Value::from_reader_xml(xml.as_bytes()).expect("a property list");
    value.into_dictionary().expect("a dictionary")
}

fn integer(list: &Dictionary, key: &str) -> Option<u64> {
    list.get(key)?.as_unsigned_integer()
}

#[test]
fn the_list_says_what_launchd_would_get_wrong() {
    let dir = Dir::new();
    let config = config(&dir, "drain_timeout_secs = 7.2\n");
    let list = parsed(&job(&config, dir.path()).plist().expect("a list"));
    let string = |key| list.get(key).and_then(Value::as_string).map(PathBuf::from);
    assert_eq!(string("Label"), Some("worker-supervisor.demo".into()));
    let arguments: Vec<&str> =
        list["ProgramArguments"].as_array().expect("an array").iter().filter_map(Value::as_string).collect();
    assert_eq!(arguments, [PROGRAM, "--config", dir.join("worker.toml").to_str().expect("text")]);
    assert_eq!((list["RunAtLoad"].as_boolean(), list["KeepAlive"].as_boolean()), (Some(true), Some(true)));
    // 7.2 s to drain, 2 s to kill, 3 s for launchd to notice; rounded up.
    assert_eq!((integer(&list, "ExitTimeOut"), integer(&list, "ThrottleInterval")), (Some(13), Some(10)));
    assert_eq!(string("ProcessType"), Some("Interactive".into()));
    for limits in ["SoftResourceLimits", "HardResourceLimits"] {
        let limits = list[limits].as_dictionary().expect("a dictionary");
        assert!(integer(limits, "NumberOfFiles") >= Some(10_240));
    }
    let log = dir.join(".local/log/demo.supervisor.log");
    assert_eq!((string("StandardOutPath"), string("StandardErrorPath")), (Some(log.clone()), Some(log.clone())));
    assert!(log != config.log_stdout && log != config.log_stderr);
    assert_eq!(string("WorkingDirectory"), Some(dir.path().into()));
    assert_eq!(list.len(), 13);
}

#[test]
fn the_environment_is_path_and_home_and_no_secret() {
    let dir = Dir::new();
    let config = config(&dir, "[env]\nTOKEN = \"canary-1\"\n[secrets]\nKEY = \"canary-2\"\n");
    let job = Job { search_path: "bin::/usr/bin:.:/bin:", ..job(&config, dir.path()) };
    let xml = job.plist().expect("a list");
    assert!(!xml.contains("canary"), "{xml}");
    let list = parsed(&xml);
    let environment = list["EnvironmentVariables"].as_dictionary().expect("a dictionary");
    let variables: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_string())).collect();
    assert_eq!(variables, [("HOME", dir.path().to_str()), ("PATH", Some("/usr/bin:/bin"))]);
}

#[test]
fn any_text_survives_the_way_through_xml() {
    let dir = Dir::new();
    let config = Config { path: "/a & <b>/\"c\" 'd'/größe.toml".into(), ..config(&dir, "") };
    let list = parsed(&job(&config, dir.path()).plist().expect("a list"));
    let path = list["ProgramArguments"].as_array().and_then(|arguments| arguments[2].as_string());
    assert_eq!(path, config.path.to_str());
}

#[test]
fn what_a_list_cannot_hold_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let dir = Dir::new();
    let plain = config(&dir, "");
    for path in [OsStr::new("/a\u{1b}b"), OsStr::new("relative"), OsStr::from_bytes(b"/a\xff")] {
        let config = Config { path: path.into(), ..plain.clone() };
        let error = job(&config, dir.path()).plist().expect_err("refused");
        assert_eq!(error.code, ExitCode::Config, "{path:?}");
    }
    let log = dir.join(".local/log/demo.supervisor.log");
    fs::create_dir_all(log.parent().expect("a directory")).expect("made");
    fs::write(&log, "").expect("a log");
    fs::hard_link(&log, dir.join("other.log")).expect("another name");
    for log in [log, dir.join("other.log")] {
        let shared = Config { log_stderr: log, ..plain.clone() };
        assert!(job(&shared, dir.path()).plist().expect_err("refused").message.contains("the supervisor's log"));
    }
}

#[test]
fn the_example_is_what_print_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = root.join("examples/inngest-bun/worker-supervisor.toml");
    let loaded = Config::load_with_home(&example, Some(OsStr::new("/Users/joe"))).expect("the example config");
    let config = Config { path: "/Users/joe/.config/worker-supervisor.toml".into(), ..loaded.config };
    let xml = job(&config, Path::new("/Users/joe")).plist().expect("a list");
    let committed = fs::read_to_string(root.join("launchd/worker-supervisor.example.plist")).expect("the example");
    assert!(xml == committed, "launchd/worker-supervisor.example.plist should be:\n{xml}");
}

/// A launchd of which only this job is known.
#[derive(Default)]
struct FakeLaunchd {
    /// Each call, without the label and the uid.
    calls: Vec<String>,
    pauses: u32,
    /// What `print` shows of a loaded job.
    loaded: Option<String>,
    /// How many more `print`s show the job after it was booted out.
    lingers: u32,
    is_leaving: bool,
    /// What the next bootstraps end with; then 0.
    bootstrap_codes: VecDeque<i32>,
    /// What bootout, enable and print end with, if not 0.
    codes: Vec<(&'static str, i32)>,
    /// The job as it is after bootstrap.
    fresh: String,
    /// The job as it is after kickstart, if that changes it.
    kicked: Option<String>,
}

impl FakeLaunchd {
    fn new(dir: &Dir) -> Self {
        Self {
            fresh: shown(&dir.join("Library/LaunchAgents/worker-supervisor.demo.plist"), "running"),
            ..Self::default()
        }
    }

    fn print(&mut self) -> Answer {
        if self.is_leaving && self.lingers == 0 {
            self.loaded = None;
        }
        self.lingers = self.lingers.saturating_sub(u32::from(self.is_leaving));
        match &self.loaded {
            Some(text) => Answer { code: Some(0), output: text.clone() },
            None => Answer { code: Some(113), output: "Could not find service\n".into() },
        }
    }

    /// The calls but for repeated ones.
    fn steps(&self) -> Vec<&str> {
        let mut steps: Vec<&str> = self.calls.iter().map(String::as_str).collect();
        steps.dedup();
        steps
    }
}

fn shown(path: &Path, state: &str) -> String {
    format!("gui/501/x = {{\n\tpath = {}\n\tstate = {state}\n\tpid = 4711\n\tlast exit code = 78\n}}\n", path.display())
}

impl Launchctl for FakeLaunchd {
    fn run(&mut self, arguments: &[&str]) -> io::Result<Answer> {
        self.calls.push(arguments.join(" ").replace("gui/501/worker-supervisor.demo", "JOB").replace("gui/501", "GUI"));
        if let Some((_, code)) = self.codes.iter().find(|(verb, _)| *verb == arguments[0]) {
            return Ok(Answer { code: Some(*code), output: "Some\x1b words\n".into() });
        }
        match arguments[0] {
            "print" => return Ok(self.print()),
            "bootout" => self.is_leaving = true,
            "bootstrap" => {
                let code = self.bootstrap_codes.pop_front().unwrap_or(0);
                if code == 0 {
                    (self.loaded, self.is_leaving) = (Some(self.fresh.clone()), false);
                }
                return Ok(Answer { code: Some(code), ..Answer::default() });
            }
            "enable" => {}
            "kickstart" => {
                if let Some(kicked) = self.kicked.take() {
                    self.loaded = Some(kicked);
                }
            }
            other => panic!("launchctl {other}"),
        }
        Ok(Answer { code: Some(0), ..Answer::default() })
    }

    fn pause(&mut self) {
        self.pauses += 1;
    }
}

fn install(session: &mut Session<'_>) -> Result<(), Error> {
    session.install()
}

fn uninstall(session: &mut Session<'_>) -> Result<(), Error> {
    session.uninstall()
}

/// Runs a command for user 501 and returns what it said.
fn run(
    command: impl FnOnce(&mut Session<'_>) -> Result<(), Error>,
    dir: &Dir,
    launchd: &mut FakeLaunchd,
) -> Result<String, Error> {
    let config = config(dir, "");
    let mut output = Vec::new();
    let job = job(&config, dir.path());
    command(&mut Session::new(&job, 501, launchd, &mut output)?)?;
    Ok(String::from_utf8(output).expect("text").replace(&dir.path().display().to_string(), "~"))
}

fn plist_path(dir: &Dir) -> PathBuf {
    dir.join("Library/LaunchAgents/worker-supervisor.demo.plist")
}

#[test]
fn a_first_install_writes_enables_bootstraps_and_sees_the_job_run() {
    let dir = Dir::new();
    let mut launchd = FakeLaunchd::new(&dir);
    let said = run(install, &dir, &mut launchd).expect("installed");
    let bootstrap = format!("bootstrap GUI {}", plist_path(&dir).display());
    assert_eq!(launchd.steps(), ["print JOB", "enable JOB", &bootstrap, "print JOB"]);
    let expected = "\
wrote ~/Library/LaunchAgents/worker-supervisor.demo.plist
loaded worker-supervisor.demo; it runs, pid 4711, and will at every login
its own log: ~/.local/log/demo.supervisor.log
undo: worker-supervisor launchd uninstall --config ~/worker.toml
";
    assert_eq!(said, expected);
    assert_eq!(names(&dir.join("Library/LaunchAgents")), ["worker-supervisor.demo.plist"]);
    assert!(dir.join(".local/log").is_dir());
    let mode = fs::metadata(plist_path(&dir)).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(launchd.pauses, 0);
}

#[test]
fn an_old_job_is_seen_to_be_gone_before_the_new_one_comes() {
    let dir = Dir::new();
    let old = shown(Path::new("/Users/joe/old.plist"), "running");
    let mut launchd = FakeLaunchd { loaded: Some(old), lingers: 30, ..FakeLaunchd::new(&dir) };
    let said = run(install, &dir, &mut launchd).expect("installed");
    let bootstrap = format!("bootstrap GUI {}", plist_path(&dir).display());
    assert_eq!(launchd.steps(), ["print JOB", "bootout JOB", "print JOB", "enable JOB", &bootstrap, "print JOB"]);
    assert_eq!(launchd.pauses, 30);
    assert!(said.contains("unloaded the job that was there, pid 4711\n"), "{said}");
    assert!(said.contains("warning: it came from /Users/joe/old.plist, which is still there"), "{said}");
}

#[test]
fn the_old_jobs_own_time_to_end_is_waited_for() {
    let dir = Dir::new();
    let old = shown(&plist_path(&dir), "SIGTERMed").replace("\tpid", "\texit timeout = 120\n\tpid");
    let mut launchd = FakeLaunchd { loaded: Some(old.clone()), lingers: 1300, ..FakeLaunchd::new(&dir) };
    run(install, &dir, &mut launchd).expect("installed");
    assert_eq!(launchd.pauses, 1300);
    let mut launchd = FakeLaunchd { loaded: Some(old), lingers: u32::MAX, ..FakeLaunchd::new(&dir) };
    let error = run(install, &dir, &mut launchd).expect_err("it is still there");
    assert!(error.message.contains("it is still there 135 s after bootout"), "{error}");
}

#[test]
fn a_start_that_launchd_puts_off_is_asked_for_after_a_second() {
    let dir = Dir::new();
    let pended = format!(
        "gui/501/x = {{\n\tpath = {}\n\tstate = not running\n\truns = 0\n\tpended nondemand spawn = speculative\n}}\n",
        plist_path(&dir).display()
    );
    let kicked = Some(shown(&plist_path(&dir), "running"));
    let mut launchd = FakeLaunchd { fresh: pended.clone(), kicked, ..FakeLaunchd::new(&dir) };
    let said = run(install, &dir, &mut launchd).expect("installed");
    let bootstrap = format!("bootstrap GUI {}", plist_path(&dir).display());
    let steps = ["print JOB", "enable JOB", &bootstrap, "print JOB", "kickstart JOB", "print JOB"];
    assert_eq!((launchd.steps(), launchd.pauses), (steps.to_vec(), 10));
    assert!(said.contains("it runs, pid 4711"), "{said}");
    // Where that does not help either, all that is known is said.
    let codes = vec![("kickstart", 119)];
    let mut launchd = FakeLaunchd { fresh: pended, codes, ..FakeLaunchd::new(&dir) };
    let error = run(install, &dir, &mut launchd).expect_err("it does not run");
    let known =
        "(state = not running, pended nondemand spawn = speculative, kickstart's exit code 119: the job is disabled;";
    assert!(error.message.contains(known), "{error}");
    assert_eq!(launchd.calls.iter().filter(|call| call.starts_with("kickstart")).count(), 1);
}

#[test]
fn a_job_that_never_goes_ends_the_wait_with_an_error() {
    let dir = Dir::new();
    let old = shown(&plist_path(&dir), "SIGTERMed");
    let mut launchd = FakeLaunchd { loaded: Some(old), lingers: u32::MAX, ..FakeLaunchd::new(&dir) };
    let error = run(install, &dir, &mut launchd).expect_err("it is still there");
    assert_eq!(error.code, ExitCode::Failed);
    let expected = "cannot unload gui/501/worker-supervisor.demo: it is still there 25 s after bootout; run this again";
    assert_eq!(error.message, expected);
    assert!(!launchd.calls.iter().any(|call| call.starts_with("bootstrap")));
}

#[test]
fn a_label_that_is_taken_for_a_while_is_tried_again() {
    let dir = Dir::new();
    let mut launchd = FakeLaunchd { bootstrap_codes: [5, 5, 37, 36, 5].into(), ..FakeLaunchd::new(&dir) };
    run(install, &dir, &mut launchd).expect("installed");
    assert_eq!(launchd.pauses, 5);
}

#[test]
fn a_label_that_stays_taken_is_an_error_that_says_what_to_do() {
    let dir = Dir::new();
    let mut launchd = FakeLaunchd { bootstrap_codes: vec![5; 1000].into(), ..FakeLaunchd::new(&dir) };
    let error = run(install, &dir, &mut launchd).expect_err("refused");
    assert_eq!((error.code, launchd.pauses), (ExitCode::Failed, 150));
    for part in ["cannot run `launchctl bootstrap gui/501 ", "exit code 5 (", "plutil -lint", "run this again"] {
        assert!(error.message.contains(part), "no {part:?} in {error}");
    }
}

#[test]
fn a_user_without_a_login_at_the_screen_is_told_so() {
    for (verb, code) in [("print", 112), ("print", 125), ("print", 134)] {
        let dir = Dir::new();
        let mut launchd = FakeLaunchd { codes: vec![(verb, code)], ..FakeLaunchd::new(&dir) };
        let error = run(install, &dir, &mut launchd).expect_err("refused");
        assert_eq!(error.code, ExitCode::Unavailable);
        assert!(error.message.contains("not logged in at the screen"), "{error}");
        assert!(error.message.contains("(Some\\x1b words)"), "{error}");
        assert_eq!(dir.names(), ["worker.toml"], "nothing was written");
    }
}

#[test]
fn every_command_that_fails_is_named() {
    for (verb, code) in [("bootout", 1), ("enable", 119), ("print", 1)] {
        let dir = Dir::new();
        let loaded = Some(shown(&plist_path(&dir), "running"));
        let mut launchd = FakeLaunchd { codes: vec![(verb, code)], loaded, ..FakeLaunchd::new(&dir) };
        let error = run(install, &dir, &mut launchd).expect_err("refused");
        let task = format!("cannot run `launchctl {verb} gui/501/worker-supervisor.demo`: exit code {code} (");
        assert!(error.message.starts_with(&task), "{error}");
    }
}

#[test]
fn a_job_that_is_loaded_and_does_not_run_is_an_error_with_its_last_exit_code() {
    let dir = Dir::new();
    let mut launchd = FakeLaunchd { fresh: shown(&plist_path(&dir), "spawn scheduled"), ..FakeLaunchd::new(&dir) };
    let error = run(install, &dir, &mut launchd).expect_err("it does not run");
    assert_eq!((error.code, launchd.pauses), (ExitCode::Failed, 150));
    assert!(error.message.contains("(state = spawn scheduled, last exit code = 78); see "), "{error}");
}

#[test]
fn a_file_under_another_name_is_the_same_file() {
    let dir = Dir::new();
    fs::create_dir(dir.join("real")).expect("a directory");
    std::os::unix::fs::symlink(dir.join("real"), dir.join("Library")).expect("a link");
    let real = dir.join("real/LaunchAgents/worker-supervisor.demo.plist");
    let mut launchd = FakeLaunchd { fresh: shown(&real, "running"), ..FakeLaunchd::new(&dir) };
    let said = run(install, &dir, &mut launchd).expect("installed");
    assert!(!said.contains("warning"), "{said}");
    let said = run(install, &dir, &mut launchd).expect("installed again");
    assert!(said.contains("unloaded the job that was there") && !said.contains("warning"), "{said}");
}

#[test]
fn a_config_in_a_guarded_place_earns_a_warning() {
    let dir = Dir::new();
    let config = Config { worker_dir: dir.join("Documents/app"), ..config(&dir, "") };
    let mut output = Vec::new();
    let (job, mut launchd) = (job(&config, dir.path()), FakeLaunchd::new(&dir));
    Session::new(&job, 501, &mut launchd, &mut output).and_then(|mut it| it.install()).expect("installed");
    let said = String::from_utf8(output).expect("text");
    assert!(
        said.starts_with("warning: worker_dir is in ~/Documents, where macOS may not let in what launchd starts"),
        "{said}"
    );
}

#[test]
fn a_job_that_runs_from_another_file_is_an_error() {
    let dir = Dir::new();
    let mut launchd = FakeLaunchd { fresh: shown(Path::new("/old.plist"), "running"), ..FakeLaunchd::new(&dir) };
    let error = run(install, &dir, &mut launchd).expect_err("the old definition");
    assert!(error.message.contains("launchd runs it from \"/old.plist\" instead"), "{error}");
}

#[test]
fn root_has_no_agents_and_is_told_to_leave_sudo_out() {
    let dir = Dir::new();
    let config = config(&dir, "");
    let mut launchd = FakeLaunchd::new(&dir);
    let (job, mut output) = (job(&config, dir.path()), Vec::new());
    let error = Session::new(&job, 0, &mut launchd, &mut output).map(drop).expect_err("refused");
    assert!(error.code == ExitCode::Usage && error.message.contains("without sudo"), "{error}");
    assert!(launchd.calls.is_empty());
}

#[test]
fn a_program_that_may_not_stay_earns_a_warning() {
    let dir = Dir::new();
    let config = config(&dir, "");
    for (program, is_passing) in [
        ("/Users/joe/code/worker-supervisor/target/release/worker-supervisor", true),
        ("/private/tmp/worker-supervisor", true),
        (PROGRAM, false),
    ] {
        let job = Job { program: Path::new(program), ..job(&config, dir.path()) };
        let mut output = Vec::new();
        let mut launchd = FakeLaunchd::new(&dir);
        Session::new(&job, 501, &mut launchd, &mut output).and_then(|mut it| it.install()).expect("installed");
        let said = String::from_utf8(output).expect("text");
        assert_eq!(said.contains("warning: the job will run"), is_passing, "{said}");
    }
}

#[test]
fn uninstall_unloads_removes_and_says_what_it_left() {
    let dir = Dir::new();
    let mut launchd = FakeLaunchd::new(&dir);
    run(install, &dir, &mut launchd).expect("installed");
    (launchd.calls, launchd.lingers) = (Vec::new(), 3);
    let said = run(uninstall, &dir, &mut launchd).expect("uninstalled");
    assert_eq!(launchd.steps(), ["print JOB", "bootout JOB", "print JOB"]);
    let expected = "\
unloaded the job that was there, pid 4711
removed ~/Library/LaunchAgents/worker-supervisor.demo.plist
left in place: ~/worker.toml, ~/.local/log/demo.log, ~/.local/log/demo.err, ~/.local/log/demo.supervisor.log, \
~/.local/state/worker-supervisor/demo
";
    assert_eq!(said, expected);
    assert_eq!(names(&dir.join("Library/LaunchAgents")), [""; 0]);
}

#[test]
fn uninstall_of_nothing_is_no_error() {
    let dir = Dir::new();
    let said = run(uninstall, &dir, &mut FakeLaunchd::new(&dir)).expect("nothing to do");
    assert!(said.starts_with("worker-supervisor.demo is not loaded\nleft in place: "), "{said}");
}

#[test]
fn only_macos_installs_jobs() {
    assert_eq!(ensure_supported().map_err(|error| error.code), expected_support());
}

fn expected_support() -> Result<(), ExitCode> {
    if cfg!(target_os = "macos") { Ok(()) } else { Err(ExitCode::Unavailable) }
}

#[test]
fn a_supervisor_that_launchd_did_not_start_is_named() {
    let dir = Dir::new();
    let config = config(&dir, "");
    let state = StateDir::open(&config.state_dir, &config.name).expect("the state directory");
    let lock = Lock::of_config(&state).expect("no error").expect("the lock is free");
    lock.announce(&[]);
    let warning = format!("warning: another supervisor runs already, pid {}", std::process::id());
    assert!(run(install, &dir, &mut FakeLaunchd::new(&dir)).expect("installed").contains(&warning));
    let mut launchd = FakeLaunchd { loaded: Some(shown(&plist_path(&dir), "running")), ..FakeLaunchd::new(&dir) };
    assert!(!run(install, &dir, &mut launchd).expect("installed").contains("warning"), "the old job's own");
    drop(lock);
    fs::write(state.lock_path(), "1 another-start\n").expect("written");
    assert!(!run(install, &dir, &mut FakeLaunchd::new(&dir)).expect("installed").contains("warning"));
}
