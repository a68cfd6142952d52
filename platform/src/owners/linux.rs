//! Owners of a port on Linux: /proc/net/tcp{,6} names every LISTEN socket of this network namespace by inode, and
//! /proc/PID/fd links to the same inodes. The tables alone show every stranger beside us, so the machine is scanned only
//! for who a stranger is. Listening sockets come first in the tables (proc_net_tcp.rst of the kernel), so reading stops
//! behind them. IPV6_V6ONLY is not in the tables: an IPv6 wildcard is taken for dual-stack.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use super::{DESCRIPTORS_MAX, LISTENERS_MAX, Listener, Ownership, PROCESSES_MAX, keep_in_the_way, keep_reached};
use crate::process::{Pid, group_of};

/// Everything that a scan reads goes through one buffer of this size.
const BUFFER_BYTES: usize = 16 * 1024;

/// The state of a listening socket in the tables (TCP_LISTEN).
const LISTEN: &str = "0A";

/// One listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    place: Listener,
    inode: u64,
}

pub(crate) fn holders(addr: SocketAddr) -> io::Result<Vec<Pid>> {
    let mut sockets = listening(addr.port())?;
    keep_in_the_way(&mut sockets, addr, |socket| socket.place);
    let mut pids = Vec::new();
    if !sockets.is_empty() {
        scan(&sockets, |pid, _| pids.push(pid))?;
    }
    Ok(pids)
}

pub(crate) fn ownership(addr: SocketAddr, group: Pid) -> io::Result<Ownership> {
    let mut unexplained = listening(addr.port())?;
    keep_reached(&mut unexplained, addr, |socket| socket.place);
    if unexplained.is_empty() {
        return Ok(Ownership::Unknown);
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut budget = DESCRIPTORS_MAX;
    let mut found = Vec::new();
    sockets_of(group, &unexplained, &mut buffer, &mut budget, &mut found);
    unexplained.retain(|socket| !found.contains(&socket.inode));
    if unexplained.is_empty() {
        return Ok(Ownership::Own);
    }
    explain(&unexplained, group)
}

/// The leader does not hold these sockets: other members of its group, or strangers, do.
fn explain(sockets: &[Socket], group: Pid) -> io::Result<Ownership> {
    let mut owners = Vec::new();
    scan(sockets, |pid, inode| owners.push((inode, pid, group_of(pid) == Some(group.as_raw()))))?;
    let mut strangers = Vec::new();
    let mut unseen = false;
    for socket in sockets {
        let mut of_socket = owners.iter().filter(|(inode, ..)| *inode == socket.inode).peekable();
        unseen |= of_socket.peek().is_none();
        if of_socket.clone().all(|(_, _, ours)| !ours) {
            strangers.extend(of_socket.map(|&(_, pid, _)| pid));
        }
    }
    strangers.sort_unstable();
    strangers.dedup();
    Ok(match (strangers.is_empty(), unseen) {
        (false, _) => Ownership::Stranger(strangers),
        (true, true) => Ownership::Unknown,
        (true, false) => Ownership::Own,
    })
}

/// Every LISTEN socket on a port, of both families.
fn listening(port: u16) -> io::Result<Vec<Socket>> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match File::open(table) {
            Ok(mut file) => read_table(&mut file, &mut buffer, port, &mut sockets)?,
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
        let inode = fields.nth(5)?.parse().ok()?;
        Some(Socket { place: Listener { addr: parse_address(local)?, dual_stack: true }, inode })
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

/// Calls `found` for every process that can be seen and every one of the sockets that it has open.
fn scan(sockets: &[Socket], mut found: impl FnMut(Pid, u64)) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut budget = DESCRIPTORS_MAX;
    let mut inodes = Vec::new();
    let processes = std::fs::read_dir("/proc")?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::new));
    for pid in pids.take(PROCESSES_MAX) {
        inodes.clear();
        sockets_of(pid, sockets, &mut buffer, &mut budget, &mut inodes);
        inodes.iter().for_each(|&inode| found(pid, inode));
        if budget == 0 {
            break;
        }
    }
    Ok(())
}

/// The inodes among `sockets` that a process has open. None for one that has gone or may not be looked at.
fn sockets_of(pid: Pid, sockets: &[Socket], buffer: &mut [u8], budget: &mut usize, inodes: &mut Vec<u64>) {
    let Ok(directory) = File::open(format!("/proc/{pid}/fd")) else { return };
    let directory = OwnedFd::from(directory);
    while let Some(entries) = directory_entries(&directory, buffer) {
        for name in Names(entries) {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            let Some(inode) = socket_inode(&directory, name) else { continue };
            if sockets.iter().any(|socket| socket.inode == inode) && !inodes.contains(&inode) {
                inodes.push(inode);
            }
        }
    }
}

/// The next few entries of a directory; None at its end. Without libc's readdir, which would allocate for each process.
fn directory_entries<'a>(directory: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into a buffer that we own.
    let read = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
    let length = usize::try_from(read).ok().filter(|&length| length > 0)?;
    buffer.get(..length)
}

/// The names in a block of `struct linux_dirent64`: ino 8 bytes, offset 8, record length 2, type 1, name with NUL.
struct Names<'a>(&'a [u8]);

impl<'a> Iterator for Names<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        let record_bytes = usize::from(u16::from_ne_bytes(self.0.get(16..18)?.try_into().ok()?));
        let name = CStr::from_bytes_until_nul(self.0.get(19..record_bytes)?).ok()?;
        self.0 = &self.0[record_bytes..];
        Some(name)
    }
}

/// The inode behind `/proc/PID/fd/NAME`, if it is a socket: the link reads `socket:[123]`.
fn socket_inode(directory: &OwnedFd, name: &CStr) -> Option<u64> {
    let mut link = [0; 64];
    // SAFETY: `name` is a C string, and the kernel writes at most `link.len()` bytes into `link`.
    let read = unsafe { libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), link.as_mut_ptr().cast(), link.len()) };
    let link = link.get(..usize::try_from(read).ok()?)?;
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: [u8; 4], port: u16, state: &str, inode: u64) -> String {
        let word = u32::from_ne_bytes(local);
        format!(
            "   0: {word:08X}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0 0 {inode} 1 0 100\n"
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

    #[test]
    fn names_of_a_broken_block_end_instead_of_panicking() {
        assert_eq!(Names(&[0; 10]).count(), 0);
        assert_eq!(Names(&[0; 64]).count(), 0);
    }
}
