//! What nix does not make without a feature of its own: a TCP socket that no child inherits, an option with a value, an
//! address as the kernel reads it.

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub(super) fn stream_socket(addr: SocketAddr) -> io::Result<OwnedFd> {
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

pub(super) fn set_option(socket: &OwnedFd, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_value(socket, level, option, &on)
}

/// `T` is the plain C type that the option takes.
pub(super) fn set_value<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is live, and `length` is its size.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const *value).cast(), length) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Calls bind(2), connect(2) or the like with an address.
pub(super) fn with_address(
    addr: SocketAddr,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> libc::c_int,
) -> io::Result<()> {
    let done = match addr {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_in is plain data, for which all zeroes is a valid value.
            let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            with_raw(&mut raw, call)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: sockaddr_in6 is plain data, for which all zeroes is a valid value.
            let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            with_raw(&mut raw, call)
        }
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `A` is sockaddr_in or sockaddr_in6.
fn with_raw<A>(
    address: &mut A,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> libc::c_int,
) -> libc::c_int {
    let length = size_of::<A>() as libc::socklen_t;
    // BSD's socket addresses begin with their own length.
    #[cfg(not(target_os = "linux"))]
    // SAFETY: every BSD socket address begins with the byte `sa_len`, and `address` is one that we own.
    unsafe {
        (&raw mut *address).cast::<u8>().write(length as u8);
    }
    call((&raw const *address).cast(), length)
}
