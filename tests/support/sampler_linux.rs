//! What /proc/net tells of sockets.

use std::fs::{File, read_to_string};
use std::io::Read;

/// Listening sockets come first in the tables, so that their beginning is enough.
const BYTES_MAX: u64 = 64 * 1024;
/// The states in the tables.
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// How many sockets of both families listen on a port.
pub(super) fn listeners_on(port: u16) -> Option<usize> {
    Some(["/proc/net/tcp", "/proc/net/tcp6"].into_iter().map(|table| count(&beginning_of(table), port, LISTEN)).sum())
}

/// How many connections of a port are in TIME_WAIT.
pub(crate) fn time_waits_on(port: u16) -> usize {
    count(&read_to_string("/proc/net/tcp").expect("the table can be read"), port, TIME_WAIT)
}

fn beginning_of(table: &str) -> String {
    let mut text = String::new();
    // A kernel without IPv6 has one table only.
    let read = File::open(table).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

fn count(table: &str, port: u16, state: &str) -> usize {
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace());
    let places = rows.filter_map(|mut words| Some((words.nth(1)?, words.nth(1)?)));
    places.filter(|(local, found)| local.ends_with(&suffix) && *found == state).count()
}
