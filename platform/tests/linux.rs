//! What only Linux has: /proc, real-time signals, busy text files.
#![cfg(target_os = "linux")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use worker_supervisor_platform::{
    Command, ExitStatus, Lifetime, Ownership, Pid, Reaped, SpawnError, holders, identify, ownership, reap_with_group,
    safe_path, spawn,
};

const LIMIT: Duration = Duration::from_secs(20);

fn own() -> Pid {
    Pid::new(std::process::id().cast_signed()).expect("tests are not init")
}

fn start(program: &CStr, args: &[CString]) -> Result<Pid, SpawnError> {
    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    let (stdin, stdout, stderr) = (null.as_fd(), null.as_fd(), null.as_fd());
    let (dir, lifetime) = (Path::new("/"), Lifetime::ItsOwn);
    spawn(&Command { program, args, env: &[], dir, lifetime, stdin, stdout, stderr })
}

#[test]
fn a_death_by_a_real_time_signal_is_told_and_reaped() {
    let pid = start(c"/bin/sleep", &[c"sleep".to_owned(), c"60".to_owned()]).expect("spawned");
    let number = libc::SIGRTMIN() + 1;
    // SAFETY: a signal to a child of ours that has not been reaped.
    assert_eq!(unsafe { libc::kill(pid.as_raw(), number) }, 0);
    let limit_at = Instant::now() + LIMIT;
    let status = loop {
        match reap_with_group(pid) {
            Reaped::NotYet => assert!(Instant::now() < limit_at, "never exited"),
            Reaped::Gone(status) => break status,
        }
    };
    assert_eq!(status, ExitStatus::Signal { number, core: false });
}

#[test]
fn a_program_that_is_being_written_is_busy() {
    let path = std::env::temp_dir().join(format!("platform-busy-{}", std::process::id()));
    std::fs::copy("/bin/true", &path).expect("copied");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("its mode");
    let writing = File::options().append(true).open(&path).expect("open for writing");
    let program = CString::new(path.to_str().expect("a plain path")).expect("no NUL");
    let error = start(&program, std::slice::from_ref(&program)).expect_err("busy");
    drop(writing);
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(error.cause.raw_os_error(), Some(libc::ETXTBSY));
}

#[test]
fn an_identity_is_the_boot_and_the_start_in_ticks() {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot_id");
    let ticks = stat.rsplit_once(')').expect("a name").1.split_whitespace().nth(19).expect("field 22");
    let identity = identify(own()).expect("no error").expect("alive");
    assert_eq!(identity.started.as_str(), format!("{}/{ticks}", boot.trim()));
}

#[test]
fn a_listener_is_found_among_many_connections_and_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listening");
    let addr = listener.local_addr().expect("an address");
    let connections: Vec<_> = (0..100)
        .map(|_| {
            let client = TcpStream::connect(addr).expect("connected");
            (client, listener.accept().expect("accepted"))
        })
        .collect();
    let null = File::open("/dev/null").expect("/dev/null");
    let copies: Vec<_> = (0..500).map(|_| null.try_clone().expect("a copy")).collect();
    // The last of all descriptors.
    let again = listener.try_clone().expect("a copy");
    drop(listener);
    assert_eq!(holders(addr).expect("no error"), [own()]);
    drop((connections, copies, again));
}

#[test]
fn a_mapped_ipv6_listener_owns_the_ipv4_address() {
    let Ok(listener) = TcpListener::bind("[::ffff:127.0.0.1]:0") else { return };
    let addr = format!("127.0.0.1:{}", listener.local_addr().expect("an address").port()).parse().expect("an address");
    assert_eq!(holders(addr).expect("no error"), [own()]);
}

#[test]
fn a_group_that_does_not_exist_owns_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listening");
    let addr = listener.local_addr().expect("an address");
    let nobody = Pid::new(i32::MAX).expect("above 1");
    assert_eq!(ownership(addr, nobody, &mut |_| false).expect("no error"), Ownership::Stranger(vec![own()]));
}

#[test]
fn a_removed_file_in_a_directory_of_all_is_reached_by_its_descriptor() {
    let dir = std::env::temp_dir().join(format!("ws-removed-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o1777)).expect("our own");
    let file = File::create(dir.join("log")).expect("a file");
    std::fs::remove_file(dir.join("log")).expect("removed");
    let link = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let opened = safe_path(&link).and_then(|safe| safe.open(File::options().append(true))).expect("the file");
    assert_eq!(opened.metadata().expect("its inode").ino(), file.metadata().expect("its inode").ino());
    std::fs::remove_dir_all(dir).expect("removed");
}
