//! Spawning, and the preparation that it counts on.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use worker_supervisor_platform::{
    Command, ExitStatus, Lifetime, Pipe, Signals, SpawnError, SpawnStage, open_files_limit, pipe_from_helper,
    pipe_to_helper, prepare_process, spawn,
};

use crate::support::{Helper, TempDir, arguments, open_descriptors, own_program, reap_soon};

crate::tests![
    a_spawned_process_has_nothing_of_ours,
    descriptors_below_three_can_be_handed_on_in_any_order,
    a_failed_spawn_says_its_stage_and_errno,
    a_failed_spawn_leaves_nothing_behind,
    arguments_and_environment_arrive_unchanged,
    pipes_are_ours_on_one_end_only,
    preparing_raises_the_limit_of_open_files_and_forbids_cores,
    preparing_marks_inherited_descriptors,
];

fn a_spawned_process_has_nothing_of_ours() {
    let dir = TempDir::new();
    umask(Mode::from_bits_truncate(0o027));
    // As bad parents leave it: blocked and ignored signals, open descriptors.
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGUSR2, Signal::SIGWINCH] {
        mask.add(signal);
    }
    mask.thread_block().expect("blocked");
    for signal in [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGCHLD] {
        // SAFETY: SIG_IGN installs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }.expect("ignored");
    }
    let null = File::open("/dev/null").expect("/dev/null");
    nix::unistd::dup(&null).expect("a copy that exec would keep");
    assert!(prepare_process().is_empty());
    let _signals = Signals::open().expect("a queue");
    let mut helper = Helper::start_in(dir.path(), "report", &[]);
    let expected = format!(
        "blocked []\nignored []\nleads its group true\ndescriptors [0, 1, 2]\ndirectory {}\numask 027\n\
         arguments []\nenvironment []\n",
        dir.path().display()
    );
    assert_eq!(helper.rest(), expected);
    assert_eq!(reap_soon(helper.pid), ExitStatus::Code(0));
    assert_eq!(umask(Mode::empty()), Mode::from_bits_truncate(0o077), "our own stays private");
    let here = std::env::current_dir().expect("a directory");
    assert_ne!(here, dir.path());
    // On Linux only the new process enters its directory.
    assert!(cfg!(target_os = "linux") || here == Path::new("/"), "{here:?}");
}

fn descriptors_below_three_can_be_handed_on_in_any_order() {
    assert!(prepare_process().is_empty());
    let Pipe { ours: first, theirs } = pipe_from_helper().expect("a pipe");
    // SAFETY: descriptor 0 is this process's own standard input, which nothing else here uses.
    let zero = unsafe { BorrowedFd::borrow_raw(0) };
    assert!(nix::unistd::dup2_stdin(&theirs).is_ok());
    drop(theirs);
    // Our 0 becomes its 1, our 2 its 0 and our 1 its 2; ours are close-on-exec all the while.
    for fd in 0..3 {
        // SAFETY: the three standard descriptors are open; this only marks them.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    let (program, args) = (own_program(), arguments("report", &[]));
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let command = Command {
        program: &program,
        args: &args,
        env: &[],
        dir: Path::new("/"),
        lifetime: Lifetime::ItsOwn,
        stdin: stderr.as_fd(),
        stdout: zero,
        stderr: stdout.as_fd(),
    };
    let pid = spawn(&command).expect("spawned");
    assert_eq!(reap_soon(pid), ExitStatus::Code(0));
    let mut text = [0; 4096];
    let count = nix::unistd::read(&first, &mut text).expect("its report");
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    assert!(text.contains("descriptors [0, 1, 2]"), "{text}");
}

fn try_to_spawn(program: &CStr, env: &[CString], dir: &Path) -> SpawnError {
    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    let (stdin, stdout, stderr) = (null.as_fd(), null.as_fd(), null.as_fd());
    let (args, lifetime) = (&[program.to_owned()], Lifetime::ItsOwn);
    let command = Command { program, args, env, dir, lifetime, stdin, stdout, stderr };
    spawn(&command).expect_err("must fail")
}

fn a_failed_spawn_says_its_stage_and_errno() {
    let temp = TempDir::new();
    let write = |name: &str, mode: u32| {
        let path = temp.file(name);
        std::fs::write(&path, "neither a program nor a script\n").expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its mode");
        CString::new(path.to_str().expect("a plain path")).expect("no NUL")
    };
    let (plain, text) = (write("plain", 0o644), write("text", 0o755));
    let missing = CString::new(temp.file("missing").to_str().expect("a plain path")).expect("no NUL");
    let huge = [CString::new(vec![b'x'; 16 << 20]).expect("no NUL")];
    let root = Path::new("/");
    let own = own_program();
    for (program, env, dir, stage, errno) in [
        (&missing, &[][..], root, SpawnStage::Program, libc::ENOENT),
        (&plain, &[][..], root, SpawnStage::Program, libc::EACCES),
        (&text, &[][..], root, SpawnStage::Program, libc::ENOEXEC),
        (&own, &huge[..], root, SpawnStage::Program, libc::E2BIG),
        (&own, &[][..], &temp.file("nowhere"), SpawnStage::Directory, libc::ENOENT),
        (&own, &[][..], &temp.file("plain"), SpawnStage::Directory, libc::ENOTDIR),
    ] {
        let error = try_to_spawn(program, env, dir);
        assert_eq!((error.stage, error.cause.raw_os_error()), (stage, Some(errno)), "{error}");
        let words = if stage == SpawnStage::Program { "cannot run \"/" } else { "cannot enter directory \"/" };
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

fn a_failed_spawn_leaves_nothing_behind() {
    let (before, here) = (open_descriptors(), std::env::current_dir().expect("a directory"));
    for _ in 0..50 {
        try_to_spawn(c"/nowhere/at/all", &[], &std::env::temp_dir().canonicalize().expect("a directory"));
        try_to_spawn(c"/nowhere/at/all", &[], Path::new("/nowhere"));
    }
    assert_eq!(open_descriptors(), before);
    let stays_at = if cfg!(target_os = "linux") { &here } else { Path::new("/") };
    assert_eq!(std::env::current_dir().expect("a directory"), stays_at);
    // No zombie either: there is no child at all.
    assert_eq!(nix::sys::wait::waitpid(None, None), Err(nix::errno::Errno::ECHILD));
}

fn arguments_and_environment_arrive_unchanged() {
    let Pipe { ours, theirs } = pipe_from_helper().expect("a pipe");
    let null = File::open("/dev/null").expect("/dev/null");
    let program = own_program();
    let args = arguments("report", &["a b", "", "ü\n'\""]);
    let env = ["A=1", "EMPTY=", "B=x=y"].map(|text| CString::new(text).expect("no NUL"));
    let (stdin, stderr) = (null.as_fd(), io::stderr());
    let command = Command {
        program: &program,
        args: &args,
        env: &env,
        dir: Path::new("/"),
        lifetime: Lifetime::ItsOwn,
        stdin,
        stdout: theirs.as_fd(),
        stderr: stderr.as_fd(),
    };
    let pid = spawn(&command).expect("spawned");
    assert_eq!(reap_soon(pid), ExitStatus::Code(0));
    let mut text = [0; 4096];
    let count = nix::unistd::read(&ours, &mut text).expect("its report");
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    assert!(text.contains("arguments [\"a b\", \"\", \"ü\\n'\\\"\"]"), "{text}");
    assert!(text.contains("environment [(\"A\", \"1\"), (\"EMPTY\", \"\"), (\"B\", \"x=y\")]"), "{text}");
}

fn pipes_are_ours_on_one_end_only() {
    for pipe in [pipe_from_helper().expect("a pipe"), pipe_to_helper().expect("a pipe")] {
        for (end, non_blocking) in [(&pipe.ours, true), (&pipe.theirs, false)] {
            // SAFETY: both calls only ask about a descriptor that is ours.
            let (flags, status) =
                unsafe { (libc::fcntl(end.as_raw_fd(), libc::F_GETFD), libc::fcntl(end.as_raw_fd(), libc::F_GETFL)) };
            assert_eq!(flags, libc::FD_CLOEXEC);
            assert_eq!(status & libc::O_NONBLOCK != 0, non_blocking);
        }
    }
    let down = pipe_to_helper().expect("a pipe");
    assert_eq!(nix::unistd::write(&down.ours, b"x"), Ok(1));
    let up = pipe_from_helper().expect("a pipe");
    assert_eq!(nix::unistd::write(&up.theirs, b"x"), Ok(1));
}

fn preparing_raises_the_limit_of_open_files_and_forbids_cores() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, 256, hard).expect("lowered, as launchd does");
    let foretold = open_files_limit().expect("a limit");
    assert!(prepare_process().is_empty());
    let (soft, hard_now) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(soft == 10_240 || soft == hard || (cfg!(target_os = "macos") && soft > 256), "{soft}");
    assert_eq!(soft.to_string(), foretold.to_string());
    assert_eq!(hard_now, hard);
    assert_eq!(getrlimit(Resource::RLIMIT_CORE).expect("a limit").0, 0);
    // Never lowered.
    if hard > 20_000 && cfg!(target_os = "linux") {
        setrlimit(Resource::RLIMIT_NOFILE, 20_000, hard).expect("raised");
        assert!(prepare_process().is_empty());
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).expect("a limit").0, 20_000);
    }
}

fn preparing_marks_inherited_descriptors() {
    let null = File::open("/dev/null").expect("/dev/null");
    let copies: Vec<_> = (0..20).map(|_| nix::unistd::dup(&null).expect("a copy")).collect();
    assert!(prepare_process().is_empty());
    for copy in &copies {
        // SAFETY: only asks about a descriptor that is ours.
        assert_eq!(unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
    }
    // SAFETY: as above.
    assert_eq!(unsafe { libc::fcntl(2, libc::F_GETFD) }, 0, "standard error is still handed on");
}
