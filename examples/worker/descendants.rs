//! Processes that a worker starts and that may outlive it: in its group or in a session of their own.
//! Each is this program once more, not a fork, so that no unsafe code is needed; the listening socket travels as stdin.
//! The worker goes on once a descendant says that it is ready. Descendants end by themselves after `LIFETIME`, so that
//! a test that fails in the worst way still leaves nothing for long.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::unistd::setsid;

use crate::inherited::Inherited;
use crate::life::Life;
use crate::listen::pause;
use crate::options::{Descendant, Options};
use crate::report::Report;
use crate::serve::accept_for_ever;

/// When a descendant ends by itself.
const LIFETIME: Duration = Duration::from_secs(120);

/// Starts a descendant and waits until it is ready.
#[expect(clippy::zombie_processes, reason = "the worker is meant to go first")]
pub(crate) fn start(life: &Life, kind: Descendant, listener: Option<&TcpListener>) {
    let program = std::env::current_exe().expect("this program has a path");
    let socket = listener.map(|listener| listener.try_clone().expect("the socket can be duplicated"));
    let mut descendant = Command::new(program)
        .args(&life.options.effective)
        .args(["--descendant", name(kind)])
        .stdin(socket.map_or_else(Stdio::null, |socket| OwnedFd::from(socket).into()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("a descendant starts");
    let answers = descendant.stdout.take().expect("its stdout is a pipe");
    let mut line = String::new();
    BufReader::new(answers).read_line(&mut line).expect("it says that it is ready");
}

/// The part of a descendant.
pub(crate) fn live(inherited: &Inherited, options: Options, kind: Descendant) -> ! {
    if options.escape && kind != Descendant::Sleep {
        setsid().expect("a process that leads no group may leave its session");
    }
    let mask = if kind == Descendant::Sleep { SigSet::all() } else { SigSet::empty() };
    mask.thread_set_mask().expect("the mask can be set");
    let report = Report::open(options.report.as_deref());
    report.event("descendant", &format!("kind={} {inherited}", name(kind)));
    if kind == Descendant::Serve {
        serve(options, report);
    }
    say_ready();
    pause(LIFETIME);
    std::process::exit(0)
}

fn serve(options: Options, report: Report) -> ! {
    let socket = stdin().as_fd().try_clone_to_owned().expect("stdin can be duplicated");
    let life = Arc::new(Life::new(options, report));
    let listener = TcpListener::from(socket);
    life.keep(&listener);
    life.watch_signals(&Inherited::read());
    say_ready();
    let ender = Arc::clone(&life);
    std::thread::spawn(move || {
        pause(LIFETIME);
        ender.exit(0);
    });
    accept_for_ever(&life, &listener)
}

fn say_ready() {
    let mut out = stdout();
    out.write_all(b"ready\n").and_then(|()| out.flush()).expect("the worker listens");
}

fn name(kind: Descendant) -> &'static str {
    match kind {
        Descendant::Sleep => "sleep",
        Descendant::Hold => "hold",
        Descendant::Serve => "serve",
    }
}
