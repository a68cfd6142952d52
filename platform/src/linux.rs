//! Linux: signalfd, pidfd and /proc. The signals of the queue stay blocked for good, and are read from a descriptor; a
//! spawned process gets an empty mask. pidfd (5.3 and newer) is both the bell and the pin; where it is missing the bell
//! fails, and the pin falls back to comparing identities. /proc is read through fixed buffers, and a process that
//! vanishes meanwhile is simply gone.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::signal::{SigHandler, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::files;
use crate::process::{self, Identity, Pid, PinProcess, ProcessTable, StartTime};
use crate::signals::{self, SendSignal, Signal};
use crate::{ExitNotice, SignalQueue};

/// Longer than any line of /proc/PID/stat: 52 numbers of at most 20 digits, and a name of at most 64 bytes.
const STAT_BYTES_MAX: usize = 2048;

/// Signals through signalfd(2).
#[derive(Debug)]
pub struct Signals(SignalFd);

impl SignalQueue for Signals {
    fn open() -> io::Result<Signals> {
        let mut mask = SigSet::empty();
        for signal in Signal::ALL {
            mask.add(signal.to_nix());
        }
        // Blocked first, so that no signal acts in between. A blocked signal is queued even when it is ignored, but an
        // ignored SIGCHLD would still make the kernel reap our children, hence the defaults.
        mask.thread_block()?;
        for signal in Signal::ALL {
            // SAFETY: SIG_DFL installs no code of ours.
            unsafe { nix::sys::signal::signal(signal.to_nix(), SigHandler::SigDfl) }?;
        }
        Ok(Signals(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    fn next(&mut self) -> io::Result<Option<Signal>> {
        loop {
            match self.0.read_signal() {
                Ok(None) => return Ok(None),
                Ok(Some(info)) => match Signal::from_number(info.ssi_signo.cast_signed()) {
                    Some(signal) => return Ok(Some(signal)),
                    // Not one that we asked for: the kernel has no way to send it here.
                    None => continue,
                },
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The exit of one process through its pidfd, which is readable from the exit on.
#[derive(Debug)]
pub struct ExitWatch(OwnedFd);

impl ExitNotice for ExitWatch {
    fn register(pid: Pid) -> io::Result<ExitWatch> {
        pidfd_open(pid).map(ExitWatch)
    }

    fn has_fired(&mut self) -> bool {
        has_exited(&self.0)
    }
}

impl AsRawFd for ExitWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A descriptor of the process; close-on-exec by itself.
fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just handed us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn has_exited(pidfd: &OwnedFd) -> bool {
    files::poll_now(pidfd, libc::POLLIN).is_some_and(|events| events & libc::POLLIN != 0)
}

/// A process held by its pidfd; None on kernels and sandboxes without one.
#[derive(Debug)]
pub(crate) struct Pin(Option<OwnedFd>);

impl PinProcess for Pin {
    fn pin(pid: Pid) -> io::Result<Option<Pin>> {
        match pidfd_open(pid) {
            Ok(fd) => Ok(Some(Pin(Some(fd)))),
            Err(error) => match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(None),
                // Older than 5.3, or a sandbox that filters the call.
                Some(libc::ENOSYS | libc::EPERM) => Ok(Some(Pin(None))),
                _ => Err(error),
            },
        }
    }

    fn holds(&self, identity: &Identity) -> bool {
        match &self.0 {
            Some(pidfd) => !has_exited(pidfd),
            None => process::identify(identity.pid).is_ok_and(|now| now.as_ref() == Some(identity)),
        }
    }

    fn send(&self, identity: &Identity, signal: SendSignal) -> io::Result<()> {
        let Some(pidfd) = &self.0 else {
            if !self.holds(identity) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            return signals::send(identity.pid.as_raw(), signal);
        };
        // A zombie takes signals too, and here it counts as gone.
        if has_exited(pidfd) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null siginfo is allowed and means "as kill(2)"; the other arguments are integers.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.to_nix() as libc::c_int, none, 0)
        };
        if sent == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// What /proc tells.
pub(crate) struct Processes;

impl ProcessTable for Processes {
    fn started(pid: Pid) -> io::Result<Option<StartTime>> {
        let Some(stat) = Stat::read(pid)? else { return Ok(None) };
        if stat.is_gone() {
            return Ok(None);
        }
        Ok(Some(StartTime::from(format!("{}/{}", boot_id(), stat.started_ticks))))
    }

    fn parent(pid: Pid) -> Option<i32> {
        Stat::read(pid).ok()?.map(|stat| stat.parent)
    }

    fn program(pid: Pid) -> Option<String> {
        let path = std::fs::read_link(format!("/proc/{pid}/exe"));
        path.map(|path| String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned())
            .or_else(|_| std::fs::read_to_string(format!("/proc/{pid}/comm")).map(|name| name.trim_end().to_owned()))
            .ok()
    }

    fn user_id(pid: Pid) -> Option<u32> {
        let mut buffer = [0; 4096];
        let bytes = read_small(&format!("/proc/{pid}/status"), &mut buffer).ok()?;
        user_of_status(bytes)
    }
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

    fn is_gone(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Ticks since boot mean something only together with the boot. "?" where a sandbox hides it.
fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let mut buffer = [0; 64];
        let bytes = read_small("/proc/sys/kernel/random/boot_id", &mut buffer).unwrap_or(b"?");
        String::from_utf8_lossy(bytes).trim().to_owned()
    })
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

/// Swaps two regular files. A rename over a file makes ext4 write the new one to the disk at once (auto_da_alloc,
/// ext4(5)): 127 µs where swapping and removing take 30, and a write to the disk for a file that is soon replaced.
/// False where the kernel or the file system can't, or `path` is no regular file; then nothing has changed.
pub(crate) fn exchange(file: &Path, path: &Path) -> bool {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let names = [file, path].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (true, [Ok(file), Ok(path)]) = (is_file, names) else { return false };
    let (from, to, flags) = (file.as_ptr(), path.as_ptr(), libc::RENAME_EXCHANGE);
    // SAFETY: both names are live C strings; AT_FDCWD stands for the working directory, and absolute names ignore it.
    unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, flags) == 0 }
}

/// Marks every descriptor from `first` on close-on-exec, in one call on 5.11 and newer, else one by one.
pub(crate) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: the flag CLOSE_RANGE_CLOEXEC closes nothing, it only marks; the arguments are integers.
    let marked = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if marked == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        if let Some(fd) = name.to_str().and_then(|name| name.parse().ok()).filter(|&fd| fd >= first) {
            crate::limits::close_on_exec(fd);
        }
    }
    Ok(())
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
