//! `status --watch` through the real program: pages over each other on a terminal, one after the other in a pipe.

mod support;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{OpenptyResult, Winsize, openpty};
use support::{LIMIT, Scene, Signal, let_pass, send_signal, wait_for};

const EIO: i32 = nix::errno::Errno::EIO as i32;
const NEVER: &str = "3600";
const COLUMNS: u16 = 60;
const ROWS: u16 = 30;

/// `status --watch` under way; killed when it is dropped.
struct Watching {
    child: Child,
    reader: Option<File>,
    written: Vec<u8>,
    shown: String,
}

impl Watching {
    fn in_a_pipe(scene: &Scene) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        Self::start(scene, File::from(std::os::fd::OwnedFd::from(reader)), Stdio::from(writer))
    }

    fn on_a_terminal(scene: &Scene) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).expect("a terminal");
        Self::start(scene, File::from(master), Stdio::from(slave))
    }

    fn start(scene: &Scene, reader: File, output: Stdio) -> Self {
        fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a reader that doesn't wait");
        let mut command = scene.program();
        command.args(["status", "--watch"]).stdin(Stdio::null()).stdout(output).stderr(Stdio::piped());
        Self {
            child: command.spawn().expect("the program starts"),
            reader: Some(reader),
            written: Vec::new(),
            shown: String::new(),
        }
    }

    /// All that was written until now.
    fn read(&mut self) -> &str {
        let mut buffer = [0; 4096];
        loop {
            match self.reader.as_mut().expect("it is read").read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.written.extend(&buffer[..count]),
                // Linux fails with EIO where nobody has the terminal open any more.
                Err(error) if error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(EIO) => break,
                Err(error) => panic!("{error} after {:?}", self.shown),
            }
        }
        self.shown = String::from_utf8_lossy(&self.written).into_owned();
        &self.shown
    }

    /// Waits for what comes after all that was waited for before.
    #[track_caller]
    fn wait_to_write(&mut self, from: usize, text: &str) -> usize {
        let found = wait_for(&format!("{text:?} in what is watched"), LIMIT, String::new, || {
            self.read()[from..].find(text).map(|at| from + at + text.len())
        });
        println!("{}", &self.shown[from..found]);
        found
    }

    /// Waits for a screen, as its rows.
    #[track_caller]
    fn wait_to_show(&mut self, what: &str, is_it: impl Fn(&[String]) -> bool) -> Vec<String> {
        wait_for(what, LIMIT, String::new, || Some(screen(self.read())).filter(|rows| is_it(rows)))
    }

    #[track_caller]
    fn end(&mut self) -> (Option<i32>, String) {
        let status = wait_for("the end of the watch", LIMIT, String::new, || self.child.try_wait().expect("a child"));
        let mut stderr = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        (status.code(), stderr)
    }

    #[track_caller]
    fn end_by(&mut self, signal: Signal) -> (Option<i32>, String) {
        send_signal(i32::try_from(self.child.id()).expect("a pid"), signal);
        self.end()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The rows of a terminal, as far as they were ever written, after this was written to it.
fn screen(written: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut row = 0;
    let mut rest = written;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\r' => {}
            '\n' => {
                row += 1;
                rows.resize(rows.len().max(row + 1), String::new());
            }
            '\x1b' => {
                // The rest of it may not have been read yet.
                let Some(end) = rest.find(|it: char| it.is_ascii_alphabetic()) else { return vec![String::new()] };
                match (&rest[1..end], &rest[end..=end]) {
                    (count, "A") => row -= count.parse::<usize>().expect("a count of rows"),
                    ("", "J") => rows[row..].iter_mut().for_each(String::clear),
                    (_, "m" | "h" | "l") => {}
                    other => panic!("{other:?} is not known here"),
                }
                rest = &rest[end + 1..];
            }
            _ => rows[row].push(character),
        }
    }
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows.resize(rows.len().max(1), String::new());
    rows
}

#[test]
fn a_pipe_gets_a_page_for_each_thing_that_happens_and_its_end_ends_the_watch() {
    let scene = Scene::new().set("health_interval_secs", NEVER).set("stable_secs", 0);
    let mut watching = Watching::in_a_pipe(&scene);
    let at = watching.wait_to_write(0, "worker: not running\n");
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let at = watching.wait_to_write(at, "\nworker: healthy for ");
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    let at = watching.wait_to_write(at, &format!("  worker       pid {second}, generation 2, up "));
    let at = watching.wait_to_write(at, " ago: ready after_ms=");
    let before = watching.wait_to_write(at, &format!("pid={second} answer=\"status 200\"\n"));
    let_pass(Duration::from_millis(1500));
    assert_eq!(&watching.read()[before..], "", "nothing has happened");
    assert_eq!(supervisor.stop(), 0);
    watching.wait_to_write(before, "\nworker: not running, stopped ");
    let pages: Vec<&str> = watching.read().split("\n\n").collect();
    assert!(pages.iter().all(|page| page.starts_with("worker: ")), "{pages:#?}");
    assert!(!watching.shown.contains('\x1b'), "escapes in a pipe");
    watching.reader = None;
    assert_eq!(watching.end(), (Some(3), String::new()), "the code of what was shown last");
}

#[test]
fn a_terminal_shows_the_last_page_alone_in_its_width_with_ages_that_grow() {
    let scene = Scene::new().set("health_interval_secs", NEVER).set("stable_secs", 0);
    let supervisor = scene.start();
    let first = supervisor.wait_ready();
    let mut watching = Watching::on_a_terminal(&scene);
    let rows = watching.wait_to_show("a healthy worker", |rows| rows[0].contains("worker: healthy for"));
    let again = |now: &[String]| now.len() == rows.len() && now[0].contains("healthy for") && now[0] != rows[0];
    watching.wait_to_show("an age that grows", again);
    send_signal(first, Signal::SIGKILL);
    let second = supervisor.wait_nth_ready(2);
    let text = format!("pid {second}, generation 2");
    let ready =
        |rows: &[String]| rows[0].starts_with("worker: healthy for ") && rows.iter().any(|row| row.contains(&text));
    let rows = watching.wait_to_show("the next worker", ready);
    assert_eq!(rows.iter().filter(|row| row.starts_with("worker: ")).count(), 1, "{rows:#?}");
    assert!(rows.iter().all(|row| row.chars().count() <= usize::from(COLUMNS)), "{rows:#?}");
    assert!(rows.iter().any(|row| row.ends_with('…') && row.chars().count() == usize::from(COLUMNS)), "{rows:#?}");
    assert!(watching.shown.contains("worker: \x1b[32mhealthy for "), "colours");
    assert_eq!(watching.end_by(Signal::SIGINT), (Some(0), String::new()));
    assert!(screen(watching.read())[0].starts_with("worker: healthy for "), "the last page stays");
    assert!(watching.shown.ends_with("\x1b[?7h"), "lines wrap again");
}

#[test]
fn a_terminal_without_colours_is_drawn_over_all_the_same() {
    let scene = Scene::new().environment("NO_COLOR", "1");
    let mut watching = Watching::on_a_terminal(&scene);
    watching.wait_to_show("no supervisor", |rows| rows[0] == "worker: not running");
    let supervisor = scene.start();
    supervisor.wait_ready();
    watching.wait_to_show("a healthy worker", |rows| rows[0].starts_with("worker: healthy for"));
    assert!(!watching.shown.contains("\x1b[3"), "colours");
    supervisor.kill();
    watching.wait_to_show("a dead supervisor", |rows| rows[0].starts_with("worker: not running, last seen "));
    assert_eq!(watching.end_by(Signal::SIGTERM), (Some(3), String::new()));
}

#[test]
fn what_becomes_of_config_and_state_never_ends_the_watch() {
    let scene = Scene::new();
    let mut watching = Watching::in_a_pipe(&scene);
    let at = watching.wait_to_write(0, "worker: not running\n");
    fs::remove_file(scene.config_file()).expect("removed");
    let state = scene.file("state/worker");
    let mode = |mode| fs::set_permissions(&state, Permissions::from_mode(mode)).expect("the mode to be set");
    DirBuilder::new().recursive(true).mode(0o700).create(&state).expect("a directory");
    mode(0o777);
    let at = watching.wait_to_write(at, "\nworker: cannot use the state directory ");
    mode(0o700);
    let at = watching.wait_to_write(at, "\nworker: not running\n");
    fs::write(state.join("status.json"), "{\"state\":[").expect("written");
    let at = watching.wait_to_write(at, "\nworker: not running; the status file can't be read: ");
    fs::remove_dir_all(scene.file("state")).expect("removed");
    watching.wait_to_write(at, "\nworker: not running\n");
    assert_eq!(watching.end_by(Signal::SIGINT), (Some(3), String::new()));
}
