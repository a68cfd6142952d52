//! Connections to one address, which never meet themselves.
//!
//! A connection to a port of the range for outgoing ones may be given that very port as its own. Where nobody listens
//! it meets itself then (a simultaneous open, RFC 9293 §3.5), and whoever was about to listen finds the port taken.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use super::socket::{set_value, stream_socket, with_address};

/// An address to connect to, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    addr: SocketAddr,
    /// The value of IP_LOCAL_PORT_RANGE that leaves out the peer's port, where that is needed and possible.
    #[cfg(target_os = "linux")]
    own_ports: Option<u32>,
}

impl Peer {
    /// Looks at the system's range of ports once.
    #[must_use]
    pub fn at(addr: SocketAddr) -> Self {
        Self {
            addr,
            #[cfg(target_os = "linux")]
            own_ports: super::ephemeral_ports().and_then(|range| beside(addr.port(), &range)),
        }
    }

    /// Begins to connect, without waiting: the stream is non-blocking, and connected or not yet.
    ///
    /// Its own port is not the peer's on Linux since 6.3. Elsewhere, and in a range of no other port, it may be; where
    /// such a connection has met itself it ends at once, by a reset, since in TIME_WAIT it would keep the port for a
    /// minute.
    ///
    /// # Errors
    /// What connect(2) reports at once, ECONNREFUSED among them for one that has met itself; EMFILE and the like.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let socket = stream_socket(self.addr)?;
        #[cfg(target_os = "linux")]
        if let Some(range) = self.own_ports {
            // A kernel that has no such option has the rest below.
            let _ = set_value(&socket, libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range);
        }
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        let raw = stream.as_raw_fd();
        // SAFETY: the address is live and has that length.
        match with_address(self.addr, |address, length| unsafe { libc::connect(raw, address, length) }) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        self.refuse_itself(&stream)?;
        Ok(stream)
    }

    fn refuse_itself(&self, stream: &TcpStream) -> io::Result<()> {
        let local = stream.local_addr()?;
        if (local.ip(), local.port()) == (self.addr.ip(), self.addr.port()) {
            reset_on_close(stream)?;
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(())
    }
}

/// linux/in.h, which libc does not name.
#[cfg(target_os = "linux")]
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

/// The larger part of a range that has a port in its midst, as IP_LOCAL_PORT_RANGE(2const) takes it: the first port in
/// the lower half of the number, the last one in the upper.
#[cfg(target_os = "linux")]
fn beside(port: u16, range: &std::ops::RangeInclusive<u16>) -> Option<u32> {
    let (first, last) = (*range.start(), *range.end());
    if !range.contains(&port) || first == last {
        return None;
    }
    let (first, last) = if port - first > last - port { (first, port - 1) } else { (port + 1, last) };
    Some(u32::from(first) | u32::from(last) << 16)
}

/// Lets a connection end by a reset when it is closed, without a TIME_WAIT (SO_LINGER of 0; socket(7)).
fn reset_on_close(connection: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_value(connection, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    #[test]
    fn a_connection_that_has_met_itself_is_refused_and_leaves_the_port_free() {
        let met = TcpStream::from(stream_socket(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket"));
        let raw = met.as_raw_fd();
        // SAFETY: the address is live and has that length.
        let bind = |addr| with_address(addr, |address, length| unsafe { libc::bind(raw, address, length) });
        bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let itself = met.local_addr().expect("an address");
        // SAFETY: the address is live and has that length.
        with_address(itself, |address, length| unsafe { libc::connect(raw, address, length) }).expect("a connection");

        let refused = Peer::at(itself).refuse_itself(&met).expect_err("a refusal");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        drop(met);
        // In TIME_WAIT its port would be taken for a minute. A child that another test makes may have a copy until it
        // executes its program.
        let began = Instant::now();
        while let Err(error) = TcpListener::bind(itself) {
            assert!(began.elapsed() < Duration::from_secs(20), "{error}");
            std::thread::yield_now();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_larger_part_of_the_range_beside_the_peers_port_is_taken() {
        let part = |port, first, last| beside(port, &(first..=last)).map(|range| (range & 0xffff, range >> 16));
        assert_eq!(part(32_768, 32_768, 60_999), Some((32_769, 60_999)));
        assert_eq!(part(60_999, 32_768, 60_999), Some((32_768, 60_998)));
        assert_eq!(part(40_000, 32_768, 60_999), Some((40_001, 60_999)));
        assert_eq!(part(50_000, 32_768, 60_999), Some((32_768, 49_999)));
        assert_eq!(part(65_535, 1, 65_535), Some((1, 65_534)));
        assert_eq!(part(5_001, 5_000, 5_001), Some((5_000, 5_000)));
        for (port, first, last) in [(3_111, 32_768, 60_999), (61_000, 32_768, 60_999), (5_000, 5_000, 5_000)] {
            assert_eq!(part(port, first, last), None, "{port}");
        }
    }
}
