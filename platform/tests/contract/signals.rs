//! The queue of signals.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal as Nix, raise};
use worker_supervisor_platform::{ExitStatus, Signal, Signals, prepare_process};

use crate::support::{Ears, Helper, TempDir, eventually, reap_soon};

crate::tests![
    a_signal_sent_before_the_queue_exists_is_queued_once,
    a_signal_sent_later_wakes_the_poll_each_time,
    several_signals_are_all_told,
    equal_signals_merge_and_none_is_lost,
    children_that_the_parent_ignored_are_reported_again,
    a_queued_signal_does_not_act_on_the_process,
    signals_that_mean_nothing_end_nobody_and_are_not_queued,
    a_file_too_large_is_an_error_and_no_end,
];

fn everything(signals: &mut Signals) -> Vec<Signal> {
    std::iter::from_fn(|| signals.take().expect("the queue")).collect()
}

fn a_signal_sent_before_the_queue_exists_is_queued_once() {
    let mut mask = SigSet::empty();
    mask.add(Nix::SIGTERM);
    mask.thread_block().expect("blocked");
    raise(Nix::SIGTERM).expect("raised");
    let mut signals = Signals::open().expect("a queue");
    let mut ears = Ears::new();
    ears.hear(&signals);
    // The poll wakes for it, too: what came first is not asked before.
    let mut woken = false;
    let found = ears.wait("a wake for the earlier signal", || {
        if std::mem::replace(&mut woken, true) { signals.take().expect("the queue") } else { None }
    });
    assert_eq!(found, Signal::Term);
    assert_eq!(everything(&mut signals), []);
}

fn a_signal_sent_later_wakes_the_poll_each_time() {
    let mut signals = Signals::open().expect("a queue");
    let mut ears = Ears::new();
    ears.hear(&signals);
    for (sent, expected) in [(Nix::SIGTERM, Signal::Term), (Nix::SIGUSR1, Signal::Usr1), (Nix::SIGTERM, Signal::Term)] {
        assert_eq!(everything(&mut signals), []);
        raise(sent).expect("raised");
        assert_eq!(ears.wait("the signal", || signals.take().expect("the queue")), expected);
    }
}

fn several_signals_are_all_told() {
    let mut signals = Signals::open().expect("a queue");
    for sent in [Nix::SIGTERM, Nix::SIGINT, Nix::SIGHUP, Nix::SIGQUIT, Nix::SIGUSR1] {
        raise(sent).expect("raised");
    }
    let told = everything(&mut signals);
    assert_eq!(told.len(), 5);
    for expected in [Signal::Term, Signal::Int, Signal::Hup, Signal::Quit, Signal::Usr1] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
}

fn equal_signals_merge_and_none_is_lost() {
    let mut signals = Signals::open().expect("a queue");
    for _ in 0..10_000 {
        raise(Nix::SIGHUP).expect("raised");
    }
    let told = everything(&mut signals);
    assert_eq!(told, [Signal::Hup]);
}

fn children_that_the_parent_ignored_are_reported_again() {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { nix::sys::signal::signal(Nix::SIGCHLD, SigHandler::SigIgn) }.expect("ignored");
    assert!(prepare_process().is_empty());
    let mut signals = Signals::open().expect("a queue");
    let mut ears = Ears::new();
    ears.hear(&signals);
    let helper = Helper::start("exit", &["7"]);
    assert_eq!(ears.wait("SIGCHLD", || signals.take().expect("the queue")), Signal::Child);
    assert_eq!(reap_soon(helper.pid), ExitStatus::Code(7));
}

fn a_queued_signal_does_not_act_on_the_process() {
    let mut signals = Signals::open().expect("a queue");
    raise(Nix::SIGTERM).expect("raised");
    assert_eq!(eventually("the signal", || signals.take().expect("the queue")), Signal::Term);
    // Nor once the queue is gone: it has been taken.
    drop(signals);
    assert_eq!(reap_soon(Helper::start("exit", &["0"]).pid), ExitStatus::Code(0));
}

fn signals_that_mean_nothing_end_nobody_and_are_not_queued() {
    let mut signals = Signals::open().expect("a queue");
    for sent in [
        Nix::SIGALRM,
        Nix::SIGVTALRM,
        Nix::SIGPROF,
        Nix::SIGXCPU,
        Nix::SIGXFSZ,
        Nix::SIGUSR2,
        Nix::SIGIO,
        #[cfg(target_os = "linux")]
        Nix::SIGPWR,
    ] {
        raise(sent).expect("raised");
    }
    #[cfg(target_os = "linux")]
    for real_time in [libc::SIGRTMIN(), libc::SIGRTMAX()] {
        // SAFETY: raise takes a number and touches no memory of ours.
        assert_eq!(unsafe { libc::raise(real_time) }, 0);
    }
    assert_eq!(everything(&mut signals), []);
    // What is spawned has the defaults again.
    let helper = Helper::start("wait", &[]);
    // SAFETY: as above, and the helper has not been reaped.
    assert_eq!(unsafe { libc::kill(helper.pid.as_raw(), libc::SIGXFSZ) }, 0);
    assert!(matches!(reap_soon(helper.pid), ExitStatus::Signal { number: libc::SIGXFSZ, .. }));
}

fn a_file_too_large_is_an_error_and_no_end() {
    let _signals = Signals::open().expect("a queue");
    let dir = TempDir::new();
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("a limit");
    setrlimit(Resource::RLIMIT_FSIZE, 10, hard).expect("a lower one");
    let written = std::fs::write(dir.path().join("file"), [0; 11]);
    assert_eq!(written.expect_err("a limit").raw_os_error(), Some(libc::EFBIG));
}
