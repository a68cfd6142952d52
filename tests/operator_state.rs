//! The state directory: whom it admits, its lock, the worker's record and the status file.

mod operator_support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use operator_support::{Dir, names};
use platform::Pid;
use worker_supervisor::error::ExitCode;
use worker_supervisor::lock::{Held, Lock};
use worker_supervisor::state_dir::{FILE_BYTES_MAX, Record, StateDir, WorkerRecord};
use worker_supervisor::supervise::report::status::{Status, Transition};

fn open(dir: &Dir) -> StateDir {
    StateDir::open(&dir.join("state"), "demo").expect("the state directory")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

fn own_identity() -> platform::Identity {
    let own = Pid::new(std::process::id().cast_signed()).expect("tests are not init");
    platform::identify(own).expect("identified").expect("alive")
}

#[test]
fn the_directory_and_its_parents_are_created_for_us_alone() {
    let dir = Dir::new();
    let state = open(&dir);
    assert_eq!(state.path(), dir.join("state/demo"));
    assert_eq!((mode(&dir.join("state")), mode(state.path())), (0o700, 0o700));
    let existing = StateDir::existing(&dir.join("state"), "demo").expect("it is ours").expect("it is there");
    assert_eq!([open(&dir).path(), existing.path()], [state.path(); 2]);
}

#[test]
fn a_directory_that_is_not_there_is_not_created_by_a_look() {
    let dir = Dir::new();
    assert!(StateDir::existing(&dir.join("state"), "demo").expect("no error").is_none());
    assert!(dir.names().is_empty());
}

#[test]
fn a_directory_that_others_could_have_prepared_is_refused() {
    let dir = Dir::new();
    let state = open(&dir);
    for mode in [0o720, 0o702, 0o777] {
        fs::set_permissions(state.path(), Permissions::from_mode(mode)).expect("the mode to be set");
        let error = StateDir::open(&dir.join("state"), "demo").expect_err("others may write it");
        assert_eq!(error.code, ExitCode::Config);
        assert!(error.message.contains(&format!("mode {mode:04o}")), "{error}");
    }
    symlink(state.path(), dir.join("state/link")).expect("a link");
    fs::write(dir.join("state/file"), "").expect("a file");
    for (name, cause) in [("link", "symbolic link"), ("file", "is not a directory")] {
        let error = StateDir::existing(&dir.join("state"), name).expect_err(name);
        assert!(error.message.contains(cause), "{error}");
    }
    assert_eq!(StateDir::open(&dir.join("state/file"), "x").expect_err("a file").code, ExitCode::Config);
}

#[test]
fn a_lock_is_held_once_and_names_its_holder() {
    let dir = Dir::new();
    let state = open(&dir);
    assert_eq!(Lock::holder(&state).expect("a look"), Held::Free);
    let lock = Lock::of_config(&state).expect("no error").expect("the lock is free");
    lock.announce(&[]);
    assert_eq!(mode(&state.lock_path()), 0o600);
    assert_eq!(Lock::of_config(&state).expect("no error").err(), Some(Some(std::process::id())));
    let Held::By(holder) = Lock::holder(&state).expect("a look") else { panic!("the holder is known") };
    assert_eq!((holder.pid, holder.identity), (std::process::id(), Some(own_identity())));
    drop(lock);
    // This process would go on being its holder for as long as it lives, which is right for a supervisor.
    fs::write(state.lock_path(), "1 another-start\n").expect("written");
    assert_eq!(Lock::holder(&state).expect("a look"), Held::Free);
    assert!(Lock::of_config(&state).expect("no error").is_ok());
}

#[test]
fn a_lock_whose_file_was_removed_or_replaced_is_not_in_place() {
    let dir = Dir::new();
    let state = open(&dir);
    let lock = Lock::of_config(&state).expect("no error").expect("the lock is free");
    assert!(lock.is_in_place());
    fs::remove_file(state.lock_path()).expect("removed");
    assert!(!lock.is_in_place());
    let second = Lock::of_config(&state).expect("no error").expect("another file's lock is free");
    assert!(second.is_in_place() && !lock.is_in_place());
}

#[test]
fn a_living_holder_is_found_without_taking_anything() {
    let dir = Dir::new();
    let state = open(&dir);
    Lock::of_config(&state).expect("no error").expect("the lock is free").announce(&[]);
    // The lock is free, but who announced itself lives: nothing was tried.
    let Held::By(holder) = Lock::holder(&state).expect("a look") else { panic!("the holder is known") };
    assert_eq!(holder.pid, std::process::id());
}

#[test]
fn a_look_at_the_lock_keeps_nobody_from_taking_it() {
    let dir = Dir::new();
    let state = open(&dir);
    fs::write(state.lock_path(), "").expect("written");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                Lock::holder(&state).expect("a look");
            }
        });
        let missed = (0..2000).filter(|_| Lock::of_config(&state).expect("no error").is_err()).count();
        is_over.store(true, Ordering::SeqCst);
        looks.join().expect("looks");
        assert_eq!(missed, 0);
    });
}

#[test]
fn a_lock_is_seen_before_its_holder_has_said_who_it_is() {
    let dir = Dir::new();
    let state = open(&dir);
    let lock = Lock::of_config(&state).expect("no error").expect("the lock is free");
    assert_eq!(Lock::holder(&state).expect("a look"), Held::Unknown);
    drop(lock);
    assert_eq!(Lock::holder(&state).expect("a look"), Held::Free);
    let stranger = fs::File::open(state.lock_path()).expect("the file");
    stranger.lock_shared().expect("a lock");
    assert_eq!(Lock::holder(&state).expect("a look"), Held::Free, "whoever only looks is no supervisor");
}

#[test]
fn what_a_dead_holder_left_names_nobody() {
    let dir = Dir::new();
    let state = open(&dir);
    let lock = Lock::of_config(&state).expect("no error").expect("the lock is free");
    lock.announce(&[]);
    let own = std::process::id();
    for left in ["", "12", "x y\n", "0\n", "-1 x\n", "1 x\n", "2147483647 x\n", "4294967296\n", &format!("{own} x\n")] {
        fs::write(state.lock_path(), left).expect("written");
        assert_eq!(Lock::holder(&state).expect("a look"), Held::Unknown, "{left:?}");
        assert_eq!(Lock::of_config(&state).expect("no error").err(), Some(None), "{left:?}");
    }
}

#[test]
fn a_shorter_name_replaces_a_longer_one_in_the_lock_file() {
    let dir = Dir::new();
    let state = open(&dir);
    fs::write(state.lock_path(), "4194304 ".to_owned() + &"x".repeat(200) + "\n").expect("written");
    let lock = Lock::of_config(&state).expect("no error").expect("the lock is free");
    lock.announce(&[]);
    let text = fs::read_to_string(state.lock_path()).expect("read");
    assert_eq!(text, format!("{} {}\n", std::process::id(), own_identity().started));
}

fn somebody(worker: platform::Identity, next: &str) -> Record {
    Record::Somebody { worker: Some(worker), next: next.to_owned() }
}

#[test]
fn a_worker_record_says_who_the_worker_is_and_who_comes_next() {
    let dir = Dir::new();
    let state = open(&dir);
    assert_eq!(WorkerRecord::read(&state).expect("no error"), Record::Nobody);
    let mut record = WorkerRecord::new(&state, Record::Nobody);
    let read = || WorkerRecord::read(&state).expect("no error");
    record.launching("demo:7:x:1").expect("written");
    assert_eq!(read(), Record::Somebody { worker: None, next: "demo:7:x:1".to_owned() });
    assert!(!record.names(None));
    let own = Pid::new(std::process::id().cast_signed());
    for next in ["demo:7:x:2", "demo:7:x:3"] {
        assert!(!record.names(own));
        record.write(own_identity(), next.to_owned()).expect("written");
        assert_eq!(mode(&state.worker_path()), 0o600);
        assert_eq!(read(), somebody(own_identity(), next));
        assert!(record.names(own) && !record.names(None));
        // The next one, which may get the same pid.
        record.launching(next).expect("on record already");
        assert_eq!(read(), somebody(own_identity(), next));
    }
    record.launching("demo:7:x:9").expect("written");
    assert_eq!(read(), Record::Somebody { worker: None, next: "demo:7:x:9".to_owned() });
    record.clear().expect("cleared");
    assert_eq!(WorkerRecord::read(&state).expect("no error"), Record::Nobody);
    assert!(record.names(None));
    assert_eq!(names(state.path()), ["worker.json"]);
}

#[test]
fn a_worker_record_is_written_over_the_last_one_and_anew_where_that_is_gone() {
    let dir = Dir::new();
    let state = open(&dir);
    let mut record = WorkerRecord::new(&state, Record::Nobody);
    record.write(own_identity(), String::new()).expect("written");
    let inode = || fs::metadata(state.worker_path()).expect("a record").ino();
    let first = inode();
    for started in ["a start time that is longer than any other", "1"] {
        let worker = platform::Identity { started: started.to_owned().into(), ..own_identity() };
        record.write(worker.clone(), "x".repeat(140)).expect("written");
        let read = WorkerRecord::read(&state).expect("no error");
        assert_eq!((read, inode()), (somebody(worker, &"x".repeat(140)), first));
    }
    let mut next = WorkerRecord::new(&state, Record::Nobody);
    next.clear().expect("written");
    assert_eq!((WorkerRecord::read(&state).expect("no error"), inode()), (Record::Nobody, first));
    fs::remove_file(state.worker_path()).expect("removed");
    record.write(own_identity(), String::new()).expect("written");
    assert_eq!(WorkerRecord::read(&state).expect("no error"), somebody(own_identity(), ""));
}

#[test]
fn a_worker_record_that_makes_no_sense_is_not_one_of_nobody() {
    let dir = Dir::new();
    let state = open(&dir);
    for text in ["", "{", "[]", "{\"pid\":7}", "{\"pid\":99999999999,\"started\":\"x\"}"] {
        fs::write(state.worker_path(), text).expect("written");
        assert_eq!(WorkerRecord::read(&state).expect("no error"), Record::Unclear, "{text}");
    }
    for pid in [1, 0, -1] {
        fs::write(state.worker_path(), format!("{{\"pid\":{pid},\"started\":\"x\"}}")).expect("written");
        assert_eq!(WorkerRecord::read(&state).expect("no error"), Record::Unclear, "{pid}");
    }
}

#[test]
fn a_status_is_read_as_it_was_written() {
    let dir = Dir::new();
    let state = StateDir::open(dir.path(), "demo").expect("the state directory");
    assert_eq!(Status::read(&state).expect("no error"), None);
    let transitions = vec![Transition { at_ms: 3, message: "started pid=7".into() }];
    let status = Status { name: "demo".into(), pid: Some(7), transitions, ..Status::default() };
    for generation in 1..=3 {
        let status = Status { generation, ..status.clone() };
        status.write(&state).expect("written");
        assert_eq!(Status::read(&state).expect("no error"), Some(status));
    }
    assert_eq!(names(state.path()), ["status.json", "status.spare"]);
    assert_eq!(mode(&state.status_path()), 0o600);
}

#[test]
fn a_status_that_cannot_be_written_leaves_no_litter() {
    let dir = Dir::new();
    let state = StateDir::open(dir.path(), "demo").expect("the state directory");
    fs::create_dir(state.status_path()).expect("something in the way");
    Status::default().write(&state).expect_err("a directory is in the way");
    assert_eq!(names(state.path()), ["status.json"]);
}

#[test]
fn what_a_killed_writer_left_is_written_over_and_no_link_is_followed() {
    let dir = Dir::new();
    let state = StateDir::open(dir.path(), "demo").expect("the state directory");
    fs::write(dir.join("victim"), "untouched").expect("written");
    symlink(dir.join("victim"), state.path().join("status.json.new")).expect("a link");
    Status::default().write(&state).expect("written");
    assert_eq!(fs::read_to_string(dir.join("victim")).expect("read"), "untouched");
    assert_eq!(names(state.path()), ["status.json", "status.spare"]);
}

#[test]
fn a_file_that_is_no_status_is_an_error() {
    let dir = Dir::new();
    let state = StateDir::open(dir.path(), "demo").expect("the state directory");
    for text in ["", "{", "[1]", "{\"pid\":\"x\"}", &" ".repeat(FILE_BYTES_MAX as usize + 1)] {
        fs::write(state.status_path(), text).expect("written");
        let error = Status::read(&state).expect_err("no status");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}
