//! The worker's log files, seen from the supervisor: when to rotate them, and what a dead worker said last.
//!
//! The worker writes them itself and pays for it itself. Looking costs one `stat` call a log, at a spawn and then once
//! a health interval; a rotation goes 256 KiB per turn of the loop, so that nothing waits for it.

pub(crate) mod last_words;
pub mod rotation;

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use platform::{FileId, file_id};

use self::rotation::{Rotation, is_hollow, open_to_read};
use super::report::happening::Happening;
use super::report::redact::Foreign;
use super::report::status::Status;
use crate::config::Config;
use crate::state_dir::StateDir;

/// From a rotation that failed to the next try. A start looks every few milliseconds, and a copy that ends at a full
/// disk has cost all of its writing.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// For how many times as long as a step of a rotation took it rests then. At full speed a big log is copied faster than
/// disks take it, and then something waits for all of that at once: of 4 GB on ext4 the first hole, for 1.7 s (with as
/// much rest as work 0.35 s; so 0.07). None while the worker writes much meanwhile.
const STEP_RESTS: u32 = 3;

/// What may be wrong with a log.
const REMOVED: &str = "was removed or renamed, and the worker goes on writing to it there; `restart` begins a new one";
const HOLLOW: &str = "is not opened for appending by who writes it, so that it begins with a hole after each rotation";

/// How many entries of the state directory are looked at for others.
const OTHERS_MAX: usize = 64;

/// How far from their end a worker's last words are looked for, in bytes. Go prints the stacks of all that ran, Node.js
/// those of its heap: 10 KiB after the line that says why.
const LAST_WORDS_BYTES_MAX: u64 = 16 * 1024;

/// Both logs of one configuration.
pub(crate) struct Logs {
    stdout: PathBuf,
    stderr: PathBuf,
    bytes_max: Option<u64>,
    keep: u32,
    /// From one look to the next: a start asks for its health every few milliseconds.
    look_interval: Duration,
    /// None: at the next chance.
    look_at: Option<Instant>,
    /// Rotations under way, since when.
    rotating: Vec<Rotation>,
    step_at: Option<Instant>,
    /// The logs whose rotation has failed, and when it is tried again.
    failed: Vec<(PathBuf, Instant)>,
    /// Where the live worker's part of the standard error log begins.
    stderr_from: u64,
    /// The files that the live worker got as its logs, as far as they are regular ones.
    live: [Option<FileId>; 2],
    /// What is wrong with the live worker's logs while it lasts, as sentences.
    problems: Vec<String>,
}

/// The part of the standard error log that one worker wrote: from the first byte to before the last.
pub(crate) struct Output {
    from: u64,
    to: u64,
}

impl Logs {
    /// The logs that the configuration names.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            stdout: config.log_stdout.clone(),
            stderr: config.log_stderr.clone(),
            bytes_max: config.log_bytes_max,
            keep: config.log_keep,
            look_interval: config.health_interval,
            look_at: None,
            rotating: Vec::new(),
            step_at: None,
            failed: Vec::new(),
            stderr_from: 0,
            live: [None; 2],
            problems: Vec::new(),
        }
    }

    /// Takes over another configuration. Rotations under way go on.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        let rotating = std::mem::take(&mut self.rotating);
        *self = Self { rotating, step_at: self.step_at, stderr_from: self.stderr_from, ..Self::new(config) };
    }

    /// A worker is about to write.
    pub(crate) fn worker_starts(&mut self) {
        self.stderr_from = self.stderr_len();
        self.live = [None; 2];
        self.look_at = None;
    }

    /// What the worker has written to its standard error.
    pub(crate) fn output_of_worker(&self) -> Output {
        Output { from: self.stderr_from, to: self.stderr_len() }
    }

    /// The line of that output that says why the worker died, if there is one.
    pub(crate) fn last_words(&self, output: &Output) -> Option<Foreign> {
        let words = read_end(&self.stderr, output)?;
        last_words::choose(&words).map(Foreign::new)
    }

    /// What is wrong with the logs of the live worker, as it was at the last look.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Looks at both logs, if that is due: at each health check of a worker that is up.
    pub(crate) fn look(&mut self, now: Instant, news: &mut Vec<Happening>) {
        if self.look_at.is_some_and(|look_at| now < look_at) {
            return;
        }
        self.look_at = Some(now + self.look_interval);
        let found = [&self.stdout, &self.stderr].map(|path| fs::metadata(path).ok().filter(Metadata::is_file));
        self.rotate(&found, now, news);
        let problems = self.find_problems(&found);
        let fresh = problems.iter().filter(|text| !self.problems.contains(text));
        news.extend(fresh.map(|text| Happening::Warning { kind: "log", text: text.clone() }));
        self.problems = problems;
    }

    /// Begins to rotate what has grown too large, unless that has just failed.
    fn rotate(&mut self, found: &[Option<Metadata>; 2], now: Instant, news: &mut Vec<Happening>) {
        let Some(bytes_max) = self.bytes_max else { return };
        if !self.rotating.is_empty() {
            return;
        }
        self.failed.retain(|(_, retry_at)| now < *retry_at);
        // Both may be one file, of one name or two.
        let [stdout, stderr] = found.each_ref().map(|log| log.as_ref().filter(|log| log.len() > bytes_max));
        let stderr = stderr.filter(|stderr| stdout.is_none_or(|stdout| file_id(stdout) != file_id(stderr)));
        for (path, _) in [(&self.stdout, stdout), (&self.stderr, stderr)].into_iter().filter(|(_, log)| log.is_some()) {
            if self.failed.iter().any(|(failed, _)| failed == path) {
                continue;
            }
            match Rotation::start(path, bytes_max, self.keep) {
                Ok(rotation) => self.rotating.extend(rotation),
                Err(error) => {
                    news.push(cannot_rotate(path, &error));
                    self.failed.push((path.clone(), now + RETRY_PAUSE));
                }
            }
        }
        self.step_at = (!self.rotating.is_empty()).then_some(now);
    }

    fn find_problems(&mut self, found: &[Option<Metadata>; 2]) -> Vec<String> {
        let mut problems = Vec::new();
        for ((path, live), metadata) in [&self.stdout, &self.stderr].into_iter().zip(&mut self.live).zip(found) {
            let found = metadata.as_ref().map(file_id);
            // Right after its start the files that the worker has are at their paths.
            *live = live.or(found);
            let is_over = |log: &Metadata| self.bytes_max.is_some_and(|max| log.len() > max);
            let problem = if found != *live {
                REMOVED
            } else if match self.rotating.iter().find(|rotation| rotation.path() == path) {
                // It makes a hole as well.
                Some(rotation) => rotation.began_hollow(),
                None => metadata.as_ref().is_some_and(is_over) && is_hollow(path),
            } {
                HOLLOW
            } else {
                continue;
            };
            let text = format!("log {path:?} {problem}");
            problems.extend((!problems.contains(&text)).then_some(text));
        }
        problems
    }

    /// Gives up the rotations under way, and removes the copies that they began.
    pub(crate) fn abandon(&mut self) {
        self.rotating.clear();
    }

    /// Goes on with the rotations under way, when it is time.
    pub(crate) fn step(&mut self, now: Instant, news: &mut Vec<Happening>) {
        if self.step_at.is_none_or(|at| now < at) {
            return;
        }
        let began = Instant::now();
        self.rotating.retain_mut(|rotation| match rotation.step() {
            Ok(true) => {
                news.extend(outrun(rotation.path(), rotation.skipped()));
                false
            }
            Ok(false) => true,
            Err(error) => {
                news.push(cannot_rotate(rotation.path(), &error));
                self.failed.push((rotation.path().to_owned(), now + RETRY_PAUSE));
                false
            }
        });
        let ended = Instant::now();
        let rests = if self.rotating.iter().all(Rotation::may_rest) { STEP_RESTS } else { 0 };
        self.step_at = (!self.rotating.is_empty()).then(|| ended + rests * (ended - began));
    }

    /// When to call [`Logs::step`] next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.step_at
    }

    fn stderr_len(&self) -> u64 {
        fs::metadata(&self.stderr).map_or(0, |metadata| metadata.len())
    }
}

/// The end of what a worker has written to a log. A log that is shorter than when it began was rotated since: then all
/// of it is the worker's. None: it is no regular file, or was rotated since the exit, or has nothing of the worker.
fn read_end(path: &Path, output: &Output) -> Option<Vec<u8>> {
    // Looked at before it is opened: opening a FIFO waits for its other end.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let from = if output.from > output.to { 0 } else { output.from };
    let start = from.max(output.to.saturating_sub(LAST_WORDS_BYTES_MAX));
    let mut words = vec![0; usize::try_from(output.to - start).ok()?];
    open_to_read(path).ok()?.read_exact_at(&mut words, start).ok()?;
    Some(words)
}

fn outrun(path: &Path, skipped: u64) -> Option<Happening> {
    let text =
        format!("{path:?} lost {skipped} bytes in its rotation: the worker writes faster than they can be copied");
    (skipped > 0).then_some(Happening::Warning { kind: "log-rotation", text })
}

fn cannot_rotate(path: &Path, error: &io::Error) -> Happening {
    let text = format!("cannot rotate {path:?}: {error}; it goes on growing");
    Happening::Warning { kind: "log-rotation", text }
}

/// Other configurations of the same state directory that have a log in common with this one, as sentences for the log.
/// Each supervisor would rotate it under the other's hands. Known is what has run once, and whose file is still there.
pub fn shared(config: &Config) -> Vec<String> {
    let entries = fs::read_dir(&config.state_dir).into_iter().flatten().flatten().take(OTHERS_MAX);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| *name != config.name);
    let others = names.filter_map(|name| Status::read(&StateDir::existing(&config.state_dir, &name).ok()??).ok()?);
    let is_ours = |log: &str| [&config.log_stdout, &config.log_stderr].iter().any(|ours| ours.to_str() == Some(log));
    // /dev/stdout and its like are for each process something of its own.
    let is_device = |log: &str| log.starts_with("/dev/") && !log.starts_with("/dev/shm/");
    let shared = others.filter(|other| Path::new(&other.config_path).exists()).filter_map(|other| {
        let log = [&other.log_stdout, &other.log_stderr].into_iter().find(|log| is_ours(log) && !is_device(log))?;
        Some(format!(
            "{log:?} is a log of configuration {:?} too ({:?}); give each worker logs of its own",
            other.name, other.config_path
        ))
    });
    shared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::report::redact::Redactor;
    use std::ffi::OsStr;

    fn shown(words: Option<Foreign>) -> Option<String> {
        words.map(|words| Redactor::default().show(&words, 300))
    }

    #[test]
    fn last_words_end_where_the_next_worker_begins() {
        let dir = std::env::temp_dir().join(format!("ws-logs-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("worker.toml");
        fs::write(&path, "command = [\"a\"]\nport = 1\nlog_stderr = \"worker.err\"\n").unwrap();
        let mut logs = Logs::new(&Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap().config);
        let grow = |text: &str| {
            let so_far = fs::read_to_string(dir.join("worker.err")).unwrap_or_default();
            fs::write(dir.join("worker.err"), so_far + text).unwrap();
        };
        grow("of an earlier one\n");
        logs.worker_starts();
        let silent = logs.output_of_worker();
        grow("of this one\n");
        let output = logs.output_of_worker();
        logs.worker_starts();
        grow("of the next one\n");
        let told = [silent, output, logs.output_of_worker()].map(|output| shown(logs.last_words(&output)));
        assert_eq!(told, [None, Some("of this one".to_owned()), Some("of the next one".to_owned())]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn last_words_are_looked_for_near_the_end_of_what_the_worker_wrote() {
        let dir = std::env::temp_dir().join(format!("ws-words-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let log = dir.join("a.err");
        let told = |path: &Path, from, to| {
            let words = read_end(path, &Output { from, to });
            shown(words.and_then(|words| last_words::choose(&words).map(Foreign::new)))
        };
        assert_eq!([&log, &dir, Path::new("/dev/null")].map(|path| told(path, 0, 10)), [None, None, None]);
        let far = format!("x{}", "\n".repeat(20_000));
        for (content, from, to, expected) in [
            ("", 0, 0, None),
            ("\n \n\r\n", 0, 5, None),
            ("old\n", 4, 4, None),
            ("old\nnew", 4, 7, Some("new")),
            ("old\nnew\nfrom the next worker\n", 4, 8, Some("new")),
            ("one\ntwo\n\n  \n", 0, 12, Some("two")),
            ("a\x1b[31mb\r\n", 0, 9, Some("a\\x1b[31mb")),
            ("Node.js v20.20.2\n\nBun v1.4.5\n", 0, 29, Some("Bun v1.4.5")),
            ("rotated since the spawn\n", 1000, 24, Some("rotated since the spawn")),
            ("rotated since the exit\n", 1000, 2000, None),
            (&"x".repeat(20_000), 0, 20_000, Some(&*("x".repeat(300) + "…"))),
            (&far, 0, 20_001, None),
        ] {
            fs::write(&log, content).unwrap();
            assert_eq!(told(&log, from, to).as_deref(), expected, "{content:.60?}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn writer_that_does_not_append_is_told_also_where_each_check_finds_too_much() {
        let dir = std::env::temp_dir().join(format!("ws-hollow-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("worker.toml");
        let toml =
            "command = [\"a\"]\nport = 1\nlog_stdout = \"a.log\"\nlog_stderr = \"a.log\"\nlog_max_bytes = 4096\n";
        fs::write(&path, toml).unwrap();
        let config = Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap().config;
        let mut logs = Logs { look_interval: Duration::ZERO, ..Logs::new(&config) };
        let (now, mut news) = (Instant::now(), Vec::new());
        let log = fs::File::create(dir.join("a.log")).unwrap();
        let told = [0, 1, 2].map(|turn| {
            log.write_all_at(&[b'x'; 8192], turn * 8192).unwrap();
            logs.look(now, &mut news);
            assert!(logs.deadline().is_some(), "a rotation");
            while let Some(at) = logs.deadline() {
                logs.step(at, &mut news);
            }
            (logs.problems().len(), news.len())
        });
        assert_eq!(told, [(0, 0), (1, 1), (1, 1)]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_rotation_rests_only_as_long_as_the_worker_writes_little() {
        let dir = std::env::temp_dir().join(format!("ws-resting-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.log");
        let log = fs::File::create(&path).unwrap();
        log.set_len(8 << 20).unwrap();
        log.write_all_at(&vec![b'x'; 4 << 20], 0).unwrap();
        let mut rotation = Rotation::start(&path, 1024, 1).unwrap().unwrap();
        let may_rest_after = |kib: u64| {
            log.write_all_at(b"x", (kib << 10) - 1).unwrap();
            rotation.step().unwrap();
            rotation.may_rest()
        };
        // A clone has copied 8 MiB at once, and may be outrun by one.
        assert_eq!([8_192, 8_208, 10_240, 30_720].map(may_rest_after), [true, true, false, false]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_a_rotation_could_not_copy_is_told() {
        assert_eq!(outrun(Path::new("a.log"), 0), None);
        let Some(Happening::Warning { text, .. }) = outrun(Path::new("a.log"), 7) else { panic!("nothing told") };
        assert_eq!(text, "\"a.log\" lost 7 bytes in its rotation: the worker writes faster than they can be copied");
    }

    #[test]
    fn rotation_that_failed_is_tried_again_after_a_pause_only() {
        let dir = std::env::temp_dir().join(format!("ws-rotating-{}", std::process::id()));
        // Nothing can be renamed to a directory that holds something.
        fs::create_dir_all(dir.join("worker.err.1/x")).unwrap();
        fs::write(dir.join("worker.err"), "long enough").unwrap();
        let path = dir.join("worker.toml");
        let toml =
            "command = [\"a\"]\nport = 1\nlog_stdout = \"worker.err\"\nlog_stderr = \"worker.err\"\nlog_keep = 1\n";
        fs::write(&path, toml).unwrap();
        let config = Config::load_with_home(&path, Some(OsStr::new("/home/joe"))).unwrap().config;
        let mut logs = Logs { bytes_max: Some(1), look_interval: Duration::ZERO, ..Logs::new(&config) };
        let now = Instant::now();
        let mut begins = |at| {
            let mut news = Vec::new();
            logs.look(at, &mut news);
            assert_eq!(news, []);
            let begun = logs.deadline().is_some();
            logs.step(at, &mut news);
            assert_eq!(news.len(), usize::from(begun));
            begun
        };
        let just_before = RETRY_PAUSE - Duration::from_millis(1);
        assert_eq!([now, now, now + just_before, now + RETRY_PAUSE].map(&mut begins), [true, false, false, true]);
        fs::remove_dir_all(dir).unwrap();
    }
}
