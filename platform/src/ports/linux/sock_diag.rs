//! Sockets from the kernel's sock_diag(7), which can be asked for those of one port and of some states alone: tens of
//! microseconds, where the tables in /proc take milliseconds. Also tells whether an IPv6 wildcard takes IPv4. Needs no
//! capability.
//! Refuses to wait: the kernel answers within the calls, and anything else is an error.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::ports::listener::{LISTENERS_MAX, Listener};

// Of linux/sock_diag.h and linux/inet_diag.h, where libc does not name them.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKV6ONLY: u16 = 11;
/// `1 << TCP_LISTEN`.
const LISTEN_STATE: u32 = 1 << 10;
/// TCP_ESTABLISHED (1) to TCP_LAST_ACK (9), and TCP_BOUND_INACTIVE (13), which kernels before 6.8 do not tell of.
/// Without TCP_TIME_WAIT (6) and TCP_CLOSE (7), which belong to no process.
const OTHER_STATES: u32 = 0b11_0011_1110 | 1 << 13;

/// `struct nlmsghdr`: length 4, type 2, flags 2, sequence 4, port 4.
const HEADER_BYTES: usize = 16;
/// The header and `struct inet_diag_req_v2`: family, protocol, extensions, padding, states 4, then
/// `struct inet_diag_sockid`: ports 2 + 2, addresses 16 + 16, interface 4, cookie 8.
const REQUEST_BYTES: usize = HEADER_BYTES + 8 + 48;
/// `struct inet_diag_msg`: family, state, timer, retransmits, a sockid, then 4 each of expiry, two queues, user, inode.
const ANSWER_BYTES: usize = 4 + 48 + 20;

/// Which sockets of a port are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those that listen.
    Listening,
    /// Those of connections, and those that are only bound.
    Others,
}

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) place: Listener,
    /// Port 0 where it is not connected.
    pub(super) peer: SocketAddr,
    pub(super) inode: u64,
    pub(super) user_id: u32,
}

/// The sockets of one kind on a port, or on any (0), of both families.
pub(super) fn sockets(kind: Kind, port: u16, buffer: &mut [u8]) -> io::Result<Vec<Socket>> {
    let netlink = open()?;
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        send(&netlink, &request(kind, family as u8, port))?;
        while !read_answers(receive(&netlink, buffer)?, port, &mut sockets)? {}
    }
    Ok(sockets)
}

fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: three integers in, a descriptor or -1 out.
    let raw = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_INET_DIAG) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just handed us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn request(kind: Kind, family: u8, port: u16) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    bytes[..4].copy_from_slice(&(REQUEST_BYTES as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    bytes[16] = family;
    bytes[17] = libc::IPPROTO_TCP as u8;
    let states = match kind {
        Kind::Listening => LISTEN_STATE,
        Kind::Others => OTHER_STATES,
    };
    bytes[20..24].copy_from_slice(&states.to_ne_bytes());
    bytes[24..26].copy_from_slice(&port.to_be_bytes());
    bytes
}

fn send(netlink: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: `bytes` is live for its whole length; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(netlink.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn receive<'a>(netlink: &OwnedFd, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most `buffer.len()` bytes into a buffer that we own.
    let received = unsafe { libc::recv(netlink.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    buffer.get(..length).filter(|bytes| !bytes.is_empty()).ok_or_else(misunderstood)
}

fn misunderstood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "cannot understand the kernel's list of sockets")
}

/// Collects the sockets of one datagram; true when it was the last.
fn read_answers(mut bytes: &[u8], port: u16, sockets: &mut Vec<Socket>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let length = number(bytes, 0)? as usize;
        let message = bytes.get(HEADER_BYTES..length).ok_or_else(misunderstood)?;
        match i32::from(u16::from_ne_bytes(array(bytes, 4)?)) {
            libc::NLMSG_DONE => return Ok(true),
            // Carries a negative errno, for example ENOENT where the kernel has no such module.
            libc::NLMSG_ERROR => {
                let errno = i32::from_ne_bytes(array(message, 0)?);
                return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
            }
            _ => {
                let socket = socket(message)?;
                if (port == 0 || socket.place.addr.port() == port) && sockets.len() < LISTENERS_MAX {
                    sockets.push(socket);
                }
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(false)
}

fn socket(message: &[u8]) -> io::Result<Socket> {
    let is_ipv4 = i32::from(array::<1>(message, 0)?[0]) == libc::AF_INET;
    let address = |port_at, ip_at| -> io::Result<SocketAddr> {
        let port = u16::from_be_bytes(array(message, port_at)?);
        Ok(if is_ipv4 {
            SocketAddr::from((Ipv4Addr::from(array::<4>(message, ip_at)?), port))
        } else {
            SocketAddr::from((Ipv6Addr::from(array::<16>(message, ip_at)?), port))
        })
    };
    let (addr, peer) = (address(4, 8)?, address(6, 24)?);
    let user_id = number(message, ANSWER_BYTES - 8)?;
    let inode = u64::from(number(message, ANSWER_BYTES - 4)?);
    let only_ipv6 = attribute(message, INET_DIAG_SKV6ONLY).is_some_and(|value| value.first() == Some(&1));
    Ok(Socket { place: Listener { addr, dual_stack: !only_ipv6 }, peer, inode, user_id })
}

/// The value of an attribute behind the answer; each is length 2, type 2, value, padded to 4.
fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(ANSWER_BYTES..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(array(rest, 0).ok()?));
        let kind = u16::from_ne_bytes(array(rest, 2).ok()?);
        let value = rest.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    Ok(u32::from_ne_bytes(array(bytes, at)?))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).ok_or_else(misunderstood)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_answer_is_an_error_and_no_panic() {
        let mut whole = [0; 200];
        whole[..4].copy_from_slice(&200_u32.to_ne_bytes());
        whole[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        whole[88..90].copy_from_slice(&u16::MAX.to_ne_bytes());
        for length in 1..whole.len() {
            let mut sockets = Vec::new();
            assert!(read_answers(&whole[..length], 0, &mut sockets).is_err(), "{length} bytes");
        }
        assert!(read_answers(&[0; 64], 0, &mut Vec::new()).is_err());
    }

    #[test]
    fn the_kernels_own_error_is_passed_on() {
        let mut bytes = [0; 36];
        bytes[..4].copy_from_slice(&36_u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        bytes[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let error = read_answers(&bytes, 0, &mut Vec::new()).expect_err("an error");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn an_ipv6_only_wildcard_is_told_from_a_dual_stack_one() {
        let Ok(dual) = std::net::TcpListener::bind("[::]:0") else { return };
        let addr = dual.local_addr().expect("an address");
        let reachable = std::net::TcpStream::connect(("127.0.0.1", addr.port())).is_ok();
        let sockets = sockets(Kind::Listening, addr.port(), &mut [0; 4096]).expect("netlink");
        assert_eq!(sockets.iter().map(|socket| socket.place.dual_stack).collect::<Vec<_>>(), [reachable]);
    }
}
