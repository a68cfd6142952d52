//! The status file: what a supervisor knows of itself and its worker, for `status`, scripts and event hooks.
//!
//! The fields are an interface: they are only ever added. Times are milliseconds since 1970 by the wall clock, all of
//! them by the one of the moment of writing ([`Status::follow_clock`]); how long ago that was, only the clock since the
//! boot tells. Durations are milliseconds. Text from the worker or the network is escaped. No field ever holds
//! a secret's value. A reader finds the old file or the new one, never a part of either, and takes what another version
//! wrote: unknown fields are skipped, missing ones have their defaults.

use std::io;
use std::os::unix::fs::FileExt;

use platform::Access;
use serde::Serialize;

use crate::error::cut;
use crate::policy::Condition;
use crate::state_dir::{STATUS, STATUS_SPARE, STATUS_TRIAL, StateDir};
use crate::time::Now;

/// A status is as long as one of these, or two…, so that one has room in the place of another. Most take a fifth.
const SLOT_BYTES: usize = 16 * 1024;

/// How many transitions are remembered.
pub const TRANSITIONS_MAX: usize = 16;

/// How long a text in the file is at most, in bytes: as long as a path can be that leads anywhere.
const TEXT_BYTES_MAX: usize = 4096;

/// How long a list in the file is at most, and a name in it, in bytes.
const NAMES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 400;

/// Everything there is to know, as of the last transition or periodic probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Whether a supervisor runs: true in the file, where it only says that one wrote it; `status --json` knows.
    pub running: bool,
    /// The version of the supervisor that wrote this.
    pub version: String,
    /// The supervisor's pid.
    pub supervisor_pid: u32,
    /// The configuration's name.
    pub name: String,
    /// Where the configuration is read from.
    pub config_path: String,
    /// The probed address, `HOST:PORT`.
    pub address: String,
    /// The worker's log of standard output.
    pub log_stdout: String,
    /// The worker's log of standard error.
    pub log_stderr: String,
    /// What the supervisor is doing: `launching`, `leasing-secrets`, `clearing-port`, `awaiting-port`, `backing-off`,
    /// `starting`, `running`, `draining`, `killing` or `stopped`.
    pub state: String,
    /// Whether the worker is up and its last probe was healthy.
    pub healthy: bool,
    /// Since when the state lasts.
    pub since_ms: u64,
    /// When this was written.
    pub updated_ms: u64,
    /// The same by the clock that runs since the machine was started, sleep included, and that nobody sets.
    pub updated_boot_ms: u64,
    /// What this run of the machine is called; empty where the system has no name for it.
    pub boot_id: String,
    /// From one probe to the next at rest; a file much older than this is out of date.
    pub health_interval_ms: u64,
    /// How long a start may take.
    pub startup_timeout_ms: u64,
    /// The worker's pid, while one lives.
    pub pid: Option<i32>,
    /// Which worker it is: 1 for the first of this supervisor.
    pub generation: u64,
    /// When the worker was spawned, while one lives.
    pub started_ms: Option<u64>,
    /// How many workers this supervisor has spawned after the first.
    pub restarts: u64,
    /// Failed starts in a row.
    pub failed_starts: u32,
    /// Failed probes in a row of this worker.
    pub streak: u32,
    /// So many failed probes in a row replace the worker.
    pub streak_max: u32,
    /// How the last worker ended.
    pub last_exit: Option<Exit>,
    /// How the last probe went.
    pub last_probe: Option<Probe>,
    /// How the last registration went; absent without a sync endpoint or before the first.
    pub sync: Option<Sync>,
    /// What comes next, in words, if something is due.
    pub next_step: Option<String>,
    /// When it comes.
    pub next_deadline_ms: Option<u64>,
    /// Who holds the port in the worker's place, while somebody does.
    pub port_holder: Option<String>,
    /// What stands in the way, in words: why the last start failed.
    pub problem: Option<String>,
    /// What is wrong with the edited configuration, so that an older one is still in force.
    pub config_problem: Option<String>,
    /// Variables whose secret could not be refreshed, so that the last good value is used.
    pub stale_secrets: Vec<String>,
    /// Variables that the worker does without, since their optional secret could not be had.
    pub absent_secrets: Vec<String>,
    /// What workers that are gone have left running outside of their sessions, in words.
    pub left_running: Vec<String>,
    /// What is wrong with the live worker's logs, in words.
    pub log_problems: Vec<String>,
    /// The last transitions, oldest first; at most [`TRANSITIONS_MAX`].
    pub transitions: Vec<Transition>,
}

impl Status {
    /// Cuts what may be so long that a reader would refuse the file for it. Transitions and what the worker says are
    /// cut where they are made.
    pub(crate) fn bound(&mut self) {
        let of_config = [&mut self.name, &mut self.config_path, &mut self.log_stdout, &mut self.log_stderr];
        let problems = [&mut self.port_holder, &mut self.problem, &mut self.config_problem].into_iter().flatten();
        for text in of_config.into_iter().chain(problems) {
            cut(text, TEXT_BYTES_MAX);
        }
        let lists = [&mut self.stale_secrets, &mut self.absent_secrets, &mut self.left_running, &mut self.log_problems];
        for names in lists {
            names.truncate(NAMES_MAX);
            names.iter_mut().for_each(|name| cut(name, NAME_BYTES_MAX));
        }
    }

    /// The time by the wall clock that this was written with, as if nobody had set it since. `is_written_now`: its
    /// writer still runs, and so the machine that it ran on.
    pub fn now_ms(&self, now: Now, is_written_now: bool) -> u64 {
        let is_same_boot = is_written_now || (!self.boot_id.is_empty() && self.boot_id == platform::boot_id());
        // An earlier version did not write it.
        if is_same_boot && self.updated_boot_ms > 0 {
            self.updated_ms.saturating_add(now.boot_ms.saturating_sub(self.updated_boot_ms))
        } else {
            now.wall_ms
        }
    }

    /// Moves all times by what the wall clock was set by, so that they are times of one clock.
    pub(crate) fn follow_clock(&mut self, by_ms: i64) {
        let single = [&mut self.since_ms].into_iter().chain(&mut self.started_ms);
        let ends = self.last_exit.iter_mut().map(|exit| &mut exit.at_ms);
        let probes = self.last_probe.iter_mut().map(|probe| &mut probe.at_ms);
        let syncs = self.sync.iter_mut().map(|sync| &mut sync.at_ms);
        let transitions = self.transitions.iter_mut().map(|transition| &mut transition.at_ms);
        for time_ms in single.chain(ends).chain(probes).chain(syncs).chain(transitions) {
            *time_ms = time_ms.saturating_add_signed(by_ms);
        }
    }

    /// Replaces the status file in `dir`, with mode 0600.
    ///
    /// Where there is no room for another file, a spare one that was made before is written over and the two are
    /// swapped. So a full disk keeps the status as fresh as ever, but for file systems that want room for what is
    /// written over as well (btrfs, ZFS, APFS with snapshots), and for FreeBSD, which can't swap. Only then is a file
    /// written over that a reader may have open, if he took longer than from one status to the next but one.
    ///
    /// # Errors
    /// What open, write or rename report, such as ENOSPC: the old file is then as it was.
    pub fn write(&self, dir: &StateDir) -> io::Result<()> {
        let mut content = Vec::with_capacity(SLOT_BYTES);
        serde_json::to_writer(&mut content, self)?;
        pad(&mut content, SLOT_BYTES);
        let files = &dir.files;
        let Err(error) = files.replace_file(STATUS, &content) else {
            if files.length_of(STATUS_SPARE) != Some(content.len() as u64) {
                // Without one there is nothing to fall back on; the next status tries again.
                drop(files.replace_file(STATUS_SPARE, &content));
            }
            return Ok(());
        };
        let length = files.length_of(STATUS_SPARE).and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length >= content.len()) else { return Err(error) };
        pad(&mut content, length);
        let opened = files.open_file(STATUS_SPARE, Access::Write);
        let written = opened.and_then(|file| file.write_all_at(&content, 0));
        written.and_then(|()| files.exchange(STATUS_SPARE, STATUS)).map_err(|_| error)
    }

    /// Whether there is room for a status in `dir`: makes a file of its size, and removes it.
    ///
    /// # Errors
    /// What open or write report.
    pub fn try_room(dir: &StateDir) -> io::Result<()> {
        dir.files.replace_file(STATUS_TRIAL, &vec![b' '; SLOT_BYTES])?;
        dir.files.remove(STATUS_TRIAL)
    }
}

/// Blanks up to a whole number of these, and a line's end.
fn pad(content: &mut Vec<u8>, slot_bytes: usize) {
    let length = content.trim_ascii_end().len();
    content.truncate(length);
    content.resize((length + 1).next_multiple_of(slot_bytes) - 1, b' ');
    content.push(b'\n');
}

/// How a worker ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Exit {
    /// When.
    pub at_ms: u64,
    /// Which worker.
    pub generation: u64,
    /// Its pid.
    pub pid: i32,
    /// The exit code or the signal, in words.
    pub reason: String,
    /// How long it lived, if this supervisor saw it start.
    pub uptime_ms: Option<u64>,
    /// Whether the supervisor had asked for it.
    pub asked_for: bool,
    /// The last line of its standard error, if it died by itself and left one.
    pub stderr: Option<String>,
}

/// How a probe went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Probe {
    /// When it ended.
    pub at_ms: u64,
    /// Whether the answer was healthy.
    pub healthy: bool,
    /// The answer's status, or why there was none.
    pub result: String,
    /// From the start of the probe to its end, in microseconds.
    pub latency_us: u64,
}

/// How a registration went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sync {
    /// When it ended.
    pub at_ms: u64,
    /// Whether it was accepted.
    pub accepted: bool,
    /// The answer's status, or why there was none.
    pub result: String,
    /// Failures since the last acceptance.
    pub failures: u32,
}

/// One step of the supervisor.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Transition {
    /// When.
    pub at_ms: u64,
    /// What was logged.
    pub message: String,
}

/// What comes at the next deadline of a condition, in words.
pub(crate) fn next_step(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::Launching | Condition::Stopped => None,
        Condition::Leasing => Some("give up waiting for secrets"),
        Condition::ClearingPort | Condition::AwaitingPort => Some("look at the port again"),
        Condition::BackingOff => Some("start the worker"),
        Condition::Starting => Some("ask whether the worker is up"),
        Condition::Running => Some("check the worker's health or registration"),
        Condition::Draining => Some("kill the worker"),
        Condition::Killing => Some("give up on the kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_dir::FILE_BYTES_MAX;

    #[test]
    fn a_status_of_anything_however_long_can_be_read_again() {
        let long = || "\\".repeat(1 << 20);
        let many = || vec!["\\".repeat(10_000); 1000];
        let transition = Transition { at_ms: 0, message: "\\".repeat(2000) };
        let mut status = Status {
            name: long(),
            config_path: long(),
            log_stdout: long(),
            log_stderr: long(),
            port_holder: Some(long()),
            problem: Some(long()),
            config_problem: Some(long()),
            stale_secrets: many(),
            absent_secrets: many(),
            left_running: many(),
            transitions: vec![transition; TRANSITIONS_MAX],
            ..Status::default()
        };
        status.bound();
        assert!(serde_json::to_vec(&status).unwrap().len() < usize::try_from(FILE_BYTES_MAX).unwrap() / 2);
    }

    #[test]
    fn a_clock_that_was_set_moves_every_time() {
        let times = |at_ms| Status {
            since_ms: at_ms,
            started_ms: Some(at_ms),
            last_exit: Some(Exit { at_ms, ..Exit::default() }),
            last_probe: Some(Probe { at_ms, ..Probe::default() }),
            sync: Some(Sync { at_ms, ..Sync::default() }),
            transitions: vec![Transition { at_ms, ..Transition::default() }],
            ..Status::default()
        };
        let mut status = times(5_000_000);
        for (by_ms, at_ms) in [(-3_600_000, 1_400_000), (7_200_000, 8_600_000)] {
            status.follow_clock(by_ms);
            assert_eq!(status, times(at_ms));
        }
    }

    #[test]
    fn the_age_of_a_status_is_the_same_whatever_the_wall_clock_says() {
        let mut status = Status { updated_ms: 9_000_000, updated_boot_ms: 40_000, ..Status::default() };
        let now = |wall_ms| Now { instant: std::time::Instant::now(), wall_ms, boot_ms: 52_000 };
        for wall_ms in [0, 5_400_000, 9_012_000, 12_600_000] {
            assert_eq!(status.now_ms(now(wall_ms), true), 9_012_000);
            assert_eq!(status.now_ms(now(wall_ms), false), wall_ms, "it may be of another boot");
        }
        platform::boot_id().clone_into(&mut status.boot_id);
        let expected = if status.boot_id.is_empty() { 7 } else { 9_012_000 };
        assert_eq!(status.now_ms(now(7), false), expected);
        let older_version = Status { updated_boot_ms: 0, ..status };
        assert_eq!(older_version.now_ms(now(7), true), 7);
    }

    #[test]
    fn what_is_written_is_read_back_in_every_field() {
        let text = || "text".to_owned();
        let status = Status {
            running: true,
            version: text(),
            supervisor_pid: 1,
            name: text(),
            config_path: text(),
            address: text(),
            log_stdout: text(),
            log_stderr: text(),
            state: text(),
            healthy: true,
            since_ms: 2,
            updated_ms: 3,
            updated_boot_ms: 4,
            boot_id: text(),
            health_interval_ms: 5,
            startup_timeout_ms: 6,
            pid: Some(7),
            generation: 8,
            started_ms: Some(9),
            restarts: 10,
            failed_starts: 11,
            streak: 12,
            streak_max: 13,
            last_exit: Some(Exit {
                at_ms: 14,
                generation: 15,
                pid: 16,
                reason: text(),
                uptime_ms: Some(17),
                asked_for: true,
                stderr: Some(text()),
            }),
            last_probe: Some(Probe { at_ms: 18, healthy: true, result: text(), latency_us: 19 }),
            sync: Some(Sync { at_ms: 20, accepted: true, result: text(), failures: 21 }),
            next_step: Some(text()),
            next_deadline_ms: Some(22),
            port_holder: Some(text()),
            problem: Some(text()),
            config_problem: Some(text()),
            stale_secrets: vec![text()],
            absent_secrets: vec![text()],
            left_running: vec![text()],
            log_problems: vec![text()],
            transitions: vec![Transition { at_ms: 23, message: text() }],
        };
        assert_eq!(Status::parse(&serde_json::to_vec(&status).unwrap()), Ok(status));
        assert!(Status::parse(b"[]").is_err() && Status::parse(b"{").is_err());
    }

    #[test]
    fn a_status_of_another_version_is_read_as_far_as_it_goes() {
        let text = r#"{"state":"running","pid":7,"moon":"full","last_probe":{"healthy":true,"mood":3}}"#;
        let status = Status::parse(text.as_bytes()).expect("unknown and missing fields are no error");
        assert_eq!((status.state.as_str(), status.pid, status.generation), ("running", Some(7), 0));
        assert_eq!(status.last_probe, Some(Probe { healthy: true, ..Probe::default() }));
    }
}
