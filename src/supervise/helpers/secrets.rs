//! The worker's secrets: leased through a tool, kept for a while, handed to each launch.
//!
//! Each launch asks [`Secrets::provide`]. Only a value that is not at hand is waited for: then the launch is put off
//! until the leases are over, or cancelled because they took too long, and the next one starts with what came of them.
//! A value that is too old is used all the same, and refreshed beside the start ([`Secrets::refresh`]) for the next
//! launch. A value that can't be refreshed goes on being used, an optional secret that can't be had is left out, a
//! required one fails the launch. A tool that fails without need is left alone for a while. Values are in memory and in
//! the worker's environment only: no log line, error or Debug shows one.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::Registry;
use platform::{Lifetime, Pid};

use super::process::{Command, Helper, Task, Zombies, base_dir, helper_env};
use super::secret_answer::{self as answer, Refusal};
use super::secret_entry::{Entry, LeaseFailure, Purpose, failure};
use crate::config::Config;
use crate::policy::Generation;
use crate::supervise::launch::environment::Secret;
use crate::supervise::report::happening::Happening;
use crate::supervise::report::redact::Redactor;
use crate::supervise::sources::Source;
use crate::time::secs;

/// How long a tool that failed is left alone, unless a required secret has no value at all. Never longer than a value
/// is used, so that whoever wants fresh values at each start gets every try.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Between two looks at tools that run, should their exits not be announced.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// What a tool's argument holds in place of the secret's name.
const PLACEHOLDER: &str = "{name}";

/// The answer to a launch.
#[derive(Debug, PartialEq)]
pub(crate) enum Provision {
    /// The variables to add to the worker's environment.
    Ready(Vec<(String, Secret)>),
    /// Tools run. Launch again when [`Secrets::proceed`] says so, or after [`Secrets::cancel`].
    Pending,
    /// The worker can't be started: one line that names variables and reasons.
    Failed(String),
}

/// All secrets of a config: their values as far as they are known, and the leases under way.
pub(crate) struct Secrets {
    entries: Vec<Entry>,
    command: Vec<String>,
    /// Relative programs start from here: the config file's directory.
    dir: PathBuf,
    timeout: Duration,
    max_age: Duration,
    /// At most one for each secret.
    leases: Vec<Lease>,
    /// Leases that have failed, of secrets by their index, and are not told of yet.
    refusals: Vec<(usize, Purpose, Refusal)>,
    launch: Launch,
    look_at: Instant,
    zombies: Zombies,
    /// Knows all values, also those of earlier workers and configs.
    redactor: Redactor,
}

/// How the launch that is under way stands to the leases.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Launch {
    /// It needs none, or there is none.
    Free,
    /// It waits for them.
    Waits(Generation),
    /// It has waited, and goes on with what came of them.
    MayGoOn,
}

/// One run of the tool.
struct Lease {
    /// Index of the secret.
    entry: usize,
    purpose: Purpose,
    helper: Helper,
    give_up_at: Instant,
}

impl Secrets {
    /// The secrets of a config; nothing is known of them yet, and nothing runs.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            entries: config.secrets.iter().cloned().map(Entry::unknown).collect(),
            command: config.secrets_command.clone(),
            dir: base_dir(config),
            timeout: config.secrets_timeout,
            max_age: config.secrets_max_age,
            leases: Vec::new(),
            refusals: Vec::new(),
            launch: Launch::Free,
            look_at: Instant::now(),
            zombies: Zombies::default(),
            redactor: Redactor::default(),
        }
    }

    /// Knows every value that is not to be seen.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Goes over to another config. Values stay where variable, name and command do. Leases under way are ended and
    /// forgotten, and tools that were left alone get their next try at once.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        self.abort();
        let mut old = std::mem::take(&mut self.entries);
        let (zombies, redactor) = (std::mem::take(&mut self.zombies), std::mem::take(&mut self.redactor));
        let is_same_tool = self.command == config.secrets_command && self.dir == base_dir(config);
        *self = Self { zombies, redactor, ..Self::new(config) };
        if !is_same_tool {
            return;
        }
        for entry in &mut self.entries {
            let is_same =
                |old: &Entry| old.wanted.variable == entry.wanted.variable && old.wanted.name == entry.wanted.name;
            if let Some(index) = old.iter().position(is_same) {
                let old = old.swap_remove(index);
                (entry.known, entry.failure) = (old.known, old.failure.map(LeaseFailure::at_rest));
            }
        }
    }

    /// What there is for a launch. Starts the tools that it has to wait for, unless it has waited already: then it goes
    /// on with what came of that, for better or worse.
    pub(crate) fn provide(
        &mut self,
        registry: &Registry,
        generation: Generation,
        now: Instant,
        news: &mut Vec<Happening>,
    ) -> Provision {
        if self.launch != Launch::MayGoOn {
            self.start(Purpose::Launch, registry, now, news);
        }
        let waits = self.is_waited_for();
        self.launch = if waits { Launch::Waits(generation) } else { Launch::Free };
        if waits { Provision::Pending } else { self.provision() }
    }

    /// Starts the tools for values that are too old, now that the worker that uses them is under way.
    pub(crate) fn refresh(&mut self, registry: &Registry, now: Instant, news: &mut Vec<Happening>) {
        self.start(Purpose::Refresh, registry, now, news);
    }

    /// Looks at the tools that run. Some exactly once per launch that waits, when its leases are over by themselves.
    pub(crate) fn proceed(&mut self, now: Instant, news: &mut Vec<Happening>) -> Option<Generation> {
        self.zombies.sweep();
        self.look_at = now + LOOK_PAUSE;
        let timed_out = |lease: &Lease| lease.purpose == Purpose::Refresh && now >= lease.give_up_at;
        for mut lease in std::mem::take(&mut self.leases) {
            let Lease { entry, purpose, .. } = lease;
            match lease.helper.proceed().map(answer::value) {
                Some(Ok(value)) => {
                    self.redactor.learn(self.entries[entry].variable(), &value);
                    self.entries[entry].take_over(Ok(value), purpose, now, news);
                }
                Some(Err(refusal)) => self.refusals.push((entry, purpose, refusal)),
                None if timed_out(&lease) => {
                    self.zombies.kill_and_keep(&mut lease.helper);
                    self.refusals.push((entry, purpose, self.too_late()));
                }
                None => self.leases.push(lease),
            }
        }
        self.take_over_refusals(now, news);
        let Launch::Waits(generation) = self.launch else { return None };
        if self.is_waited_for() {
            return None;
        }
        self.launch = Launch::MayGoOn;
        Some(generation)
    }

    /// What tools say of their failures may repeat what another prints that still runs: it is shown when all are over,
    /// or a launch has to go on.
    fn take_over_refusals(&mut self, now: Instant, news: &mut Vec<Happening>) {
        if self.is_waited_for() || (self.launch == Launch::Free && !self.leases.is_empty()) {
            return;
        }
        for (entry, purpose, refusal) in std::mem::take(&mut self.refusals) {
            self.entries[entry].take_over(Err(refusal.shown(&self.redactor)), purpose, now, news);
        }
    }

    fn too_late(&self) -> Refusal {
        Refusal::new(format!("timed out after {}", secs(self.timeout)))
    }

    /// The processes that are still to be reaped here.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.leases.iter().filter_map(|lease| lease.helper.pid()).chain(self.zombies.pids())
    }

    /// When to call [`Secrets::proceed`] without being woken: only while tools run.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.leases.is_empty()).then_some(self.look_at)
    }

    /// Ends the leases that a launch waits for: it goes on with what came of them, if they took too long.
    pub(crate) fn cancel(&mut self, now: Instant, timed_out: bool, news: &mut Vec<Happening>) {
        if !timed_out {
            return self.abort();
        }
        self.proceed(now, news);
        let mut late = Vec::new();
        let is_waited_for = |lease: &mut Lease| lease.purpose == Purpose::Launch;
        for mut lease in self.leases.extract_if(.., is_waited_for) {
            self.zombies.kill_and_keep(&mut lease.helper);
            late.push((lease.entry, lease.purpose));
        }
        let refusals = late.into_iter().map(|(entry, purpose)| (entry, purpose, self.too_late()));
        self.refusals.extend(refusals.collect::<Vec<_>>());
        self.launch = Launch::MayGoOn;
        self.take_over_refusals(now, news);
    }

    /// Ends all leases and forgets them.
    pub(crate) fn abort(&mut self) {
        self.launch = Launch::Free;
        self.refusals.clear();
        for mut lease in self.leases.drain(..) {
            self.zombies.kill_and_keep(&mut lease.helper);
        }
    }

    /// The variables whose values could not be refreshed and are used all the same.
    pub(crate) fn stale(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.failure.is_some() && entry.known.is_some()).map(Entry::variable)
    }

    /// The variables that the worker has to do without.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.failure.is_some() && entry.known.is_none()).map(Entry::variable)
    }

    /// Starts a tool for each secret that is due and whose lease would be for this.
    fn start(&mut self, purpose: Purpose, registry: &Registry, now: Instant, news: &mut Vec<Happening>) {
        let is_due = |index: &usize| {
            let entry = &self.entries[*index];
            self.purpose(entry) == purpose && self.is_due(entry, now) && !self.is_being_leased(*index)
        };
        let due: Vec<usize> = (0..self.entries.len()).filter(is_due).collect();
        if due.is_empty() {
            return;
        }
        self.zombies.sweep();
        self.look_at = now + LOOK_PAUSE;
        let (env, give_up_at) = (helper_env(), now + self.timeout);
        for entry in due {
            match self.start_tool(&self.entries[entry].wanted.name, &env, registry) {
                Ok(helper) => self.leases.push(Lease { entry, purpose, helper, give_up_at }),
                Err(reason) => self.entries[entry].take_over(Err(reason), purpose, now, news),
            }
        }
    }

    /// A value that may get no age is asked for before each launch; any other only where there is none to start with.
    fn purpose(&self, entry: &Entry) -> Purpose {
        if entry.known.is_none() || self.max_age.is_zero() { Purpose::Launch } else { Purpose::Refresh }
    }

    fn is_being_leased(&self, entry: usize) -> bool {
        let refused = self.refusals.iter().map(|(refused, ..)| *refused);
        self.leases.iter().map(|lease| lease.entry).chain(refused).any(|leased| leased == entry)
    }

    fn is_waited_for(&self) -> bool {
        self.leases.iter().any(|lease| lease.purpose == Purpose::Launch)
    }

    fn is_due(&self, entry: &Entry, now: Instant) -> bool {
        let is_fresh = entry.known.as_ref().is_some_and(|known| known.age(now) < self.max_age);
        let pause = RETRY_PAUSE_MAX.min(self.max_age);
        let has_just_failed = entry
            .failure
            .as_ref()
            .and_then(|failure| failure.at)
            .is_some_and(|at| now.saturating_duration_since(at) < pause);
        let is_spared = has_just_failed && !entry.is_wanting();
        !is_fresh && !is_spared
    }

    fn start_tool(&self, name: &str, env: &[CString], registry: &Registry) -> Result<Helper, String> {
        self.zombies.ensure_room()?;
        let command = Command::from_config(&self.command, PLACEHOLDER, name, &self.dir)?;
        let task = Task {
            command: &command,
            env,
            dir: Path::new("/"),
            lifetime: Lifetime::Ours,
            stdin: None,
            output_bytes_max: Some(answer::OUTPUT_BYTES_MAX),
        };
        Helper::spawn(task, registry, Source::Helper.token()).map_err(|error| error.to_string())
    }

    fn provision(&self) -> Provision {
        let wanting: Vec<&Entry> = self.entries.iter().filter(|entry| entry.is_wanting()).collect();
        if !wanting.is_empty() {
            return Provision::Failed(failure(&wanting));
        }
        let variable = |entry: &Entry| Some((entry.wanted.variable.clone(), entry.known.as_ref()?.secret.clone()));
        Provision::Ready(self.entries.iter().filter_map(variable).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::testing::{Bench, shell};
    use super::*;
    use crate::config::SecretEntry;
    use crate::supervise::report::message::Message;
    use crate::supervise::report::messages::Known;
    use crate::supervise::report::status::Status;
    use crate::supervise::report::throttle::{Permit, Throttle};
    use std::ffi::OsStr;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A config with these secrets, whose tool is a shell that runs `script` with the secret's name as `$1`.
    fn config(bench: &Bench, script: &str, secrets: &[(&str, &str)], rest: &str) -> Config {
        let path = bench.dir.join("worker.toml");
        let secrets: String = secrets.iter().map(|(variable, name)| format!("{variable} = \"{name}\"\n")).collect();
        let content = format!(
            "command = [\"a\"]\nport = 1\n{rest}\nsecrets_command = \
             [\"/bin/sh\", \"-c\", \"\"\"{script}\"\"\", \"tool\", \"{{name}}\"]\n[secrets]\n{secrets}"
        );
        std::fs::write(&path, content).unwrap();
        Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap().config
    }

    /// The secrets of a supervisor, a poll, and a clock that a test moves.
    struct Fixture {
        bench: Bench,
        secrets: Secrets,
        now: Instant,
        news: Vec<Happening>,
        throttle: Throttle,
    }

    impl Fixture {
        fn new(test: &str, script: &str, secrets: &[(&str, &str)], rest: &str) -> Self {
            let bench = Bench::new(test);
            let secrets = Secrets::new(&config(&bench, script, secrets, rest));
            Self { bench, secrets, now: Instant::now(), news: Vec::new(), throttle: Throttle::default() }
        }

        /// One turn's `provide`.
        fn ask(&mut self) -> Provision {
            let Self { bench, secrets, now, news, .. } = self;
            secrets.provide(bench.registry(), Generation::FIRST, *now, news)
        }

        fn proceed(&mut self) -> Option<Generation> {
            self.secrets.proceed(self.now, &mut self.news)
        }

        fn finish(&mut self) {
            let Self { bench, secrets, now, news, .. } = self;
            bench.turn_until("the end of the leases", || secrets.proceed(*now, news));
        }

        /// What follows a spawn, and the end of the leases that it begins.
        fn refresh(&mut self) {
            let Self { bench, secrets, now, news, .. } = self;
            secrets.refresh(bench.registry(), *now, news);
            bench.turn_until("the end of the refresh", || {
                assert!(secrets.proceed(*now, news).is_none(), "no launch waits for it");
                secrets.deadline().is_none().then_some(())
            });
        }

        /// A launch that waits for its leases, if it has to.
        fn launch(&mut self) -> Provision {
            match self.ask() {
                Provision::Pending => {
                    self.finish();
                    let settled = self.ask();
                    assert_ne!(settled, Provision::Pending, "a second attempt in one launch");
                    settled
                }
                other => other,
            }
        }

        /// How often the tool ran, given that it notes that in the file `runs`.
        fn runs(&self) -> usize {
            std::fs::read_to_string(self.bench.dir.join("runs")).map_or(0, |text| text.lines().count())
        }

        fn set(&self, name: &str, content: &str) {
            std::fs::write(self.bench.dir.join(name), content).unwrap();
        }

        /// The lines that a log would have, without those that it holds back.
        fn said(&mut self) -> Vec<String> {
            let (mut known, now) = (Known::new(Status::default()), self.now);
            let messages = self.news.drain(..).filter_map(|happening| known.tell(happening, 0));
            let permit = |message: &Message| {
                self.throttle.permit(now, (message.kind, &message.subject), &message.key, message.free) != Permit::Hold
            };
            messages.filter(permit).map(|message| message.text).collect()
        }
    }

    fn ready(values: &[(&str, &str)]) -> Provision {
        let secret = |value: &str| Secret::new(value.as_bytes().to_vec());
        Provision::Ready(values.iter().map(|(variable, value)| ((*variable).to_owned(), secret(value))).collect())
    }

    /// A tool that prints the file named like the secret, and fails without one; it notes each run.
    fn from_files(test: &str) -> String {
        let dir = Bench::dir_of(test);
        format!("cd '{}'; echo run >>runs; cat $1 2>/dev/null || {{ echo none is there >&2; exit 1; }}", dir.display())
    }

    #[test]
    fn without_secrets_nothing_runs() {
        let mut fixture = Fixture::new("s-none", "exit 1", &[], "");
        assert_eq!(fixture.ask(), ready(&[]));
        assert_eq!(fixture.secrets.deadline(), None);
        assert!(fixture.proceed().is_none());
    }

    #[test]
    fn each_secret_is_leased_by_its_name() {
        let mut fixture =
            Fixture::new("s-names", "echo value of $1; echo noise >&2", &[("A", "one"), ("B", "two")], "");
        assert_eq!(fixture.ask(), Provision::Pending);
        assert!(fixture.secrets.deadline().is_some());
        fixture.finish();
        assert!(fixture.proceed().is_none(), "the end was told twice");
        assert_eq!(fixture.ask(), ready(&[("A", "value of one"), ("B", "value of two")]));
        assert_eq!(fixture.secrets.deadline(), None);
        assert_eq!(fixture.said(), Vec::<String>::new());
    }

    #[test]
    fn tools_run_side_by_side() {
        // Each ends only after the other has begun.
        let mut fixture = Fixture::new("s-side", "exit 9", &[], "");
        let script = format!(
            "cd '{}'; touch $1; until [ -e one ] && [ -e two ]; do sleep 0.01; done; echo x",
            fixture.bench.dir.display()
        );
        let config = config(&fixture.bench, &script, &[("A", "one"), ("B", "two")], "");
        fixture.secrets.reconfigure(&config);
        assert_eq!(fixture.launch(), ready(&[("A", "x"), ("B", "x")]));
    }

    #[test]
    fn a_young_value_is_used_without_asking_again() {
        let mut fixture = Fixture::new("s-cache", &from_files("s-cache"), &[("A", "a")], "secrets_max_age_secs = 300");
        fixture.set("a", "1");
        assert_eq!(fixture.launch(), ready(&[("A", "1")]));
        fixture.set("a", "2");
        fixture.now += MINUTE * 4;
        assert_eq!(fixture.ask(), ready(&[("A", "1")]));
        assert_eq!(fixture.runs(), 1);
        fixture.now += MINUTE;
        assert_eq!(fixture.ask(), ready(&[("A", "1")]), "too old, but at hand");
        assert_eq!(fixture.runs(), 1, "nothing runs before the spawn");
        fixture.refresh();
        assert_eq!(fixture.ask(), ready(&[("A", "2")]));
        assert_eq!(fixture.runs(), 2);
        assert_eq!(fixture.said(), ["secret A has changed; the worker gets the new value at its next start"]);
    }

    #[test]
    fn a_tool_that_hangs_holds_up_no_launch_that_has_a_value() {
        let rest = "secrets_max_age_secs = 300\nsecrets_timeout_secs = 10\nrequired_secrets = [\"A\"]";
        let script = format!("[ -e hang ] && exec sleep 60; {}", from_files("s-beside"));
        let script = format!("cd '{}'; {script}", Bench::dir_of("s-beside").display());
        let mut fixture = Fixture::new("s-beside", &script, &[("A", "a"), ("B", "b")], rest);
        fixture.set("a", "1");
        fixture.set("b", "2");
        let both = ready(&[("A", "1"), ("B", "2")]);
        assert_eq!(fixture.launch(), both);
        fixture.set("hang", "");
        fixture.now += MINUTE * 5;
        for _ in 0..3 {
            assert_eq!(fixture.ask(), both);
            let Fixture { bench, secrets, now, news, .. } = &mut fixture;
            secrets.refresh(bench.registry(), *now, news);
            assert_eq!(secrets.leases.len(), 2, "one tool for each, however often the worker dies");
        }
        let pids: Vec<Pid> = fixture.secrets.pids().collect();
        fixture.now += Duration::from_secs(10);
        assert!(fixture.proceed().is_none());
        assert_eq!(fixture.secrets.stale().collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(
            fixture.said(),
            ["A", "B"].map(|name| format!("cannot refresh secret {name}: timed out after 10 s; using its last value"))
        );
        assert_eq!(fixture.ask(), both);
        for pid in pids {
            let Fixture { bench, secrets, now, news, .. } = &mut fixture;
            bench.wait_for_reap(pid, || assert!(secrets.proceed(*now, news).is_none()));
        }
    }

    #[test]
    fn a_launch_waits_for_the_value_that_it_lacks_and_for_no_other() {
        let script = format!("[ $1 = a ] && [ -e a ] && exec sleep 60; {}", from_files("s-lacks"));
        let script = format!("cd '{}'; {script}", Bench::dir_of("s-lacks").display());
        let mut fixture = Fixture::new("s-lacks", &script, &[("A", "a"), ("B", "b")], "secrets_max_age_secs = 1");
        // The machine has slept since: the clock of instants did not count that.
        fixture.secrets.entries[0].known = Some(super::super::secret_entry::Known {
            secret: Secret::new(b"1".to_vec()),
            leased_at: fixture.now,
            leased_at_boot: Duration::ZERO,
        });
        fixture.set("a", "");
        fixture.set("b", "2");
        assert_eq!(fixture.launch(), ready(&[("A", "1"), ("B", "2")]));
        fixture.secrets.refresh(fixture.bench.registry(), fixture.now, &mut fixture.news);
        assert_eq!(fixture.secrets.leases.len(), 1, "a is too old");
        fixture.secrets.abort();
    }

    #[test]
    fn a_maximum_age_of_zero_asks_at_each_launch() {
        let mut fixture = Fixture::new("s-zero", &from_files("s-zero"), &[("A", "a")], "secrets_max_age_secs = 0");
        fixture.set("a", "1");
        assert_eq!(fixture.launch(), ready(&[("A", "1")]));
        fixture.set("a", "2");
        assert_eq!(fixture.launch(), ready(&[("A", "2")]));
        std::fs::remove_file(fixture.bench.dir.join("a")).unwrap();
        for _ in 0..2 {
            assert_eq!(fixture.launch(), ready(&[("A", "2")]));
        }
        assert_eq!(fixture.runs(), 4);
    }

    #[test]
    fn a_failed_refresh_keeps_the_last_value_and_warns_once() {
        let rest = "secrets_max_age_secs = 300\nrequired_secrets = [\"A\"]";
        let mut fixture = Fixture::new("s-stale", &from_files("s-stale"), &[("A", "a")], rest);
        fixture.set("a", "1");
        assert_eq!(fixture.launch(), ready(&[("A", "1")]));
        std::fs::remove_file(fixture.bench.dir.join("a")).unwrap();
        for _ in 0..3 {
            fixture.now += MINUTE * 5;
            assert_eq!(fixture.ask(), ready(&[("A", "1")]));
            fixture.refresh();
            assert_eq!(fixture.secrets.stale().collect::<Vec<_>>(), ["A"]);
        }
        let warning =
            "cannot refresh secret A: the tool failed: exit code 1, saying \"none is there\"; using its last value";
        assert_eq!(fixture.said(), [warning]);
        fixture.set("a", "2");
        fixture.now += MINUTE * 5;
        assert_eq!(fixture.ask(), ready(&[("A", "1")]));
        fixture.refresh();
        assert_eq!(fixture.secrets.stale().count(), 0);
        let changed = "secret A has changed; the worker gets the new value at its next start";
        assert_eq!(fixture.said(), [changed, "secret A can be leased again"]);
        assert_eq!(fixture.ask(), ready(&[("A", "2")]));
    }

    #[test]
    fn a_tool_that_failed_without_need_is_left_alone_for_a_while() {
        let mut fixture = Fixture::new("s-pause", &from_files("s-pause"), &[("A", "a")], "");
        assert_eq!(fixture.launch(), ready(&[]));
        assert_eq!(fixture.secrets.left_out().collect::<Vec<_>>(), ["A"]);
        fixture.set("a", "1");
        fixture.now += RETRY_PAUSE_MAX - Duration::from_millis(1);
        assert_eq!(fixture.ask(), ready(&[]));
        fixture.now += Duration::from_millis(1);
        assert_eq!(fixture.launch(), ready(&[("A", "1")]));
        assert_eq!(fixture.runs(), 2);
    }

    #[test]
    fn an_optional_secret_that_can_not_be_had_is_left_out() {
        let script = "case $1 in empty) ;; nul) printf 'x\\\\000' ;; long) yes ;; *) echo x; exit 1 ;; esac";
        let secrets = [("A", "empty"), ("B", "nul"), ("C", "long"), ("D", "other")];
        let mut fixture = Fixture::new("s-optional", script, &secrets, "");
        assert_eq!(fixture.launch(), ready(&[]));
        let said = fixture.said().join("\n");
        for part in [
            "A: the tool printed an empty",
            "B: the value holds a NUL",
            "C: the value is longer than 64 KiB",
            "D: the tool failed",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_missing_required_secret_fails_each_launch_until_it_is_there() {
        let rest = "required_secrets = [\"A\", \"B\", \"C\"]";
        let script = from_files("s-required");
        let mut fixture = Fixture::new("s-required", &script, &[("A", "a"), ("B", "b"), ("C", "c")], rest);
        fixture.set("c", "3");
        let failed =
            "cannot lease required secrets: A, B (the tool failed: exit code 1, saying \"none is there\")".to_owned();
        assert_eq!(fixture.launch(), Provision::Failed(failed));
        fixture.set("a", "1");
        let failed =
            "cannot lease required secrets: B (the tool failed: exit code 1, saying \"none is there\")".to_owned();
        assert_eq!(fixture.launch(), Provision::Failed(failed));
        fixture.set("b", "2");
        assert_eq!(fixture.launch(), ready(&[("A", "1"), ("B", "2"), ("C", "3")]));
        assert_eq!(fixture.runs(), 6);
        assert_eq!(fixture.said(), Vec::<String>::new());
    }

    #[test]
    fn what_a_tool_says_is_told_without_any_value_also_one_that_was_leased_beside_it_or_before() {
        let script = from_files("s-redact") + "; case $1 in b) sed 's/^/bad: /' a old >&2; exit 1 ;; esac";
        let secrets = [("A", "a"), ("B", "b")];
        let mut fixture = Fixture::new("s-redact", &script, &secrets, "secrets_max_age_secs = 0");
        let said =
            "cannot lease secret B: the tool failed: exit code 1, saying \"bad: [secret A]\"; starting without it";
        for value in ["first value", "second value"] {
            fixture.set("a", value);
            fixture.set("b", "x");
            if !fixture.bench.dir.join("old").exists() {
                fixture.set("old", value);
            }
            assert_eq!(fixture.launch(), ready(&[("A", value)]));
        }
        assert_eq!(fixture.said(), [said]);
    }

    #[test]
    fn a_failure_explains_only_so_many_secrets() {
        let variables: Vec<String> = (10..30).map(|number| format!("V{number}")).collect();
        let secrets: Vec<(&str, &str)> = variables.iter().map(|variable| (variable.as_str(), "x")).collect();
        let mut fixture = Fixture::new("s-many", "exit 1", &secrets, &format!("required_secrets = {variables:?}"));
        let Provision::Failed(reason) = fixture.launch() else { panic!("ready") };
        assert!(reason.ends_with("V16, V17 (the tool failed: exit code 1), and 12 more"), "{reason}");
    }

    #[test]
    fn a_tool_that_can_not_be_run_fails_the_launch_at_once() {
        let mut fixture = Fixture::new("s-no-tool", "", &[("A", "a"), ("B", "b")], "required_secrets = [\"A\", \"B\"]");
        fixture.secrets.command = vec!["no-such-tool".into(), "{name}".into()];
        let Provision::Failed(reason) = fixture.ask() else { panic!("not failed") };
        assert!(
            reason.starts_with("cannot lease required secrets: A, B (cannot find program \"no-such-tool\""),
            "{reason}"
        );
        assert!(fixture.proceed().is_none());
    }

    #[test]
    fn a_tool_that_hangs_is_ended_with_its_children_and_nothing_is_left() {
        let mut fixture = Fixture::new("s-hang", "", &[], "");
        let (dir, rest) = (fixture.bench.dir.clone(), "secrets_timeout_secs = 10\nrequired_secrets = [\"A\"]");
        let script = format!(
            "cd '{}'; [ $1 = quick ] && echo q && exit; echo $$ >$1.pid; sleep 60 & echo $! >$1.child; sleep 60",
            dir.display()
        );
        let config = config(&fixture.bench, &script, &[("A", "a"), ("B", "b"), ("Q", "quick")], rest);
        fixture.secrets.reconfigure(&config);
        assert_eq!(fixture.ask(), Provision::Pending);
        let pids: Vec<Pid> = ["a.pid", "b.pid", "a.child", "b.child"].map(|name| fixture.bench.pid(name)).into();
        let Fixture { bench, secrets, now, news, .. } = &mut fixture;
        bench.turn_until("the quick one", || {
            assert!(secrets.proceed(*now, news).is_none());
            (secrets.leases.len() == 2).then_some(())
        });
        assert_eq!(fixture.ask(), Provision::Pending, "it waits for all of them");

        fixture.now += Duration::from_secs(10);
        fixture.secrets.cancel(fixture.now, true, &mut fixture.news);
        assert!(fixture.proceed().is_none(), "whoever cancels needs no telling");
        let failed = "cannot lease required secrets: A (timed out after 10 s)".to_owned();
        assert_eq!(fixture.ask(), Provision::Failed(failed));
        assert_eq!(fixture.said(), ["cannot lease secret B: timed out after 10 s; starting without it"]);
        assert!(fixture.secrets.entries[2].known.is_some(), "the quick one's value is kept");
        for pid in &pids[..2] {
            let Fixture { bench, secrets, now, news, .. } = &mut fixture;
            bench.wait_for_reap(*pid, || assert!(secrets.proceed(*now, news).is_none()));
        }
        for pid in &pids[2..] {
            fixture.bench.wait_for_end(*pid);
        }
    }

    #[test]
    fn an_abort_ends_the_tools_and_forgets_the_attempt() {
        let mut fixture = Fixture::new("s-abort", "", &[("A", "a")], "");
        fixture.secrets.command = shell(&fixture.bench, "tool", "sleep 60");
        assert_eq!(fixture.ask(), Provision::Pending);
        let pid = fixture.bench.pid("tool.pid");
        fixture.secrets.abort();
        assert_eq!(fixture.secrets.deadline(), None);
        let Fixture { bench, secrets, now, news, .. } = &mut fixture;
        bench.wait_for_reap(pid, || assert!(secrets.proceed(*now, news).is_none()));
    }

    #[test]
    fn another_config_keeps_the_values_that_it_still_means() {
        let script = from_files("s-config");
        let mut fixture = Fixture::new("s-config", &script, &[("A", "a"), ("B", "b"), ("C", "c")], "");
        for name in ["a", "b", "c", "d"] {
            fixture.set(name, name);
        }
        assert_eq!(fixture.launch(), ready(&[("A", "a"), ("B", "b"), ("C", "c")]));
        let next = config(&fixture.bench, &script, &[("A", "a"), ("C", "d"), ("D", "d")], "");
        fixture.secrets.reconfigure(&next);
        assert_eq!(fixture.launch(), ready(&[("A", "a"), ("C", "d"), ("D", "d")]));
        assert_eq!(fixture.runs(), 5);
        let other_tool = config(&fixture.bench, "echo other", &[("A", "a")], "");
        fixture.secrets.reconfigure(&other_tool);
        assert_eq!(fixture.launch(), ready(&[("A", "other")]));
    }

    #[test]
    fn another_config_gives_a_failed_tool_its_next_try_at_once() {
        let script = from_files("s-again");
        let mut fixture = Fixture::new("s-again", &script, &[("A", "a")], "");
        assert_eq!(fixture.launch(), ready(&[]));
        fixture.set("a", "1");
        let same = config(&fixture.bench, &script, &[("A", "a")], "");
        fixture.secrets.reconfigure(&same);
        assert_eq!(fixture.launch(), ready(&[("A", "1")]));
    }

    #[test]
    fn no_value_is_ever_shown() {
        let script = "printf canary; [ $1 = good ] || exit 1";
        let secrets = [("A", "good"), ("B", "optional"), ("C", "required")];
        let mut fixture = Fixture::new("s-canary", script, &secrets, "required_secrets = [\"C\"]");
        let provision = fixture.launch();
        let said = fixture.said().join(" ");
        assert!(said.contains("secret B"), "{said}");
        let good: Vec<SecretEntry> = fixture.secrets.entries.iter().take(1).map(|entry| entry.wanted.clone()).collect();
        fixture.secrets.entries.retain(|entry| good.contains(&entry.wanted));
        let shown = format!("{provision:?} {said} {:?}", fixture.launch());
        assert!(shown.contains("Failed") && shown.contains("Ready"), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains(&format!("{:?}", b"canary")), "{shown}");
    }
}
