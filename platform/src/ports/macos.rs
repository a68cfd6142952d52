//! Owners of a port on macOS, through libproc: the descriptors of a process, then each socket among them.
//! Only processes of the same user can be looked into (all, for root), so another user's socket is nobody's here. The
//! asked-for group is looked at first, and the machine only when it does not listen where connections go: that the
//! stranger listens there as well was ruled out by the check of the port right before the start.
//! All descriptors of a process are read into one buffer; a process with more than fit shows its lowest ones.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, offset_of, size_of};
use std::net::SocketAddr;

use super::listener::{DESCRIPTORS_MAX, LISTENERS_MAX, Listener, Occupant, Ownership, keep_reached};
use super::proc_info::{SOCKINFO_TCP, SocketFdInfo, TSI_S_LISTEN, peer, place};
use crate::limits::effective_user_id;
use crate::pid::Pid;
use crate::process::{Listed, list};

/// The most descriptors of one process that are looked at: a buffer of 128 KiB.
const PROCESS_DESCRIPTORS_MAX: usize = 16 * 1024;

/// Of bsd/sys/proc_info.h, where libc does not name it.
const PROC_PIDFDSOCKETINFO: c_int = 3;

// The layout that XNU's headers give on both of its 64-bit architectures.
const _: () = assert!(size_of::<libc::proc_fdinfo>() == 8 && offset_of!(libc::proc_fdinfo, proc_fdtype) == 4);

/// One TCP socket and a process that has it open.
#[derive(Clone, Copy)]
struct Open {
    place: Listener,
    peer: Option<SocketAddr>,
    is_listening: bool,
    socket: u64,
    pid: Pid,
}

pub(super) fn holders(addr: SocketAddr) -> io::Result<Vec<Pid>> {
    let mut sockets = Scan::new().all(&visible_processes()?, addr.port());
    keep_reached(&mut sockets, addr, |open| open.place);
    Ok(sockets.into_iter().map(|open| open.pid).collect())
}

/// Another user's sockets are not told of.
pub(super) fn holding_users(_addr: SocketAddr) -> io::Result<Vec<u32>> {
    Ok(Vec::new())
}

pub(super) fn occupants(addr: SocketAddr) -> io::Result<Vec<Occupant>> {
    let is_in_the_way = |open: &Open| {
        let bound = open.place.addr;
        let is_there = bound.ip().is_unspecified() || bound.ip().to_canonical() == addr.ip().to_canonical();
        !open.is_listening && bound.port() == addr.port() && is_there
    };
    let found = Scan::new().sockets(&visible_processes()?, is_in_the_way);
    let occupant = |open: Open| Occupant { pid: Some(open.pid), user_id: effective_user_id(), peer: open.peer };
    Ok(found.into_iter().map(occupant).collect())
}

/// What tells sockets apart here is only told of those that may be looked into, one descriptor after the other.
pub(super) fn listeners(_addr: SocketAddr) -> io::Result<Vec<u64>> {
    Ok(Vec::new())
}

pub(super) fn places(pids: &[Pid]) -> io::Result<Option<Vec<Listener>>> {
    Ok(Some(Scan::new().all(pids, 0).into_iter().map(|open| open.place).collect()))
}

pub(super) fn ownership(addr: SocketAddr, leader: Pid, is_ours: &mut dyn FnMut(Pid) -> bool) -> io::Result<Ownership> {
    let mut scan = Scan::new();
    if reaches(scan.all(&[leader], addr.port()), addr) {
        return Ok(Ownership::Own);
    }
    let mut sockets = scan.all(&visible_processes()?, addr.port());
    keep_reached(&mut sockets, addr, |open| open.place);
    Ok(judge(&sockets, is_ours))
}

fn reaches(mut sockets: Vec<Open>, addr: SocketAddr) -> bool {
    keep_reached(&mut sockets, addr, |open| open.place);
    !sockets.is_empty()
}

/// Whose the reached sockets are: each must be open in a process of ours.
fn judge(sockets: &[Open], is_ours: &mut dyn FnMut(Pid) -> bool) -> Ownership {
    if sockets.is_empty() {
        return Ownership::Unknown;
    }
    let explained: Vec<u64> = sockets.iter().filter(|open| is_ours(open.pid)).map(|open| open.socket).collect();
    let unexplained = sockets.iter().filter(|open| !explained.contains(&open.socket));
    let mut strangers: Vec<Pid> = unexplained.map(|open| open.pid).collect();
    strangers.sort_unstable();
    strangers.dedup();
    if strangers.is_empty() { Ownership::Own } else { Ownership::Stranger(strangers) }
}

/// The processes that may be looked into.
fn visible_processes() -> io::Result<Vec<Pid>> {
    match effective_user_id() {
        0 => list(Listed::Everybody),
        user => list(Listed::User(user)),
    }
}

/// One look at some processes: its buffer, and how many descriptors it may still look at.
struct Scan {
    descriptors: Vec<libc::proc_fdinfo>,
    budget: usize,
}

impl Scan {
    fn new() -> Scan {
        let empty = libc::proc_fdinfo { proc_fd: 0, proc_fdtype: 0 };
        Scan { descriptors: vec![empty; PROCESS_DESCRIPTORS_MAX], budget: DESCRIPTORS_MAX }
    }

    /// Every listening socket on `port`, or on any (0), of these processes; none of those that have gone or may not be
    /// looked into.
    fn all(&mut self, pids: &[Pid], port: u16) -> Vec<Open> {
        self.sockets(pids, |open| open.is_listening && (port == 0 || open.place.addr.port() == port))
    }

    fn sockets(&mut self, pids: &[Pid], is_wanted: impl Fn(&Open) -> bool) -> Vec<Open> {
        let mut found = Vec::new();
        for &pid in pids {
            let count = self.list(pid);
            for descriptor in &self.descriptors[..count] {
                if descriptor.proc_fdtype != libc::PROX_FDTYPE_SOCKET.cast_unsigned() {
                    continue;
                }
                if self.budget == 0 || found.len() == LISTENERS_MAX {
                    return found;
                }
                self.budget -= 1;
                found.extend(socket(pid, descriptor.proc_fd).filter(&is_wanted));
            }
        }
        found
    }

    /// Reads the descriptors of a process into the buffer, and returns how many there are.
    fn list(&mut self, pid: Pid) -> usize {
        let size = size_of_val(self.descriptors.as_slice()) as c_int;
        let buffer = self.descriptors.as_mut_ptr().cast::<c_void>();
        // SAFETY: the kernel writes at most `size` bytes, which the buffer has; proc_fdinfo is two integers.
        let written = unsafe { libc::proc_pidinfo(pid.as_raw(), libc::PROC_PIDLISTFDS, 0, buffer, size) };
        usize::try_from(written).unwrap_or(0) / size_of::<libc::proc_fdinfo>()
    }
}

/// A descriptor, if it is a TCP socket.
fn socket(pid: Pid, fd: c_int) -> Option<Open> {
    let mut info = MaybeUninit::<SocketFdInfo>::zeroed();
    let size = size_of::<SocketFdInfo>() as c_int;
    let out = info.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel writes at most `size` bytes, the size of `info`.
    let written = unsafe { libc::proc_pidfdinfo(pid.as_raw(), fd, PROC_PIDFDSOCKETINFO, out, size) };
    if written != size {
        return None;
    }
    // SAFETY: zeroed and then filled; the structure holds integers only, for which every value is valid.
    let info = unsafe { info.assume_init() };
    if info.kind != SOCKINFO_TCP {
        return None;
    }
    // SAFETY: as above, every member of the union is made of integers; `kind` says that this is the one.
    let tcp = unsafe { info.protocol_info.tcp };
    let (place, peer) = (place(&tcp.internet), peer(&tcp.internet));
    Some(Open { place, peer, is_listening: tcp.state == TSI_S_LISTEN, socket: info.socket, pid })
}
