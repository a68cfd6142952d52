//! What a careless parent hands down: signals blocked, signals ignored, descriptors left open.
//! The fixture takes the parent's part and then becomes the program itself, so that its pid stays the same.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{SigSet, Signal};

use crate::inherited::ignore;

/// Ignored on top of being blocked; an ignored SIGCHLD makes the kernel reap.
const IGNORED: [Signal; 4] = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];
/// Left open: a low number and one beyond most tables.
const LEFT_OPEN: [i32; 2] = [7, 200];

/// Runs the program in this process's place. Returns only if it can't be run.
pub(crate) fn become_burdened(words: &[String]) -> ExitCode {
    let Some((program, arguments)) = words.split_first() else {
        eprintln!("worker: --burden needs a program");
        return ExitCode::from(64);
    };
    SigSet::all().thread_block().expect("signals can be blocked");
    IGNORED.into_iter().for_each(ignore);
    let null = File::open("/dev/null").expect("/dev/null opens");
    for number in LEFT_OPEN {
        // The copy is a bare number, so nothing closes it, and it is not close-on-exec.
        fcntl(&null, FcntlArg::F_DUPFD(number)).expect("the descriptor can be copied");
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("worker: cannot run {program}: {error}");
    ExitCode::from(71)
}
