//! Workers in states that only a kernel knows: the first thread has ended before the others, a debugger holds it, a
//! control group is frozen. Never is there a second one beside it, and what is said is so.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::words::{ADOPTED, DIED, ENDED, KILLING, STARTED};
use support::{LIMIT, Scene, Signal, process_alive, request, send_signal, wait_until};

/// A server whose first thread ends as soon as another serves.
const LEADERLESS: &str = r#"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int listener;
static void *serve(void *unused) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    char request[4096];
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0 && write(client, answer, strlen(answer)) < 0) return unused;
        close(client);
    }
}
int main(int count, char **words) {
    struct sockaddr_in place = {0};
    pthread_t thread;
    int on = 1;
    place.sin_family = AF_INET;
    place.sin_port = htons(count > 1 ? atoi(words[1]) : 0);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 9)) return 3;
    if (pthread_create(&thread, NULL, serve, NULL)) return 4;
    pthread_exit(NULL);
}
"#;

/// The server's program, compiled into the scene's directory.
fn leaderless(scene: &Scene) -> PathBuf {
    let (source, program) = (scene.file("leaderless.c"), scene.file("leaderless"));
    fs::write(&source, LEADERLESS).expect("a source file");
    let built = Command::new("cc").arg("-pthread").arg("-o").args([&program, &source]).status();
    assert!(built.expect("cc").success());
    program
}

fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn serves(scene: &Scene) -> bool {
    request(scene.port().number(), "GET", "/").is_ok_and(|answer| answer.status == 200)
}

#[test]
fn worker_whose_first_thread_has_ended_is_alive_in_every_respect() {
    let scene = Scene::new().set("health_interval_secs", 0.05).set("stable_secs", 0);
    let words = [leaderless(&scene).display().to_string(), scene.port().number().to_string()];
    let scene = scene.command(&words);
    let first = scene.start();
    let worker = first.wait_ready();
    wait_until("the end of its first thread", LIMIT, || state_of(worker) == Some('Z'));
    let updated = || scene.status().map(|status| status["updated_ms"].clone());
    let before = updated();
    wait_until("further probes", LIMIT, || updated() != before);
    wait_until("an answer", LIMIT, || serves(&scene));
    assert!(first.lines_with(DIED).is_empty());

    // The next supervisor finds it, and ends it first.
    first.kill();
    let second = scene.start();
    assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={worker}")));
    let next = second.wait_ready();
    wait_until("the end of the first worker", LIMIT, || state_of(worker).is_none());

    wait_until("the end of the next one's first thread", LIMIT, || state_of(next) == Some('Z'));
    send_signal(next, Signal::SIGKILL);
    assert!(second.wait_for_log(DIED).contains("signal 9"));
    second.wait_nth_ready(2);
    assert_eq!(second.stop(), 0);
    assert!(second.wait_for_nth_log(2, ENDED).contains("signal 15"));
    assert!(!serves(&scene));
}

#[test]
fn stranger_whose_first_thread_has_ended_is_found_on_the_port() {
    let scene = Scene::new();
    let mut program = Command::new(leaderless(&scene));
    program.arg(scene.port().number().to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    let stranger = Ended(program.spawn().expect("a stranger"));
    let pid = i32::try_from(stranger.0.id()).expect("a pid");
    wait_until("the end of its first thread", LIMIT, || serves(&scene) && state_of(pid) == Some('Z'));
    let supervisor = scene.start();
    let line = supervisor.wait_for_log("asking it to go");
    assert!(line.contains(&format!("pid {pid} (")), "{line}");
    supervisor.wait_ready();
}

/// A process that is ended when it is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A debugger that has stopped a process, until it is dropped.
fn debugger_of(pid: i32) -> Option<Ended> {
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-nx", "-p", &pid.to_string()]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let debugger = Ended(gdb.spawn().ok()?);
    wait_until("a process that is held", LIMIT, || state_of(pid) == Some('t'));
    Some(debugger)
}

#[test]
fn worker_that_a_debugger_holds_is_named_so_and_never_doubled() {
    let scene = Scene::new().set("health_interval_secs", 0.1).set("health_timeout_secs", 0.2);
    let scene = scene.set("drain_timeout_secs", 0.3);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let Some(debugger) = debugger_of(worker) else {
        println!("not applicable: there is no gdb");
        return;
    };
    let line = supervisor.wait_for_log("health check failed");
    assert!(
        line.contains(&format!("pid {worker} is stopped, by a signal (`kill -CONT {worker}`) or a debugger")),
        "{line}"
    );
    supervisor.wait_for_log(KILLING);
    // A zombie of whose end the debugger has to hear first.
    supervisor.wait_for_log("the kernel does not let it go");
    assert_eq!(supervisor.lines_with(STARTED).len(), 1);
    drop(debugger);
    supervisor.wait_nth_ready(2);
    assert!(supervisor.wait_for_log(ENDED).contains("signal 9"));
}

#[test]
fn worker_that_is_traced_is_restarted_and_stopped_as_ever() {
    let scene = Scene::new();
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-p", &worker.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _tracer = Ended(strace.spawn().expect("strace"));
    let is_traced = || {
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
    };
    wait_until("a worker that is traced", LIMIT, is_traced);
    assert_eq!(scene.run(&["restart"]).code, Some(0));
    assert!(supervisor.wait_for_log(ENDED).contains("exit code 0") && !process_alive(worker));
}

/// A control group that is frozen, until it is dropped.
struct Frozen {
    group: PathBuf,
    thaw: (&'static str, &'static str),
}

impl Frozen {
    /// Version 2 lets SIGKILL through, version 1 does not. None where no such group can be made.
    fn of(pid: i32, roots: &[&str], freeze: (&str, &str), thaw: (&'static str, &'static str)) -> Option<Self> {
        let root = roots.iter().find(|root| Path::new(root).join("cgroup.procs").exists())?;
        let group = Path::new(root).join(format!("worker-supervisor-test-{pid}"));
        fs::create_dir(&group).ok()?;
        let frozen = Self { group, thaw };
        for (file, text) in [("cgroup.procs", &*pid.to_string()), freeze] {
            fs::write(frozen.group.join(file), text).ok()?;
        }
        Some(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _thawed = fs::write(self.group.join(self.thaw.0), self.thaw.1);
        wait_until("an empty control group", LIMIT, || fs::remove_dir(&self.group).is_ok());
    }
}

fn hung(scene: Scene) -> Scene {
    let scene = scene.set("health_interval_secs", 0.1).set("health_timeout_secs", 0.2);
    scene.set("drain_timeout_secs", 0.3)
}

#[test]
fn worker_in_a_frozen_control_group_is_replaced_where_it_can_be_killed() {
    let scene = hung(Scene::new());
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let Some(frozen) = Frozen::of(worker, &roots, ("cgroup.freeze", "1"), ("cgroup.freeze", "0")) else {
        println!("not applicable: only root can make a control group, of version 2");
        return;
    };
    supervisor.wait_for_log("no answer within 200 ms");
    supervisor.wait_for_log(KILLING);
    supervisor.wait_nth_ready(2);
    assert!(!process_alive(worker));
    drop(frozen);
}

#[test]
fn worker_that_cannot_be_killed_is_never_doubled_and_a_stop_names_it() {
    let scene = hung(Scene::new());
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let roots = ["/sys/fs/cgroup/freezer"];
    let Some(frozen) = Frozen::of(worker, &roots, ("freezer.state", "FROZEN"), ("freezer.state", "THAWED")) else {
        println!("not applicable: only root can make a control group, of version 1");
        return;
    };
    let line = supervisor.wait_for_log("the kernel does not let it go");
    assert!(line.ends_with(&format!("pid={worker}")), "{line}");
    assert_eq!(scene.run(&["status"]).code, Some(1));
    assert!(scene.run(&["status"]).stdout.contains("the kernel does not let it go"));
    assert_eq!(supervisor.stop(), 1);
    assert_eq!(supervisor.lines_with(STARTED).len(), 1);

    // The next supervisor waits for it too.
    let second = scene.start();
    assert!(second.wait_for_log(ADOPTED).contains(&format!("pid={worker}")));
    second.wait_for_log("the kernel does not let it go");
    assert!(second.lines_with(STARTED).is_empty() && process_alive(worker));
    drop(frozen);
    second.wait_ready();
    assert!(!process_alive(worker));
}
