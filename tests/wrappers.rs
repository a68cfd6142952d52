//! Programs between the supervisor and the server: package managers, shells, process managers, application servers.
//! With each of them a worker gets ready, finishes its requests at a stop, and comes back alone after any kill.
//! What these tests need is brought by `make test`; where it is missing they fail and say so.

mod support;
mod wrapped;

use serde_json::Value;
use support::words::{DRAINING, KILLING, PORT_CONFLICT};
use support::{LIMIT, Scene, Signal, process_alive, quoted, send_signal, wait_for, wait_until};
use wrapped::{EndsLeft, LEADER_GONE, SlowRequest, keeps_its_promises, left_by, scene, wait_nth_ready};

/// As `keeps_its_promises`, of a wrapper that does not wait for its server.
fn keeps_its_promises_and_ends_first(scene: &Scene) {
    keeps_its_promises(scene);
    let log = std::fs::read_to_string(scene.file("supervisor-0.err")).expect("the supervisor's log");
    assert!(log.contains(LEADER_GONE), "{log}");
}

#[test]
fn npm_run() {
    keeps_its_promises(&scene(&["npm", "run", "start"]));
}

#[test]
fn npx() {
    keeps_its_promises(&scene(&["npx", "--no", "server"]));
}

#[test]
fn yarn_run() {
    keeps_its_promises(&scene(&["yarn", "run", "start"]));
}

#[test]
fn pnpm_run() {
    keeps_its_promises(&scene(&["pnpm", "run", "start"]));
}

#[test]
fn bun_run() {
    keeps_its_promises(&scene(&["bun", "run", "start"]));
}

#[test]
fn bun_run_filter() {
    keeps_its_promises(&scene(&["bun", "run", "--filter", "server", "start"]));
}

#[test]
fn shell() {
    keeps_its_promises_and_ends_first(&scene(&["sh", "-c", "node server.js; echo ended"]));
}

#[test]
fn node_watch() {
    keeps_its_promises(&scene(&["node", "--watch", "server.js"]));
}

#[test]
fn node_cluster() {
    keeps_its_promises(&scene(&["node", "cluster.js"]));
}

#[test]
fn honcho() {
    keeps_its_promises(&scene(&["honcho", "start"]));
}

#[test]
fn pm2_runtime() {
    keeps_its_promises(&scene(&["pm2-runtime", "server.js"]));
}

#[test]
fn gunicorn() {
    let scene = scene(&["gunicorn"]);
    let bind = format!("127.0.0.1:{}", scene.port().number());
    keeps_its_promises(&scene.command(&["gunicorn", "--workers", "2", "--bind", &bind, "wsgi:app"]));
}

#[test]
fn uv_run() {
    keeps_its_promises(&scene(&["uv", "run", "--offline", "--no-project", "server.py"]));
}

#[test]
fn restart_lets_the_server_behind_npm_finish() {
    let scene = scene(&["npm", "run", "start"]);
    let supervisor = scene.start();
    wait_nth_ready(&scene, &supervisor, 1);
    let request = SlowRequest::begin(&scene);
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_log(DRAINING);
    request.expect_answer(&scene);
    wait_nth_ready(&scene, &supervisor, 2);
    assert_eq!(supervisor.lines_with(KILLING), Vec::<String>::new());
    assert_eq!(supervisor.lines_with(PORT_CONFLICT), Vec::<String>::new());
}

/// The pids that `status --json` tells as left running.
fn left_running(scene: &Scene) -> Vec<i32> {
    let status: Value = serde_json::from_str(&scene.run(&["status", "--json"]).stdout).expect("JSON");
    let left = status["left_running"].as_array().expect("a list").iter();
    let pid = |text: &str| text.strip_prefix("pid ")?.split(' ').next()?.parse().ok();
    let mut left: Vec<i32> = left.map(|left| left.as_str().and_then(pid).expect("pid N (…)")).collect();
    left.sort_unstable();
    left
}

#[test]
fn what_a_worker_puts_into_sessions_of_its_own_is_left_and_told() {
    let scene = scene(&["node", "leaver.js"]);
    let _guard = EndsLeft(&scene);
    let supervisor = scene.start();
    for round in 1..=4 {
        let worker = wait_nth_ready(&scene, &supervisor, round);
        let left = left_by(&scene, 3 * round);
        if round < 3 {
            send_signal(worker, Signal::SIGKILL);
        } else {
            supervisor.signal(if round == 3 { Signal::SIGUSR1 } else { Signal::SIGTERM });
        }
        let line = supervisor.wait_for_nth_log(round, "left running: ");
        for pid in &left[3 * (round - 1)..] {
            assert!(line.contains(&format!("pid {pid} (")), "{line}");
            assert!(process_alive(*pid));
        }
        if round < 4 {
            wait_until("those that were left, in the status", LIMIT, || {
                let mut told = left.clone();
                told.sort_unstable();
                left_running(&scene) == told
            });
        }
    }
    assert_eq!(supervisor.wait_exit(), 0);
    let mut left = left_by(&scene, 12);
    left.sort_unstable();
    assert!(left.iter().all(|pid| process_alive(*pid)));
    assert_eq!(left_running(&scene), left);
}

#[test]
fn with_end_detached_nothing_is_left() {
    let scene = scene(&["node", "leaver.js"]).set("end_detached", true);
    let _guard = EndsLeft(&scene);
    let supervisor = scene.start();
    for round in 1..=4 {
        let worker = wait_nth_ready(&scene, &supervisor, round);
        let left = left_by(&scene, 3 * round);
        if round < 3 {
            send_signal(worker, Signal::SIGKILL);
        } else {
            supervisor.signal(if round == 3 { Signal::SIGUSR1 } else { Signal::SIGTERM });
        }
        let ended = &left[3 * (round - 1)..];
        wait_until("the end of what was detached", LIMIT, || !ended.iter().any(|pid| process_alive(*pid)));
    }
    assert_eq!(supervisor.wait_exit(), 0);
    assert_eq!(supervisor.lines_with("left running"), Vec::<String>::new());
    scene.wait_until_nothing_is_left();
}

#[test]
fn supervisors_with_one_port_leave_each_others_workers_alone() {
    let (first, second) = (Scene::new(), Scene::new());
    let report = second.file("report").display().to_string();
    let port = first.port().number();
    let words = [support::worker_program().display().to_string(), "--port".into(), port.to_string()];
    let second = second.set("port", port).set("name", quoted("neighbour"));
    let second = second.command(&[&words[..], &["--report".into(), report]].concat());
    let owner = first.start();
    let worker = owner.wait_ready();
    let waiting = second.start();
    let line = waiting.wait_for_nth_log(2, support::words::PORT_LOST);
    let whose = format!("the worker of another supervisor: pid {} for configuration worker", owner.pid());
    assert!(line.contains(&whose) && line.contains(&format!("pid {worker} (")), "{line}");
    let told = || second.run(&["status"]).stdout;
    wait_for("the holder in the second one's status", LIMIT, told, || told().contains(&whose).then_some(()));
    assert!(process_alive(worker));
    assert_eq!(first.report().of("signal"), Vec::<&support::Event>::new());
    assert_eq!(second.report().starts().len(), 0);
    assert_eq!(owner.stop(), 0);
    waiting.wait_ready();
    assert_eq!(waiting.stop(), 0);
}
