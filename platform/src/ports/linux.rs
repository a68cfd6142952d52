//! Owners of a port on Linux: the kernel names every LISTEN socket of this network namespace by inode, and /proc/PID/fd
//! links to the same inodes. The sockets alone show that there are strangers beside us, so the machine is scanned only
//! for who a stranger is. A sandbox without netlink, or a kernel without its module, is an error: nobody knows then.

mod sock_diag;

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use self::sock_diag::{Kind, Socket};
use super::listener::{DESCRIPTORS_MAX, Listener, Occupant, Ownership, keep_reached};
use crate::limits::effective_user_id;
use crate::pid::Pid;
use crate::process::{ensure_own_proc, other_thread, user_id};
use crate::tree::descendants;

/// Everything that a scan reads goes through one buffer of this size.
const BUFFER_BYTES: usize = 16 * 1024;

/// The most processes that one scan looks at.
const PROCESSES_MAX: usize = 1 << 15;

pub(super) fn holders(addr: SocketAddr) -> io::Result<Vec<Pid>> {
    let mut sockets = listening(addr.port())?;
    keep_reached(&mut sockets, addr, |socket| socket.place);
    let mut pids = Vec::new();
    if !sockets.is_empty() {
        scan(&sockets, |pid, _| pids.push(pid))?;
    }
    Ok(pids)
}

pub(super) fn holding_users(addr: SocketAddr) -> io::Result<Vec<u32>> {
    let mut sockets = listening(addr.port())?;
    keep_reached(&mut sockets, addr, |socket| socket.place);
    Ok(sockets.into_iter().map(|socket| socket.user_id).collect())
}

pub(super) fn occupants(addr: SocketAddr) -> io::Result<Vec<Occupant>> {
    let mut sockets = sock_diag::sockets(Kind::Others, addr.port(), &mut vec![0; BUFFER_BYTES])?;
    let wanted = addr.ip().to_canonical();
    sockets.retain(|socket| {
        let ip = socket.place.addr.ip();
        ip.is_unspecified() || ip.to_canonical() == wanted
    });
    let mut owners = Vec::new();
    if !sockets.is_empty() {
        scan(&sockets, |pid, inode| owners.push((inode, pid)))?;
    }
    let owner_of = |socket: &Socket| owners.iter().find(|(inode, _)| *inode == socket.inode).map(|&(_, pid)| pid);
    let occupant = |socket: &Socket| Occupant {
        pid: owner_of(socket),
        user_id: socket.user_id,
        peer: Some(socket.peer).filter(|peer| peer.port() != 0),
    };
    Ok(sockets.iter().map(occupant).collect())
}

pub(super) fn listeners(addr: SocketAddr) -> io::Result<Vec<u64>> {
    let mut sockets = listening(addr.port())?;
    keep_reached(&mut sockets, addr, |socket| socket.place);
    Ok(sockets.into_iter().map(|socket| socket.inode).collect())
}

pub(super) fn places(pids: &[Pid]) -> io::Result<Option<Vec<Listener>>> {
    let mut sockets = listening(0)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut budget = DESCRIPTORS_MAX;
    let mut found = Vec::new();
    for pid in pids {
        sockets_of(*pid, &sockets, &mut buffer, &mut budget, &mut found);
    }
    sockets.retain(|socket| found.contains(&socket.inode));
    Ok(Some(sockets.into_iter().map(|socket| socket.place).collect()))
}

pub(super) fn ownership(addr: SocketAddr, leader: Pid, is_ours: &mut dyn FnMut(Pid) -> bool) -> io::Result<Ownership> {
    let mut unexplained = listening(addr.port())?;
    keep_reached(&mut unexplained, addr, |socket| socket.place);
    if unexplained.is_empty() {
        return Ok(Ownership::Unknown);
    }
    ensure_own_proc()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut budget = DESCRIPTORS_MAX;
    let mut found = Vec::new();
    // Behind a wrapper a child of it listens. Our descendants are few, however many processes the machine has.
    let descendants = iter::once_with(descendants).flatten().filter(|pid| *pid != leader);
    for pid in iter::once(leader).chain(descendants) {
        if pid == leader || is_ours(pid) {
            sockets_of(pid, &unexplained, &mut buffer, &mut budget, &mut found);
            unexplained.retain(|socket| !found.contains(&socket.inode));
        }
        if unexplained.is_empty() {
            return Ok(Ownership::Own);
        }
    }
    explain(&unexplained, leader, is_ours)
}

/// The leader does not hold these sockets: others of the worker, or strangers, do. One that nobody is seen to hold may
/// be the worker's if it belongs to the worker's user or to ours.
fn explain(sockets: &[Socket], leader: Pid, is_ours: &mut dyn FnMut(Pid) -> bool) -> io::Result<Ownership> {
    let mut owners = Vec::new();
    scan(sockets, |pid, inode| owners.push((inode, pid, is_ours(pid))))?;
    let fitting_users = [Some(effective_user_id()), user_id(leader)];
    let mut strangers = Vec::new();
    let (mut has_stranger, mut has_unknown) = (false, false);
    for socket in sockets {
        let of_socket: Vec<_> = owners.iter().filter(|(inode, ..)| *inode == socket.inode).collect();
        if of_socket.is_empty() {
            let fits = fitting_users.contains(&Some(socket.user_id));
            (has_unknown, has_stranger) = (has_unknown || fits, has_stranger || !fits);
        } else if of_socket.iter().all(|(_, _, ours)| !ours) {
            has_stranger = true;
            strangers.extend(of_socket.into_iter().map(|&(_, pid, _)| pid));
        }
    }
    strangers.sort_unstable();
    strangers.dedup();
    Ok(match (has_stranger, has_unknown) {
        (true, _) => Ownership::Stranger(strangers),
        (false, true) => Ownership::Unknown,
        (false, false) => Ownership::Own,
    })
}

/// Every LISTEN socket on a port, or on any (0), of both families.
fn listening(port: u16) -> io::Result<Vec<Socket>> {
    sock_diag::sockets(Kind::Listening, port, &mut vec![0; BUFFER_BYTES])
}

/// Calls `found` for every process that can be seen and every one of the sockets that it has open.
fn scan(sockets: &[Socket], mut found: impl FnMut(Pid, u64)) -> io::Result<()> {
    ensure_own_proc()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut budget = DESCRIPTORS_MAX;
    let mut inodes = Vec::new();
    let processes = std::fs::read_dir("/proc")?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::new));
    for pid in pids.take(PROCESSES_MAX) {
        inodes.clear();
        sockets_of(pid, sockets, &mut buffer, &mut budget, &mut inodes);
        inodes.iter().for_each(|&inode| found(pid, inode));
        if budget == 0 {
            break;
        }
    }
    Ok(())
}

/// The inodes among `sockets` that a process has open. None for one that has gone or may not be looked at.
fn sockets_of(pid: Pid, sockets: &[Socket], buffer: &mut [u8], budget: &mut usize, inodes: &mut Vec<u64>) {
    let names = sockets_in(&format!("/proc/{pid}/fd"), sockets, buffer, budget, inodes);
    // The directory itself and the one above it: there are no others where the first thread has ended alone.
    if names == Some(2)
        && let Some(thread) = other_thread(pid)
    {
        sockets_in(&format!("/proc/{pid}/task/{thread}/fd"), sockets, buffer, budget, inodes);
    }
}

/// Adds the inodes of a directory of descriptors, and returns how many names it has.
fn sockets_in(
    path: &str,
    sockets: &[Socket],
    buffer: &mut [u8],
    budget: &mut usize,
    inodes: &mut Vec<u64>,
) -> Option<usize> {
    let directory = OwnedFd::from(File::open(path).ok()?);
    let mut names = 0;
    while let Some(entries) = directory_entries(&directory, buffer) {
        for name in Names(entries) {
            *budget = budget.checked_sub(1)?;
            names += 1;
            let Some(inode) = socket_inode(&directory, name) else { continue };
            if sockets.iter().all(|socket| socket.inode != inode) || inodes.contains(&inode) {
                continue;
            }
            inodes.push(inode);
            // Listeners come early, and some processes have many thousand descriptors.
            if sockets.iter().all(|socket| inodes.contains(&socket.inode)) {
                return Some(names);
            }
        }
    }
    Some(names)
}

/// The next few entries of a directory; None at its end. Without libc's readdir, which would allocate for each process.
fn directory_entries<'a>(directory: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into a buffer that we own.
    let read = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
    let length = usize::try_from(read).ok().filter(|&length| length > 0)?;
    buffer.get(..length)
}

/// The names in a block of `struct linux_dirent64`: ino 8 bytes, offset 8, record length 2, type 1, name with NUL.
struct Names<'a>(&'a [u8]);

impl<'a> Iterator for Names<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        let record_bytes = usize::from(u16::from_ne_bytes(self.0.get(16..18)?.try_into().ok()?));
        let name = CStr::from_bytes_until_nul(self.0.get(19..record_bytes)?).ok()?;
        self.0 = &self.0[record_bytes..];
        Some(name)
    }
}

/// The inode behind `/proc/PID/fd/NAME`, if it is a socket: the link reads `socket:[123]`.
fn socket_inode(directory: &OwnedFd, name: &CStr) -> Option<u64> {
    let mut link = [0; 64];
    // SAFETY: `name` is a C string, and the kernel writes at most `link.len()` bytes into `link`.
    let read = unsafe { libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), link.as_mut_ptr().cast(), link.len()) };
    let link = link.get(..usize::try_from(read).ok()?)?;
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_broken_block_end_instead_of_panicking() {
        assert_eq!(Names(&[0; 10]).count(), 0);
        assert_eq!(Names(&[0; 64]).count(), 0);
    }
}
