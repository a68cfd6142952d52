//! Scenes with a server behind another program, for the tests of such programs.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::env::{join_paths, split_paths, var_os};
use std::fs::{copy, create_dir_all, read_dir, read_to_string};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use super::support::words::{KILLING, READY, STARTED, field};
use super::support::{Answer, LIMIT, Scene, Signal, Supervisor};
use super::support::{is_listening, listeners_on, process_alive, quoted, request, send_signal, wait_for};

/// So long may a program take to start where many start at once.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A drain goes on without the worker's first process.
pub(crate) const LEADER_GONE: &str = " the worker's first process has finished, waiting for ";

/// A scene with a copy of the server, in which `words` is the worker's command.
pub(crate) fn scene(words: &[&str]) -> Scene {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let scene = Scene::new();
    let dir = scene.file("app");
    create_dir_all(dir.join("node_modules/.bin")).expect("a directory");
    symlink("../../server.js", dir.join("node_modules/.bin/server")).expect("a link");
    for entry in read_dir(root.join("tests/tools/app")).expect("the server's directory") {
        let path = entry.expect("an entry").path();
        copy(&path, dir.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let tools = ["tests/tools/node_modules/.bin", "examples/inngest-bun/node_modules/.bin", "target/tools/bin"];
    let tools: Vec<PathBuf> = tools.map(|tool| root.join(tool)).into();
    for tool in &tools {
        assert!(tool.exists(), "{tool:?} is missing: run `make test`, which installs it");
    }
    let path = join_paths(tools.into_iter().chain(split_paths(&var_os("PATH").unwrap_or_default()))).expect("a PATH");
    let port = scene.port().number().to_string();
    scene
        .environment("PATH", path.to_str().expect("paths of tests are UTF-8"))
        .command(words)
        .set("worker_dir", quoted(&dir))
        .set("startup_timeout_secs", START_LIMIT.as_secs())
        .set("health_timeout_secs", 10)
        .set("drain_timeout_secs", 15)
        .set("stable_secs", 0)
        .set_in("env", "PORT", &port)
        .set_in("env", "npm_config_update_notifier", "false")
}

/// Kills the worker's first process, then its server, and stops it during a request.
#[track_caller]
pub(crate) fn keeps_its_promises(scene: &Scene) {
    let supervisor = scene.start();
    let leader = wait_nth_ready(scene, &supervisor, 1);
    let all: Vec<i32> = scene.living().into_iter().filter(|pid| *pid != supervisor.pid()).collect();

    send_signal(leader, Signal::SIGKILL);
    wait_nth_ready(scene, &supervisor, 2);
    let left: Vec<i32> = all.into_iter().filter(|pid| process_alive(*pid)).collect();
    assert!(left.is_empty(), "{left:?} outlived their worker\n{}", scene.story());
    assert_eq!(listeners_on(scene.port().number()).unwrap_or(1), 1);
    assert_eq!(supervisor.lines_with(STARTED).len(), 2, "{}", scene.story());

    let server = server_pid(scene, process_alive);
    send_signal(server, Signal::SIGKILL);
    server_pid(scene, |pid| pid != server && process_alive(pid));
    wait_healthy(scene);

    let request = SlowRequest::begin(scene);
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_exit(), 0, "{}", scene.story());
    assert_eq!(scene.living(), Vec::<i32>::new(), "{}", scene.story());
    request.expect_answer(scene);
    assert_eq!(supervisor.lines_with(KILLING), Vec::<String>::new());
    assert_eq!(supervisor.lines_with("left running"), Vec::<String>::new());
    expect_free_port(scene);
}

/// Waits until a worker is ready for the n-th time, as long as such programs may take; its pid.
#[track_caller]
pub(crate) fn wait_nth_ready(scene: &Scene, supervisor: &Supervisor<'_>, nth: usize) -> i32 {
    let look = || supervisor.lines_with(READY).into_iter().nth(nth - 1);
    let line = wait_for(&format!("worker {nth} ready"), START_LIMIT, || scene.story(), look);
    field(&line, "pid").and_then(|pid| pid.parse().ok()).expect("a pid")
}

/// Waits until the status says that the worker is healthy, and it is.
#[track_caller]
pub(crate) fn wait_healthy(scene: &Scene) {
    let is_healthy = || request(scene.port().number(), "GET", "/").is_ok() && scene.run(&["status"]).code == Some(0);
    wait_for("a healthy worker", START_LIMIT, || scene.story(), || is_healthy().then_some(()));
}

/// Waits until somebody listens on the scene's port.
#[track_caller]
pub(crate) fn wait_listening(scene: &Scene) {
    let port = scene.port().number();
    wait_for("a listener", START_LIMIT, || scene.story(), || is_listening(port).then_some(()));
}

/// Waits until the server has written a pid that `is_wanted`.
#[track_caller]
pub(crate) fn server_pid(scene: &Scene, is_wanted: impl Fn(i32) -> bool) -> i32 {
    let written = || read_to_string(scene.file("app/server.pid")).ok()?.trim().parse().ok();
    wait_for("the server's pid", START_LIMIT, || scene.story(), || written().filter(|pid| is_wanted(*pid)))
}

/// Waits for `count` pids of processes that workers have started to outlive them.
#[track_caller]
pub(crate) fn left_by(scene: &Scene, count: usize) -> Vec<i32> {
    let look = || {
        let text = read_to_string(scene.file("app/left.log")).ok()?;
        let pids: Vec<i32> = text.lines().map(|pid| pid.parse().expect("a pid")).collect();
        (pids.len() >= count).then_some(pids)
    };
    wait_for(&format!("{count} that are left"), START_LIMIT, || scene.story(), look)
}

/// When it is dropped, the processes that `left_by` tells are killed: not everywhere can others find them.
pub(crate) struct EndsLeft<'a>(pub(crate) &'a Scene);

impl Drop for EndsLeft<'_> {
    fn drop(&mut self) {
        let pids = read_to_string(self.0.file("app/left.log")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| process_alive(*pid)) {
            send_signal(pid, Signal::SIGKILL);
        }
    }
}

/// Fails if anybody holds the scene's port, but for processes that the kernel is about to end.
#[track_caller]
pub(crate) fn expect_free_port(scene: &Scene) {
    let is_free = || TcpListener::bind(("127.0.0.1", scene.port().number())).is_ok();
    wait_for("a free port", LIMIT, || scene.story(), || is_free().then_some(()));
}

/// A request that takes half a second, in a thread of its own.
pub(crate) struct SlowRequest(JoinHandle<std::io::Result<Answer>>);

impl SlowRequest {
    /// Returns once the server works on it.
    #[track_caller]
    pub(crate) fn begin(scene: &Scene) -> Self {
        let requests = || read_to_string(scene.file("app/slow.log")).map_or(0, |text| text.lines().count());
        let (port, before) = (scene.port().number(), requests());
        let thread = spawn(move || request(port, "GET", "/slow"));
        wait_for("the slow request", START_LIMIT, || scene.story(), || (requests() > before).then_some(()));
        Self(thread)
    }

    /// Waits for the answer, which has to be a good one.
    #[track_caller]
    pub(crate) fn expect_answer(self, scene: &Scene) {
        match self.0.join().expect("a client that ends") {
            Ok(answer) if answer.status == 200 => {}
            failed => panic!("the request was not answered: {failed:?}\n{}", scene.story()),
        }
    }
}
