//! Killed after each of its system calls, the supervisor leaves no worker that the next one does not find: whatever it
//! was about, and whether or not the worker listens. strace kills it at the entry of a call, after the one before.
//!
//! Every seventh of these moments is tried; all of them with EVERY_CALL=1, which takes minutes.
#![cfg(target_os = "linux")]

mod support;

use std::collections::HashMap;
use std::fs::read_to_string;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::words::STARTED;
use support::{LIMIT, Scene, Signal, Supervisor, process_alive, same_surroundings, send_signal, wait_for, wait_until};

/// Scenes that are played at the same time: most of their time they wait.
const PLAYERS: usize = 8;

/// The moments of which one is tried.
const STRIDE: usize = 7;

/// What a worker does about its port.
const WORKERS: [&[&str]; 2] = [&["--listen-after", "0.3"], &["--no-listen"]];

/// How a supervisor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// In an empty state directory; the worker is killed then, restarted by SIGUSR1, and stopped.
    Empty,
    /// With a living worker on record.
    Adoption,
}

/// The `nth` call of this name, counted from 1.
#[derive(Clone, Debug)]
struct Moment {
    beginning: Beginning,
    worker: &'static [&'static str],
    call: String,
    nth: usize,
}

#[test]
fn no_call_of_the_supervisor_is_one_after_which_a_worker_is_lost() {
    let stride = if std::env::var_os("EVERY_CALL").is_some() { 1 } else { STRIDE };
    let mut moments = Vec::new();
    for beginning in [Beginning::Empty, Beginning::Adoption] {
        for worker in WORKERS {
            let calls = moments_of(beginning, worker);
            println!("{beginning:?} {worker:?}: {} calls", calls.len());
            moments.extend(calls.into_iter().skip(moments.len() % stride).step_by(stride));
        }
    }
    let (next, survived) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let player = || {
        let mut bad = Vec::new();
        while let Some(moment) = moments.get(next.fetch_add(1, Ordering::SeqCst)) {
            match try_moment(moment) {
                Ok(true) => {}
                Ok(false) => _ = survived.fetch_add(1, Ordering::SeqCst),
                Err(wrong) => bad.push(format!("{moment:?}: {wrong}")),
            }
        }
        bad
    };
    let bad: Vec<String> = thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS).map(|_| scope.spawn(player)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player plays to the end")).collect()
    });
    let survived = survived.into_inner();
    println!("{} moments tried, {survived} of them never came, {} bad", moments.len(), bad.len());
    // How often it waits differs from one run to the next, and so do the last of these calls; on a machine that is too
    // busy one wait brings what took several.
    assert!(survived * 2 < moments.len(), "{survived} of {} moments never came", moments.len());
    assert!(bad.is_empty(), "{} bad moments:\n{}", bad.len(), bad.join("\n"));
}

fn scene_with(worker: &[&str]) -> Scene {
    let scene = Scene::new().worker(worker).set("stable_secs", 0).set("restart_backoff_min_secs", 0);
    scene.set("port_grace_secs", 3)
}

/// Every call of an undisturbed life.
fn moments_of(beginning: Beginning, worker: &'static [&'static str]) -> Vec<Moment> {
    let scene = scene_with(worker);
    begin(&scene, beginning);
    let supervisor = scene.start_with(&mut strace(&scene, &["-e", "trace=all"]));
    live(&scene, &supervisor, beginning);
    assert!(!supervisor.is_alive());
    let trace = wait_for(
        "the whole trace",
        LIMIT,
        || scene.story(),
        || read_to_string(scene.file("trace")).ok().filter(|trace| trace.contains("+++ exited with 0 +++")),
    );
    let mut counts = HashMap::new();
    // The first is the execve that makes it the supervisor.
    let calls = trace.lines().skip(1).filter_map(|line| line.split_once('(').map(|(name, _)| name.to_owned()));
    let is_name = |call: &String| call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let counted = calls.filter(is_name).map(|call| {
        let nth = *counts.entry(call.clone()).and_modify(|count| *count += 1).or_insert(1);
        Moment { beginning, worker, call, nth }
    });
    counted.collect()
}

/// The program under strace, without its worker.
fn strace(scene: &Scene, options: &[&str]) -> Command {
    let program = scene.program();
    let mut command = Command::new("strace");
    command.args(["-D", "-q", "-o"]).arg(scene.file("trace")).args(options);
    command.arg(program.get_program()).args(program.get_args());
    same_surroundings(&mut command, &program);
    command
}

fn begin(scene: &Scene, beginning: Beginning) {
    if beginning == Beginning::Adoption {
        let first = scene.start();
        first.worker_pid();
        wait_until("the record", LIMIT, || recorded(scene).contains("\"pid\""));
        first.kill();
    }
}

fn recorded(scene: &Scene) -> String {
    read_to_string(scene.file("state/worker/worker.json")).unwrap_or_default()
}

/// A supervisor's life until it ends, however it does.
fn live(scene: &Scene, supervisor: &Supervisor<'_>, beginning: Beginning) {
    let earlier = usize::from(beginning == Beginning::Adoption);
    let is_over = |count: usize| {
        let starts = || scene.report().starts().len() >= count + earlier;
        let is_ready = || supervisor.lines_with(support::words::READY).len() >= count;
        let is_listening = !scene.report().of("listen").is_empty();
        wait_until("a worker, or the supervisor's end", LIMIT, || {
            !supervisor.is_alive() || starts() && (!is_listening || is_ready())
        });
        !supervisor.is_alive()
    };
    let last = || *scene.report().workers().last().expect("one has started");
    if is_over(1) {
        return;
    }
    if beginning == Beginning::Empty {
        send_signal(last(), Signal::SIGKILL);
        if is_over(2) {
            return;
        }
        send_signal(supervisor.pid(), Signal::SIGUSR1);
        if is_over(3) {
            return;
        }
    }
    send_signal(supervisor.pid(), Signal::SIGTERM);
    supervisor.wait_end();
}

/// Whether the moment came; an error says what was wrong after it.
fn try_moment(moment: &Moment) -> Result<bool, String> {
    let scene = scene_with(moment.worker);
    begin(&scene, moment.beginning);
    let (trace, inject) =
        (format!("trace={}", moment.call), format!("inject={}:signal=KILL:when={}", moment.call, moment.nth));
    let first = scene.start_with(&mut strace(&scene, &["-e", &trace, "-e", &inject]));
    live(&scene, &first, moment.beginning);
    let was_killed = !first.wait_end().success();
    let record = recorded(&scene);
    let second = scene.start();
    wait_for("the next worker", LIMIT, || scene.story(), || second.lines_with(STARTED).into_iter().next());
    let told = |wrong: &str, pids: &[i32]| {
        Err(format!("{wrong} {pids:?}; the record was {}\n{}", record.trim_end(), scene.story()))
    };
    let left = others(&scene, second.pid());
    if left.len() > 1 {
        left.iter().for_each(|pid| _ = send_signal(*pid, Signal::SIGKILL));
        return told("two workers at a time:", &left);
    }
    send_signal(second.pid(), Signal::SIGTERM);
    if !second.wait_end().success() {
        return told("no orderly stop", &[]);
    }
    let left = others(&scene, second.pid());
    if !left.is_empty() {
        left.iter().for_each(|pid| _ = send_signal(*pid, Signal::SIGKILL));
        return told("left after the stop:", &left);
    }
    Ok(was_killed)
}

/// The living processes of a scene but its supervisor and the tracer, which goes a moment after the one that it traced.
fn others(scene: &Scene, supervisor: i32) -> Vec<i32> {
    let is_tracer = |pid: i32| read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "strace");
    let living = scene.living().into_iter();
    living.filter(|pid| *pid != supervisor && !is_tracer(*pid) && process_alive(*pid)).collect()
}
