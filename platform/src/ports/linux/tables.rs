//! Listening sockets from /proc/net/tcp{,6}: the way that always works, for where netlink does not.
//! Slow: a read makes the kernel walk its whole table of connections, milliseconds even when there are none. Listening
//! sockets come first (proc_net_tcp.rst of the kernel), so reading stops behind them. IPV6_V6ONLY is not told: an IPv6
//! wildcard is taken for dual-stack.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::sock_diag::Socket;
use crate::ports::listener::{LISTENERS_MAX, Listener};

/// The state of a listening socket in the tables (TCP_LISTEN).
const LISTEN: &str = "0A";

/// Every LISTEN socket on a port, of both families.
pub(super) fn listening(port: u16, buffer: &mut [u8]) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match File::open(table) {
            Ok(mut file) => read_table(&mut file, buffer, port, &mut sockets)?,
            // A kernel without IPv6 has no second table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// Reads a table up to its first line that is no LISTEN socket. Each read returns whole lines, but nothing here relies
/// on it.
fn read_table(file: &mut impl Read, buffer: &mut [u8], port: u16, sockets: &mut Vec<Socket>) -> io::Result<()> {
    let mut length = 0;
    let mut heading = true;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => return Ok(()),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        let mut start = 0;
        while let Some(end) = buffer[start..length].iter().position(|&byte| byte == b'\n').map(|at| start + at) {
            let line = &buffer[start..end];
            start = end + 1;
            if std::mem::take(&mut heading) {
                continue;
            }
            match parse_line(line) {
                Line::Listening(socket) if socket.place.addr.port() == port && sockets.len() < LISTENERS_MAX => {
                    sockets.push(socket);
                }
                Line::Listening(_) => {}
                Line::Other => return Ok(()),
            }
        }
        buffer.copy_within(start..length, 0);
        length -= start;
    }
    Ok(())
}

enum Line {
    Listening(Socket),
    Other,
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn parse_line(line: &[u8]) -> Line {
    let parse = || {
        let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let local = fields.nth(1)?;
        if fields.nth(1)? != LISTEN {
            return None;
        }
        let user_id = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Socket { place: Listener { addr: parse_address(local)?, dual_stack: true }, inode, user_id })
    };
    parse().map_or(Line::Other, Line::Listening)
}

/// `0100007F:0C27`: the address as 32-bit words of the machine's own order, the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match address.len() {
        8 => Some(SocketAddr::from((Ipv4Addr::from(word(0)?), port))),
        32 => {
            let mut octets = [0; 16];
            for (index, bytes) in octets.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&word(index)?);
            }
            Some(SocketAddr::from((Ipv6Addr::from(octets), port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: [u8; 4], port: u16, state: &str, inode: u64) -> String {
        let word = u32::from_ne_bytes(local);
        format!(
            "   0: {word:08X}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 \
             0 0 {inode} 1 0 100\n"
        )
    }

    /// Hands out a few bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn a_table_is_read_the_same_in_any_pieces() {
        let mut table = HEADING.to_owned();
        for index in 0..40 {
            table += &line([127, 0, 0, 1], 80 + index % 2, LISTEN, u64::from(index));
        }
        table += &line([127, 0, 0, 1], 80, "01", 99);
        table += &line([127, 0, 0, 1], 80, LISTEN, 100);
        for piece in 1..400 {
            let mut sockets = Vec::new();
            let mut buffer = [0; 512];
            read_table(&mut Slowly(table.as_bytes(), piece), &mut buffer, 80, &mut sockets).expect("read");
            let inodes: Vec<_> = sockets.iter().map(|socket| socket.inode).collect();
            assert_eq!(inodes, (0..40).step_by(2).collect::<Vec<_>>(), "in pieces of {piece}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_understood() {
        let v4 = format!("{:08X}:0C27", u32::from_ne_bytes([127, 0, 0, 1]));
        assert_eq!(parse_address(&v4), Some("127.0.0.1:3111".parse().expect("an address")));
        let v6 = format!("{:024X}{:08X}:0C27", 0, u32::from_ne_bytes([0, 0, 0, 1]));
        assert_eq!(parse_address(&v6), Some("[::1]:3111".parse().expect("an address")));
        assert_eq!(parse_address("00:11"), None);
        assert_eq!(parse_address("é000007F:0C27"), None);
    }
}
