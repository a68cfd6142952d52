//! `--dry-run` on real scenes: what it says of them, what it exits with, and that it changes none of them.

mod support;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use support::words::LAUNCH_FAILED;
use support::{Fixture, Ran, Scene, Signal, free_port, process_alive, quoted};

/// What is in no output: the values of the environment file, and what the secrets tool would print.
const CANARY: &str = "canary-5f1c";

/// Runs it; the output goes through pipes, so that the scene's directory gets no file by it.
fn dry_run(scene: &Scene) -> Ran {
    let output = scene.program().arg("--dry-run").output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The finding about a subject: its level and text.
#[track_caller]
fn finding<'a>(ran: &'a Ran, subject: &str) -> (&'a str, &'a str) {
    let found = ran.stdout.lines().find_map(|line| {
        let (level, rest) = line.split_once("  ")?;
        let is_finding = ["ok", "warn", "FAIL"].contains(&level);
        let text = rest.trim_start().strip_prefix(subject)?.strip_prefix("  ")?;
        is_finding.then_some((level, text.trim_start()))
    });
    found.unwrap_or_else(|| panic!("no finding about {subject}: {ran:#?}"))
}

#[track_caller]
fn assert_finding(ran: &Ran, subject: &str, level: &str, words: &[&str]) {
    let (found, text) = finding(ran, subject);
    assert_eq!(found, level, "{subject}: {text}");
    for word in words {
        assert!(text.contains(word), "{subject}: no {word:?} in {text}");
    }
}

#[track_caller]
fn assert_verdict(ran: &Ran, code: i32, verdict: &str) {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(code), ""), "{ran:#?}");
    assert_eq!(ran.stdout.lines().last(), Some(verdict), "{ran:#?}");
}

/// Everything below a directory with what would change if it were touched, but for what reading it changes.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u64, u32, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let facts = fs::symlink_metadata(&path).expect("facts of a file");
        found.insert(path.clone(), (facts.ino(), facts.mode(), facts.size(), facts.mtime_nsec(), facts.ctime_nsec()));
        if facts.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found
}

fn script(scene: &Scene, name: &str, content: &str) -> PathBuf {
    let path = scene.file(name);
    fs::write(&path, content).expect("a file of the test");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("an executable file");
    path
}

#[test]
fn a_scene_that_can_start_is_well_and_starts() {
    let scene = Scene::new().set("health_endpoint", "\"/health\"");
    let ran = dry_run(&scene);
    assert_verdict(&ran, 0, "The worker can start.");
    assert_finding(&ran, "config", "ok", &["worker.toml"]);
    assert_finding(&ran, "program", "ok", &[support::worker_program().to_str().expect("a path")]);
    assert_finding(&ran, "port", "ok", &[&scene.port().number().to_string(), "is free"]);
    assert_finding(&ran, "state_dir", "ok", &["would be created"]);
    assert_finding(&ran, "log_stdout", "ok", &["worker.log", "would be created"]);
    scene.start().wait_ready();
}

#[test]
fn the_effective_config_comes_first_and_means_the_same() {
    let scene = Scene::new();
    let whole = dry_run(&scene).stdout;
    let (effective, findings) = whole.split_once("\nok    config").expect("the findings follow");
    assert!(effective.contains("health_interval_secs = 0.1\n") && findings.contains("state_dir"), "{whole}");
    fs::write(scene.config_file(), effective).expect("the config can be replaced");
    assert_eq!(dry_run(&scene).stdout, whole);
}

#[test]
fn nothing_is_created_changed_or_run() {
    let scene = Scene::new();
    let tool = script(&scene, "tool", &format!("#!/bin/sh\ntouch ran\necho {CANARY}\n"));
    fs::write(scene.file(".env"), format!("PASSWORD={CANARY}\nOTHER={CANARY}\n")).expect("an environment file");
    let command = format!("[{}, \"{{name}}\"]", quoted(&tool));
    let scene = scene.set("env_file", "\".env\"").set("secrets_command", &command).set("on_event", &command);
    let scene = scene.set("required_secrets", "[\"API_KEY\"]").set_in("secrets", "API_KEY", "api_key");
    let scene = scene.set_in("secrets", "TOKEN", "token");
    let before = snapshot(scene.file("").as_path());
    let ran = dry_run(&scene);
    assert_eq!(snapshot(scene.file("").as_path()), before);
    assert_verdict(&ran, 0, "The worker can start.");
    assert_finding(&ran, "env_file", "ok", &[".env", "sets 2 variables"]);
    assert_finding(&ran, "secrets", "ok", &["tool"]);
    assert_finding(&ran, "secret", "ok", &["API_KEY ← \"api_key\", required"]);
    assert!(ran.stdout.contains("TOKEN ← \"token\", optional"), "{ran:#?}");
    assert_finding(&ran, "on_event", "ok", &["tool"]);
    assert!(!ran.stdout.contains(CANARY), "{ran:#?}");
}

#[test]
fn everything_that_keeps_a_worker_from_starting_is_told_at_once() {
    let scene = Scene::new().command(&["no-such-program"]).set("worker_dir", "\"none\"").set("env_file", "\"gone\"");
    let scene = scene.set("secrets_command", "[\"no-such-tool\", \"{name}\"]").set("required_secrets", "[\"A\"]");
    let scene = scene.set_in("secrets", "A", "a").set("host", "\"192.0.2.1\"");
    fs::write(scene.file("file"), "").expect("a file");
    let scene = scene.set("state_dir", "\"file\"");
    let ran = dry_run(&scene);
    assert_verdict(&ran, 78, "The worker can't start: 7 problems.");
    assert_finding(&ran, "worker_dir", "FAIL", &["there is none; create it"]);
    assert_finding(&ran, "env_file", "FAIL", &["no such file; fix"]);
    assert_finding(&ran, "program", "FAIL", &["\"no-such-program\"", "PATH"]);
    assert_finding(&ran, "secrets", "FAIL", &["\"no-such-tool\"", "set secrets_command"]);
    assert_finding(&ran, "secret", "FAIL", &["A ← \"a\", required"]);
    assert_finding(&ran, "host", "FAIL", &["192.0.2.1 is not an address of this machine"]);
    assert_finding(&ran, "state_dir", "FAIL", &["file", "set state_dir"]);
}

#[test]
fn a_lock_that_no_start_could_take_is_told() {
    let scene = Scene::new();
    fs::create_dir_all(scene.file("state/worker/lock")).expect("a directory");
    let ran = dry_run(&scene);
    assert_verdict(&ran, 78, "The worker can't start: 1 problem.");
    assert_finding(&ran, "supervisor", "FAIL", &["lock", "remove it"]);
}

#[test]
fn the_path_of_the_worker_decides_which_program_is_found() {
    let scene = Scene::new().command(&["only-here"]);
    let program = script(&scene, "only-here", "#!/bin/sh\n");
    assert_finding(&dry_run(&scene), "program", "FAIL", &["only-here"]);
    let dir = program.parent().and_then(Path::to_str).expect("a directory");
    let scene = scene.set_in("env", "PATH", dir);
    assert_finding(&dry_run(&scene), "program", "ok", &[&format!("{program:?}")]);
}

#[test]
fn a_broken_config_is_told_problem_by_problem() {
    let scene = Scene::new().set("prot", "1").set("log_keep", "0");
    let ran = dry_run(&scene);
    assert_verdict(&ran, 78, "The worker can't start: 2 problems.");
    let problems: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("FAIL  config")).collect();
    assert!(problems[0].contains("log_keep") && problems[1].contains("did you mean port?"), "{problems:?}");
}

#[test]
fn logs_that_would_be_lost_are_warned_about_and_stop_nothing() {
    let scene = Scene::new();
    let fifo = scene.file("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    fs::create_dir(scene.file("dir")).expect("a directory");
    let scene = scene.set("log_stdout", quoted(&fifo)).set("log_stderr", "\"dir\"");
    let ran = dry_run(&scene);
    assert_verdict(&ran, 0, "The worker can start: 2 warnings.");
    assert_finding(&ran, "log_stdout", "warn", &["is a FIFO", "output would be discarded"]);
    assert_finding(&ran, "log_stderr", "warn", &["is a directory"]);
    scene.start().wait_ready();
}

#[test]
fn a_stranger_on_the_port_is_named_and_left_alone() {
    let scene = Scene::new();
    let stranger = Fixture::listening(scene.port(), &[]);
    let ran = dry_run(&scene);
    if cfg!(target_os = "freebsd") {
        assert_finding(&ran, "port", "FAIL", &["not looked up on FreeBSD", "sockstat"]);
    } else {
        assert_verdict(&ran, 0, "The worker can start: 1 warning.");
        let name = format!("pid {} (", stranger.pid());
        assert_finding(&ran, "port", "warn", &[&name, "worker", "it would get SIGTERM, and SIGKILL after 1 s"]);
        let waiting = dry_run(&scene.set("port_conflict", "\"wait\""));
        assert_verdict(&waiting, 78, "The worker can't start: 1 problem.");
        assert_finding(&waiting, "port", "FAIL", &[&name, "waits until it is free"]);
    }
    assert!(stranger.is_alive());
}

#[test]
fn a_running_supervisor_is_named_and_not_disturbed() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let ran = dry_run(&scene);
    assert_finding(&ran, "supervisor", "warn", &[&format!("pid {} runs already", supervisor.pid())]);
    assert_verdict(&ran, 0, "The worker can start: 1 warning.");
    assert_finding(&ran, "port", "ok", &[&format!("pid {worker} ("), "the worker of the supervisor that runs"]);
    assert!(supervisor.is_alive() && process_alive(worker));
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn a_worker_that_a_killed_supervisor_left_is_told() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    supervisor.kill();
    let ran = dry_run(&scene);
    assert_finding(&ran, "supervisor", "ok", &["none runs"]);
    assert_finding(&ran, "worker", "warn", &[&format!("pid {worker} of an earlier supervisor"), "ended first"]);
    assert_finding(&ran, "port", "warn", &[&format!("pid {worker} ("), "ended first"]);
    assert!(process_alive(worker));
    support::send_signal(worker, Signal::SIGKILL);
}

#[test]
fn what_exec_would_refuse_is_told_before_and_after_in_the_same_words() {
    for (content, words) in [
        ("#!/no/such/interpreter -e\n", "its first line names the interpreter \"/no/such/interpreter\": "),
        ("#!/bin/sh\r\necho\r\n", "its first line \"#!/bin/sh\\r\" ends in CR"),
        ("echo no first line\n", "it is no program, and has no first line such as \"#!/bin/sh\""),
    ] {
        let scene = Scene::new().command(&["./start"]);
        script(&scene, "start", content);
        assert_finding(&dry_run(&scene), "program", "FAIL", &["/start\": ", words]);
        let supervisor = scene.start();
        let line = supervisor.wait_for_log(LAUNCH_FAILED);
        assert!(line.contains(&format!("/start\": {words}")), "{line}");
        // What is mended is found mended.
        script(&scene, "start.new", "#!/bin/sh\nexec sleep 1000\n");
        fs::rename(scene.file("start.new"), scene.file("start")).expect("a file can be replaced");
        supervisor.wait_for_log(support::words::STARTED);
    }
}

#[test]
fn what_looks_like_a_shells_is_hinted_at() {
    let scene = Scene::new().command(&["bun run x"]).set("worker_dir", "\"$HOME/x\"");
    let ran = dry_run(&scene);
    assert_finding(&ran, "program", "FAIL", &["write [\"bun\", \"run\", \"x\"]"]);
    assert!(ran.stdout.contains("worker_dir holds $HOME/x: no variable is expanded there"), "{ran:#?}");
}

#[test]
fn a_log_of_two_configurations_is_warned_about_if_both_mean_the_same_file() {
    let scene = Scene::new().set("log_stdout", "\"/dev/stdout\"");
    let supervisor = scene.start();
    supervisor.wait_ready();
    support::wait_until("a status, which names its logs", support::LIMIT, || scene.status().is_some());
    let text = fs::read_to_string(scene.config_file()).expect("the configuration");
    let (own, other) = (scene.port().number().to_string(), free_port());
    let path = scene.file("other.toml");
    fs::write(&path, text.replace(&own, &other.number().to_string())).expect("another configuration");
    let mut program = std::process::Command::new(scene.program().get_program());
    // Its /dev/stdout is a file too, but not the other one's.
    let output = fs::File::create(scene.file("dry-run")).expect("a file");
    program.arg("--config").arg(&path).arg("--dry-run").stdout(output).status().expect("the program starts");
    let said = fs::read_to_string(scene.file("dry-run")).expect("text");
    assert!(said.contains("worker.err\" is a log of configuration \"worker\" too"), "{said}");
    assert!(!dry_run(&scene).stdout.contains("is a log of configuration"));
}

#[test]
#[cfg(not(target_os = "freebsd"))]
fn a_port_that_another_supervisors_worker_has_is_waited_for() {
    let neighbour = Scene::new();
    let supervisor = neighbour.start();
    supervisor.wait_ready();
    let ran = dry_run(&Scene::new().set("port", neighbour.port().number()));
    assert_finding(&ran, "port", "FAIL", &["the worker of another supervisor", "stop that supervisor"]);
}

#[test]
fn a_port_that_outgoing_connections_get_is_warned_about() {
    // Within the default range of every system.
    let ran = dry_run(&Scene::new().set("port", 60_000));
    assert!(
        ran.stdout.contains("warn  port        60000 is one of the ports that outgoing connections get"),
        "{ran:#?}"
    );
    assert!(!dry_run(&Scene::new()).stdout.contains("outgoing"));
}

#[test]
fn the_supervisors_own_output_is_a_log_even_where_it_is_a_pipe() {
    let scene = Scene::new().set("log_stdout", "\"/dev/stdout\"");
    // The output of a dry run that is looked at here is one.
    assert_finding(&dry_run(&scene), "log_stdout", "ok", &["/dev/stdout"]);
    let script = "mkfifo pipe && { cat <pipe >piped & } && exec \"$0\" \"$@\" >pipe";
    let program = scene.program();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", script]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut shell, &program);
    let supervisor = scene.start_with(&mut shell);
    supervisor.wait_ready();
    let answer = support::request(scene.port().number(), "GET", "/print/64").expect("the worker answers");
    assert_eq!(answer.status, 200);
    let piped = || fs::read_to_string(scene.file("piped")).is_ok_and(|text| text.len() == 64);
    support::wait_until("the worker's line behind the pipe", support::LIMIT, piped);
    assert_eq!(supervisor.lines_with("is discarded"), Vec::<String>::new());
}

#[test]
fn variables_that_other_programs_would_read_otherwise_are_named() {
    let scene = Scene::new().set("env_file", "\".env\"");
    let file = "URL=postgres://${DB_HOST}/x\nPW=a\\$b\nG=`hi`\nHASH=a#b\nLINES=1\rMORE=2\n";
    fs::write(scene.file(".env"), format!("{file}PLAIN={CANARY}\n")).expect("an environment file");
    let ran = dry_run(&scene);
    assert_finding(&ran, "env_file", "ok", &["sets 7 variables"]);
    let told = "warn  env_file    bun, Node.js or dotenv would read URL, PW, HASH, LINES otherwise, for a `$`";
    assert!(ran.stdout.contains(told) && !ran.stdout.contains(CANARY), "{ran:#?}");
    fs::write(scene.file(".env"), "A='b'\n").expect("an environment file");
    assert!(!dry_run(&scene).stdout.contains("otherwise"));
}

#[test]
fn a_port_in_a_file_that_bun_reads_by_itself_is_warned_about() {
    let scene = Scene::new().command(&["bun", "server.ts"]);
    fs::write(scene.file(".env"), "PORT=3000\n").expect("a file");
    let told = "PORT is 3000 in \"";
    let ran = dry_run(&scene);
    assert!(ran.stdout.contains(told) && ran.stdout.contains("/.env\", which bun reads by itself"), "{ran:#?}");
    // What is set already counts, for bun too.
    let own = scene.port().number().to_string();
    assert!(!dry_run(&scene.set_in("env", "PORT", &own)).stdout.contains(told));
    let other = Scene::new();
    fs::write(other.file(".env"), "PORT=3000\n").expect("a file");
    assert!(!dry_run(&other).stdout.contains(told));
}
