//! Workers that leave their session, as `wrappers.rs` but with programs that Linux alone has.
#![cfg(target_os = "linux")]

mod support;
mod wrapped;

use support::words::PORT_CONFLICT;
use support::{LIMIT, Signal, send_signal, wait_until};
use wrapped::{expect_free_port, keeps_its_promises, scene, wait_listening};

#[test]
fn setsid_that_waits() {
    keeps_its_promises(&scene(&["setsid", "--wait", "node", "server.js"]));
}

#[test]
fn setsid_that_waits_with_an_environment_that_bears_no_mark() {
    // As of `su -` or sudo with a terminal of its own.
    keeps_its_promises(&scene(&["setsid", "--wait", "env", "-u", "WORKER_SUPERVISOR_ID", "node", "server.js"]));
}

#[test]
fn setsid_of_a_shell_that_waits() {
    keeps_its_promises(&scene(&["setsid", "--wait", "sh", "-c", "node server.js; echo ended"]));
}

#[test]
fn daemon_that_puts_itself_into_the_background_is_told_and_holds_no_port_after_a_stop() {
    // It has left the session before its parent ends, and listens after that.
    let daemon = "setsid sh -c 'touch left; while kill -0 $0; do sleep 0.1; done; exec node server.js' $$ & \
                  until [ -e left ]; do sleep 0.1; done";
    let scene = scene(&["sh", "-c", daemon]);
    // It stays in a pause, with no worker, while the daemon listens.
    let scene = scene.set("restart_backoff_min_secs", 60).set("restart_backoff_max_secs", 60);
    let supervisor = scene.start();
    supervisor.wait_for_log("the worker put itself into the background, or they are in sessions of their own");
    wait_listening(&scene);
    assert_eq!(supervisor.stop(), 0);
    expect_free_port(&scene);
}

#[test]
fn daemon_that_puts_itself_into_the_background_gives_way_to_the_next() {
    let scene = scene(&["gunicorn"]);
    let bind = format!("127.0.0.1:{}", scene.port().number());
    let scene = scene.command(&["gunicorn", "--daemon", "--bind", &bind, "wsgi:app"]);
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_CONFLICT);
    supervisor.wait_for_nth_log(3, "left running: ");
    assert_eq!(supervisor.stop(), 0);
    // One that has not come to listen yet is left, and may be about to start others.
    let end_all = || scene.living().into_iter().filter(|pid| send_signal(*pid, Signal::SIGKILL)).count() == 0;
    wait_until("the end of the scene's processes", LIMIT, end_all);
}
