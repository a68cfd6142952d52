//! Opening logs, and telling beforehand what could be opened, made or run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use worker_supervisor_platform::{
    Dir, check_creatable_in, check_executable, check_log, effective_user_id, open_log, safe_path,
};

use crate::support::{TempDir, open_descriptors};

crate::tests![
    a_log_is_private_and_only_appended_to,
    a_link_to_our_own_file_is_followed,
    a_device_is_accepted_and_stays_blocking,
    a_fifo_is_refused_at_once_with_and_without_a_reader,
    directories_and_sockets_are_refused_by_name,
    another_users_file_is_refused,
    a_refused_log_leaves_no_descriptor_open,
    looking_at_a_log_says_what_opening_it_says_and_creates_nothing,
    what_files_could_be_made_or_run_is_told,
    two_files_are_swapped_or_stay_as_they_are,
    a_directory_that_is_swapped_for_a_link_after_it_was_judged_is_not_followed,
    a_file_that_is_swapped_for_a_link_or_a_fifo_after_it_was_judged_is_not_followed_or_waited_for,
    a_path_may_end_in_what_is_missing_but_not_go_back_from_there,
];

fn status_flags(file: &File) -> i32 {
    // SAFETY: only asks about a descriptor that is ours.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) }
}

fn a_log_is_private_and_only_appended_to() {
    let dir = TempDir::new();
    let path = dir.file("log");
    let mut first = open_log(&path).expect("a log");
    let mut second = open_log(&path).expect("the same log");
    first.write_all(b"1").expect("written");
    second.write_all(b"2").expect("written");
    first.write_all(b"3").expect("written");
    assert_eq!(std::fs::read(&path).expect("read"), b"123");
    assert_eq!(std::fs::metadata(&path).expect("its mode").mode() & 0o777, 0o600);
    assert_eq!(status_flags(&first) & (libc::O_APPEND | libc::O_NONBLOCK), libc::O_APPEND);
    // SAFETY: only asks about a descriptor that is ours.
    assert_eq!(unsafe { libc::fcntl(first.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
}

fn a_link_to_our_own_file_is_followed() {
    let dir = TempDir::new();
    std::fs::write(dir.file("real"), "a").expect("written");
    std::os::unix::fs::symlink(dir.file("real"), dir.file("link")).expect("a link");
    open_log(&dir.file("link")).expect("a log").write_all(b"b").expect("written");
    assert_eq!(std::fs::read(dir.file("real")).expect("read"), b"ab");
}

fn a_device_is_accepted_and_stays_blocking() {
    let mut null = open_log("/dev/null".as_ref()).expect("/dev/null is a log");
    null.write_all(b"gone").expect("written");
    assert_eq!(status_flags(&null) & libc::O_NONBLOCK, 0);
}

fn a_fifo_is_refused_at_once_with_and_without_a_reader() {
    let dir = TempDir::new();
    let path = dir.file("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let refusal = || open_log(&path).expect_err("no log").to_string();
    assert_eq!(refusal(), "is a FIFO, not a regular file");
    // Both ends in one: opening it never blocks.
    let _reader = File::options().read(true).write(true).open(&path).expect("a reader");
    assert_eq!(refusal(), "is a FIFO, not a regular file");
}

fn directories_and_sockets_are_refused_by_name() {
    let dir = TempDir::new();
    assert_eq!(open_log(dir.path()).expect_err("no log").to_string(), "is a directory, not a regular file");
    let path = dir.file("socket");
    let _listener = UnixListener::bind(&path).expect("a socket");
    assert_eq!(open_log(&path).expect_err("no log").to_string(), "is a socket, not a regular file");
    let missing = open_log(&dir.file("missing/log")).expect_err("no directory");
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
}

/// Only root can make one that it may also write.
fn another_users_file_is_refused() {
    if effective_user_id() != 0 {
        return;
    }
    let dir = TempDir::new();
    let path = dir.file("theirs");
    std::fs::write(&path, "").expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).expect("its mode");
    std::os::unix::fs::chown(&path, Some(12_345), None).expect("given away");
    std::os::unix::fs::symlink(&path, dir.file("link")).expect("a link");
    for name in ["theirs", "link"] {
        assert_eq!(open_log(&dir.file(name)).expect_err("no log").to_string(), "belongs to user 12345, not to us");
    }
}

fn a_refused_log_leaves_no_descriptor_open() {
    let dir = TempDir::new();
    let before = open_descriptors();
    for _ in 0..10 {
        open_log(dir.path()).expect_err("no log");
    }
    assert_eq!(open_descriptors(), before);
}

fn looking_at_a_log_says_what_opening_it_says_and_creates_nothing() {
    let dir = TempDir::new();
    let missing = dir.file("log");
    assert_eq!(check_log(&missing).expect_err("there is none").kind(), std::io::ErrorKind::NotFound);
    assert!(!missing.exists());
    drop(open_log(&missing).expect("a log"));
    check_log(&missing).expect("now there is one");
    check_log("/dev/null".as_ref()).expect("/dev/null is a log");
    nix::unistd::mkfifo(&dir.file("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    for refused in [dir.file("fifo"), dir.file("")] {
        let said = check_log(&refused).expect_err("refused").to_string();
        assert_eq!(said, open_log(&refused).expect_err("refused").to_string());
    }
}

fn what_files_could_be_made_or_run_is_told() {
    let dir = TempDir::new();
    check_creatable_in(&dir.file("")).expect("our own directory");
    std::fs::write(dir.file("plain"), "").expect("written");
    assert_eq!(check_creatable_in(&dir.file("plain")).expect_err("a file").kind(), std::io::ErrorKind::NotADirectory);
    assert_eq!(check_creatable_in(&dir.file("none")).expect_err("nothing").kind(), std::io::ErrorKind::NotFound);
    check_executable(&dir.file("")).expect("a directory that can be entered");
    assert_eq!(check_executable(&dir.file("plain")).expect_err("mode").kind(), std::io::ErrorKind::PermissionDenied);
}

fn two_files_are_swapped_or_stay_as_they_are() {
    let temporary = TempDir::new();
    let dir = Dir::open(&temporary.path().canonicalize().expect("a path")).expect("a directory");
    dir.replace_file(c"one", b"1").expect("a file");
    dir.replace_file(c"two", b"2").expect("a file");
    std::fs::create_dir(temporary.path().join("directory")).expect("a directory");
    let content = || ["one", "two"].map(|name| std::fs::read_to_string(temporary.path().join(name)).expect("a file"));
    let swapped = dir.exchange(c"one", c"two").is_ok();
    assert!(swapped || cfg!(target_os = "freebsd"), "every file system for tests can");
    assert_eq!(content(), if swapped { ["2", "1"] } else { ["1", "2"] });
    let before = content();
    assert!(dir.exchange(c"one", c"directory").is_err());
    assert!(dir.exchange(c"one", c"none").is_err());
    assert_eq!(content(), before);
}

/// A directory with a file in it, and one that is to be put in its place by a link.
fn two_places(temporary: &TempDir) -> [PathBuf; 2] {
    let real = temporary.path().canonicalize().expect("a path");
    ["here", "elsewhere"].map(|name| {
        let place = real.join(name);
        std::fs::create_dir(&place).expect("a directory");
        std::fs::write(place.join("file"), name).expect("a file");
        place
    })
}

fn a_directory_that_is_swapped_for_a_link_after_it_was_judged_is_not_followed() {
    let temporary = TempDir::new();
    let [here, elsewhere] = two_places(&temporary);
    let judged = safe_path(&here).expect("a path of ours");
    let held = Dir::open(judged.real()).expect("a directory");
    std::fs::rename(&here, temporary.file("aside")).expect("renamed");
    std::os::unix::fs::symlink(&elsewhere, &here).expect("a link");
    assert!(Dir::open(judged.real()).is_err(), "the link was followed");
    held.replace_file(c"file", b"written").expect("what is held can be written");
    let content = |place: &Path| std::fs::read_to_string(place.join("file")).expect("a file");
    assert_eq!([content(&elsewhere), content(&temporary.file("aside"))], ["elsewhere", "written"]);
}

fn a_file_that_is_swapped_for_a_link_or_a_fifo_after_it_was_judged_is_not_followed_or_waited_for() {
    let temporary = TempDir::new();
    let [here, elsewhere] = two_places(&temporary);
    let file = here.join("file");
    let judged = safe_path(&file).expect("a path of ours");
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink(elsewhere.join("file"), &file).expect("a link");
    assert!(judged.open(OpenOptions::new().read(true)).is_err(), "the link was followed");
    std::fs::remove_file(&file).expect("removed");
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    judged.open(OpenOptions::new().read(true)).expect("a FIFO that is not waited for");
}

fn a_path_may_end_in_what_is_missing_but_not_go_back_from_there() {
    let dir = TempDir::new();
    let real = dir.path().canonicalize().expect("it exists");
    let safe = safe_path(&dir.file("missing/file")).expect("it can be made");
    assert_eq!(safe.real(), real.join("missing/file"));
    // Where that leads was not judged: whoever made the missing one would lead past it.
    let error = safe_path(&dir.file("missing/../../file")).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
