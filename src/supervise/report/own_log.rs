//! The supervisor's own log: one line per event on standard error, `TIME LEVEL message key=value…`.
//!
//! A full disk, a closed or a broken standard error is ignored: the worker matters more than the log. So is one that
//! takes nothing, such as a pipe whose reader sleeps or a terminal that was stopped by ^S: its lines are lost, and the
//! loop, which has signals to serve, does not wait.

use std::io::{self, Write};
use std::os::fd::AsFd;

use env_logger::{Builder, Env, Target, WriteStyle};

use crate::error::cut;

/// How long a line is at most without its time and level, in bytes: with them it is what a pipe of Linux takes at once.
const TEXT_BYTES_MAX: usize = 4000;

/// Starts logging. RUST_LOG decides what is logged; without it, `info`, or `debug` if `verbose`.
pub fn init(verbose: bool) {
    let default = if verbose { "debug" } else { "info" };
    Builder::from_env(Env::default().default_filter_or(default))
        .write_style(WriteStyle::Never)
        .target(Target::Pipe(Box::new(Hurried { output: io::stderr(), is_torn: false })))
        .format(|line, record| {
            let mut text = record.args().to_string();
            cut(&mut text, TEXT_BYTES_MAX);
            writeln!(line, "{} {} {text}", line.timestamp_millis(), record.level())
        })
        .init();
}

/// An output that never makes the writer wait: it gets as much at a time as it takes at once, and what it does not take
/// is lost.
struct Hurried<Output> {
    output: Output,
    /// A line was begun of which the rest is lost.
    is_torn: bool,
}

impl<Output: Write + AsFd> Write for Hurried<Output> {
    /// Each call is for a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let end: &[u8] = if self.is_torn { b"\n" } else { b"" };
        for piece in end.chunks(1).chain(line.chunks(platform::PIPE_BUF)) {
            if !platform::takes_output(&self.output) {
                break;
            }
            self.output.write_all(piece)?;
            self.is_torn = !piece.ends_with(b"\n");
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_line_of_any_length_makes_nobody_wait_and_a_torn_one_is_ended() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (done, is_done) = mpsc::channel();
        // On a thread of its own, since what does wait would wait for ever.
        std::thread::spawn(move || {
            let mut log = Hurried { output: writer, is_torn: false };
            log.write_all(&[&[b'x'; 1 << 20][..], b"\n"].concat()).unwrap();
            done.send(log).unwrap();
        });
        let mut log = is_done.recv_timeout(Duration::from_secs(20)).expect("a writer that does not wait");
        assert!(log.is_torn);
        log.write_all(b"lost\n").unwrap();
        let mut filling = vec![0; 1 << 20];
        let taken = reader.read(&mut filling).unwrap();
        let mut rest = Vec::new();
        log.write_all(b"next\n").unwrap();
        drop(log);
        reader.read_to_end(&mut rest).unwrap();
        let all = [&filling[..taken], &rest].concat();
        let text = std::str::from_utf8(&all).unwrap();
        assert_eq!(text.trim_start_matches('x'), "\nnext\n");
    }
}
