//! A scene that belongs to another user, and the program under another name: for tests that root alone can make.

use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::worker_program;
use super::scene::Scene;

/// Whether this is root, whom a test needs to do this; says so where it is not.
pub(crate) fn is_root_to(act: &str) -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        println!("not applicable: only root can {act}");
    }
    is_root
}

/// The program and the fixture where every user can run them.
pub(crate) struct Copies {
    /// The program under test.
    pub(crate) supervisor: PathBuf,
    /// The fixture.
    pub(crate) worker: PathBuf,
}

/// Copies them into the scene: the build directory may be ours alone.
pub(crate) fn copied_programs(scene: &Scene) -> Copies {
    let copy = |from: &Path, name| {
        let to = scene.file(name);
        std::fs::copy(from, &to).expect("a program can be copied");
        to
    };
    let supervisor = copy(Path::new(scene.program().get_program()), "supervisor-copy");
    Copies { supervisor, worker: copy(&worker_program(), "worker-copy") }
}

/// Makes everything in the scene another user's.
pub(crate) fn give_to(scene: &Scene, uid: u32, gid: u32) {
    let mut left = vec![scene.file("")];
    while let Some(path) = left.pop() {
        lchown(&path, Some(uid), Some(gid)).expect("root may give away a file");
        if path.is_dir() && !path.is_symlink() {
            left.extend(path.read_dir().expect("a directory of ours").map(|entry| entry.expect("an entry").path()));
        }
    }
}

/// The scene's program, run from another path.
pub(crate) fn program_at(scene: &Scene, path: &Path) -> Command {
    let program = scene.program();
    let mut command = Command::new(path);
    command.args(program.get_args());
    same_surroundings(&mut command, &program);
    command
}

/// Gives a command the environment and directory of another.
pub(crate) fn same_surroundings(command: &mut Command, other: &Command) {
    command.env_clear();
    command.envs(other.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.current_dir(other.get_current_dir().expect("a scene's program has a directory"));
}
