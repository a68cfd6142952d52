//! Which ways to config, state and logs are taken: what people have works, and what somebody else could lead elsewhere
//! is refused and named.

mod support;

use std::fs::{Permissions, create_dir, read_to_string, set_permissions, write};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::PathBuf;

use support::words::WARN;
use support::{Scene, quoted};

/// A user and a group that nobody is.
const STRANGER: u32 = 12_345;

/// Whether this user may give files away; says so if not.
fn may_give_away() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        println!("not applicable: only root can make what is another user's or group's");
    }
    is_root
}

/// A directory like /tmp.
fn sticky(scene: &Scene) -> PathBuf {
    let sticky = scene.file("sticky");
    create_dir(&sticky).expect("a directory");
    set_permissions(&sticky, Permissions::from_mode(0o1777)).expect("our own directory");
    sticky
}

#[test]
fn link_in_a_sticky_directory_is_followed_if_it_is_ours_and_refused_if_it_is_another_users() {
    let scene = Scene::new();
    let link = sticky(&scene).join("link");
    create_dir(scene.file("real")).expect("a directory");
    symlink(scene.file("real"), &link).expect("a link");
    let scene = scene.set("state_dir", quoted(link.join("state")));
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    assert!(scene.file("real/state/worker/lock").exists(), "{}", scene.story());
    if !may_give_away() {
        return;
    }
    lchown(&link, Some(STRANGER), None).expect("root may give it away");
    let said = format!("{link:?} belongs to user {STRANGER} (uid {STRANGER}), who could change it");
    let ran = scene.run(&[]);
    assert!(ran.code == Some(78) && ran.stderr.contains(&said), "{ran:?}");
    let dry = scene.run(&["--dry-run"]);
    assert!(dry.code == Some(78) && dry.stdout.contains(&said), "{dry:?}");
}

#[test]
fn log_by_a_link_of_another_user_in_a_sticky_directory_is_neither_written_nor_shown() {
    if !may_give_away() {
        return;
    }
    let scene = Scene::new();
    let link = sticky(&scene).join("log");
    write(scene.file("precious"), "precious\n").expect("a file");
    symlink(scene.file("precious"), &link).expect("a link");
    lchown(&link, Some(STRANGER), None).expect("root may give it away");
    let scene = scene.set("log_stdout", quoted(&link));
    let supervisor = scene.start();
    supervisor.wait_ready();
    let said = "who could change it";
    let line = supervisor.wait_for_log(said);
    assert!(line.contains(WARN) && line.contains("its output is discarded"), "{line}");
    let shown = scene.run(&["logs"]);
    assert!(shown.stderr.contains(said) && !shown.stdout.contains("precious"), "{shown:?}");
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(read_to_string(scene.file("precious")).expect("a file"), "precious\n");
}

#[test]
fn home_that_is_a_symlink_works_without_a_word() {
    let scene = Scene::new();
    create_dir(scene.file("real-home")).expect("a directory");
    symlink(scene.file("real-home"), scene.file("home")).expect("a link");
    let home = scene.file("home");
    let scene = scene.environment("HOME", home.to_str().expect("paths of tests are UTF-8"));
    let scene = scene.set("state_dir", "\"~/state\"").set("log_stdout", "\"~/out\"").set("log_stderr", "\"~/err\"");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(scene.run(&["status"]).code, Some(0), "{}", scene.story());
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(supervisor.lines_with(WARN), Vec::<String>::new());
    for file in ["state/worker/status.json", "out", "err"] {
        assert!(scene.file("real-home").join(file).exists(), "{file}");
    }
}

#[test]
fn home_that_a_group_may_write_works_with_a_warning_that_says_what_to_do() {
    if !may_give_away() {
        return;
    }
    let scene = Scene::new();
    let home = scene.file("home");
    create_dir(&home).expect("a directory");
    chown(&home, None, Some(STRANGER)).expect("root may give it to a group");
    set_permissions(&home, Permissions::from_mode(0o770)).expect("our own directory");
    let scene = scene.environment("HOME", home.to_str().expect("paths of tests are UTF-8"));
    let scene = scene.set("state_dir", "\"~/state\"").set("log_stdout", "\"~/out\"").set("log_stderr", "\"~/err\"");
    let said = format!("group {STRANGER} may write {home:?} (mode 0770)");
    let dry = scene.run(&["--dry-run"]);
    assert!(dry.code == Some(0) && dry.stdout.contains(&said), "{dry:?}");
    let supervisor = scene.start();
    supervisor.wait_ready();
    let line = supervisor.wait_for_log(&said);
    assert!(line.contains(WARN) && line.contains("run `chmod g-w "), "{line}");
    assert_eq!(supervisor.lines_with(&said).len(), 1, "once for all paths that lead through it");
    assert_eq!(supervisor.stop(), 0);
}
