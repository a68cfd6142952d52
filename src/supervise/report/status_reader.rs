//! Reads a status back: field by field out of a tree of values. A derived reader would make the program 4 % larger.
//! Unknown fields are skipped, and those that are missing have their defaults; one of another kind than ours makes the
//! whole no status.

use std::io;

use serde_json::Value;

use super::status::{Exit, Probe, Status, Sync, Transition};
use crate::state_dir::{STATUS, StateDir};

impl Status {
    /// Reads the status file in `dir`. None: there is none.
    ///
    /// # Errors
    /// InvalidData for a file that is no status, or is longer than [`crate::state_dir::FILE_BYTES_MAX`]; else what open
    /// or read report.
    pub fn read(dir: &StateDir) -> io::Result<Option<Status>> {
        let Some(bytes) = dir.read(STATUS)? else { return Ok(None) };
        Status::parse(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The status in the content of a file.
    ///
    /// # Errors
    /// It is no JSON, or not of the kind that we write.
    pub fn parse(bytes: &[u8]) -> Result<Status, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Status::of(&value).ok_or_else(|| "it is JSON, but not a status".to_owned())
    }
}

/// What a field may hold.
trait Field: Sized {
    fn of(value: &Value) -> Option<Self>;
}

fn take<T: Field + Default>(object: &Value, name: &str) -> Option<T> {
    object.get(name).map_or_else(|| Some(T::default()), T::of)
}

impl Field for bool {
    fn of(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Field for u64 {
    fn of(value: &Value) -> Option<Self> {
        value.as_u64()
    }
}

impl Field for u32 {
    fn of(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl Field for i32 {
    fn of(value: &Value) -> Option<Self> {
        value.as_i64()?.try_into().ok()
    }
}

impl Field for String {
    fn of(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl<T: Field> Field for Option<T> {
    fn of(value: &Value) -> Option<Self> {
        if value.is_null() { Some(None) } else { T::of(value).map(Some) }
    }
}

impl<T: Field> Field for Vec<T> {
    fn of(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::of).collect()
    }
}

impl Field for Status {
    fn of(value: &Value) -> Option<Self> {
        value.as_object()?;
        Some(Self {
            running: take(value, "running")?,
            version: take(value, "version")?,
            supervisor_pid: take(value, "supervisor_pid")?,
            name: take(value, "name")?,
            config_path: take(value, "config_path")?,
            address: take(value, "address")?,
            log_stdout: take(value, "log_stdout")?,
            log_stderr: take(value, "log_stderr")?,
            state: take(value, "state")?,
            healthy: take(value, "healthy")?,
            since_ms: take(value, "since_ms")?,
            updated_ms: take(value, "updated_ms")?,
            updated_boot_ms: take(value, "updated_boot_ms")?,
            boot_id: take(value, "boot_id")?,
            health_interval_ms: take(value, "health_interval_ms")?,
            startup_timeout_ms: take(value, "startup_timeout_ms")?,
            pid: take(value, "pid")?,
            generation: take(value, "generation")?,
            started_ms: take(value, "started_ms")?,
            restarts: take(value, "restarts")?,
            failed_starts: take(value, "failed_starts")?,
            streak: take(value, "streak")?,
            streak_max: take(value, "streak_max")?,
            last_exit: take(value, "last_exit")?,
            last_probe: take(value, "last_probe")?,
            sync: take(value, "sync")?,
            next_step: take(value, "next_step")?,
            next_deadline_ms: take(value, "next_deadline_ms")?,
            port_holder: take(value, "port_holder")?,
            problem: take(value, "problem")?,
            config_problem: take(value, "config_problem")?,
            stale_secrets: take(value, "stale_secrets")?,
            absent_secrets: take(value, "absent_secrets")?,
            left_running: take(value, "left_running")?,
            log_problems: take(value, "log_problems")?,
            transitions: take(value, "transitions")?,
        })
    }
}

impl Field for Exit {
    fn of(value: &Value) -> Option<Self> {
        value.as_object()?;
        Some(Self {
            at_ms: take(value, "at_ms")?,
            generation: take(value, "generation")?,
            pid: take(value, "pid")?,
            reason: take(value, "reason")?,
            uptime_ms: take(value, "uptime_ms")?,
            asked_for: take(value, "asked_for")?,
            stderr: take(value, "stderr")?,
        })
    }
}

impl Field for Probe {
    fn of(value: &Value) -> Option<Self> {
        value.as_object()?;
        Some(Self {
            at_ms: take(value, "at_ms")?,
            healthy: take(value, "healthy")?,
            result: take(value, "result")?,
            latency_us: take(value, "latency_us")?,
        })
    }
}

impl Field for Sync {
    fn of(value: &Value) -> Option<Self> {
        value.as_object()?;
        Some(Self {
            at_ms: take(value, "at_ms")?,
            accepted: take(value, "accepted")?,
            result: take(value, "result")?,
            failures: take(value, "failures")?,
        })
    }
}

impl Field for Transition {
    fn of(value: &Value) -> Option<Self> {
        value.as_object()?;
        Some(Self { at_ms: take(value, "at_ms")?, message: take(value, "message")? })
    }
}
