//! Event hooks: the command in `on_event`, run beside everything else when something happens.
//!
//! A hook gets the event's name in its arguments and the details as a line of JSON on its standard input. Nothing
//! waits for it: it is ended with its group after ten seconds or with the supervisor, whichever is first, and only the
//! hook for `stopped` outlives both. One event starts a hook at most every ten seconds, and few hooks run at once: what
//! comes in between is dropped, not queued. A hook that can't be started is a warning and no more.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::Registry;
use platform::{ExitStatus, Lifetime, Pid};

use super::process::{Command, Helper, Task, Zombies, base_dir, helper_env};
use crate::config::Config;
use crate::supervise::report::happening::{Happening, HookEvent};
use crate::supervise::sources::Source;
use crate::time::secs;

/// From one start for an event to the next.
const EVENT_PAUSE: Duration = Duration::from_secs(10);

/// How long a hook may run.
const HOOK_TIME: Duration = Duration::from_secs(10);

/// The most hooks that run at once.
const HOOKS_MAX: usize = 16;

/// What an argument holds in place of the event's name.
const PLACEHOLDER: &str = "{event}";

/// The hooks that run, and when each event started one last.
pub(crate) struct Hooks {
    command: Vec<String>,
    /// Relative programs start from here: the config file's directory.
    dir: PathBuf,
    running: Vec<Hook>,
    fired_at: [Option<Instant>; HookEvent::COUNT],
    zombies: Zombies,
}

struct Hook {
    event: HookEvent,
    helper: Helper,
    kill_at: Instant,
}

impl Hooks {
    /// The hooks of a config; nothing runs yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            command: config.on_event.clone(),
            dir: base_dir(config),
            running: Vec::new(),
            fired_at: [None; HookEvent::COUNT],
            zombies: Zombies::default(),
        }
    }

    /// Goes over to another config. Hooks that run go on.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.command.clone_from(&config.on_event);
        self.dir = base_dir(config);
    }

    /// Whether a hook would be started for an event now: one is configured, and none was started a moment ago.
    pub(crate) fn is_due(&self, event: HookEvent, now: Instant) -> bool {
        let fired_at = self.fired_at[event as usize];
        let is_paused = fired_at.is_some_and(|fired_at| now.saturating_duration_since(fired_at) < EVENT_PAUSE);
        if is_paused {
            log::debug!("hook not started, this event had one a moment ago event={}", event.name());
        }
        !self.command.is_empty() && !is_paused
    }

    /// Starts the hook for an event, if it is due. `details` is one JSON document.
    pub(crate) fn fire(
        &mut self,
        event: HookEvent,
        details: &str,
        registry: &Registry,
        now: Instant,
        news: &mut Vec<Happening>,
    ) {
        if !self.is_due(event, now) {
            return;
        }
        self.fired_at[event as usize] = Some(now);
        match self.start(event, details, registry, now, news) {
            Ok(hook) => self.running.push(hook),
            Err(reason) => news.push(Happening::HookFailed { event, reason }),
        }
    }

    /// Looks at the hooks that run, and ends those that have run too long.
    pub(crate) fn proceed(&mut self, now: Instant, news: &mut Vec<Happening>) {
        self.zombies.sweep();
        for mut hook in std::mem::take(&mut self.running) {
            let event = hook.event;
            if let Some(done) = hook.helper.proceed() {
                news.push(match done.status {
                    ExitStatus::Code(0) => Happening::HookDone,
                    status => Happening::HookFailed { event, reason: status.to_string() },
                });
            } else if now >= hook.kill_at {
                self.zombies.kill_and_keep(&mut hook.helper);
                news.push(Happening::HookFailed { event, reason: format!("it ran longer than {}", secs(HOOK_TIME)) });
            } else {
                self.running.push(hook);
            }
        }
    }

    /// The processes that are still to be reaped here.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.running.iter().filter_map(|hook| hook.helper.pid()).chain(self.zombies.pids())
    }

    /// When a hook will have run too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.iter().map(|hook| hook.kill_at).min()
    }

    /// Ends all hooks but the one for `stopped`, which is left to itself. For the supervisor's end.
    pub(crate) fn kill_all(&mut self) {
        for mut hook in self.running.drain(..) {
            if hook.event == HookEvent::Stopped {
                hook.helper.let_go();
            } else {
                self.zombies.kill_and_keep(&mut hook.helper);
            }
        }
    }

    fn start(
        &mut self,
        event: HookEvent,
        details: &str,
        registry: &Registry,
        now: Instant,
        news: &mut Vec<Happening>,
    ) -> Result<Hook, String> {
        self.proceed(now, news);
        self.zombies.ensure_room()?;
        if self.running.len() >= HOOKS_MAX {
            return Err(format!("{HOOKS_MAX} hooks are running already"));
        }
        let command = Command::from_config(&self.command, PLACEHOLDER, event.name(), &self.dir)?;
        let task = Task {
            command: &command,
            env: &helper_env(),
            dir: Path::new("/"),
            // The one for our own end has only begun by then.
            lifetime: if event == HookEvent::Stopped { Lifetime::ItsOwn } else { Lifetime::Ours },
            stdin: Some(format!("{details}\n").into_bytes()),
            output_bytes_max: None,
        };
        let helper = Helper::spawn(task, registry, Source::Helper.token()).map_err(|error| error.to_string())?;
        Ok(Hook { event, helper, kill_at: now + HOOK_TIME })
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.kill_all();
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::testing::{Bench, shell};
    use super::*;
    use std::ffi::OsStr;

    const EVERY_EVENT: [HookEvent; HookEvent::COUNT] = [
        HookEvent::Started,
        HookEvent::Ready,
        HookEvent::Exited,
        HookEvent::Unhealthy,
        HookEvent::RestartFailing,
        HookEvent::PortConflict,
        HookEvent::SyncFailed,
        HookEvent::Recovered,
        HookEvent::Stopped,
    ];

    fn hooks(bench: &Bench, words: &[String]) -> Hooks {
        let path = bench.dir.join("worker.toml");
        std::fs::write(&path, "command = [\"a\"]\nport = 1\n").unwrap();
        let mut config = Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap().config;
        config.on_event = words.to_vec();
        Hooks::new(&config)
    }

    /// A shell as `on_event` that runs `script` in the bench's directory with the event's name as `$1`.
    fn scripted(bench: &Bench, script: &str) -> Hooks {
        let script = format!("cd '{}'; {script}", bench.dir.display());
        hooks(bench, &["/bin/sh", "-c", &script, "hook", PLACEHOLDER].map(str::to_owned))
    }

    fn finish(bench: &mut Bench, hooks: &mut Hooks, now: Instant) {
        bench.turn_until("the end of the hooks", || {
            hooks.proceed(now, &mut Vec::new());
            hooks.running.is_empty().then_some(())
        });
    }

    fn failed(event: HookEvent, reason: &str) -> Happening {
        Happening::HookFailed { event, reason: reason.to_owned() }
    }

    fn runs(bench: &Bench) -> Vec<String> {
        let text = std::fs::read_to_string(bench.dir.join("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn without_a_command_nothing_runs() {
        let (bench, now) = (Bench::new("h-none"), Instant::now());
        let mut hooks = hooks(&bench, &[]);
        hooks.fire(HookEvent::Started, "{}", bench.registry(), now, &mut Vec::new());
        assert_eq!((hooks.running.len(), hooks.deadline()), (0, None));
    }

    #[test]
    fn a_hook_gets_the_event_as_argument_and_the_details_on_its_input() {
        let (mut bench, now) = (Bench::new("h-details"), Instant::now());
        let mut hooks = scripted(&bench, "cat >$1");
        hooks.fire(HookEvent::RestartFailing, "{\"pid\":7}", bench.registry(), now, &mut Vec::new());
        assert_eq!(hooks.deadline(), Some(now + HOOK_TIME));
        finish(&mut bench, &mut hooks, now);
        assert_eq!(bench.file("restart-failing"), "{\"pid\":7}\n");
        assert_eq!(hooks.deadline(), None);
    }

    #[test]
    fn every_event_has_a_name_and_a_pause_of_its_own() {
        let (mut bench, now) = (Bench::new("h-names"), Instant::now());
        let mut hooks = scripted(&bench, "echo $1 >>runs");
        for event in EVERY_EVENT {
            for _ in 0..2 {
                hooks.fire(event, "{}", bench.registry(), now, &mut Vec::new());
            }
            finish(&mut bench, &mut hooks, now);
        }
        assert_eq!(runs(&bench), EVERY_EVENT.map(HookEvent::name));
    }

    #[test]
    fn one_event_starts_a_hook_every_ten_seconds_at_most() {
        let (mut bench, mut now) = (Bench::new("h-pause"), Instant::now());
        let mut hooks = scripted(&bench, "echo $1 >>runs");
        for milliseconds in [0, 0, 1, 9_998, 1, 5_000, 4_999, 1] {
            now += Duration::from_millis(milliseconds);
            hooks.fire(HookEvent::Exited, "{}", bench.registry(), now, &mut Vec::new());
            finish(&mut bench, &mut hooks, now);
        }
        assert_eq!(runs(&bench), ["exited", "exited", "exited"]);
    }

    #[test]
    fn large_details_do_not_wait_for_a_hook_that_never_reads() {
        let (mut bench, now) = (Bench::new("h-deaf"), Instant::now());
        let command = shell(&bench, "hook", "sleep 60");
        let mut hooks = hooks(&bench, &command);
        hooks.fire(HookEvent::Ready, &format!("\"{}\"", "x".repeat(1_000_000)), bench.registry(), now, &mut Vec::new());
        hooks.proceed(now, &mut Vec::new());
        assert_eq!(hooks.running.len(), 1);
        let pid = bench.pid("hook.pid");
        hooks.kill_all();
        bench.wait_for_reap(pid, || hooks.proceed(now, &mut Vec::new()));
    }

    #[test]
    fn a_hook_that_hangs_is_ended_with_its_children() {
        let (mut bench, now) = (Bench::new("h-hang"), Instant::now());
        let mut hooks = scripted(&bench, "sleep 60 & echo $! >child; echo $$ >pid; sleep 60");
        hooks.fire(HookEvent::Ready, "{}", bench.registry(), now, &mut Vec::new());
        let (pid, child): (Pid, Pid) = (bench.pid("pid"), bench.pid("child"));
        hooks.proceed(now + HOOK_TIME - Duration::from_millis(1), &mut Vec::new());
        assert_eq!(hooks.running.len(), 1);
        let mut news = Vec::new();
        hooks.proceed(now + HOOK_TIME, &mut news);
        assert_eq!((hooks.running.len(), hooks.deadline()), (0, None));
        assert_eq!(news, [failed(HookEvent::Ready, "it ran longer than 10 s")]);
        bench.wait_for_reap(pid, || hooks.proceed(now, &mut Vec::new()));
        bench.wait_for_end(child);
    }

    #[test]
    fn the_end_of_the_supervisor_ends_all_hooks_but_the_last() {
        let (mut bench, now) = (Bench::new("h-end"), Instant::now());
        let mut hooks = scripted(&bench, "echo $$ >$1; [ $1 = stopped ] || sleep 60; cat >details");
        hooks.fire(HookEvent::Exited, "{}", bench.registry(), now, &mut Vec::new());
        let exited = bench.pid("exited");
        hooks.fire(HookEvent::Stopped, "{\"last\":true}", bench.registry(), now, &mut Vec::new());
        hooks.kill_all();
        bench.wait_for_reap(exited, || hooks.proceed(now, &mut Vec::new()));
        assert_eq!(bench.file("details"), "{\"last\":true}\n");
        let stopped = bench.pid("stopped");
        bench.wait_for_reap(stopped, || {
            // Nobody waits for this one; the test must.
            let _ = platform::reap_with_group(stopped);
        });
    }

    #[test]
    fn only_so_many_hooks_run_at_once() {
        let (mut bench, mut now) = (Bench::new("h-many"), Instant::now());
        let mut hooks = scripted(&bench, "echo $$ >>pids; sleep 60");
        // Two rounds of nine events within the time of a hook: they would be 18.
        let mut news = Vec::new();
        for _ in 0..2 {
            for event in EVERY_EVENT {
                hooks.fire(event, "{}", bench.registry(), now, &mut news);
            }
            hooks.fired_at = [None; HookEvent::COUNT];
            now += Duration::from_secs(1);
        }
        assert_eq!(hooks.running.len(), HOOKS_MAX);
        let too_many = |event| failed(event, "16 hooks are running already");
        assert_eq!(news, [HookEvent::Recovered, HookEvent::Stopped].map(too_many));
        let path = bench.dir.join("pids");
        let pids = bench.turn_until("all pids", || {
            let text = std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'))?;
            let pids: Vec<Pid> = text.lines().map(|line| Pid::new(line.parse().unwrap()).unwrap()).collect();
            (pids.len() == HOOKS_MAX).then_some(pids)
        });
        hooks.proceed(now + HOOK_TIME, &mut Vec::new());
        for pid in pids {
            bench.wait_for_reap(pid, || hooks.proceed(now, &mut Vec::new()));
        }
    }

    #[test]
    fn a_hook_that_can_not_be_started_is_told_and_so_is_one_that_goes_well() {
        let (mut bench, mut now, mut news) = (Bench::new("h-news"), Instant::now(), Vec::new());
        let mut hooks = hooks(&bench, &["no-such-hook".to_owned()]);
        hooks.fire(HookEvent::Ready, "{}", bench.registry(), now, &mut news);
        assert!(matches!(&news[..], [Happening::HookFailed { reason, .. }] if reason.contains("no-such-hook")));
        now += EVENT_PAUSE;
        hooks.command = vec!["/bin/echo".to_owned()];
        hooks.fire(HookEvent::Ready, "{}", bench.registry(), now, &mut news);
        bench.turn_until("the end of the hook", || {
            hooks.proceed(now, &mut news);
            hooks.running.is_empty().then_some(())
        });
        assert_eq!(news[1..], [Happening::HookDone]);
    }
}
