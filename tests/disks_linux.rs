//! Files on file systems that can hang: that they are told. A FUSE file system of the test's own, which only root may
//! mount.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use support::{Scene, quoted};

/// Operations of linux/fuse.h.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;

/// A mounted file system of one empty directory.
struct EmptyFuse(PathBuf);

impl EmptyFuse {
    fn mount(place: &Path) -> Self {
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("a kernel with FUSE");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        mount(Some("empty"), place, Some("fuse"), MsFlags::empty(), Some(&*options)).expect("root may mount");
        std::thread::spawn(|| serve(device));
        Self(place.to_owned())
    }
}

impl Drop for EmptyFuse {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).expect("it is unmounted");
    }
}

/// Answers until the file system is unmounted.
fn serve(mut device: File) {
    let mut request = vec![0; 1 << 17];
    while device.read(&mut request).is_ok() {
        let operation = u32::from_ne_bytes(request[4..8].try_into().expect("four bytes"));
        let (error, body): (i32, Vec<u32>) = match operation {
            // Version 7.31, and no capabilities.
            INIT => (0, [&[7, 31, 65_536, 0, 0, 65_536, 1][..], &[0; 9]].concat()),
            // Inode 1, a directory of root's with mode 0700, asked for each time.
            GETATTR => (0, [&[0; 4][..], &[1], &[0; 14], &[0o40_700, 2], &[0; 3], &[4096, 0]].concat()),
            STATFS => (0, vec![0; 20]),
            FORGET => continue,
            LOOKUP => (-2, Vec::new()),
            _ => (-38, Vec::new()),
        };
        let length = u32::try_from(16 + body.len() * 4).expect("a short answer");
        let mut answer = [length.to_ne_bytes(), error.to_ne_bytes()].concat();
        answer.extend_from_slice(&request[8..16]);
        answer.extend(body.into_iter().flat_map(u32::to_ne_bytes));
        if device.write_all(&answer).is_err() {
            return;
        }
    }
}

#[test]
fn as_root_log_on_a_fuse_file_system_is_warned_about_by_the_dry_run_and_at_the_start() {
    if !support::is_root_to("mount") {
        return;
    }
    let scene = Scene::new();
    let place = scene.file("mounted");
    fs::create_dir(&place).expect("a directory");
    let _mounted = EmptyFuse::mount(&place);
    let log = place.join("logs/worker.log");
    let scene = scene.set("log_stdout", quoted(&log));
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
