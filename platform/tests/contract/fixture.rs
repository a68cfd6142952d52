//! The roles of the contract tests' helper processes. Each ends by itself when its parent dies or its work is done, and
//! waits for a signal otherwise.

use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::{Command, ExitCode, Stdio};

use crate::support::open_descriptors;

/// Nothing that a test starts lives longer, even if the test is killed.
const LIFETIME_SECS_MAX: u32 = 60;

pub(crate) fn run(role: &str, args: &[&str]) -> ExitCode {
    // Before anything of the standard library's could open a descriptor.
    let descriptors = open_descriptors();
    // SAFETY: alarm only sets a timer of this process, whose signal ends it.
    unsafe { libc::alarm(LIFETIME_SECS_MAX) };
    match (role, args) {
        ("exit", [code]) => return ExitCode::from(code.parse::<u8>().expect("an exit code")),
        ("report", rest) => say(&report(&descriptors, rest)),
        ("wait", []) => {
            say("ready");
            wait_for_a_signal();
        }
        ("leave-a-child", []) => {
            say(&start(&["wait"], Stdio::null()).to_string());
        }
        ("listen", [addr]) => {
            let listener = TcpListener::bind(addr).expect("listening");
            say(&listener.local_addr().expect("an address").to_string());
            wait_for_a_signal();
        }
        ("listen-twice", [addr]) => {
            let listener = TcpListener::bind(addr).expect("listening");
            // SAFETY: clears close-on-exec of a descriptor that is ours, so that the child shares the socket.
            unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_SETFD, 0) };
            let child = start(&["wait"], Stdio::null());
            say(&format!("{} {child}", listener.local_addr().expect("an address")));
            wait_for_a_signal();
        }
        ("listen-in-a-child", [addr]) => {
            start(&["listen", addr], Stdio::inherit());
            wait_for_a_signal();
        }
        #[cfg(target_os = "linux")]
        ("trace", [pid]) => trace(pid.parse().expect("a pid")),
        _ => panic!("no such role: {role} {args:?}"),
    }
    ExitCode::SUCCESS
}

/// One line, at once.
fn say(text: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).expect("standard output");
}

fn wait_for_a_signal() {
    // SAFETY: pause takes nothing and returns when a handler has run; there is none here, so the signal ends us.
    unsafe { libc::pause() };
}

/// The pid of a child in our own group, which has nothing of ours but what is not close-on-exec. The test ends it.
fn start(args: &[&str], stdout: Stdio) -> u32 {
    let program = std::env::current_exe().expect("our own path");
    let child = Command::new(program).arg("fixture").args(args).stdout(stdout).spawn().expect("a child");
    ManuallyDrop::new(child).id()
}

/// What this process has been given.
fn report(descriptors: &[i32], args: &[&str]) -> String {
    let mut text = String::new();
    let mask = nix::sys::signal::SigSet::thread_get_mask().expect("a mask");
    let blocked: Vec<_> = nix::sys::signal::Signal::iterator().filter(|&signal| mask.contains(signal)).collect();
    // SIGPIPE is ignored by the Rust runtime before main.
    let other = |signal: &nix::sys::signal::Signal| *signal != nix::sys::signal::Signal::SIGPIPE;
    let ignored: Vec<_> =
        nix::sys::signal::Signal::iterator().filter(other).filter(|&signal| is_ignored(signal)).collect();
    let leads_its_group = nix::unistd::getpgrp() == nix::unistd::getpid();
    let dir = std::env::current_dir().expect("a working directory");
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    writeln!(text, "blocked {blocked:?}").expect("text");
    writeln!(text, "ignored {ignored:?}").expect("text");
    writeln!(text, "leads its group {leads_its_group}").expect("text");
    writeln!(text, "descriptors {descriptors:?}").expect("text");
    writeln!(text, "directory {}", dir.display()).expect("text");
    writeln!(text, "umask {:03o}", mask.bits()).expect("text");
    writeln!(text, "arguments {args:?}").expect("text");
    write!(text, "environment {:?}", std::env::vars().collect::<Vec<_>>()).expect("text");
    text
}

fn is_ignored(signal: nix::sys::signal::Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null action, sigaction only fills `action`; a zeroed one is valid too.
    unsafe {
        libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Traces a process without ever waiting for it: its parent sees the exit but can't reap it until we are gone.
#[cfg(target_os = "linux")]
fn trace(pid: i32) {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: PTRACE_SEIZE takes a pid and two null pointers.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, nothing, nothing) };
    say(if seized == 0 { "tracing" } else { "not allowed" });
    wait_for_a_signal();
}
