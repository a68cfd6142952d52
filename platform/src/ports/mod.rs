//! Whose TCP port it is: whether it is free, who listens on it, and whether those are ours. Only LISTEN sockets count,
//! never a client that is connected to the port; a socket shared by two processes has two holders. The `listeners`
//! crate tells one of them only, and reads whole socket tables into memory, hence these files. What a scan reads goes
//! through one fixed buffer and named limits, and processes that vanish meanwhile are no error. Refuses lsof (it forks,
//! lists clients, and hangs on dead network mounts).

mod bind;
mod connect;
// The rule is tested on FreeBSD too, which has nobody to apply it to.
#[cfg(target_os = "linux")]
mod linux;
#[cfg_attr(target_os = "freebsd", allow(dead_code))]
mod listener;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(target_os = "macos", test))]
#[cfg_attr(not(target_os = "macos"), allow(dead_code))]
mod proc_info;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

pub use self::bind::{PortTrial, port_is_free};
pub use self::connect::Peer;
#[cfg(target_os = "linux")]
use self::linux as sys;
pub use self::listener::{Occupant, Ownership};
#[cfg(target_os = "macos")]
use self::macos as sys;
use crate::limits::user_name;
use crate::pid::Pid;

/// FreeBSD: owners are not looked for. The worker's port is never reclaimed there; a held one is waited for. The
/// answers say so: nobody is named, and ownership is unknown, which callers accept.
#[cfg(target_os = "freebsd")]
mod sys {
    use super::{Occupant, Ownership, Pid, SocketAddr, io};

    pub(super) fn holders(_addr: SocketAddr) -> io::Result<Vec<Pid>> {
        Ok(Vec::new())
    }

    pub(super) fn holding_users(_addr: SocketAddr) -> io::Result<Vec<u32>> {
        Ok(Vec::new())
    }

    pub(super) fn occupants(_addr: SocketAddr) -> io::Result<Vec<Occupant>> {
        Ok(Vec::new())
    }

    pub(super) fn listeners(_addr: SocketAddr) -> io::Result<Vec<u64>> {
        Ok(Vec::new())
    }

    pub(super) fn places(_: &[Pid]) -> io::Result<Option<Vec<super::listener::Listener>>> {
        Ok(None)
    }

    pub(super) fn ownership(_: SocketAddr, _: Pid, _: &mut dyn FnMut(Pid) -> bool) -> io::Result<Ownership> {
        Ok(Ownership::Unknown)
    }
}

/// The ports that the system gives to outgoing connections by default, if it tells.
#[must_use]
pub fn ephemeral_ports() -> Option<RangeInclusive<u16>> {
    let (first, last) = ephemeral_range()?;
    (first <= last).then_some(first..=last)
}

/// ip(7).
#[cfg(target_os = "linux")]
fn ephemeral_range() -> Option<(u16, u16)> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// ip(4) of FreeBSD; the same names on macOS.
#[cfg(not(target_os = "linux"))]
fn ephemeral_range() -> Option<(u16, u16)> {
    let number = |name: &std::ffi::CStr| {
        let (mut value, mut size): (libc::c_int, usize) = (0, size_of::<libc::c_int>());
        let out = (&raw mut value).cast::<libc::c_void>();
        // SAFETY: `out` is a live integer of `size` bytes, and nothing is set.
        let asked = unsafe { libc::sysctlbyname(name.as_ptr(), out, &raw mut size, std::ptr::null_mut(), 0) };
        u16::try_from(value).ok().filter(|_| asked == 0)
    };
    Some((number(c"net.inet.ip.portrange.first")?, number(c"net.inet.ip.portrange.last")?))
}

/// The processes that LISTEN where connections to `addr`, which is no wildcard, go. Each once, in ascending order.
/// Empty: nobody, or nobody that can be seen.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn holders(addr: SocketAddr) -> io::Result<Vec<Pid>> {
    let mut pids = sys::holders(addr)?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The names (or numbers) of the users whose sockets keep another process from listening on `addr`, each once: for
/// holders that [`holders`] can't see. Known on Linux only, whose tables tell it of every socket; empty elsewhere. May
/// ask the system's directory of users, so not for the restart path.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn holding_users(addr: SocketAddr) -> io::Result<Vec<String>> {
    let mut ids = sys::holding_users(addr)?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids.into_iter().map(user_name).collect())
}

/// The sockets that have the port of `addr` and do not listen: of connections that it is the local end of, or only
/// bound. Empty where the system does not show them, as FreeBSD and kernels of Linux before 6.8 for the latter.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn occupants(addr: SocketAddr) -> io::Result<Vec<Occupant>> {
    sys::occupants(addr)
}

/// What the listening sockets that connections to `addr` reach are known by: numbers that no two sockets share (inodes,
/// on Linux). Empty: nobody listens, or the system does not show it, as macOS and FreeBSD.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn listeners(addr: SocketAddr) -> io::Result<Vec<u64>> {
    let mut sockets = sys::listeners(addr)?;
    sockets.sort_unstable();
    Ok(sockets)
}

/// Where some processes LISTEN on TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Each address once, in ascending order.
    pub addrs: Vec<SocketAddr>,
    /// Whether connections to the address that was asked for can get to one of them.
    pub is_reached: bool,
}

/// Where these processes LISTEN, and whether connections to `addr` get there. None: the system does not tell (FreeBSD).
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn listening_of(pids: &[Pid], addr: SocketAddr) -> io::Result<Option<Listening>> {
    let Some(places) = sys::places(pids)? else { return Ok(None) };
    let is_reached = places.iter().any(|place| place.rank(addr).is_some());
    let mut addrs: Vec<SocketAddr> = places.into_iter().map(|place| place.addr).collect();
    addrs.sort_unstable();
    addrs.dedup();
    Ok(Some(Listening { addrs, is_reached }))
}

/// Whether the process `leader`, which is asked first, and others that are ours own every socket that connections to
/// `addr` reach. The machine is scanned only when it leaves a socket unexplained.
///
/// # Errors
/// What reading the system's tables reports (EMFILE, EACCES).
pub fn ownership(addr: SocketAddr, leader: Pid, is_ours: &mut dyn FnMut(Pid) -> bool) -> io::Result<Ownership> {
    sys::ownership(addr, leader, is_ours)
}
