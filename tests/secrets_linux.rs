//! Secrets, looked for with the eyes of another process of the same user: in arguments and environments.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use support::{LIMIT, Scene, Signal, dumped, send_signal, shell, slowed};

/// The processes of the machine whose file in /proc has `text`.
fn processes_with(file: &str, text: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let has_text = |pid: &i32| {
        let bytes = fs::read(Path::new("/proc").join(pid.to_string()).join(file)).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    };
    pids.filter(has_text).collect()
}

#[test]
fn no_value_is_ever_an_argument_and_only_the_worker_has_it_in_its_environment() {
    let scene = Scene::new().set("stable_secs", 0).set("secrets_max_age_secs", 0);
    // Nobody else's, and put together by the tool, so that the configuration does not have it either.
    let canary = format!("canary-of-{}", scene.port().number());
    fs::write(scene.file("vault"), scene.port().number().to_string()).expect("a file");
    let tool = shell(&scene, "printf canary-of-; cat vault", "{name}");
    let hook = shell(&scene, "cat >/dev/null; sleep 0.2", "{event}");
    let dump = scene.file("dump").display().to_string();
    let scene = scene.worker(&["--dump-env", &dump, "--fork-child"]).set("secrets_command", tool).set("on_event", hook);
    let scene = scene.set_in("secrets", "V_TOKEN", "token");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut seen, started_at) = (Vec::new(), Instant::now());
            // A test that fails sets no end.
            while !is_over.load(Ordering::SeqCst) && started_at.elapsed() < slowed(LIMIT) {
                seen.extend(processes_with("cmdline", &canary));
            }
            seen
        });
        let supervisor = scene.start();
        let first = supervisor.wait_ready();
        send_signal(first, Signal::SIGKILL);
        let worker = supervisor.wait_nth_ready(2);
        assert_eq!(dumped(&scene.file("dump"))["V_TOKEN"], canary);
        let mut expected = vec![worker, *scene.report().descendants().last().expect("the worker's own child")];
        expected.sort_unstable();
        assert_eq!(processes_with("environ", &canary), expected);
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(watch.join().expect("the watch"), Vec::<i32>::new());
    });
}
