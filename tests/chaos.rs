//! Everything at once: a supervisor, its worker with a wrapper around it and a helper outside of its session, thieves
//! of its port, a rival with a configuration of its own, its files and its configuration are mistreated at random for a
//! while. At every moment at most one worker may listen; whenever the mistreatment pauses there must be one healthy
//! worker and no process besides; and a stop always ends.
//!
//! CHAOS_STEPS says how many steps (30), CHAOS_SEED repeats a run as far as the machine lets it.

mod support;

use std::fs::{create_dir, remove_dir, remove_dir_all, remove_file, write};
use std::time::{Duration, Instant};

use support::words::{PORT_LOST, STARTED};
use support::{
    Event, Fixture, LIMIT, Sampler, Scene, Seeded, Signal, Supervisor, group_of, process_alive, request, send_signal,
    slowed, wait_for, wait_until, worker_program,
};

/// How many steps, without CHAOS_STEPS.
const STEPS: usize = 30;
/// A stop may take the drain time, the kill time of 2 s, and what a busy machine adds.
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// The files that make the worker misbehave while they exist.
const MOODS: [&str; 4] = ["hang", "fail", "garbage", "sync-fail"];
/// What a thief of the port may be like.
const THIEVES: [&[&str]; 5] = [&[], &["--ignore-term"], &["--escape"], &["--hang"], &["--bequeath"]];

#[test]
fn whatever_happens_one_healthy_worker_remains() {
    let mut chance = Seeded::from_environment("CHAOS_SEED");
    let steps = std::env::var("CHAOS_STEPS").map_or(STEPS, |text| text.parse().expect("a number of steps"));
    let is_wrapped = chance.below(2) == 0;
    let (scene, rival) = (scene(is_wrapped), Scene::new());
    let sampler = Sampler::of_listeners(scene.port().number(), scene.file("report"));
    let past = vec![format!("the worker is {}", if is_wrapped { "below a shell" } else { "started directly" })];
    let mut chaos = Chaos { scene: &scene, rival: &rival, supervisor: scene.start(), past };
    chaos.settle();
    for _ in 0..steps {
        chaos.step(&mut chance);
        if chance.below(3) > 0 {
            chaos.settle();
        }
    }
    chaos.settle();
    let past = chaos.past.join("\n");
    sampler.finish(|| format!("CHAOS_SEED={}\n{past}\n{}", chance.seed(), scene.story()));
    chaos.stop();
}

/// Short times, a port that the kernel would let two workers share, a descendant in the worker's group and one outside
/// of its session; a shell that ends at the first signal, perhaps, around all of it.
fn scene(is_wrapped: bool) -> Scene {
    let scene = Scene::new();
    let moods = MOODS.map(|mood| (format!("--{mood}-while"), scene.file(mood)));
    let mut arguments = vec!["--reuse-port", "--fork-child", "--detach"];
    for (option, file) in &moods {
        arguments.extend([option.as_str(), file.to_str().expect("a path")]);
    }
    let scene = if is_wrapped { below_a_shell(scene, &arguments) } else { scene.worker(&arguments) };
    let scene =
        scene.set("end_detached", true).set("sync_endpoint", "\"/api/inngest\"").set("sync_interval_secs", "0.3");
    let scene = scene.set("health_interval_secs", "0.05").set("health_timeout_secs", "0.4");
    let scene = scene.set("health_failures_before_restart", "2").set("startup_timeout_secs", "2");
    let scene = scene.set("drain_timeout_secs", "0.5").set("port_grace_secs", "0.3").set("stable_secs", "0.3");
    scene.set("restart_backoff_min_secs", "0.02").set("restart_backoff_max_secs", "0.2")
}

fn below_a_shell(scene: Scene, arguments: &[&str]) -> Scene {
    let (program, report, port) = (worker_program(), scene.file("report"), scene.port().number().to_string());
    let [program, report] = [program, report].map(|path| path.display().to_string());
    let words = ["/bin/sh", "-c", "\"$0\" \"$@\"; exit $?", &program, "--port", &port, "--report", &report];
    scene.command(&[&words, arguments].concat())
}

struct Chaos<'a> {
    scene: &'a Scene,
    supervisor: Supervisor<'a>,
    /// Where another configuration for the same port is.
    rival: &'a Scene,
    /// What was done, for the message of a failure.
    past: Vec<String>,
}

impl Chaos<'_> {
    fn step(&mut self, chance: &mut Seeded) {
        // Until it can catch signals, any signal just ends it; and a broken configuration would keep it from starting.
        self.supervisor.wait_for_log(" supervising ");
        let pause = Duration::from_millis(chance.below(400));
        match chance.below(15) {
            0 | 1 => {
                self.note("kill the worker");
                self.signal_worker(Signal::SIGKILL);
            }
            2 | 3 => {
                self.note("kill the supervisor");
                self.kill_supervisor();
            }
            4 => {
                self.note("stop the worker, for the health checks to find");
                self.signal_worker(Signal::SIGSTOP);
            }
            5 => {
                self.note(&format!("suspend the supervisor for {pause:?}"));
                self.supervisor.signal(Signal::SIGSTOP);
                if chance.below(2) == 0 {
                    self.signal_worker(Signal::SIGKILL);
                }
                pass(pause);
                self.supervisor.signal(Signal::SIGCONT);
            }
            6 | 7 => self.steal_port(THIEVES[index(chance, THIEVES.len())], chance.below(2) == 0),
            8 => {
                let mood = MOODS[index(chance, MOODS.len())];
                self.note(&format!("{mood} for {pause:?}"));
                write(self.scene.file(mood), "").expect("a file");
                pass(pause);
                remove_file(self.scene.file(mood)).expect("it was there");
            }
            9 => {
                self.note("remove the logs");
                for log in ["worker.log", "worker.err"] {
                    // It may not be there yet.
                    let _missing = remove_file(self.scene.file(log));
                }
            }
            10 => self.block_status(pause, chance),
            11 => self.edit_configuration(chance),
            12 => {
                self.note("remove the state directory");
                // The supervisor may put a file into it meanwhile.
                let state = self.scene.file("state");
                wait_until("the state directory's end", LIMIT, || remove_dir_all(&state).is_ok());
                self.settle();
            }
            13 => self.rival(chance),
            _ => self.restart_in_order(chance),
        }
    }

    fn note(&mut self, what: &str) {
        self.past.push(what.to_owned());
    }

    /// The worker as the status file of the current supervisor has it; it may be gone.
    fn worker(&self) -> Option<i32> {
        let status = self.scene.status()?;
        let is_current = status["supervisor_pid"] == self.supervisor.pid();
        is_current.then(|| i32::try_from(status["pid"].as_i64()?).ok())?
    }

    fn signal_worker(&self, signal: Signal) {
        // The status may be old and the pid another's by now: only one of this scene is signalled.
        if let Some(worker) = self.worker().filter(|worker| self.scene.living().contains(worker)) {
            send_signal(worker, signal);
            // Whether it had died before the next step matters, so it is not left to chance.
            wait_until("the end of the worker", LIMIT, || signal != Signal::SIGKILL || !process_alive(worker));
        }
    }

    fn kill_supervisor(&mut self) {
        self.supervisor.kill();
        self.supervisor = self.scene.start();
    }

    /// A second supervisor, of another configuration for the same port: it waits, whatever becomes of the worker.
    fn rival(&mut self, chance: &mut Seeded) {
        self.note("start a rival");
        self.settle();
        let (port, report) = (self.scene.port().number().to_string(), self.scene.file("report"));
        let words =
            [&worker_program().display().to_string(), "--port", &port, "--report", &report.display().to_string()];
        self.rival.reconfigure(|config| {
            config.command(&words).set("port", &port).set("name", "\"rival\"");
        });
        let rival = self.rival.start();
        rival.wait_for_log(PORT_LOST);
        if chance.below(2) == 0 {
            self.signal_worker(Signal::SIGKILL);
        }
        self.settle();
        assert_eq!(rival.stop(), 0);
        assert_eq!(rival.lines_with(STARTED), Vec::<String>::new(), "{}", self.story());
    }

    /// Not on FreeBSD, where nobody is asked to leave the port.
    fn steal_port(&mut self, arguments: &[&str], surely: bool) {
        if cfg!(target_os = "freebsd") {
            return;
        }
        self.note(&format!("steal the port, {}, as {arguments:?}", if surely { "surely" } else { "if possible" }));
        if surely {
            self.supervisor.signal(Signal::SIGSTOP);
        }
        self.signal_worker(Signal::SIGKILL);
        let thief = Fixture::start(self.scene.port(), arguments);
        wait_until("success or failure of the thief", LIMIT, || {
            !thief.is_alive() || !thief.report().of("listen").is_empty()
        });
        if surely {
            self.supervisor.signal(Signal::SIGCONT);
        }
        // One that is followed by another stays for ever.
        if arguments != ["--bequeath"] {
            self.settle();
        }
    }

    /// A directory in the place of the temporary file stops even root from replacing the status file.
    fn block_status(&mut self, pause: Duration, chance: &mut Seeded) {
        self.note(&format!("block the status file for {pause:?}"));
        let obstacle = self.scene.file("state/worker/status.json.new");
        wait_for("a moment without a temporary file", LIMIT, String::new, || create_dir(&obstacle).ok());
        if chance.below(2) == 0 {
            self.signal_worker(Signal::SIGKILL);
        }
        pass(pause);
        remove_dir(&obstacle).expect("the directory was there");
    }

    fn edit_configuration(&mut self, chance: &mut Seeded) {
        let is_valid = chance.below(2) == 0;
        self.note(if is_valid { "edit the configuration" } else { "break the configuration" });
        let value = chance.below(1000).to_string();
        let before = self.worker();
        self.scene.reconfigure(|config| {
            if is_valid {
                config.set_in("env", "EDITED", &value);
            } else {
                config.set("nonsense", &value);
            }
        });
        self.supervisor.signal(Signal::SIGUSR1);
        let is_other = || before.is_none() || self.worker().is_some_and(|worker| Some(worker) != before);
        wait_for("another worker", LIMIT, || self.story(), || is_other().then_some(()));
        self.scene.reconfigure(|config| {
            config.unset("nonsense");
        });
    }

    fn restart_in_order(&mut self, chance: &mut Seeded) {
        self.note("stop the supervisor in order, and start another meanwhile");
        let signal = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP][index(chance, 3)];
        self.supervisor.signal(signal);
        let next = self.scene.start();
        let asked = Instant::now();
        assert_eq!(self.supervisor.wait_exit(), 0, "{}", self.story());
        assert!(asked.elapsed() < slowed(STOP_LIMIT), "the stop took {:?}\n{}", asked.elapsed(), self.story());
        self.supervisor = next;
    }

    /// Waits until there is one healthy and registered worker, and nothing besides it.
    fn settle(&self) {
        let settled = || {
            let status = self.scene.status()?;
            let worker = self.worker().filter(|worker| process_alive(*worker))?;
            let is_well = status["healthy"] == true && status["sync"]["accepted"] == true;
            // The status may be older than what was done to the worker.
            let answers = || request(self.scene.port().number(), "GET", "/").is_ok_and(|answer| answer.status == 200);
            (is_well && self.strangers_to(worker).is_empty() && answers()).then_some(())
        };
        let what = "one healthy worker that is registered, and no process besides";
        let details = || format!("{}\n{:?} live", self.story(), self.scene.living());
        wait_for(what, LIMIT, details, settled);
    }

    /// The processes of the scene that are neither the supervisor nor of this worker's group, nor what has left it.
    fn strangers_to(&self, worker: i32) -> Vec<i32> {
        let is_own = |pid: i32| group_of(pid) == Some(worker);
        let last_detached = self
            .scene
            .report()
            .of("descendant")
            .into_iter()
            .rev()
            .find(|event| event.field("kind") == "detached")
            .map(Event::pid);
        let mut living = self.scene.living();
        living.retain(|pid| *pid != self.supervisor.pid() && !is_own(*pid) && Some(*pid) != last_detached);
        living
    }

    fn stop(&self) {
        let asked = Instant::now();
        assert_eq!(self.supervisor.stop(), 0, "{}", self.story());
        assert!(asked.elapsed() < slowed(STOP_LIMIT), "the stop took {:?}\n{}", asked.elapsed(), self.story());
        self.scene.wait_until_nothing_is_left();
    }

    fn story(&self) -> String {
        format!("{}\n{}", self.past.join("\n"), self.scene.story())
    }
}

fn index(chance: &mut Seeded, count: usize) -> usize {
    usize::try_from(chance.below(count as u64)).expect("an index")
}

/// Lets time pass: what is tested is what happens meanwhile.
fn pass(pause: Duration) {
    let over_at = Instant::now() + pause;
    wait_until("the end of a pause", LIMIT, || Instant::now() >= over_at);
}
