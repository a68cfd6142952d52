//! Whether a TCP port is free, found by binding it and letting go at once: microseconds, and no scan.
//! With SO_REUSEADDR, so that connections in TIME_WAIT are no conflict; never with SO_REUSEPORT, which would share the
//! port. Never listens, so that no client can reach us. Refuses to judge EACCES and EADDRNOTAVAIL: those are errors.

use std::io;
use std::net::SocketAddr;
#[cfg(not(target_os = "linux"))]
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use super::socket::{set_option, stream_socket, with_address};

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
        let socket = self.socket.as_raw_fd();
        // SAFETY: the address is live and has that length.
        match with_address(self.addr, |address, length| unsafe { libc::bind(socket, address, length) }) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
            Err(error) => Err(error),
        }
    }
}
