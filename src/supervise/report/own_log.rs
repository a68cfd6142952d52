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
        .target(Target::Pipe(hurried(io::stderr())))
        .format(|line, record| {
            let mut text = record.args().to_string();
            cut(&mut text, TEXT_BYTES_MAX);
            writeln!(line, "{} {} {text}", line.timestamp_millis(), record.level())
        })
        .init();
}

/// A terminal is written to by another way than all else.
fn hurried(output: impl Write + AsFd + Send + 'static) -> Box<dyn Write + Send> {
    match platform::open_terminal(&output) {
        Some(terminal) => Box::new(Hurried { output: terminal, is_torn: false }),
        None => Box::new(Hurried { output, is_torn: false }),
    }
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
            let taken = match self.output.write(piece) {
                // Only a terminal, which is opened for that.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                taken => taken?,
            };
            self.is_torn = !piece[..taken].ends_with(b"\n");
            if taken < piece.len() {
                break;
            }
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
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_line_of_any_length_makes_nobody_wait_and_a_torn_one_is_ended() {
        let (mut reader, writer) = io::pipe().unwrap();
        let (done, is_done) = mpsc::channel();
        // On a thread of its own, since what does wait would wait for ever.
        std::thread::spawn(move || {
            let mut log = Hurried { output: writer, is_torn: false };
            log.write_all(format!("{}\n", "x".repeat(1 << 20)).as_bytes()).unwrap();
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

    /// Writes lines of many lengths, up to 64 KiB, until one is torn by what nobody reads; then as much again.
    #[track_caller]
    fn assert_never_waits(output: OwnedFd) {
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || {
            let mut log = hurried(File::from(output));
            for bytes in (0..400).flat_map(|round| [100 + round, 1_500 - round, 4_096 - round, 65_536]) {
                log.write_all(&[&vec![b'x'; bytes][..], b"\n"].concat()).unwrap();
            }
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(20)).expect("a writer that does not wait");
    }

    #[test]
    fn a_terminal_that_nobody_reads_makes_nobody_wait() {
        for _ in 0..10 {
            let nix::pty::OpenptyResult { master: _master, slave } = nix::pty::openpty(None, None).unwrap();
            assert_never_waits(slave);
        }
    }

    #[test]
    fn a_socket_that_nobody_reads_makes_nobody_wait() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_never_waits(ours.into());
    }
}
