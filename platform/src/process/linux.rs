//! Processes through /proc, which is read through fixed buffers. A process that vanishes meanwhile is simply gone.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid as RawPid;

use crate::clock::boot_id;
use crate::exit::Pin;
use crate::pid::{Pid, own_pid};

/// Longer than any line of /proc/PID/stat: 52 numbers of at most 20 digits, and a name of at most 64 bytes.
const STAT_BYTES_MAX: usize = 2048;

/// When a process started: the boot, and the ticks since then, which mean something only together with it.
pub(super) fn started(pid: Pid) -> io::Result<Option<String>> {
    ensure_own_proc()?;
    let Some(stat) = Stat::read(pid)? else {
        // Gone, or hidden: proc(5), hidepid.
        let is_there = kill(RawPid::from_raw(pid.as_raw()), None) != Err(Errno::ESRCH);
        return if is_there { Err(io::Error::from_raw_os_error(libc::EPERM)) } else { Ok(None) };
    };
    Ok((!has_ended(pid, stat.state)?).then(|| format!("{}/{}", boot_id(), stat.started_ticks)))
}

/// Whether a process in this state has ended. The first thread may be a zombie where others live on: then the process
/// does, and its pidfd is not readable.
fn has_ended(pid: Pid, state: u8) -> io::Result<bool> {
    match state {
        b'X' | b'x' => Ok(true),
        b'Z' => match Pin::open(pid) {
            Ok(Some(pin)) => Ok(!pin.is_alive()),
            Ok(None) => Ok(std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) < 2),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(true),
            Err(error) => Err(error),
        },
        _ => Ok(false),
    }
}

/// Whether /proc tells of the processes that this one sees: a process in a pid namespace of its own may have been left
/// the /proc of another, where the same numbers are other processes.
pub(crate) fn ensure_own_proc() -> io::Result<()> {
    static IS_OWN: OnceLock<bool> = OnceLock::new();
    let is_own = || std::fs::read_link("/proc/self").is_ok_and(|pid| pid == Path::new(&own_pid().to_string()));
    if *IS_OWN.get_or_init(is_own) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "/proc is missing, or of another process namespace"))
}

/// A thread beside the first, of which /proc tells what it tells no more of a first one that has ended before the
/// others: descriptors and environment.
pub(crate) fn other_thread(pid: Pid) -> Option<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut threads = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    threads.find(|thread| *thread != pid.as_raw())
}

pub(super) fn parent(pid: Pid) -> Option<i32> {
    ensure_own_proc().ok()?;
    Stat::read(pid).ok()?.map(|stat| stat.parent)
}

/// proc_pid_stat(5): T by a signal, t by a tracer.
pub(super) fn is_stopped(pid: Pid) -> bool {
    Stat::read(pid).is_ok_and(|stat| stat.is_some_and(|stat| matches!(stat.state, b'T' | b't')))
}

/// Its path, or its name where the path may not be read.
pub(super) fn program(pid: Pid) -> Option<String> {
    ensure_own_proc().ok()?;
    let path = std::fs::read_link(format!("/proc/{pid}/exe"));
    path.map(|path| String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned())
        .or_else(|_| std::fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().to_owned()))
        .ok()
}

pub(super) fn user_id(pid: Pid) -> Option<u32> {
    ensure_own_proc().ok()?;
    let mut buffer = [0; 4096];
    let bytes = read_small(&format!("/proc/{pid}/status"), &mut buffer).ok()?;
    user_of_status(bytes)
}

/// The inode of namespaces(7).
pub(super) fn pid_namespace() -> Option<u64> {
    ensure_own_proc().ok()?;
    Some(std::fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// The effective user: the second number of the line "Uid:", proc_pid_status(5).
fn user_of_status(status: &[u8]) -> Option<u32> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The fields of /proc/PID/stat that are needed here, proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Field 3.
    state: u8,
    /// Field 4.
    parent: i32,
    /// Field 22, in clock ticks since boot.
    started_ticks: u64,
}

impl Stat {
    /// None: there is no such process.
    fn read(pid: Pid) -> io::Result<Option<Stat>> {
        let mut buffer = [0; STAT_BYTES_MAX];
        match read_small(&format!("/proc/{pid}/stat"), &mut buffer) {
            Ok(bytes) => Stat::parse(bytes).map(Some).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("cannot understand /proc/{pid}/stat"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The name in field 2 may hold blanks and parentheses, so the fields are counted from the last `)`.
    fn parse(bytes: &[u8]) -> Option<Stat> {
        let name_end = bytes.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(&bytes[name_end + 1..]).ok()?.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let started_ticks = fields.nth(17)?.parse().ok()?;
        Some(Stat { state, parent, started_ticks })
    }
}

/// Reads a file of /proc into a fixed buffer; what does not fit is left out.
fn read_small<'a>(path: &str, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let mut file = File::open(path)?;
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(&buffer[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_the_fields() {
        let line = b"7 (a) S 1 (b) S 5 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2 3\n";
        assert_eq!(Stat::parse(line), Some(Stat { state: b'S', parent: 5, started_ticks: 987_654 }));
    }

    #[test]
    fn a_cut_line_is_no_process() {
        assert_eq!(Stat::parse(b"7 (a) S 5 7"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn the_effective_user_is_the_second_number() {
        assert_eq!(user_of_status(b"Name:\tx\nUid:\t1000\t1001\t1002\t1003\nGid:\t1\n"), Some(1001));
        assert_eq!(user_of_status(b"Name:\tx\n"), None);
    }
}
