//! Files on file systems that can hang: that they are told, and what a server that answers no more holds up. A FUSE
//! file system of the test's own, which only root may mount.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use support::{LIMIT, Scene, quoted, request, wait_until};

/// Operations of linux/fuse.h.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;

/// A mounted file system of one empty directory.
struct EmptyFuse {
    place: PathBuf,
    server: Arc<Server>,
}

/// Who answers for it.
#[derive(Default)]
struct Server {
    /// How often it was asked.
    asked: AtomicU64,
    /// Whether it goes at the next question. As long as this is locked, it answers nothing.
    is_over: Mutex<bool>,
}

impl EmptyFuse {
    fn mount(place: &Path) -> Self {
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("a kernel with FUSE");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount(Some("empty"), place, Some("fuse"), MsFlags::empty(), Some(&*options)).expect("root may mount");
        let server = Arc::new(Server::default());
        let of_thread = Arc::clone(&server);
        std::thread::spawn(move || of_thread.serve(device));
        Self { place: place.to_owned(), server }
    }
}

impl Drop for EmptyFuse {
    fn drop(&mut self) {
        umount2(&self.place, MntFlags::MNT_DETACH).expect("it is unmounted");
    }
}

impl Server {
    /// Answers until the file system is unmounted.
    fn serve(&self, mut device: File) {
        let mut request = vec![0; 1 << 17];
        while device.read(&mut request).is_ok() {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if *self.is_over.lock().expect("a test that has not failed") {
                return;
            }
            let Some((error, body)) = answer(&request) else { continue };
            let length = u32::try_from(16 + body.len() * 4).expect("a short answer");
            let mut answer = [length.to_ne_bytes(), error.to_ne_bytes()].concat();
            answer.extend_from_slice(&request[8..16]);
            answer.extend(body.into_iter().flat_map(u32::to_ne_bytes));
            if device.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// The error and what follows it; None where no answer is wanted.
fn answer(request: &[u8]) -> Option<(i32, Vec<u32>)> {
    Some(match u32::from_ne_bytes(request[4..8].try_into().expect("four bytes")) {
        // Version 7.31, and no capabilities.
        INIT => (0, [&[7, 31, 65_536, 0, 0, 65_536, 1][..], &[0; 9]].concat()),
        // Inode 1, a directory of root's with mode 0700, asked for each time.
        GETATTR => (0, [&[0; 4][..], &[1], &[0; 14], &[0o40_700, 2], &[0; 3], &[4096, 0]].concat()),
        STATFS => (0, vec![0; 20]),
        FORGET => return None,
        LOOKUP => (-2, Vec::new()),
        _ => (-38, Vec::new()),
    })
}

#[test]
fn as_root_log_on_a_fuse_file_system_is_warned_about_by_the_dry_run_and_at_the_start() {
    if !support::is_root_to("mount") {
        return;
    }
    let scene = Scene::new();
    let place = scene.file("mounted");
    fs::create_dir(&place).expect("a directory");
    let log = place.join("logs/worker.log");
    let scene = scene.set("log_stdout", quoted(&log));
    // Dropped before the scene, which removes the directory.
    let _mounted = EmptyFuse::mount(&place);
    let warning =
        format!("log_stdout {log:?} lies on a FUSE file system, and where that hangs, so does the supervisor");
    let told = scene.run(&["--dry-run"]).stdout;
    assert_eq!(told.matches("lies on a").count(), 1, "{told}");
    assert!(told.contains(&warning), "{told}");
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(supervisor.lines_with(&warning).len(), 1, "{}", supervisor.stderr());
    assert_eq!(supervisor.lines_with("lies on a").len(), 1, "{}", supervisor.stderr());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn as_root_fuse_server_that_hangs_stops_no_worker_and_one_that_goes_no_supervisor() {
    if !support::is_root_to("mount") {
        return;
    }
    let scene = Scene::new();
    let place = scene.file("mounted");
    fs::create_dir(&place).expect("a directory");
    let scene = scene.set("log_stdout", quoted(place.join("logs/worker.log")));
    let mounted = EmptyFuse::mount(&place);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let asked = || mounted.server.asked.load(Ordering::Relaxed);
    let mut is_over = mounted.server.is_over.lock().expect("a server that has not failed");
    let before = asked();
    wait_until("a supervisor that waits for its log", LIMIT, || asked() > before);
    for _ in 0..3 {
        request(scene.port().number(), "GET", "/").expect("an answer of the worker");
    }
    let updated = || scene.status()?["updated_ms"].as_u64();
    let before = updated();
    *is_over = true;
    drop(is_over);
    wait_until("a supervisor that goes on", LIMIT, || updated() > before);
    assert_eq!(supervisor.worker_pid(), worker);
    assert_eq!(supervisor.stop(), 0);
    assert_eq!(scene.report().starts().len(), 1, "{}", scene.story());
}
