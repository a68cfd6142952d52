//! The listening socket. Bound by hand, because the standard library can neither share a port nor choose a backlog.
//! A port that is taken is answered as most servers do: one line on stderr and exit code 1.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind as bind_socket, listen, setsockopt, socket,
    sockopt,
};

use crate::life::Life;
use crate::options::Options;

/// Listens, or ends the worker.
pub(crate) fn bind(life: &Life) -> TcpListener {
    try_bind(&life.options).unwrap_or_else(|errno| {
        eprintln!("worker: cannot listen on {}:{}: {errno}", life.options.host, life.options.port);
        life.exit(1)
    })
}

fn try_bind(options: &Options) -> nix::Result<TcpListener> {
    let address = SocketAddr::new(options.host, options.port);
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::empty(), None)?;
    // Apple has no SOCK_CLOEXEC; no other thread starts a program between these two calls.
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if options.reuse_port {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    bind_socket(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::new(options.backlog)?)?;
    Ok(TcpListener::from(fd))
}

/// Opens so many descriptors for good, raising the soft limit as far as it must.
pub(crate) fn open_fds(count: usize) {
    if count == 0 {
        return;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit can be raised");
    let null = File::open("/dev/null").expect("/dev/null opens");
    for _ in 0..count {
        let _stays_open = null.try_clone().expect("a descriptor within the limit").into_raw_fd();
    }
}

/// Being slow is this program's work: the one place where it is.
pub(crate) fn pause(duration: Duration) {
    if !duration.is_zero() {
        std::thread::sleep(duration);
    }
}
