//! The supervisor's own trouble: system calls that fail, descriptors and disks that run out, stalls, tracers. Whatever
//! happens, the supervisor stays, says so, recovers, and can be stopped. strace makes single calls fail; where it is
//! missing these tests fail and say so.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::words::{DIED, ENDED, LAUNCH_FAILED, READY, STARTED, SYNCED, UNHEALTHY, field};
use support::{
    LIMIT, Scene, Signal, Supervisor, children_of, let_pass, process_alive, send_signal, wait_until, worker_program,
};

/// A time that no test would live to see the end of.
const NEVER: &str = "3600";

/// The calls that make a process.
const FORKS: &str = "clone,clone3,vfork,fork";

/// The program below a wrapper that becomes it, or that traces it from aside, so that its pid is the started one.
fn below(scene: &Scene, wrapper: &str, arguments: &[&str]) -> Command {
    let program = scene.program();
    let mut command = Command::new(wrapper);
    command.args(arguments).arg(program.get_program()).args(program.get_args());
    command.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.current_dir(program.get_current_dir().expect("a scene has a directory"));
    command
}

/// The program with calls of its own, not of its worker, failing: `CALLS:error=ERRNO:when=WHICH`. With paths, only
/// calls that have to do with these.
fn failing(scene: &Scene, injection: &str, paths: &[&Path]) -> Command {
    assert!(Command::new("strace").arg("-V").output().is_ok(), "these tests need strace; install it");
    let calls = injection.split(':').next().expect("calls");
    let (trace, inject, log) = (format!("trace={calls}"), format!("inject={injection}"), scene.file("strace.out"));
    let mut arguments = vec!["-D", "-qqq", "-o", log.to_str().expect("UTF-8"), "-e", &trace, "-e", &inject];
    for path in paths {
        arguments.extend(["-P", path.to_str().expect("UTF-8")]);
    }
    below(scene, "strace", &arguments)
}

/// A tracer that lets calls of a supervisor fail from now on, until that ends.
fn fail_from_now_on(supervisor: &Supervisor<'_>, injection: &str) -> Child {
    let calls = injection.split(':').next().expect("calls");
    let (trace, inject, pid) = (format!("trace={calls}"), format!("inject={injection}"), supervisor.pid().to_string());
    let mut strace = Command::new("strace");
    let strace = strace.args(["-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &pid]).spawn();
    let is_traced = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    };
    wait_until("a tracer", LIMIT, is_traced);
    strace.expect("these tests need strace; install it")
}

/// The program, which gets a signal as it opens its configuration.
fn signalled_at_once(scene: &Scene, signal: &str) -> Command {
    let config = scene.config_file();
    failing(scene, &format!("openat:signal={signal}:when=1"), &[&config])
}

/// The worker dies and is replaced, and the supervisor stops when it is told to.
#[track_caller]
fn assert_works(scene: &Scene, supervisor: &Supervisor<'_>) {
    let workers = scene.report().workers();
    let last = *workers.last().expect("a worker runs");
    send_signal(last, Signal::SIGKILL);
    let next = scene.wait_for_events("start", workers.len() + 1)[workers.len()].pid();
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_exit(), 0, "{}", scene.story());
    assert!(!process_alive(last) && !process_alive(next));
}

#[test]
fn signal_that_comes_before_the_configuration_is_read_is_served() {
    let scene = Scene::new();
    let supervisor = scene.start_with(&mut signalled_at_once(&scene, "SIGUSR1"));
    supervisor.wait_ready();
    assert_works(&scene, &supervisor);
    let scene = Scene::new();
    let supervisor = scene.start_with(&mut signalled_at_once(&scene, "SIGTERM"));
    assert_eq!(supervisor.wait_exit(), 0, "{}", scene.story());
}

#[test]
fn limit_of_file_size_is_like_a_full_disk() {
    let scene = Scene::new().command(&["/bin/false"]);
    let scene = scene.set("restart_backoff_min_secs", 0).set("restart_backoff_max_secs", 0);
    // In blocks of 512 bytes: enough for what is logged, of which repeats are held back, and not for 16 transitions.
    let supervisor = scene.start_with(&mut below(&scene, "/bin/sh", &["-c", "ulimit -f 4; exec \"$0\" \"$@\""]));
    let warning = supervisor.wait_for_log("cannot write status file in ");
    assert!(warning.contains("File too large") && warning.contains("; the old one stays"), "{warning}");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn process_that_cannot_be_made_once_is_made_at_the_next_try() {
    for (errno, words) in [("EAGAIN", "(os error 11)"), ("ENOMEM", "(os error 12)")] {
        let scene = Scene::new().set("stable_secs", 0);
        let supervisor = scene.start_with(&mut failing(&scene, &format!("{FORKS}:error={errno}:when=1..2"), &[]));
        let line = supervisor.wait_for_nth_log(2, LAUNCH_FAILED);
        assert!(line.contains(words) && line.contains("failures=2"), "{line}");
        supervisor.wait_ready();
        assert_works(&scene, &supervisor);
    }
}

#[test]
fn process_that_can_never_be_made_leaves_a_supervisor_that_can_be_stopped() {
    let scene = Scene::new();
    let supervisor = scene.start_with(&mut failing(&scene, &format!("{FORKS}:error=EAGAIN"), &[]));
    supervisor.wait_for_nth_log(4, LAUNCH_FAILED);
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(scene.report().starts().len(), 0);
}

#[test]
fn worker_is_watched_by_sigchld_where_pidfd_is_refused() {
    for errno in ["ENOSYS", "EPERM", "EMFILE"] {
        let scene = Scene::new().set("stable_secs", 0).set("health_interval_secs", NEVER);
        let supervisor = scene.start_with(&mut failing(&scene, &format!("pidfd_open:error={errno}"), &[]));
        supervisor.wait_ready();
        assert!(supervisor.wait_for_log("cannot watch the worker's exit").contains("relying on SIGCHLD"));
        assert_works(&scene, &supervisor);
    }
}

#[test]
fn stop_that_comes_before_the_worker_is_watched_ends_it_all_the_same() {
    let scene = Scene::new();
    let supervisor = scene.start_with(&mut failing(&scene, "pidfd_open:delay_enter=1000000:when=1", &[]));
    let worker = supervisor.worker_pid();
    assert_eq!(supervisor.stop(), 0);
    assert!(!process_alive(worker));
}

#[test]
fn start_without_an_event_queue_or_signals_fails_before_anything_is_started() {
    for call in ["epoll_create1", "signalfd4"] {
        let scene = Scene::new();
        let supervisor = scene.start_with(&mut failing(&scene, &format!("{call}:error=EMFILE"), &[]));
        assert_eq!(supervisor.wait_exit(), 70, "{call}");
        assert!(supervisor.stderr().contains("(os error 24)"), "{}", supervisor.stderr());
        assert_eq!(scene.report().starts().len(), 0);
        assert!(!scene.file("state").exists());
    }
}

#[test]
fn nothing_is_launched_while_a_record_cannot_be_read() {
    let scene = Scene::new();
    scene.start().wait_ready();
    // Opened there: the directory itself, the lock, the record, and the record once more.
    let dir = scene.file("state/worker");
    let supervisor = scene.start_with(&mut failing(&scene, "?open,openat:error=EMFILE:when=3..4", &[&dir]));
    let line = supervisor.wait_for_nth_log(2, "cannot tell whether an earlier supervisor's worker lives");
    assert!(line.contains("(os error 24); retrying in "), "{line}");
    assert_eq!(scene.report().starts().len(), 1);
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn failed_probe_of_our_own_making_is_not_the_workers_fault() {
    for errno in ["EADDRNOTAVAIL", "ENOBUFS"] {
        let scene = Scene::new().set("health_interval_secs", "0.02").set("health_failures_before_restart", 1);
        let supervisor = scene.start();
        supervisor.wait_ready();
        let mut tracer = fail_from_now_on(&supervisor, &format!("connect:error={errno}"));
        let line = supervisor.wait_for_log("cannot probe: ");
        assert!(line.contains("says nothing about the worker"), "{line}");
        let probes = scene.report().requests("GET").len();
        let_pass(Duration::from_millis(500));
        assert_eq!(scene.report().requests("GET").len(), probes);
        assert_eq!(supervisor.lines_with(UNHEALTHY), Vec::<String>::new());
        assert_eq!(supervisor.stop(), 0);
        tracer.wait().expect("it ends with whom it traces");
        assert_eq!(scene.report().starts().len(), 1);
    }
}

#[test]
fn probes_go_on_once_our_own_trouble_is_over() {
    let scene = Scene::new().set("health_interval_secs", "0.02").set("health_failures_before_restart", 1);
    let supervisor = scene.start_with(&mut failing(&scene, "connect:error=EADDRNOTAVAIL:when=200..205", &[]));
    supervisor.wait_ready();
    supervisor.wait_for_log("cannot probe: ");
    let probes = scene.report().requests("GET").len();
    wait_until("probes again", LIMIT, || scene.report().requests("GET").len() > probes + 5);
    assert_eq!(scene.report().starts().len(), 1);
}

#[test]
fn supervisor_at_its_limit_of_descriptors_still_starts_watches_and_stops() {
    // 10 is the least with which it can start: three standard ones, queue, signals, /dev/null, the state directory, two
    // locks, record.
    for limit in 10..=14 {
        let scene = Scene::new().set("stable_secs", 0).set("restart_backoff_min_secs", "0.1");
        let argument = format!("--nofile={limit}:{limit}");
        let supervisor = scene.start_with(&mut below(&scene, "prlimit", &[&argument]));
        supervisor.worker_pid();
        assert_works(&scene, &supervisor);
    }
}

#[test]
fn supervisor_with_few_descriptors_keeps_none_for_later_and_notices_a_worker_that_hangs() {
    // What it holds at rest, and what it would hold for the next launch.
    for limit in 12..=15 {
        let scene = Scene::new().set("stable_secs", 0).set("health_interval_secs", "0.2");
        let scene = scene.set("health_timeout_secs", "0.2").set("drain_timeout_secs", 1);
        let argument = format!("--nofile={limit}:{limit}");
        let supervisor = scene.start_with(&mut below(&scene, "prlimit", &[&argument]));
        send_signal(supervisor.wait_ready(), Signal::SIGSTOP);
        supervisor.wait_nth_ready(2);
    }
}

#[test]
fn start_without_descriptors_fails_with_a_reason_and_starts_nothing() {
    // With fewer the configuration could not be read beside the queue of signals.
    for limit in 5..=6 {
        let scene = Scene::new();
        let argument = format!("--nofile={limit}:{limit}");
        let supervisor = scene.start_with(&mut below(&scene, "prlimit", &[&argument]));
        assert_eq!(supervisor.wait_exit(), 70);
        assert!(supervisor.stderr().contains("(os error 24)"), "{}", supervisor.stderr());
        assert_eq!(scene.report().starts().len(), 0);
    }
}

#[test]
fn own_log_that_cannot_be_written_is_ignored() {
    for redirection in ["2>/dev/full", "2>&-", ">&- 2>&- <&-"] {
        let scene = Scene::new().set("stable_secs", 0);
        let script = format!("exec \"$0\" \"$@\" {redirection}");
        let supervisor = scene.start_with(&mut below(&scene, "sh", &["-c", &script]));
        scene.wait_for_events("listen", 1);
        assert_works(&scene, &supervisor);
        let start = scene.report().starts()[0].clone();
        assert_eq!([start.field("fds"), start.field("append")], ["0,1,2", "1,2"]);
    }
}

#[test]
fn reader_of_the_own_log_that_goes_away_is_ignored() {
    let scene = Scene::new().set("stable_secs", 0);
    // The reader takes one line and is gone.
    let script = "exec 3>\"$HOME/pipe\" 2>&3 3>&-; exec \"$0\" \"$@\"";
    nix::unistd::mkfifo(&scene.file("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let mut reader = Command::new("head").args(["-n", "1"]).arg(scene.file("pipe")).stdout(Stdio::null()).spawn();
    let supervisor = scene.start_with(&mut below(&scene, "sh", &["-c", script]));
    assert!(reader.as_mut().expect("head runs").wait().expect("head ends").success());
    scene.wait_for_events("listen", 1);
    assert_works(&scene, &supervisor);
}

#[test]
fn reader_of_the_own_log_that_sleeps_holds_nothing_up() {
    let scene = Scene::new().set("stable_secs", 0);
    nix::unistd::mkfifo(&scene.file("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    // As much as a pipe holds, so that there is no room for a single line. Descriptor 3 is the reader.
    let script = "exec 3<>\"$HOME/pipe\"; head -c 65536 /dev/zero >&3; exec \"$0\" \"$@\" 2>&3";
    let supervisor = scene.start_with(&mut below(&scene, "sh", &["-c", script]));
    scene.wait_for_events("listen", 1);
    assert_works(&scene, &supervisor);
}

#[test]
fn full_disk_keeps_neither_the_supervisor_nor_the_worker_from_running() {
    let scene = Scene::new().set("stable_secs", 0);
    let state = scene.file("state/worker");
    fs::create_dir_all(&state).expect("a directory");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("a mode");
    // A record from before is written over, which takes no room.
    fs::write(state.join("worker.json"), format!("{:<255}\n", "null")).expect("a record");
    let files = ["lock", "worker.json.new", "status.json.new"].map(|name| state.join(name));
    let paths: Vec<&Path> = files.iter().map(|path| path.as_path()).collect();
    let supervisor = scene.start_with(&mut failing(&scene, "write:error=ENOSPC", &paths));
    supervisor.wait_ready();
    assert!(supervisor.wait_for_log("cannot write status file").contains("No space left on device"));
    assert_works(&scene, &supervisor);
    let entries = fs::read_dir(&state).expect("a directory");
    let mut left: Vec<_> = entries.map(|entry| entry.expect("one").file_name()).collect();
    left.sort();
    assert_eq!(left, ["lock", "worker.json"]);
}

#[test]
fn worker_that_cannot_be_recorded_is_not_started_until_it_can() {
    let scene = Scene::new().set("stable_secs", 0);
    let record = scene.file("state/worker/worker.json.new");
    let supervisor = scene.start_with(&mut failing(&scene, "write:error=ENOSPC:when=1..2", &[&record]));
    let line = supervisor.wait_for_nth_log(2, LAUNCH_FAILED);
    assert!(line.contains("worker.json\": No space left on device"), "{line}");
    let worker = supervisor.wait_ready();
    assert_eq!(scene.report().starts().len(), 1);
    wait_until("a record", LIMIT, || {
        fs::read_to_string(scene.file("state/worker/worker.json")).is_ok_and(|text| text.contains(&worker.to_string()))
    });
    assert_works(&scene, &supervisor);
}

#[test]
fn record_that_could_not_be_written_over_is_replaced() {
    let scene = Scene::new().set("stable_secs", 0);
    let record = scene.file("state/worker/worker.json");
    let supervisor = scene.start_with(&mut failing(&scene, "pwrite64:error=ENOSPC:when=1..2", &[&record]));
    send_signal(supervisor.wait_ready(), Signal::SIGKILL);
    let worker = supervisor.wait_nth_ready(2);
    wait_until("a record", LIMIT, || fs::read_to_string(&record).is_ok_and(|text| text.contains(&worker.to_string())));
    assert_eq!(supervisor.lines_with(LAUNCH_FAILED), Vec::<String>::new());
}

#[test]
fn stalls_of_the_supervisor_change_nothing() {
    let scene = Scene::new().set("stable_secs", 0);
    let supervisor = scene.start();
    supervisor.wait_ready();
    // Each interrupts the wait for events.
    for _ in 0..300 {
        supervisor.signal(Signal::SIGSTOP);
        supervisor.signal(Signal::SIGCONT);
    }
    assert_eq!(scene.report().starts().len(), 1);
    assert_works(&scene, &supervisor);
}

#[test]
fn interrupted_calls_are_repeated() {
    let calls = "epoll_wait,epoll_pwait,waitid,wait4,read,recvfrom,write,sendto,accept4";
    let scene = Scene::new().set("stable_secs", 0).set("sync_endpoint", "\"/\"");
    // Reads of the loader and of the runtime come first, and do not expect it.
    let supervisor = scene.start_with(&mut failing(&scene, &format!("{calls}:error=EINTR:when=60+3"), &[]));
    supervisor.wait_ready();
    supervisor.wait_for_log(SYNCED);
    assert_works(&scene, &supervisor);
}

#[test]
fn idle_supervisor_does_not_wake_up() {
    let scene = Scene::new().set("health_interval_secs", NEVER);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let switches = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", supervisor.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a count");
        line.trim().parse().expect("a number")
    };
    let_pass(Duration::from_millis(300));
    let before = switches();
    let_pass(Duration::from_secs(2));
    assert_eq!(switches(), before);
}

/// A tracer that holds a process and never waits for it: until the tracer is gone nobody else can reap that process.
struct FrozenTracer(Child);

impl FrozenTracer {
    fn attach(pid: i32) -> Self {
        let mut command = Command::new(worker_program());
        command.args(["--seize", &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut tracer = Self(command.spawn().expect("the fixture runs"));
        let mut line = String::new();
        let said = tracer.0.stdout.take().expect("a pipe");
        BufReader::new(said).read_line(&mut line).expect("it says whether it traces");
        assert_eq!(
            line, "seized\n",
            "tracing a process of one's own must be allowed: kernel.yama.ptrace_scope=0, or root"
        );
        tracer
    }
}

impl Drop for FrozenTracer {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn exit_that_is_seen_but_cannot_be_reaped_is_waited_for_without_blocking() {
    let scene = Scene::new().set("stable_secs", 0).set("health_interval_secs", NEVER);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let tracer = FrozenTracer::attach(worker);
    send_signal(worker, Signal::SIGKILL);
    wait_until("a zombie", LIMIT, || !process_alive(worker));
    let_pass(Duration::from_millis(300));
    assert_eq!(supervisor.lines_with(DIED), Vec::<String>::new());
    assert_eq!(children_of(supervisor.pid()), [worker]);
    drop(tracer);
    supervisor.wait_nth_ready(2);
    assert!(supervisor.wait_for_log(DIED).contains("signal 9 (SIGKILL); restarting at once"));
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn worker_that_the_kernel_does_not_let_go_ends_the_stop_with_1_and_its_pid() {
    let scene = Scene::new().set("drain_timeout_secs", "0.2").set("health_interval_secs", NEVER);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let tracer = FrozenTracer::attach(worker);
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_exit(), 1);
    let line = supervisor.wait_for_log("the kernel does not let it go");
    assert!(line.contains(&format!("pid={worker}")), "{line}");
    assert_eq!(supervisor.lines_with(ENDED), Vec::<String>::new());
    drop(tracer);
    wait_until("the end of the worker", LIMIT, || !process_alive(worker));
}

#[test]
fn worker_that_the_kernel_does_not_let_go_is_never_replaced_beside_itself() {
    let scene = Scene::new().set("drain_timeout_secs", "0.1").set("health_interval_secs", NEVER);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let tracer = FrozenTracer::attach(worker);
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_log("the kernel does not let it go");
    assert_eq!(supervisor.lines_with(STARTED).len(), 1);
    drop(tracer);
    assert_ne!(supervisor.wait_nth_ready(2), worker);
    assert_eq!(supervisor.lines_with(READY).len(), 2);
}

#[test]
fn worker_of_another_user_that_may_not_be_signalled_is_said_to_be_just_that() {
    if !support::is_root_to("make a program that runs as root for others") {
        return;
    }
    let scene = Scene::new().set("drain_timeout_secs", "0.2");
    let supervisor = scene.start_with(&mut of_nobody_with_a_worker_of_root(&scene, "true"));
    let worker = supervisor.wait_ready();
    supervisor.signal(Signal::SIGTERM);
    let line = supervisor.wait_for_log("cannot signal the worker: it runs as another user: ");
    assert!(line.contains(&format!("pid {worker} (")) && line.contains("user root)"), "{line}");
    assert_eq!(supervisor.wait_exit(), 1);
    supervisor.wait_for_log("worker runs as another user and can't be ended from here");
    let problem = scene.status().expect("a status")["problem"].as_str().unwrap_or_default().to_owned();
    assert!(problem.contains(&format!("pid {worker} (")), "{problem}");
    send_signal(worker, Signal::SIGKILL);
}

#[test]
fn worker_that_proc_does_not_show_is_alive_and_on_record() {
    if !support::is_root_to("make a program that runs as root for others") {
        return;
    }
    let scene = Scene::new().set("drain_timeout_secs", "0.2");
    // A process namespace of its own has a /proc of its own, which hides what is another user's.
    let hidden = "mount -t proc -o hidepid=2 proc /proc";
    let inner = of_nobody_with_a_worker_of_root(&scene, hidden);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child"]).arg(inner.get_program()).args(inner.get_args());
    support::same_surroundings(&mut command, &inner);
    let supervisor = scene.start_with(&mut command);
    let started = supervisor.wait_for_log(STARTED);
    let worker = field(&started, "pid").expect("a pid");
    supervisor.wait_for_nth_log(2, &format!("cannot signal the worker: it runs as another user: pid {worker} ("));
    let record = fs::read_to_string(scene.file("state/worker/worker.json")).expect("a record");
    assert!(record.contains(&format!("\"pid\":{worker},")), "{record}");
    assert_eq!(supervisor.lines_with(STARTED).len(), 1, "{}", supervisor.stderr());
    supervisor.kill();
}

#[test]
fn next_worker_finds_room_below_a_limit_of_processes_that_the_last_one_has_reached() {
    if !support::is_root_to("run as another user, whom that limit holds") {
        return;
    }
    let scene = Scene::new().set("stable_secs", 0);
    let copies = support::copied_programs(&scene);
    // The fixture has threads, which count as well, and leave room when they end.
    let serve = format!(
        "import http.server as h; h.HTTPServer((\"127.0.0.1\", {}), h.SimpleHTTPRequestHandler).serve_forever()",
        scene.port().number()
    );
    scene.reconfigure(|config| {
        config.command(&["python3", "-c", &serve]);
    });
    // Nobody else's, since all processes of a user count.
    let uid = 1_000_000 + std::process::id();
    support::give_to(&scene, uid, uid);
    let program = support::program_at(&scene, &copies.supervisor);
    let mut command = Command::new("prlimit");
    command.args(["--nproc=2:2", "setpriv", &format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
    command.arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    let supervisor = scene.start_with(&mut command);
    for nth in 1..=3 {
        send_signal(supervisor.wait_nth_ready(nth), Signal::SIGKILL);
    }
    supervisor.wait_nth_ready(4);
    assert_eq!(supervisor.lines_with("cannot start").len(), 0, "{}", supervisor.stderr());
    assert_eq!(supervisor.stop(), 0);
}

/// A supervisor that becomes user nobody's after `preparation`, and whose worker's program makes it root's.
fn of_nobody_with_a_worker_of_root(scene: &Scene, preparation: &str) -> Command {
    let copies = support::copied_programs(scene);
    let nobody = nix::unistd::User::from_name("nobody").expect("users can be asked").expect("there is a nobody");
    support::give_to(scene, nobody.uid.as_raw(), nobody.gid.as_raw());
    let becomes_root = scene.file("setpriv");
    fs::copy("/usr/bin/setpriv", &becomes_root).expect("a copy of setpriv");
    fs::set_permissions(&becomes_root, PermissionsExt::from_mode(0o4755)).expect("a setuid program");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let port = scene.port().number().to_string();
    let words = [&text(&becomes_root), "--reuid=0", "--", &text(&copies.worker), "--port", &port].map(str::to_owned);
    scene.reconfigure(|config| {
        config.command(&words);
    });
    let program = support::program_at(scene, &copies.supervisor);
    let identity = format!("--reuid={} --regid={} --clear-groups", nobody.uid, nobody.gid);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{preparation} && exec setpriv {identity} \"$0\" \"$@\"")]);
    command.arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    command
}
