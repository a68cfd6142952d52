//! What others can write decides nothing, what is ours is for us alone, and foreign text can't forge a line of the log.

mod support;

use std::fs::{
    DirBuilder, Permissions, create_dir, create_dir_all, metadata, set_permissions, symlink_metadata, write,
};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use support::words::{DIED, LAUNCH_FAILED, STARTED, STARTUP_TIMED_OUT, SYNC_FAILED, SYNCED, WARN};
use support::{Scene, Signal, quoted, send_signal, wait_until};

/// The permissions of a path.
fn mode(path: &Path) -> u32 {
    metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

#[test]
fn files_are_for_us_alone_whatever_the_umask() {
    let scene = Scene::new().set("log_stdout", "\"logs/out\"").set("log_stderr", "\"logs/err\"");
    // The shell's umask would let everybody read and write.
    let program = scene.program();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    let supervisor = scene.start_with(&mut command);
    supervisor.wait_ready();
    wait_until("the worker's record", support::LIMIT, || scene.file("state/worker/worker.json").exists());
    for file in ["state/worker/lock", "state/worker/worker.json", "state/worker/status.json", "logs/out", "logs/err"] {
        assert_eq!(mode(&scene.file(file)), 0o600, "{file}");
    }
    for dir in ["state", "state/worker", "logs"] {
        assert_eq!(mode(&scene.file(dir)), 0o700, "{dir}");
    }
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(mode(&scene.file("state/worker/status.json")), 0o600);
}

#[test]
fn worker_keeps_the_umask_that_the_supervisor_was_started_with() {
    let scene = Scene::new();
    let made = scene.file("made-by-worker");
    let touch = format!(
        "echo > {}; exec {} --port {} --report {}",
        made.display(),
        support::worker_program().display(),
        scene.port().number(),
        scene.file("report").display()
    );
    let scene = scene.command(&["/bin/sh", "-c", &touch]);
    let program = scene.program();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "umask 027; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    let supervisor = scene.start_with(&mut command);
    supervisor.wait_ready();
    assert_eq!(mode(&made), 0o640);
}

#[test]
fn configuration_that_anyone_may_write_is_refused() {
    let scene = Scene::new();
    set_permissions(scene.config_file(), Permissions::from_mode(0o666)).expect("our own file");
    let ran = scene.run(&[]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("anyone may write it"), "{ran:?}");
    assert!(scene.report().starts().is_empty());
}

#[test]
fn configuration_that_anyone_may_write_is_not_reloaded() {
    let scene = Scene::new();
    let supervisor = scene.start();
    supervisor.wait_ready();
    scene.reconfigure(|config| {
        config.command(&["/bin/false"]);
    });
    set_permissions(scene.config_file(), Permissions::from_mode(0o666)).expect("our own file");
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_for_log(support::words::RELOAD_FAILED);
    supervisor.wait_nth_ready(2);
    assert_eq!(scene.report().starts().len(), 2, "the old configuration goes on");
}

#[test]
fn env_file_that_anyone_may_write_keeps_the_worker_from_starting_until_it_is_mended() {
    let scene = Scene::new();
    write(scene.file("env"), "A=b\n").expect("a file");
    set_permissions(scene.file("env"), Permissions::from_mode(0o666)).expect("our own file");
    let scene = scene.set("env_file", "\"env\"");
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(LAUNCH_FAILED);
    assert!(line.contains("anyone may write it"), "{line}");
    assert_eq!(supervisor.lines_with(STARTED), Vec::<String>::new());
    set_permissions(scene.file("env"), Permissions::from_mode(0o600)).expect("our own file");
    supervisor.wait_ready();
}

#[test]
fn state_directory_that_others_may_write_is_refused() {
    for mode in [0o777, 0o720, 0o702] {
        let scene = Scene::new();
        create_dir_all(scene.file("state/worker")).expect("a directory");
        set_permissions(scene.file("state/worker"), Permissions::from_mode(mode)).expect("our own directory");
        let ran = scene.run(&[]);
        assert_eq!(ran.code, Some(78), "{mode:o} {ran:?}");
        assert!(ran.stderr.contains("others may write it"), "{ran:?}");
        assert!(!scene.file("state/worker/lock").exists());
    }
}

#[test]
fn state_directory_that_is_a_link_is_refused() {
    let scene = Scene::new();
    let elsewhere = scene.file("elsewhere");
    DirBuilder::new().mode(0o700).create(&elsewhere).expect("a directory");
    create_dir(scene.file("state")).expect("a directory");
    symlink(&elsewhere, scene.file("state/worker")).expect("a link");
    let ran = scene.run(&[]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("symbolic link"), "{ran:?}");
    assert_eq!(elsewhere.read_dir().expect("a directory").count(), 0);
}

#[test]
fn state_directory_of_another_user_is_refused() {
    if !support::is_root_to("make a directory that is another user's") {
        return;
    }
    let scene = Scene::new();
    create_dir(scene.file("state")).expect("a directory");
    DirBuilder::new().mode(0o700).create(scene.file("state/worker")).expect("a directory");
    chown(scene.file("state/worker"), Some(12_345), None).expect("root may give it away");
    let ran = scene.run(&[]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.stderr.contains("belongs to user 12345"), "{ran:?}");
}

#[test]
fn path_through_a_directory_of_another_user_is_refused_and_named() {
    if !support::is_root_to("make a directory that is another user's") {
        return;
    }
    for depth in ["theirs/state", "theirs/a/b/state"] {
        let scene = Scene::new();
        create_dir_all(scene.file("theirs/a/b")).expect("directories");
        chown(scene.file("theirs"), Some(12_345), None).expect("root may give it away");
        let state = quoted(scene.file(depth));
        let scene = scene.set("state_dir", state);
        let (ran, dry) = (scene.run(&[]), scene.run(&["--dry-run"]));
        let said = format!("{:?} belongs to user 12345 (uid 12345)", scene.file("theirs"));
        assert!(ran.code == Some(78) && ran.stderr.contains(&said), "{ran:?}");
        assert!(dry.code == Some(78) && dry.stdout.contains(&said), "{dry:?}");
        assert!(!scene.file(depth).exists(), "nothing is made there");
    }
}

#[test]
fn log_that_is_a_link_in_a_directory_of_another_user_is_not_written() {
    if !support::is_root_to("make a directory that is another user's") {
        return;
    }
    let scene = Scene::new().set("log_max_bytes", "4096");
    let precious = scene.file("precious");
    write(&precious, "precious\n".repeat(1000)).expect("a file");
    create_dir(scene.file("theirs")).expect("a directory");
    chown(scene.file("theirs"), Some(12_345), None).expect("root may give it away");
    symlink(&precious, scene.file("theirs/log")).expect("a link");
    let log = quoted(scene.file("theirs/log"));
    let scene = scene.set("log_stdout", &log).set("log_stderr", &log);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let line = supervisor.wait_for_log("who could replace what is in it");
    assert!(line.contains(WARN), "{line}");
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(std::fs::read_to_string(&precious).expect("a file"), "precious\n".repeat(1000));
}

/// A state directory in which something else stands in the place of these files.
fn occupied(scene: &Scene, names: &[&str], put: impl Fn(&Path)) {
    create_dir(scene.file("state")).expect("a directory");
    DirBuilder::new().mode(0o700).create(scene.file("state/worker")).expect("a directory");
    for name in names {
        put(&scene.file("state/worker").join(name));
    }
}

#[test]
fn what_stands_in_the_place_of_a_state_file_is_replaced_and_not_written_through() {
    let names = ["status.json", "status.json.new", "status.spare", "worker.json", "worker.json.new"];
    for is_link in [true, false] {
        let scene = Scene::new();
        let precious = scene.file("precious");
        write(&precious, "precious").expect("a file");
        occupied(&scene, &names, |path| {
            if is_link {
                symlink(&precious, path).expect("a link");
            } else {
                mkfifo(path, Mode::S_IRWXU).expect("a FIFO");
            }
        });
        assert_eq!(scene.run(&["status"]).code, Some(3));
        let supervisor = scene.start();
        supervisor.wait_ready();
        assert_eq!(scene.run(&["status"]).code, Some(0), "{}", scene.story());
        assert_eq!(supervisor.stop(), 0);
        assert_eq!(std::fs::read_to_string(&precious).expect("a file"), "precious");
        for name in ["status.json", "worker.json"] {
            let found = symlink_metadata(scene.file("state/worker").join(name)).expect("a file");
            assert!(found.is_file(), "{name}");
        }
    }
}

#[test]
fn lock_that_is_no_file_of_ours_is_refused_with_what_to_do_and_never_waited_for() {
    type Prepare = fn(&Path);
    let cases: [(&str, Prepare); 3] = [
        ("symbolic link", |path| symlink(path.with_file_name("precious"), path).expect("a link")),
        ("FIFO", |path| mkfifo(path, Mode::S_IRWXU).expect("a FIFO")),
        ("directory", |path| create_dir(path).expect("a directory")),
    ];
    for (kind, prepare) in cases {
        let scene = Scene::new();
        occupied(&scene, &["lock"], prepare);
        let refused = scene.run(&[]);
        assert_eq!(refused.code, Some(78), "{refused:?}");
        let said = format!("is a {kind}, not a regular file; remove it");
        assert!(refused.stderr.contains("cannot lock ") && refused.stderr.contains(&said), "{refused:?}");
        let status = scene.run(&["status"]);
        assert!(status.code == Some(78) && status.stderr.contains(kind), "{status:?}");
        assert!(!scene.file("state/worker/precious").exists(), "it was written through the link");
        assert_eq!(scene.report().starts().len(), 0);
    }
}

#[test]
fn directory_in_the_place_of_a_record_keeps_the_worker_from_being_started_until_it_is_removed() {
    let scene = Scene::new().set("restart_backoff_max_secs", "0.1").set("restart_backoff_min_secs", "0.1");
    occupied(&scene, &["worker.json"], |path| create_dir(path).expect("a directory"));
    let told = scene.run(&["--dry-run"]);
    assert!(told.code == Some(78) && told.stdout.contains("worker.json\": it is a directory; fix that"), "{told:?}");
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(LAUNCH_FAILED);
    assert!(
        line.contains("cannot record the worker in \"") && line.contains("worker.json\": Is a directory"),
        "{line}"
    );
    assert_eq!(scene.report().starts().len(), 0);
    let record = scene.file("state/worker/worker.json");
    std::fs::remove_dir(&record).expect("removed");
    let worker = supervisor.wait_ready();
    // Not the next one either.
    std::fs::remove_file(&record).expect("removed");
    create_dir(&record).expect("a directory");
    let failed = supervisor.lines_with(LAUNCH_FAILED).len();
    send_signal(worker, Signal::SIGKILL);
    supervisor.wait_for_nth_log(failed + 1, LAUNCH_FAILED);
    assert_eq!(scene.report().starts().len(), 1);
    std::fs::remove_dir(&record).expect("removed");
    supervisor.wait_nth_ready(2);
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn log_that_cannot_be_one_is_replaced_by_nothing_and_the_worker_starts() {
    type Prepare = fn(&Path);
    let cases: [(&str, Prepare, &str); 3] = [
        ("a FIFO", |path| mkfifo(path, Mode::S_IRWXU).expect("a FIFO"), "is a FIFO, not a regular file"),
        ("a directory", |path| create_dir(path).expect("a directory"), "is a directory, not a regular file"),
        ("under a file", |path| write(path.parent().expect("a parent"), "").expect("a file"), "Not a directory"),
    ];
    for (what, prepare, reason) in cases {
        let scene = Scene::new();
        let path = if what == "under a file" { scene.file("file/log") } else { scene.file("log") };
        prepare(&path);
        let scene = scene.set("log_stdout", quoted(&path));
        let supervisor = scene.start();
        supervisor.wait_ready();
        let line = supervisor.wait_for_log(reason);
        assert!(line.contains(WARN) && line.contains("its output is discarded"), "{what}: {line}");
        // It has somewhere to write to, and writing fails nothing.
        support::request(scene.port().number(), "GET", "/print/100000").expect("an answer");
        assert_eq!(supervisor.stop(), 0);
    }
}

#[test]
fn log_that_leads_to_the_file_of_another_user_is_not_written() {
    if !support::is_root_to("make a file that is another user's") {
        return;
    }
    let scene = Scene::new();
    let precious = scene.file("precious");
    write(&precious, "precious").expect("a file");
    chown(&precious, Some(12_345), None).expect("root may give it away");
    symlink(&precious, scene.file("log")).expect("a link");
    let log = quoted(scene.file("log"));
    let scene = scene.set("log_stdout", &log).set("log_stderr", &log);
    let supervisor = scene.start();
    supervisor.wait_ready();
    let line = supervisor.wait_for_log("belongs to user 12345, not to us");
    assert!(line.contains(WARN), "{line}");
    support::request(scene.port().number(), "GET", "/print/1000").expect("an answer");
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(std::fs::read_to_string(&precious).expect("a file"), "precious");
}

/// ESC, CR and LF, and what would look like a line of ours.
const FORGERY: &str = "x\u{1b}[31m\r\n2026-01-01T00:00:00.000Z ERROR forged\u{7}\u{202e}";

#[test]
#[cfg(not(target_os = "freebsd"))]
fn name_of_a_holder_cannot_forge_a_line() {
    let scene = Scene::new();
    let program = scene.file(FORGERY);
    std::fs::copy(support::worker_program(), &program).expect("a program can be copied");
    let holder = support::Fixture::start_with(std::process::Command::new(&program), scene.port(), &[]);
    holder.wait_for_events("listen", 1);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert!(supervisor.wait_for_log(support::words::PORT_CONFLICT).contains("x\\x1b[31m"), "{}", supervisor.stderr());
    assert_clean(&supervisor.stderr());
}

#[test]
fn answers_of_the_worker_cannot_forge_a_line() {
    for arguments in [
        &["--reason", FORGERY, "--sync", "500"][..],
        &["--sync-body", "html", "--body-bytes", "2000000"],
        &["--garbage"],
    ] {
        let scene = Scene::new().worker(arguments).set("sync_endpoint", "\"/sync\"").set("startup_timeout_secs", "0.7");
        let supervisor = scene.start();
        wait_until("a word about an answer", support::LIMIT, || {
            [SYNCED, SYNC_FAILED, STARTUP_TIMED_OUT].iter().any(|words| !supervisor.lines_with(words).is_empty())
        });
        assert_clean(&supervisor.stderr());
        let status = std::fs::read_to_string(scene.file("state/worker/status.json")).expect("a status file");
        assert!(!status.contains("forged") && !status.contains('\u{1b}'), "{status}");
    }
}

#[test]
fn last_words_of_the_worker_cannot_forge_a_line() {
    let scene = Scene::new().worker(&["--stderr-line", FORGERY, "--exit-after", "0.1", "--exit-code", "3"]);
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(DIED);
    // The last line is what follows the last line feed.
    assert!(line.contains("ERROR forged\\x07\\u{202e}"), "{line}");
    assert_clean(&supervisor.stderr());
    let status = std::fs::read_to_string(scene.file("state/worker/status.json")).expect("a status file");
    assert!(!status.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{status}");
}

#[test]
fn configuration_cannot_forge_a_line() {
    for (key, value) in [
        ("worker_dir", quoted(format!("/nowhere/{FORGERY}"))),
        ("env_file", quoted(format!("/nowhere/{FORGERY}"))),
        ("command", format!("[{}]", quoted(format!("/nowhere/{FORGERY}")))),
        ("log_stdout", quoted(format!("/dev/null/{FORGERY}"))),
    ] {
        let scene = Scene::new().set(key, value);
        let supervisor = scene.start();
        wait_until("a complaint", support::LIMIT, || {
            supervisor.stderr().contains("\\u{1b}") || supervisor.stderr().contains("\\x1b")
        });
        assert_clean(&supervisor.stderr());
    }
}

/// Every line is one of ours, and none has a character that a terminal obeys.
#[track_caller]
fn assert_clean(log: &str) {
    for line in log.lines() {
        assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        let time = line.split(' ').next().unwrap_or_default();
        assert!(time.len() == 24 && time.ends_with('Z') && !time.starts_with("2026-01-01T00:00:00.000"), "{line:?}");
    }
}
