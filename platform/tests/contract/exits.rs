//! Exit watches, reaping, groups and pinned processes.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use worker_supervisor_platform::{
    ExitStatus, ExitWatch, Pid, Pinned, Reaped, Signal, describe, group_is_gone, identify, reap_with_group, signal,
    signal_group, unreaped,
};

use crate::support::{Ears, Helper, eventually, open_descriptors, reap_soon, wait_for_zombie};

crate::tests![
    a_watch_registered_before_the_exit_fires,
    a_watch_registered_after_the_exit_has_fired,
    a_watch_fires_for_a_process_that_is_not_our_child,
    a_thousand_quick_children_lose_no_exit,
    an_exit_is_told_once,
    what_ended_a_process_is_told,
    a_group_of_zombies_has_nobody_to_kill,
    what_a_child_left_in_its_group_is_killed_before_it_is_reaped,
    a_pinned_process_is_signalled_until_it_has_gone,
    a_pinned_process_that_leads_no_group_keeps_its_group_safe,
    a_zombie_has_no_identity,
    a_process_is_described_by_program_and_user,
    descriptors_are_back_where_they_were,
    without_a_descriptor_a_watch_is_an_error_and_the_exit_is_still_told,
    #[cfg(target_os = "linux")]
    an_exit_that_cannot_be_reaped_yet_is_not_yet,
];

fn a_watch_registered_before_the_exit_fires() {
    let mut helper = Helper::start("wait", &[]);
    assert_eq!(helper.line(), "ready");
    let mut watch = ExitWatch::register(helper.pid).expect("a watch");
    let mut ears = Ears::new();
    ears.hear(&watch);
    assert!(!watch.has_fired());
    assert_eq!((unreaped(helper.pid), reap_with_group(helper.pid)), (None, Reaped::NotYet));
    assert!(signal(helper.pid, Signal::Term).expect("sent"));
    ears.wait("the watch", || watch.has_fired().then_some(()));
    assert!(watch.has_fired(), "once true, always true");
    assert_eq!(reap_soon(helper.pid), ExitStatus::Signal { number: libc::SIGTERM, core: false });
}

fn a_watch_registered_after_the_exit_has_fired() {
    let helper = Helper::start("exit", &["3"]);
    wait_for_zombie(helper.pid);
    let mut watch = ExitWatch::register(helper.pid).expect("a watch");
    assert!(watch.has_fired());
    assert_eq!(reap_soon(helper.pid), ExitStatus::Code(3));
}

fn a_watch_fires_for_a_process_that_is_not_our_child() {
    let mut helper = Helper::start("leave-a-child", &[]);
    let grandchild = Pid::new(helper.line().parse().expect("a pid")).expect("above 1");
    let mut watch = ExitWatch::register(grandchild).expect("a watch");
    let mut ears = Ears::new();
    ears.hear(&watch);
    assert!(!watch.has_fired());
    assert!(signal(grandchild, Signal::Kill).expect("sent"));
    ears.wait("the watch", || watch.has_fired().then_some(()));
    assert_eq!(reap_with_group(grandchild), Reaped::Gone(ExitStatus::Unknown));
}

fn a_thousand_quick_children_lose_no_exit() {
    let mut ears = Ears::new();
    for round in 0..1000_u32 {
        let code = round % 256;
        let helper = Helper::start("exit", &[&code.to_string()]);
        let mut watch = ExitWatch::register(helper.pid).expect("a watch");
        ears.hear(&watch);
        ears.wait("the watch", || watch.has_fired().then_some(()));
        ears.forget(&watch);
        assert_eq!(reap_soon(helper.pid), ExitStatus::Code(code.cast_signed()), "round {round}");
    }
}

fn an_exit_is_told_once() {
    let helper = Helper::start("exit", &["7"]);
    wait_for_zombie(helper.pid);
    for _ in 0..2 {
        assert_eq!(unreaped(helper.pid), Some(ExitStatus::Code(7)), "as often as it is asked");
    }
    assert_eq!(reap_with_group(helper.pid), Reaped::Gone(ExitStatus::Code(7)));
    assert_eq!((unreaped(helper.pid), reap_with_group(helper.pid)), (None, Reaped::Gone(ExitStatus::Unknown)));
    assert!(!signal(helper.pid, Signal::Term).expect("no error"), "nobody has the pid now");
}

fn what_ended_a_process_is_told() {
    for (sent, number) in [
        (Signal::Term, libc::SIGTERM),
        (Signal::Int, libc::SIGINT),
        (Signal::Hup, libc::SIGHUP),
        (Signal::Kill, libc::SIGKILL),
    ] {
        let mut helper = Helper::start("wait", &[]);
        assert_eq!(helper.line(), "ready");
        signal(helper.pid, sent).expect("sent");
        wait_for_zombie(helper.pid);
        let status = ExitStatus::Signal { number, core: false };
        let told = unreaped(helper.pid).expect("not reaped");
        assert!(told == status || cfg!(target_os = "macos"), "{told}");
        assert_eq!(reap_soon(helper.pid), status);
    }
}

fn a_group_of_zombies_has_nobody_to_kill() {
    let helper = Helper::start("exit", &["5"]);
    wait_for_zombie(helper.pid);
    // True on Linux, where a zombie counts; false on XNU (EPERM). An error nowhere.
    signal_group(helper.pid, Signal::Kill).expect("no error");
    assert_eq!(reap_soon(helper.pid), ExitStatus::Code(5));
    assert!(!signal_group(helper.pid, Signal::Kill).expect("no error"), "the group is gone");
}

fn what_a_child_left_in_its_group_is_killed_before_it_is_reaped() {
    let mut helper = Helper::start("leave-a-child", &[]);
    let left = Pid::new(helper.line().parse().expect("a pid")).expect("above 1");
    wait_for_zombie(helper.pid);
    let pinned = Pinned::open(left).expect("no error").expect("the child outlives its parent");
    assert_eq!(reap_with_group(helper.pid), Reaped::Gone(ExitStatus::Code(0)));
    eventually("the end of what was left", || (!pinned.is_alive()).then_some(()));
    eventually("the end of the group", || group_is_gone(helper.pid).then_some(()));
}

fn a_pinned_process_is_signalled_until_it_has_gone() {
    let mut helper = Helper::start("wait", &[]);
    assert_eq!(helper.line(), "ready");
    let pinned = Pinned::open(helper.pid).expect("no error").expect("it lives");
    assert_eq!(Some(pinned.identity()), identify(helper.pid).expect("no error").as_ref());
    assert!(pinned.is_alive());
    assert!(pinned.signal_group(Signal::Cont).expect("sent"));
    assert!(pinned.signal(Signal::Term).expect("sent"));
    eventually("its end", || (!pinned.is_alive()).then_some(()));
    // A zombie already counts as gone.
    assert!(!pinned.signal(Signal::Kill).expect("no error"));
    assert!(!pinned.signal_group(Signal::Kill).expect("no error"));
    assert_eq!(reap_soon(helper.pid), ExitStatus::Signal { number: libc::SIGTERM, core: false });
    assert!(!pinned.signal(Signal::Kill).expect("no error"));
    assert!(Pinned::open(helper.pid).expect("no error").is_none());
}

fn a_pinned_process_that_leads_no_group_keeps_its_group_safe() {
    let mut helper = Helper::start("leave-a-child", &[]);
    let left = Pid::new(helper.line().parse().expect("a pid")).expect("above 1");
    let pinned = Pinned::open(left).expect("no error").expect("it lives");
    assert!(!pinned.signal_group(Signal::Kill).expect("no error"));
    assert!(pinned.is_alive());
    assert!(pinned.signal(Signal::Kill).expect("sent"));
    eventually("its end", || (!pinned.is_alive()).then_some(()));
}

fn a_zombie_has_no_identity() {
    let helper = Helper::start("exit", &["0"]);
    wait_for_zombie(helper.pid);
    assert_eq!(identify(helper.pid).expect("no error"), None);
    assert!(Pinned::open(helper.pid).expect("no error").is_none());
}

fn a_process_is_described_by_program_and_user() {
    let mut helper = Helper::start("wait", &[]);
    assert_eq!(helper.line(), "ready");
    let info = describe(helper.pid);
    let program = std::env::current_exe().expect("our own path").canonicalize().expect("a real path");
    assert_eq!(info.program, program.to_string_lossy());
    assert_eq!(info.user, describe(Pid::new(std::process::id().cast_signed()).expect("above 1")).user);
    assert_ne!(info.user, "?");
}

fn descriptors_are_back_where_they_were() {
    let before = open_descriptors();
    for _ in 0..20 {
        let helper = Helper::start("exit", &["0"]);
        let mut watch = ExitWatch::register(helper.pid).expect("a watch");
        let pinned = Pinned::open(helper.pid);
        eventually("the watch", || watch.has_fired().then_some(()));
        drop(pinned);
        reap_soon(helper.pid);
    }
    assert_eq!(open_descriptors(), before);
}

fn without_a_descriptor_a_watch_is_an_error_and_the_exit_is_still_told() {
    let helper = Helper::start("exit", &["4"]);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).expect("lowered");
    let refused = ExitWatch::register(helper.pid).expect_err("no descriptor is left");
    assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(reap_soon(helper.pid), ExitStatus::Code(4));
}

/// Linux shows with a tracer what other kernels do by themselves.
#[cfg(target_os = "linux")]
fn an_exit_that_cannot_be_reaped_yet_is_not_yet() {
    let mut helper = Helper::start("wait", &[]);
    assert_eq!(helper.line(), "ready");
    let mut tracer = Helper::start("trace", &[&helper.pid.to_string()]);
    if tracer.line() != "tracing" {
        eprintln!("tracing is not allowed here");
        return;
    }
    let mut watch = ExitWatch::register(helper.pid).expect("a watch");
    let mut ears = Ears::new();
    ears.hear(&watch);
    signal(helper.pid, Signal::Kill).expect("sent");
    ears.wait("the watch", || watch.has_fired().then_some(()));
    assert_eq!(reap_with_group(helper.pid), Reaped::NotYet);
    drop(tracer);
    assert_eq!(reap_soon(helper.pid), ExitStatus::Signal { number: libc::SIGKILL, core: false });
}
