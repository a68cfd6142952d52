//! Processes and sockets that are only there, and processes that keep the machine busy.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::programs;

/// Of what there is how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Processes that wait for ever.
    pub(crate) processes: usize,
    /// Sockets, held by the first of them.
    pub(crate) sockets: usize,
    /// Processes that compute for ever.
    pub(crate) busy: usize,
}

/// A crowd. When it is dropped, all of it is gone; it also goes by itself should this process be killed.
pub(crate) struct Crowd {
    head: Child,
    /// The end of this is what it waits for.
    leash: Option<ChildStdin>,
}

impl Crowd {
    /// Makes one, and returns when it is complete. Where the system does not allow it, the reason.
    pub(crate) fn gather(Size { processes, sockets, busy }: Size) -> Result<Self, String> {
        let mut command = Command::new(programs::crowd());
        command.args([processes, sockets, busy].map(|number| number.to_string()));
        let mut head =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the crowd's program starts");
        let (leash, said) = (head.stdin.take(), head.stdout.take().expect("it is piped"));
        let crowd = Self { head, leash };
        let mut line = String::new();
        let _ = BufReader::new(said).read_line(&mut line);
        match line.trim_end() {
            "ready" => Ok(crowd),
            "" => Err("it ended without a word".to_owned()),
            reason => Err(reason.to_owned()),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.head.wait();
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [processes, sockets, busy] = [self.processes, self.sockets, self.busy].map(grouped);
        match (self.processes, self.sockets, self.busy) {
            (0, 0, 0) => write!(f, "alone"),
            (_, 0, 0) => write!(f, "{processes} processes"),
            (0, 0, _) => write!(f, "{busy} busy processes"),
            _ => write!(f, "{sockets} sockets in {processes} processes"),
        }
    }
}

/// As people write it: 10,000.
pub(crate) fn grouped(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1_000), number % 1_000) }
}
