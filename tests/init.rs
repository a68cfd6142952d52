//! `init` through the built program: what it guesses passes a dry run, and what it can't use leaves nothing.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_worker-supervisor");

/// A project with a home beside it; a name that ends in a slash is a directory.
fn project(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new();
    fs::create_dir_all(dir.join("app")).expect("a directory");
    for (name, content) in files {
        let path = dir.join("app").join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    dir
}

fn run(dir: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(dir.join("app")).env("HOME", dir.path()).env_remove("PORT");
    command.stdin(Stdio::null()).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The config that `init` writes, after a dry run that finds nothing in the way of a start.
#[track_caller]
fn written(dir: &TempDir, arguments: &[&str]) -> String {
    let output = run(dir, &[&["init"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let dry_run = run(dir, &["--dry-run"]);
    assert_eq!(dry_run.status.code(), Some(0), "{}", text(&dry_run.stdout));
    fs::read_to_string(dir.join(".config/worker-supervisor.toml")).expect("a config")
}

#[track_caller]
fn assert_has(config: &str, lines: &[&str]) {
    for line in lines {
        assert!(config.lines().any(|found| found == *line), "no {line} in\n{config}");
    }
}

const SCRIPT: &str = "#!/bin/sh\nexec sleep 1000\n";

#[test]
fn a_start_script_becomes_its_own_command() {
    let package = r#"{"name": "@acme/api", "scripts": {"start": "NODE_ENV=production serve --port 4100"},
        "dependencies": {"inngest": "^3"}}"#;
    let dir = project(&[("package.json", package), ("node_modules/.bin/serve", SCRIPT)]);
    let config = written(&dir, &[]);
    assert_has(
        &config,
        &[
            "name = \"api\"",
            "command = [\"node_modules/.bin/serve\", \"--port\", \"4100\"]",
            "worker_dir = \"~/app\"",
            "port = 4100",
            "sync_endpoint = \"/api/inngest\"",
            "\"NODE_ENV\" = \"production\"",
        ],
    );
    let mode = fs::metadata(dir.join(".config/worker-supervisor.toml")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_whose_name_is_one_for_a_worker_says_no_other() {
    let dir = project(&[("server.js", ""), ("package.json", r#"{"name": "api"}"#)]);
    for (file, name) in [("mail.toml", None), ("my mail.toml", Some("name = \"api\""))] {
        let file = dir.join(file);
        let path = file.to_str().expect("UTF-8");
        let output = run(&dir, &["init", "--config", path]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let config = fs::read_to_string(&file).expect("a config");
        assert_eq!(config.lines().find(|line| line.starts_with("name = ")), name, "{config}");
    }
}

#[test]
fn procfile_and_pyproject_name_the_server_itself() {
    let server = (".venv/bin/gunicorn", SCRIPT);
    let dir = project(&[("Procfile", "release: x\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\n"), server]);
    assert_has(
        &written(&dir, &[]),
        &["command = [\".venv/bin/gunicorn\", \"app:app\", \"--bind\", \"0.0.0.0:3000\"]", "port = 3000"],
    );
    let dir = project(&[("Procfile", "web: sleep 1 && sleep \"1000\"\n"), ("pyproject.toml", "")]);
    assert_has(&written(&dir, &[]), &["command = [\"sh\", \"-c\", \"sleep 1 && sleep \\\"1000\\\"\"]"]);
    let python = "[project]\nname = \"web\"\ndependencies = [\"uvicorn[standard]>=0.30\"]\n";
    let files = [("pyproject.toml", python), ("uv.lock", ""), ("main.py", ""), (".venv/bin/uvicorn", SCRIPT)];
    assert_has(
        &written(&project(&files), &[]),
        &["command = [\".venv/bin/uvicorn\", \"main:app\", \"--port\", \"8000\"]", "port = 8000", "name = \"web\""],
    );
}

#[test]
fn a_job_and_an_ecosystem_file_are_taken_over() {
    let job =
        "<?xml version=\"1.0\"?>\n<plist version=\"1.0\"><dict><key>Label</key><string>com.example.worker</string>
        <key>ProgramArguments</key><array><string>/bin/sh</string><string>start.sh</string><string>a &amp; b</string>
        </array><key>EnvironmentVariables</key><dict><key>PORT</key><string>4200</string><key>HOME</key>
        <string>/x</string></dict><key>KeepAlive</key><true/></dict></plist>";
    let config = written(&project(&[("job.plist", job), ("start.sh", SCRIPT)]), &["job.plist"]);
    assert_has(
        &config,
        &[
            "command = [\"/bin/sh\", \"start.sh\", \"a & b\"]",
            "port = 4200",
            "label = \"com.example.worker\"",
            "name = \"worker\"",
        ],
    );
    let apps = r#"{"apps": [{"name": "mail", "script": "./mail.sh", "args": "-p 4300", "instances": 2,
        "env": {"A": 1, "B": "x"}, "env_production": {"B": "y"}}]}"#;
    let config = written(&project(&[("ecosystem.json", apps), ("mail.sh", SCRIPT)]), &["ecosystem.json"]);
    assert_has(
        &config,
        &["command = [\"bash\", \"./mail.sh\", \"-p\", \"4300\"]", "port = 4300", "\"A\" = \"1\"", "\"B\" = \"y\""],
    );
    for (apps, is_one_of_several) in
        [(r#"[{"script": "a.js"}]"#, false), (r#"[{"script": "a.js"}, {"script": "b.js"}]"#, true)]
    {
        let dir = project(&[("e.json", &*format!("{{\"apps\": {apps}}}")), ("a.js", "")]);
        let said = text(&run(&dir, &["init", "e.json"]).stdout).to_owned();
        assert_eq!(said.contains("the first program of the file is taken"), is_one_of_several, "{said}");
    }
}

#[test]
fn what_stays_between_is_said() {
    let package = r#"{"scripts": {"prestart": "tsc", "start": "node server.js"}}"#;
    let dir = project(&[("package.json", package)]);
    let output = run(&dir, &["init"]);
    let said = text(&output.stdout);
    assert!(said.contains("[\"npm\", \"run\", \"start\"]") && said.contains("stands between"), "{said}");
    assert!(said.contains("whose script") && said.contains("wrote ") && said.ends_with("--dry-run\n"), "{said}");
}

#[test]
fn an_existing_file_is_never_written_over() {
    let dir = project(&[("Procfile", "web: sleep 1000\n"), ("mine.toml", "mine")]);
    std::os::unix::fs::symlink("nowhere", dir.join("app/link.toml")).expect("a link");
    for name in ["mine.toml", "link.toml"] {
        let output = run(&dir, &["init", "--config", name]);
        assert_eq!(output.status.code(), Some(78));
        assert!(text(&output.stderr).contains("it exists"), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_to_string(dir.join("app/mine.toml")).expect("it is there"), "mine");
    assert!(fs::symlink_metadata(dir.join("app/nowhere")).is_err());
}

#[test]
fn what_cannot_be_used_is_one_error_and_leaves_nothing() {
    let (huge, deep) = (" ".repeat(1_100_000), "[".repeat(1000));
    for (files, arguments, mention) in [
        (&[][..], &[][..], "nothing here says what to run"),
        (&[("package.json", "{")], &[], "is not JSON"),
        (&[("package.json", &*deep)], &[], "is not JSON"),
        (&[("package.json", &*huge)], &[], "longer than"),
        (&[("pyproject.toml", "[")], &[], "is not TOML"),
        (&[("ecosystem.config.js", "module.exports = {}")], &["ecosystem.config.js"], "JavaScript"),
        (&[("a.plist", "bplist00")], &["a.plist"], "plutil"),
        (&[("a.plist", "<plist><dict><key>Program</key>")], &["a.plist"], "damaged"),
        (&[("a.json", "{}")], &["a.json"], "no ecosystem file"),
        (&[], &["none.plist"], "no such file"),
        (&[("a.json", r#"{"script": "a.sh", "env": {"A=B": "c"}}"#)], &["a.json"], "can't name a variable"),
    ] {
        let dir = project(files);
        let output = run(&dir, &[&["init"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(mention) && said.lines().count() == 1 && output.stdout.is_empty(), "{said}");
        assert!(!dir.join(".config").exists());
    }
}

#[test]
fn a_fifo_is_not_waited_for() {
    let dir = project(&[]);
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&dir.join("app/package.json"), mode).expect("a FIFO");
    let output = run(&dir, &["init"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("FIFO"), "{}", text(&output.stderr));
}

#[test]
fn an_installation_is_asked_for_the_schema() {
    let dir = project(&[("Procfile", "web: sleep 1000\n")]);
    let share = dir.join("share/worker-supervisor");
    fs::create_dir_all(&share).and_then(|()| fs::create_dir(dir.join("bin"))).expect("directories");
    fs::write(share.join("worker-supervisor.schema.json"), "{}").expect("a file");
    let program = dir.join("bin/worker-supervisor");
    fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).expect("a program");
    let mut command = Command::new(&program);
    let output = command.args(["init", "--config", "w.toml"]).current_dir(dir.join("app")).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let config = fs::read_to_string(dir.join("app/w.toml")).expect("a config");
    let named = config.lines().next().and_then(|line| line.strip_prefix("#:schema ")).expect("a directive");
    assert!(Path::new(named).exists(), "{named}");
}
