//! Who is measured: the product, the bare loop, and every peer that this machine has.
//!
//! Each runs in the foreground, in a directory of its own, as its manual wants it for one service. Run files are the
//! worker itself, without the usual shell.

use std::fs::{File, write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::contender::{Recipe, Site};
use super::programs::{OF_CARGO, bare, base_program, helper, product_program};
use super::record::Mark;

const HEALTH_INTERVAL_SECS: f64 = 30.0;

/// Longer than any benchmark.
pub(crate) const RARELY_SECS: f64 = 3_600.0;

/// The bare loop over vfork.
pub(crate) fn bare_vfork() -> Recipe {
    Recipe { name: "bare loop, vfork", prepare: |_, site| bare_loop("vfork", site), ..BARE }
}

/// The bare loop over posix_spawn.
pub(crate) fn bare_spawn() -> Recipe {
    Recipe { name: "bare loop, posix_spawn", prepare: |_, site| bare_loop("spawn", site), ..BARE }
}

/// The bare loop over vfork, with a session for the worker. Linux makes a scheduling group for each (sched(7), the
/// autogroup feature).
pub(crate) fn bare_session() -> Recipe {
    Recipe {
        name: "bare loop, vfork and setsid",
        prepare: |_, site| bare_loop("session", site),
        note: "a session, which is what finds all that a worker has started; no logs, no checks",
        ..BARE
    }
}

const BARE: Recipe = Recipe {
    name: "",
    prepare: |_, site| bare_loop("vfork", site),
    stop: |pid, _| signal(pid, Signal::SIGKILL),
    ready: Mark::Listens,
    leaves_worker: true,
    note: "no group, no logs, no checks; a floor, not a supervisor",
};

/// The product as in production: health check, port check and log files.
pub(crate) fn product() -> Recipe {
    Recipe {
        name: "worker-supervisor",
        prepare: |dir, site| supervise(&product_program(), dir, site, HEALTH_INTERVAL_SECS, ""),
        stop: |pid, _| signal(pid, Signal::SIGTERM),
        ready: Mark::Got,
        leaves_worker: false,
        note: "health check, port check, log files, status file",
    }
}

/// The product before a change: what BENCH_BASE names, or the one that is measured.
pub(crate) fn product_before() -> Recipe {
    let prepare = |dir: &Path, site: &Site| supervise(&base_program(), dir, site, HEALTH_INTERVAL_SECS, "");
    Recipe { prepare, ..product() }
}

/// The product from a file of its own, so that it shares no page with another, and with its checks almost never.
pub(crate) fn product_apart() -> Recipe {
    Recipe {
        prepare: |dir, site| {
            let program = dir.join("worker-supervisor");
            std::fs::copy(product_program(), &program).expect("the program can be copied");
            supervise(&program, dir, site, RARELY_SECS, "")
        },
        ..product()
    }
}

/// The product as plain cargo builds it, if that is not the one that is measured.
pub(crate) fn product_of_cargo() -> Option<Recipe> {
    let prepare = |dir: &Path, site: &Site| supervise(Path::new(OF_CARGO), dir, site, HEALTH_INTERVAL_SECS, "");
    let name = "worker-supervisor of cargo build";
    (product_program() != Path::new(OF_CARGO)).then_some(Recipe { name, prepare, ..product() })
}

/// The product with a registration too.
pub(crate) fn product_with_sync() -> Recipe {
    let prepare = |dir: &Path, site: &Site| with_sync(&product_program(), dir, site);
    Recipe { prepare, ready: Mark::Put, ..product() }
}

/// The product before a change, with a registration too.
pub(crate) fn product_before_with_sync() -> Recipe {
    let prepare = |dir: &Path, site: &Site| with_sync(&base_program(), dir, site);
    Recipe { prepare, ..product_with_sync() }
}

fn with_sync(program: &Path, dir: &Path, site: &Site) -> Command {
    let mut command = supervise(program, dir, site, HEALTH_INTERVAL_SECS, "sync_endpoint = \"/api\"\n");
    // A worker that listened at the same moment of its life each time would meet the probes in step.
    command.env("BENCH_DELAY_MS_MAX", "40");
    command
}

/// The product over the example worker, as the example's own configuration has it.
pub(crate) fn product_of_example() -> Recipe {
    const MORE: &str = "health_endpoint = \"/health\"\nsync_endpoint = \"/api/inngest\"\n";
    Recipe {
        prepare: |dir, site| supervise(&product_program(), dir, site, HEALTH_INTERVAL_SECS, MORE),
        note: "health check, port check, log files, status file, registration",
        ..product()
    }
}

/// What a person writes who has no supervisor.
pub(crate) fn shell_loop() -> Recipe {
    let prepare = |_: &Path, site: &Site| {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do \"$0\"; done"]).arg(&site.worker);
        command
    };
    Recipe { name: "shell loop", prepare, note: "no group, no logs, no checks", ..BARE }
}

const PEERS: [(&str, Recipe); 5] = [
    (
        "supervise",
        Recipe {
            name: "daemontools supervise",
            prepare: |dir, site| scan_directory("supervise", dir, site),
            stop: |_, dir| control(&dir.join("service/supervise/control")),
            ready: Mark::Listens,
            leaves_worker: false,
            note: "no readiness, no health check",
        },
    ),
    (
        "runsv",
        Recipe {
            name: "runit runsv",
            prepare: |dir, site| scan_directory("runsv", dir, site),
            stop: |pid, _| signal(pid, Signal::SIGTERM),
            ready: Mark::Listens,
            leaves_worker: false,
            note: "no readiness, no health check",
        },
    ),
    (
        "s6-supervise",
        Recipe {
            name: "s6 s6-supervise",
            prepare: |dir, site| {
                let mut command = scan_directory("s6-supervise", dir, site);
                put(&dir.join("service/notification-fd"), "3\n", 0o644);
                command.env("BENCH_READY_FD", "3");
                command
            },
            stop: |pid, _| signal(pid, Signal::SIGTERM),
            ready: Mark::Listens,
            leaves_worker: false,
            note: "with readiness by descriptor; without, a second more",
        },
    ),
    (
        "pm2-runtime",
        Recipe {
            name: "pm2",
            prepare: pm2,
            stop: |pid, _| signal(pid, Signal::SIGINT),
            ready: Mark::Listens,
            leaves_worker: false,
            note: "pm2-runtime, fork mode, logs",
        },
    ),
    (
        "supervisord",
        Recipe {
            name: "supervisord",
            prepare: supervisord,
            stop: |pid, _| signal(pid, Signal::SIGTERM),
            ready: Mark::Listens,
            leaves_worker: false,
            note: "polls once a second; logs through pipes",
        },
    ),
];

/// The peers that are installed.
pub(crate) fn peers() -> Vec<Recipe> {
    PEERS.iter().filter(|(program, _)| helper(program).is_some()).map(|(_, recipe)| *recipe).collect()
}

/// The names of those that are not.
pub(crate) fn absent_peers() -> Vec<&'static str> {
    PEERS.iter().filter(|(program, _)| helper(program).is_none()).map(|(_, recipe)| recipe.name).collect()
}

fn bare_loop(way: &str, site: &Site) -> Command {
    let mut command = Command::new(bare());
    command.arg(way).arg(&site.worker);
    command
}

/// How to run the product as it is measured everywhere. `more`: lines of its configuration.
pub(crate) fn supervise(program: &Path, dir: &Path, site: &Site, health_interval_secs: f64, more: &str) -> Command {
    let config = dir.join("worker.toml");
    let text = format!(
        "command = [{:?}]\nport = {}\nhealth_interval_secs = {health_interval_secs}\nstable_secs = 0\n\
         port_conflict = \"wait\"\nlog_stdout = {:?}\nlog_stderr = {:?}\nstate_dir = {:?}\n{more}",
        site.worker,
        site.port,
        dir.join("worker.log"),
        dir.join("worker.err"),
        dir.join("state"),
    );
    put(&config, &text, 0o600);
    // Until they are on disk, the pages of a new file count as the process's own dirty memory.
    File::open(program).and_then(|file| file.sync_all()).expect("a program that can be read");
    let mut command = Command::new(program);
    command.arg("--config").arg(config);
    command
}

/// The form that runit, s6 and daemontools share: a directory whose `run` is what to run.
fn scan_directory(program: &str, dir: &Path, site: &Site) -> Command {
    let service = dir.join("service");
    // It is there where the contender has run before.
    if std::fs::create_dir(&service).is_ok() {
        symlink(&site.worker, service.join("run")).expect("a run file");
    }
    let mut command = Command::new(program);
    command.arg(service);
    command
}

fn pm2(dir: &Path, site: &Site) -> Command {
    let app = serde_json::json!({
        "name": "worker", "script": site.worker, "interpreter": "none", "exec_mode": "fork", "cwd": dir,
        "out_file": dir.join("worker.log"), "error_file": dir.join("worker.err"), "max_restarts": 1_000_000,
    });
    let config = dir.join("worker.json");
    put(&config, &serde_json::json!({ "apps": [app] }).to_string(), 0o600);
    let mut command = Command::new("pm2-runtime");
    command.arg("start").arg(config).env("PM2_HOME", dir.join("pm2"));
    command
}

fn supervisord(dir: &Path, site: &Site) -> Command {
    let at = |name: &str| dir.join(name).display().to_string();
    let config = dir.join("supervisord.conf");
    let text = format!(
        "[supervisord]\nnodaemon=true\nlogfile={}\npidfile={}\n[program:worker]\ncommand={}\nautorestart=true\n\
         stdout_logfile={}\nstderr_logfile={}\n",
        at("supervisord.log"),
        at("supervisord.pid"),
        site.worker.display(),
        at("worker.log"),
        at("worker.err"),
    );
    put(&config, &text, 0o600);
    let mut command = Command::new("supervisord");
    command.arg("--configuration").arg(config);
    command
}

/// Writes a file of a contender.
pub(crate) fn put(path: &Path, text: &str, mode: u32) {
    write(path, text).expect("a file of a contender can be written");
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("our own file");
}

/// Only as a favour to who has ended already.
fn signal(pid: Pid, signal: Signal) {
    let _ = kill(pid, signal);
}

/// daemontools takes orders through a FIFO: down, and then exit.
fn control(fifo: &Path) {
    let _ = write(fifo, "dx");
}
