//! The record that the workers of one contender append to.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What a worker wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Its first instruction.
    Began,
    /// It listens.
    Listens,
    /// It was asked by GET.
    Got,
    /// It was asked by PUT.
    Put,
}

/// One line of the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// What happened.
    pub(crate) mark: Mark,
    /// To which worker.
    pub(crate) pid: i32,
    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) at_ns: u64,
}

/// A record, read as far as it goes.
pub(crate) struct Record {
    file: File,
    unread: String,
    entries: Vec<Entry>,
}

impl Record {
    /// Creates an empty one.
    pub(crate) fn create(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.expect("a record can be created");
        Self { file, unread: String::new(), entries: Vec::new() }
    }

    /// Everything written until now.
    pub(crate) fn entries(&mut self) -> &[Entry] {
        match self.file.read_to_string(&mut self.unread) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("cannot read a record: {error}"),
        }
        while let Some((line, rest)) = self.unread.split_once('\n') {
            self.entries.extend(parse(line));
            self.unread = rest.to_owned();
        }
        &self.entries
    }
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let mark = match words.next()? {
        "B" => Mark::Began,
        "L" => Mark::Listens,
        "G" => Mark::Got,
        "P" => Mark::Put,
        _ => return None,
    };
    Some(Entry { mark, pid: words.next()?.parse().ok()?, at_ns: words.next()?.parse().ok()? })
}
