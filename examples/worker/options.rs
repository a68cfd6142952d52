//! What was typed, parsed once. Every option has one sentence here and one line in `USAGE`; an unknown one is an error.
//! `--life` splits the arguments: those before the first apply to each start, those after the n-th to the n-th start.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::answer::Shape;

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
worker --port PORT [OPTION…]: a worker that behaves as it is told to

  --demo                 print a line for each request; port 3111 unless --port says otherwise
  --host ADDRESS         IPv4 or IPv6 address to listen on (127.0.0.1)
  --report FILE          append a line for each event: start listen request closed signal descendant exit …
  --dump-env FILE        write the environment as KEY=VALUE records that end in NUL, anew at each start
  --life ARG…            the arguments up to the next --life apply to this start only: the first --life to the first
                         start, the last one to all that follow (starts are counted in the report)
Listening
  --listen-after SECS    listen late            --no-listen           never listen
  --no-accept            listen, never accept   --backlog N           length of the listen queue (128)
  --reuse-port           share the port by SO_REUSEPORT
  --open-fds N           open N more descriptors before listening
Answers
  --health STATUS        status of every answer but a registration's (200)
  --fail-first N         503 for the first N of these      --fail-while FILE   503 while FILE exists
  --hang-after N         answer N requests, then none      --hang-while FILE   answer none while FILE exists
  --garbage-while FILE   bytes that are no HTTP while FILE exists
  --answer-after SECS    take that long for each answer
  --sync STATUS|hang     status of a registration's answer (PUT or POST; 200)
  --sync-fail-first N    500 for the first N of these      --sync-fail-while FILE   500 while FILE exists
  --sync-body json|unmodified|html|none                    what a registration's answer contains (json)
  --register-at HOST:PORT                                  a registration POSTs to /fn/register there, and needs a 2xx
  --reason TEXT          reason phrase                     --body-bytes N      pad each body to N bytes
  --hang --close --reset --garbage --chunked --slow-bytes --endless --big-head --interim --bare --reset-after
                         shape of each answer: none at all; closed; reset; no HTTP; chunked; a byte a second; no end
                         of the body; 10 MB of header; 103 and 100 first; HTTP/1.0 with bare LF; reset after the answer
  --raw FILE             while FILE exists, its bytes are each answer: a pause at 0x1E, and in the end a close, or
                         a reset at 0x04, or nothing at all at 0x05
  --raw-sync FILE        as --raw, of registrations only
  Paths that do something: /wait/SECS (answers late), /print/BYTES (to stdout), /exit/CODE, /kill/SIGNAL
Ends
  --exit-after SECS      end by itself          --exit-code CODE      … with this code (0)
  --crash-signal NAME    … by this signal: KILL, ABRT, …; at once without --exit-after
  --stderr-line TEXT     write this line to stderr at the start
  --chatter N            write N numbered lines to stdout, some thousand a second
  --ignore-term          report TERM, INT and HUP, and live on
  --drain SECS           on TERM, INT or HUP wait that long after the running requests
  --bequeath             … and then hand the listening socket to a new process, which does the same
Descendants
  --fork-child           one in the same group that ignores every signal it can
  --escape               one in a session of its own that keeps the listening socket
  --hand-over            one that serves, while the worker itself exits 0 (in the same group, unless with --escape)
In the part of others
  worker --seize PID             trace a process and never wait for it (Linux)
  worker --burden PROGRAM ARG…   become PROGRAM with signals blocked and ignored and with descriptors left open
  worker --tool FILE VALUE       print VALUE and leave a daemon that keeps stdout open, its pid in FILE
";

/// The part that a process started by the worker plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descendant {
    /// Blocks every signal and does nothing.
    Sleep,
    /// Keeps the listening socket and accepts nothing.
    Hold,
    /// Serves on the inherited socket.
    Serve,
}

/// The body of a registration's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncBody {
    /// What an SDK says when the registration changed something.
    Json,
    /// What it says when nothing changed.
    Unmodified,
    /// A page, as some other server on the port would send it.
    Html,
    /// Nothing.
    Empty,
}

/// What is meant. `USAGE` says what each does.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) demo: bool,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) report: Option<PathBuf>,
    pub(crate) dump_env: Option<PathBuf>,
    pub(crate) listen_after: Duration,
    pub(crate) no_listen: bool,
    pub(crate) no_accept: bool,
    pub(crate) backlog: i32,
    pub(crate) reuse_port: bool,
    pub(crate) open_fds: usize,
    pub(crate) health: u16,
    pub(crate) fail_first: u32,
    pub(crate) fail_while: Option<PathBuf>,
    pub(crate) hang_after: u32,
    pub(crate) hang_while: Option<PathBuf>,
    pub(crate) garbage_while: Option<PathBuf>,
    pub(crate) answer_after: Duration,
    pub(crate) sync: u16,
    pub(crate) sync_hang: bool,
    pub(crate) sync_fail_first: u32,
    pub(crate) sync_fail_while: Option<PathBuf>,
    pub(crate) sync_body: SyncBody,
    pub(crate) register_at: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) raw: Option<PathBuf>,
    pub(crate) raw_sync: Option<PathBuf>,
    pub(crate) body_bytes: usize,
    pub(crate) shape: Shape,
    pub(crate) exit_after: Option<Duration>,
    pub(crate) exit_code: i32,
    pub(crate) crash_signal: Option<Signal>,
    pub(crate) stderr_line: Option<String>,
    pub(crate) chatter: u32,
    pub(crate) ignore_term: bool,
    pub(crate) drain: Duration,
    pub(crate) bequeath: bool,
    pub(crate) fork_child: bool,
    pub(crate) escape: bool,
    pub(crate) hand_over: bool,
    pub(crate) descendant: Option<Descendant>,
    /// The arguments that hold for this start, for a descendant to be started with.
    pub(crate) effective: Vec<String>,
}

impl Options {
    /// Parses the arguments; `starts_in` tells how many starts a report already holds, to choose the `--life`.
    pub(crate) fn parse(arguments: &[String], starts_in: impl Fn(&Path) -> usize) -> Result<Self, String> {
        let mut sections = arguments.split(|argument| argument == "--life");
        let mut options = Self::new();
        options.take(sections.next().unwrap_or_default())?;
        let lives: Vec<&[String]> = sections.collect();
        if let Some(last) = lives.len().checked_sub(1) {
            let report = options.report.as_deref().ok_or("--life needs --report before it")?;
            options.take(lives[starts_in(report).min(last)])?;
        }
        if options.port == 0 && !options.no_listen {
            return Err("--port is missing".to_owned());
        }
        Ok(options)
    }

    fn new() -> Self {
        Self {
            demo: false,
            host: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            report: None,
            dump_env: None,
            listen_after: Duration::ZERO,
            no_listen: false,
            no_accept: false,
            backlog: 128,
            reuse_port: false,
            open_fds: 0,
            health: 200,
            fail_first: 0,
            fail_while: None,
            hang_after: u32::MAX,
            hang_while: None,
            garbage_while: None,
            answer_after: Duration::ZERO,
            sync: 200,
            sync_hang: false,
            sync_fail_first: 0,
            sync_fail_while: None,
            sync_body: SyncBody::Json,
            register_at: None,
            reason: None,
            raw: None,
            raw_sync: None,
            body_bytes: 0,
            shape: Shape::Plain,
            exit_after: None,
            exit_code: 0,
            crash_signal: None,
            stderr_line: None,
            chatter: 0,
            ignore_term: false,
            drain: Duration::ZERO,
            bequeath: false,
            fork_child: false,
            escape: false,
            hand_over: false,
            descendant: None,
            effective: Vec::new(),
        }
    }

    fn take(&mut self, arguments: &[String]) -> Result<(), String> {
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let mut value = || rest.next().map(String::as_str).ok_or_else(|| format!("{flag} needs a value"));
            self.set(flag, &mut value)?;
        }
        self.effective.extend_from_slice(arguments);
        Ok(())
    }

    /// One option. `value` takes the next argument, and is called only by options that have one.
    fn set<'a>(&mut self, flag: &str, value: &mut dyn FnMut() -> Result<&'a str, String>) -> Result<(), String> {
        match flag {
            "--demo" => (self.demo, self.port) = (true, if self.port == 0 { 3111 } else { self.port }),
            "--host" => self.host = parsed(flag, value()?)?,
            "--port" => self.port = parsed(flag, value()?)?,
            "--report" => self.report = Some(value()?.into()),
            "--dump-env" => self.dump_env = Some(value()?.into()),
            "--listen-after" => self.listen_after = seconds(flag, value()?)?,
            "--no-listen" => self.no_listen = true,
            "--no-accept" => self.no_accept = true,
            "--backlog" => self.backlog = parsed(flag, value()?)?,
            "--reuse-port" => self.reuse_port = true,
            "--open-fds" => self.open_fds = parsed(flag, value()?)?,
            "--exit-after" => self.exit_after = Some(seconds(flag, value()?)?),
            "--exit-code" => self.exit_code = parsed(flag, value()?)?,
            "--crash-signal" => self.crash_signal = Some(signal(value()?)?),
            "--stderr-line" => self.stderr_line = Some(value()?.into()),
            "--chatter" => self.chatter = parsed(flag, value()?)?,
            "--ignore-term" => self.ignore_term = true,
            "--drain" => self.drain = seconds(flag, value()?)?,
            "--bequeath" => self.bequeath = true,
            "--fork-child" => self.fork_child = true,
            "--escape" => self.escape = true,
            "--hand-over" => self.hand_over = true,
            "--descendant" => self.descendant = Some(descendant(value()?)?),
            _ => return self.set_answer(flag, value),
        }
        Ok(())
    }

    /// One option that is about answers.
    fn set_answer<'a>(&mut self, flag: &str, value: &mut dyn FnMut() -> Result<&'a str, String>) -> Result<(), String> {
        match flag {
            "--health" => self.health = parsed(flag, value()?)?,
            "--fail-first" => self.fail_first = parsed(flag, value()?)?,
            "--fail-while" => self.fail_while = Some(value()?.into()),
            "--hang-after" => self.hang_after = parsed(flag, value()?)?,
            "--hang-while" => self.hang_while = Some(value()?.into()),
            "--garbage-while" => self.garbage_while = Some(value()?.into()),
            "--answer-after" => self.answer_after = seconds(flag, value()?)?,
            "--sync" => match value()? {
                "hang" => self.sync_hang = true,
                status => self.sync = parsed(flag, status)?,
            },
            "--sync-fail-first" => self.sync_fail_first = parsed(flag, value()?)?,
            "--sync-fail-while" => self.sync_fail_while = Some(value()?.into()),
            "--sync-body" => self.sync_body = sync_body(value()?)?,
            "--register-at" => self.register_at = Some(value()?.into()),
            "--raw" => self.raw = Some(value()?.into()),
            "--raw-sync" => self.raw_sync = Some(value()?.into()),
            "--reason" => self.reason = Some(value()?.into()),
            "--body-bytes" => self.body_bytes = parsed(flag, value()?)?,
            _ => self.shape = Shape::named(flag).ok_or_else(|| format!("unknown option {flag}"))?,
        }
        Ok(())
    }
}

fn parsed<T: FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag} does not take \"{text}\""))
}

/// Seconds, with a fraction if need be.
pub(crate) fn seconds(flag: &str, text: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(parsed(flag, text)?).map_err(|error| format!("{flag} {text}: {error}"))
}

/// A signal by its name without SIG.
pub(crate) fn signal(name: &str) -> Result<Signal, String> {
    Signal::from_str(&format!("SIG{name}")).map_err(|_| format!("no signal is named \"{name}\""))
}

fn sync_body(name: &str) -> Result<SyncBody, String> {
    match name {
        "json" => Ok(SyncBody::Json),
        "unmodified" => Ok(SyncBody::Unmodified),
        "html" => Ok(SyncBody::Html),
        "none" => Ok(SyncBody::Empty),
        _ => Err(format!("--sync-body does not take \"{name}\"")),
    }
}

fn descendant(name: &str) -> Result<Descendant, String> {
    match name {
        "sleep" => Ok(Descendant::Sleep),
        "hold" => Ok(Descendant::Hold),
        "serve" => Ok(Descendant::Serve),
        _ => Err(format!("--descendant does not take \"{name}\"")),
    }
}
