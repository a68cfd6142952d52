//! `logs`: the end of the files, what is appended, and files that change under it.

mod operator_support;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use operator_support::Dir;
use worker_supervisor::commands::logs::Tail;
use worker_supervisor::supervise::logs::rotation::Rotation;

/// Two logs and what `logs` shows of them.
struct Scene {
    dir: Dir,
    tail: Tail,
    notes: Vec<u8>,
}

impl Scene {
    fn new(out: &str, err: &str) -> Self {
        let dir = Dir::new();
        for (name, content) in [("out", out), ("err", err)] {
            fs::write(dir.join(name), content).expect("written");
        }
        Self::on(dir)
    }

    fn on(dir: Dir) -> Self {
        let paths = ["out", "err"].map(|name| dir.join(name));
        Self { tail: Tail::new(paths.iter().map(PathBuf::as_path)), dir, notes: Vec::new() }
    }

    /// The last lines, with the directory left out of the headers.
    fn end(&mut self, lines: u32) -> String {
        let mut output = Vec::new();
        self.tail.show_end(lines, &mut output, &mut self.notes).expect("shown");
        self.short(output)
    }

    /// Everything appended since.
    fn appended(&mut self) -> String {
        let mut output = Vec::new();
        // A file that was truncated or replaced is seen at one look and shown at the next.
        for _ in 0..3 {
            while self.tail.show_appended(&mut output, &mut self.notes).expect("shown") {}
        }
        self.short(output)
    }

    fn notes(&mut self) -> String {
        let notes = std::mem::take(&mut self.notes);
        self.short(notes)
    }

    fn short(&self, text: Vec<u8>) -> String {
        let text = String::from_utf8(text).expect("text");
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }

    fn append(&self, name: &str, text: &str) {
        append(&self.dir.join(name)).write_all(text.as_bytes()).expect("written");
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("the log opens")
}

fn rotate(path: &Path) {
    let mut rotation = Rotation::start(path, 0, 1).expect("no error").expect("long enough");
    while !rotation.step().expect("a step") {}
}

#[test]
fn both_logs_are_shown_under_their_names() {
    let mut scene = Scene::new("a\nb\nc\n", "x\ny\nz");
    assert_eq!(scene.end(2), "==> out <==\nb\nc\n\n==> err <==\ny\nz");
    assert_eq!(scene.end(0), "\n==> out <==\n\n==> err <==\n");
}

#[test]
fn as_many_lines_are_shown_as_there_are() {
    for (content, lines, expected) in [
        ("", 10, ""),
        ("\n", 10, "\n"),
        ("a", 1, "a"),
        ("a\n", 1, "a\n"),
        ("a\nb", 1, "b"),
        ("a\n\n\n", 2, "\n\n"),
        ("a\nb\nc\n", 3, "a\nb\nc\n"),
        ("a\nb\nc\n", u32::MAX, "a\nb\nc\n"),
        ("\na\n", 1, "a\n"),
        ("\na\n", 2, "\na\n"),
    ] {
        let dir = Dir::new();
        fs::write(dir.join("out"), content).expect("written");
        let mut output = Vec::new();
        let mut tail = Tail::new([dir.join("out").as_path()]);
        tail.show_end(lines, &mut output, &mut Vec::new()).expect("shown");
        assert_eq!(String::from_utf8(output).expect("text"), expected, "{lines} of {content:?}");
    }
}

#[test]
fn the_end_of_a_long_log_is_found_across_blocks() {
    let dir = Dir::new();
    let line = |number: u32| format!("{number:0width$}\n", width = 10_000 + number as usize % 7);
    let content: String = (0..100).map(line).collect();
    fs::write(dir.join("out"), &content).expect("written");
    for lines in [1, 6, 7, 50, 99, 100, 101] {
        let mut output = Vec::new();
        let mut tail = Tail::new([dir.join("out").as_path()]);
        tail.show_end(lines, &mut output, &mut Vec::new()).expect("shown");
        let expected: String = (100 - lines.min(100)..100).map(line).collect();
        assert!(output == expected.as_bytes(), "{lines} lines");
    }
}

#[test]
fn one_file_under_two_names_is_shown_once_and_without_a_header() {
    let dir = Dir::new();
    fs::write(dir.join("out"), "a\n").expect("written");
    symlink(dir.join("out"), dir.join("err")).expect("a link");
    let mut scene = Scene::on(dir);
    assert_eq!(scene.end(10), "a\n");
    scene.append("out", "b\n");
    assert_eq!(scene.appended(), "b\n");
}

#[test]
fn what_is_appended_follows_with_a_header_when_the_log_changes() {
    let mut scene = Scene::new("a\n", "x\n");
    scene.end(10);
    assert_eq!(scene.appended(), "");
    scene.append("err", "y\n");
    assert_eq!(scene.appended(), "y\n");
    scene.append("out", "b\n");
    scene.append("err", "z\n");
    assert_eq!(scene.appended(), "\n==> out <==\nb\n\n==> err <==\nz\n");
    assert_eq!(scene.notes(), "");
}

#[test]
fn a_log_that_is_missing_is_noted_and_shown_when_it_comes() {
    let mut scene = Scene::on(Dir::new());
    assert_eq!(scene.end(10), "");
    let notes = scene.notes();
    assert!(notes.contains("cannot open \"out\"") && notes.contains("cannot open \"err\""), "{notes}");
    scene.append("err", "x\n");
    assert_eq!(scene.appended(), "==> err <==\nx\n");
    assert_eq!(scene.notes(), "worker-supervisor: \"err\" is a new file\n");
}

#[test]
fn a_rotation_does_not_stop_the_following() {
    let mut scene = Scene::new("a\nb\n", "");
    scene.end(10);
    scene.append("out", "c\n");
    assert_eq!(scene.appended(), "\n==> out <==\nc\n");
    rotate(&scene.dir.join("out"));
    scene.append("out", "d\n");
    assert_eq!(scene.appended(), "d\n");
    assert_eq!(scene.notes(), "worker-supervisor: \"out\" was rotated\n");
}

#[test]
fn a_log_that_is_replaced_is_shown_to_its_end_before_the_new_one() {
    let mut scene = Scene::new("a\n", "");
    scene.end(10);
    let mut old = append(&scene.dir.join("out"));
    fs::rename(scene.dir.join("out"), scene.dir.join("gone")).expect("renamed");
    old.write_all(b"last of the old\n").expect("written");
    scene.append("out", "first of the new\n");
    assert_eq!(scene.appended(), "\n==> out <==\nlast of the old\nfirst of the new\n");
    fs::remove_file(scene.dir.join("out")).expect("removed");
    assert_eq!(scene.appended(), "");
    scene.append("out", "again\n");
    assert_eq!(scene.appended(), "again\n");
}

#[test]
fn a_directory_in_the_place_of_a_log_is_noted_and_harms_nothing() {
    let dir = Dir::new();
    fs::create_dir(dir.join("out")).expect("a directory");
    fs::write(dir.join("err"), "x\n").expect("written");
    let mut scene = Scene::on(dir);
    assert_eq!(scene.end(10), "==> err <==\nx\n");
    assert_eq!(scene.appended(), "");
    assert_eq!(scene.notes(), "worker-supervisor: cannot open \"out\": it is not a regular file\n");
}

#[test]
fn two_busy_logs_take_turns() {
    let mut scene = Scene::new("", "");
    scene.end(10);
    for name in ["out", "err"] {
        scene.append(name, &"x".repeat(200_000));
    }
    let shown = scene.appended();
    assert!(shown.matches("==> ").count() >= 6, "{} headers", shown.matches("==> ").count());
    assert_eq!(shown.matches('x').count(), 400_000);
}

#[test]
fn a_reader_that_goes_away_is_an_error_for_the_caller_to_judge() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut scene = Scene::new("a\n", "");
    let error = scene.tail.show_end(10, &mut Closed, &mut scene.notes).expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
