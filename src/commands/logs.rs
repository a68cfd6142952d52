//! `logs`: the end of both logs, and what is appended to them, as tail(1) shows it.
//!
//! However long the logs are, the end is found in blocks from behind and memory stays the same. Following goes by
//! path: it survives a rotation, which truncates the file in place, and a file that is replaced. Two names of one file
//! are shown once. Neither log is favoured: each is read a piece at a time, in turns. Nothing here touches the worker.
//! Refuses what a supervisor would refuse: FIFOs and the like, and paths that somebody else could lead elsewhere.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use platform::{FileId, file_id};

use super::status;
use super::wait::Wait;
use crate::cli::PROGRAM;
use crate::config::{Config, Reading};
use crate::error::{Error, ExitCode};
use crate::print;
use crate::supervise::logs::rotation::open_to_read;

/// One read, in bytes; also what one log gets in a turn.
const BLOCK_BYTES: usize = 64 * 1024;
/// Between two looks at logs that are followed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Prints the last `lines` lines of both logs and, with `follow`, what is appended, until SIGINT, SIGTERM or SIGHUP
/// comes or the reader goes away. What is odd about a log goes to `notes`.
///
/// Of a config that is broken the logs of the supervisor that runs are shown, and the code is [`ExitCode::Config`].
///
/// # Errors
/// The output can't be written, or signals can't be received (70). The config is broken, and no supervisor of it was
/// found (78): other logs than those that were meant are no answer.
pub fn logs(
    config: &Config,
    reading: Reading,
    lines: u32,
    follow: bool,
    output: &mut (impl Write + AsRawFd),
    notes: &mut dyn Write,
) -> Result<ExitCode, Error> {
    // Taken over first, so that no ^C is too early to be served.
    let wait = follow.then(|| Wait::new(output.as_raw_fd())).transpose();
    let mut wait = wait.map_err(|error| Error::cannot(ExitCode::Internal, "receive signals", error))?;
    let (logs, code) = match reading {
        Reading::Whole => ([config.log_stdout.clone(), config.log_stderr.clone()], ExitCode::Ok),
        Reading::Broken => (logs_of_running(config)?, ExitCode::Config),
    };
    let mut tail = Tail::new(logs.iter().map(PathBuf::as_path));
    let mut show = || {
        tail.show_end(lines, output, notes)?;
        while let Some(wait) = &mut wait {
            let more = tail.show_appended(output, notes)?;
            output.flush()?;
            if wait.is_over(if more { Duration::ZERO } else { LOOK_INTERVAL })? {
                break;
            }
        }
        output.flush()
    };
    print::end(show(), code)
}

fn logs_of_running(config: &Config) -> Result<[PathBuf; 2], Error> {
    let status = status::find_running(config)?
        .ok_or_else(|| Error::cannot(ExitCode::Config, "tell which logs are meant", status::unknown(config)))?;
    Ok([status.log_stdout, status.log_stderr].map(PathBuf::from))
}

/// Some files and how far each has been shown.
#[derive(Debug)]
pub struct Tail {
    sources: Vec<Source>,
    /// The file that was shown last.
    shown: Option<usize>,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    open: Option<Open>,
    /// Why it can't be shown, if that was said.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: FileId,
    /// Everything before this has been shown.
    position: u64,
}

impl Tail {
    /// For these files, of which none need exist yet. A path or file that is named twice is shown once.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Tail {
        let mut sources: Vec<Source> = Vec::new();
        for path in paths {
            if !sources.iter().any(|source| platform::is_same_file(&source.path, path)) {
                sources.push(Source { path: path.to_owned(), open: None, trouble: None });
            }
        }
        Tail { sources, shown: None }
    }

    /// Shows the last `lines` lines of each file.
    ///
    /// # Errors
    /// What writing to `output` reports.
    pub fn show_end(&mut self, lines: u32, output: &mut dyn Write, notes: &mut dyn Write) -> io::Result<()> {
        for index in 0..self.sources.len() {
            let source = &mut self.sources[index];
            source.reopen(notes);
            let Some(open) = &mut source.open else { continue };
            let end = open.file.metadata().map_or(0, |metadata| metadata.len());
            open.position = start_of_end(&open.file, end, lines);
            self.header(index, output)?;
            while self.show_piece(index, end, output)? {}
        }
        Ok(())
    }

    /// Shows a piece of what each file has got since. True: one of them may have more.
    ///
    /// # Errors
    /// What writing to `output` reports.
    pub fn show_appended(&mut self, output: &mut dyn Write, notes: &mut dyn Write) -> io::Result<bool> {
        let mut has_more = false;
        for index in 0..self.sources.len() {
            // What is left of a file that was replaced comes before its successor.
            if self.show_piece(index, u64::MAX, output)? {
                has_more = true;
            } else {
                self.sources[index].reopen(notes);
            }
        }
        Ok(has_more)
    }

    /// Shows the next piece of one file, up to `end`. False: there was none.
    fn show_piece(&mut self, index: usize, end: u64, output: &mut dyn Write) -> io::Result<bool> {
        let Some(open) = &mut self.sources[index].open else { return Ok(false) };
        let mut block = vec![0; BLOCK_BYTES];
        let wanted = usize::try_from(end.saturating_sub(open.position)).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        // A file that can't be read has nothing to show; the next look says so if it is gone.
        let bytes = open.file.read_at(&mut block[..wanted], open.position).unwrap_or(0);
        open.position += bytes as u64;
        if bytes > 0 {
            self.header(index, output)?;
            output.write_all(&block[..bytes])?;
        }
        Ok(bytes > 0)
    }

    /// Says which of several files comes next, unless it is the one that was shown last.
    fn header(&mut self, index: usize, output: &mut dyn Write) -> io::Result<()> {
        if self.sources.len() == 1 || self.shown == Some(index) {
            return Ok(());
        }
        let line_break = if self.shown.is_some() { "\n" } else { "" };
        self.shown = Some(index);
        writeln!(output, "{line_break}==> {} <==", self.sources[index].path.display())
    }
}

impl Source {
    /// Looks at the path anew: opens a file that has come, changes to one that was put in its place, and goes back to
    /// the start of one that was truncated. Says what it does, once.
    fn reopen(&mut self, notes: &mut dyn Write) {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return self.complain("it is not a regular file", notes),
            Err(error) => return self.complain(&error.to_string(), notes),
        };
        if let Some(open) = self.open.as_mut().filter(|open| open.identity == file_id(&metadata)) {
            if metadata.len() < open.position {
                open.position = 0;
                note(notes, &format!("{:?} was rotated", self.path));
            }
            return;
        }
        // It may be another one by now: nothing is waited for, and what counts is what was opened.
        let opened = open_to_read(&self.path).and_then(|file| Ok((file_id(&file.metadata()?), file)));
        match opened {
            Ok((identity, file)) => {
                if self.open.is_some() || self.trouble.is_some() {
                    note(notes, &format!("{:?} is a new file", self.path));
                }
                self.open = Some(Open { file, identity, position: 0 });
                self.trouble = None;
            }
            Err(error) => self.complain(&error.to_string(), notes),
        }
    }

    fn complain(&mut self, reason: &str, notes: &mut dyn Write) {
        if self.trouble.as_deref() != Some(reason) {
            note(notes, &format!("cannot open {:?}: {reason}", self.path));
            self.trouble = Some(reason.to_owned());
        }
    }
}

/// A note that can't be written is no reason to stop showing logs.
fn note(notes: &mut dyn Write, text: &str) {
    let _ = writeln!(notes, "{PROGRAM}: {text}");
}

/// Where the last `lines` lines of the first `end` bytes begin. A last line without its end counts as a line.
fn start_of_end(file: &File, end: u64, lines: u32) -> u64 {
    if lines == 0 {
        return end;
    }
    let mut block = vec![0; BLOCK_BYTES];
    let mut breaks_left = lines;
    // The break at the very end ends the last line, and separates it from none.
    let mut stop = end.saturating_sub(1);
    while stop > 0 {
        let start = stop.saturating_sub(BLOCK_BYTES as u64);
        let piece = &mut block[..(stop - start) as usize];
        if file.read_exact_at(piece, start).is_err() {
            return end;
        }
        for (index, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            breaks_left -= 1;
            if breaks_left == 0 {
                return start + index as u64 + 1;
            }
        }
        stop = start;
    }
    0
}
