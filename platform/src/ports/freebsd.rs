//! Owners of a port on FreeBSD: not looked for. The worker's port is never reclaimed there; a held one is waited for.
//! The answers say so: nobody is named, and ownership is unknown, which callers accept.

use std::io;
use std::net::SocketAddr;

use super::Ownership;
use crate::process::Pid;

pub(crate) fn holders(_addr: SocketAddr) -> io::Result<Vec<Pid>> {
    Ok(Vec::new())
}

pub(crate) fn ownership(_addr: SocketAddr, _group: Pid) -> io::Result<Ownership> {
    Ok(Ownership::Unknown)
}
