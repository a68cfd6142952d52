//! Whether a TCP port is free, found by binding it and letting go at once: microseconds, and no scan.
//! With SO_REUSEADDR, so that connections in TIME_WAIT are no conflict; never with SO_REUSEPORT, which would share the
//! port. Never listens, so that no client can reach us. Refuses to judge EACCES and EADDRNOTAVAIL: those are errors.

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
#[cfg(not(target_os = "linux"))]
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Whether a process could listen on `addr` now, and would get the connections.
///
/// # Errors
/// EACCES: a port for root only. EADDRNOTAVAIL: no such address on this machine. EMFILE and the like.
pub fn port_is_free(addr: SocketAddr) -> io::Result<bool> {
    PortTrial::of(addr)?.is_free()
}

/// A socket made ready to try an address with. What is left to do then is two system calls out of four.
#[derive(Debug)]
pub struct PortTrial {
    addr: SocketAddr,
    socket: OwnedFd,
}

impl PortTrial {
    /// Makes the socket; `addr` may be anybody's for now.
    ///
    /// # Errors
    /// EMFILE and the like.
    pub fn of(addr: SocketAddr) -> io::Result<PortTrial> {
        let socket = stream_socket(addr)?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
        Ok(PortTrial { addr, socket })
    }

    /// Which address it is for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// As [`port_is_free`]. Linux compares a bind with every listening socket that overlaps, wildcards of both families
    /// included.
    ///
    /// # Errors
    /// As [`port_is_free`].
    #[cfg(target_os = "linux")]
    pub fn is_free(self) -> io::Result<bool> {
        self.can_bind()
    }

    /// As [`port_is_free`].
    ///
    /// With SO_REUSEADDR a BSD-derived kernel compares the exact address only (XNU: in_pcbbind looks up without
    /// wildcards then), so binding 127.0.0.1 succeeds beside a listener on 0.0.0.0 or on the dual-stack [::] of the
    /// same user. The wildcard of the family is therefore tried too. For IPv4 that finds both: XNU enters a dual-stack
    /// [::] socket under the IPv4 wildcard as well, and would let 0.0.0.0 beside it only if both sockets were IPv6
    /// ones. FreeBSD lets 0.0.0.0 beside a dual-stack [::], which is therefore missed there; its IPv6 sockets are
    /// IPv6-only unless asked otherwise. The wildcard may also be refused for another user's listener on another
    /// address, which is no conflict; that is rare, and waiting is the safe answer.
    ///
    /// # Errors
    /// As [`port_is_free`].
    #[cfg(not(target_os = "linux"))]
    pub fn is_free(self) -> io::Result<bool> {
        let addr = self.addr;
        if !self.can_bind()? {
            return Ok(false);
        }
        let wildcard = match addr {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port())),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, addr.port())),
        };
        if wildcard == addr {
            return Ok(true);
        }
        let trial = PortTrial::of(wildcard)?;
        if wildcard.is_ipv6() {
            // Only IPv6 is asked about: an IPv4 listener is not in the way of an IPv6 address.
            set_option(&trial.socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?;
        }
        trial.can_bind()
    }

    fn can_bind(self) -> io::Result<bool> {
        match bind(&self.socket, self.addr) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Lets a connection end by a reset when it is closed, without a TIME_WAIT (SO_LINGER of 0; socket(7)).
///
/// # Errors
/// What setsockopt(2) reports.
pub fn reset_on_close(connection: &impl AsRawFd) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_value(connection, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

fn stream_socket(addr: SocketAddr) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    #[cfg(not(target_os = "macos"))]
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    #[cfg(target_os = "macos")]
    let kind = libc::SOCK_STREAM;
    // SAFETY: three integers in, a descriptor or -1 out.
    let raw = unsafe { libc::socket(family, kind, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "macos")]
    crate::limits::close_on_exec(raw);
    // SAFETY: the kernel has just handed us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn set_option(socket: &OwnedFd, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_value(socket, level, option, &on)
}

/// `T` is the plain C type that the option takes.
fn set_value<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is live, and `length` is its size.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const *value).cast(), length) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind(socket: &OwnedFd, addr: SocketAddr) -> io::Result<()> {
    let bound = match addr {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_in is plain data, for which all zeroes is a valid value.
            let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            bind_raw(socket, &mut raw)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: sockaddr_in6 is plain data, for which all zeroes is a valid value.
            let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            bind_raw(socket, &mut raw)
        }
    };
    if bound == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `A` is sockaddr_in or sockaddr_in6.
fn bind_raw<A>(socket: &OwnedFd, address: &mut A) -> libc::c_int {
    let length = size_of::<A>() as libc::socklen_t;
    // BSD's socket addresses begin with their own length.
    #[cfg(not(target_os = "linux"))]
    // SAFETY: every BSD socket address begins with the byte `sa_len`, and `address` is one that we own.
    unsafe {
        (&raw mut *address).cast::<u8>().write(length as u8);
    }
    // SAFETY: `address` is a live socket address of `length` bytes.
    unsafe { libc::bind(socket.as_raw_fd(), (&raw const *address).cast(), length) }
}
