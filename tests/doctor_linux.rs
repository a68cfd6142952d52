//! That a dry run changes nothing, by the system calls that it makes: strace sees every one.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::words::LAUNCH_FAILED;
use support::{Fixture, Scene};

/// Calls that make a process, change a file or reach somebody. Those that only some processors have are asked for too.
const TRACED: &str = "trace=?open,openat,?creat,?mkdir,mkdirat,?unlink,unlinkat,?rename,?renameat,renameat2,?link,\
                      linkat,?symlink,symlinkat,?chmod,fchmod,fchmodat,?chown,fchown,truncate,ftruncate,flock,fcntl,\
                      ?fork,?vfork,clone,?clone3,execve,kill,tkill,tgkill,?pidfd_send_signal,connect,listen,setrlimit,\
                      prlimit64";

/// The lines of the trace that tell of a change; a failed call changes nothing, but should not even be tried.
fn changes(trace: &str) -> Vec<&str> {
    let is_harmless = |line: &&str| {
        let call = line.split_whitespace().find(|word| word.contains('(')).unwrap_or_default();
        let name = call.split('(').next().unwrap_or_default();
        match name {
            "open" | "openat" => !["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag)),
            // Signal 0 only asks.
            "kill" => line.contains(", 0)"),
            "fcntl" => !line.contains("F_SETLK"),
            // The C library may ask a name server on this machine for a user's name.
            "connect" => line.contains("AF_UNIX"),
            "prlimit64" => line.contains(", NULL, {"),
            // The program itself, by strace.
            "execve" => line.contains("--dry-run"),
            "" => true,
            _ => false,
        }
    };
    trace.lines().filter(|line| !is_harmless(line)).collect()
}

#[test]
fn no_file_is_opened_for_writing_and_nothing_is_spawned_signalled_or_reached() {
    let scene = Scene::new().set("secrets_command", "[\"/bin/echo\", \"{name}\"]").set_in("secrets", "A", "a");
    let scene = scene.set("on_event", "[\"/bin/true\"]").set("env_file", "\".env\"");
    let scene = scene.set("log_stdout", "\"deep/er/log\"");
    fs::write(scene.file(".env"), "A=1\n").expect("an environment file");
    // A state directory with a lock and a record, a log that exists, and a stranger on the port: all there is to touch.
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
    fs::remove_dir_all(scene.file("deep")).expect("the logs can go");
    let stranger = Fixture::listening(scene.port(), &[]);

    let trace = scene.file("trace");
    let program = scene.program();
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-o"]).arg(&trace).args(["-e", TRACED]).arg(program.get_program()).args(program.get_args());
    let ran = strace.arg("--dry-run").env("HOME", scene.file("")).output().expect("strace is installed");

    let told = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.contains(&format!("pid {}", stranger.pid())) && told.contains("A ← \"a\""), "{told}");
    let trace = fs::read_to_string(trace).expect("a trace");
    assert!(trace.contains("worker.toml") && trace.contains("F_GETLK"), "the trace missed what is harmless\n{trace}");
    assert_eq!(changes(&trace), [""; 0], "{trace}");
    assert!(stranger.is_alive() && !scene.file("deep").exists());
}

#[test]
fn a_change_would_be_seen_in_the_trace() {
    let trace = "7 execve(\"/p\", [\"/p\", \"--dry-run\"], 0x7 /* 3 vars */) = 0\n\
                 7 openat(AT_FDCWD, \"/a\", O_RDONLY|O_CLOEXEC) = 3\n\
                 7 openat(AT_FDCWD, \"/a\", O_WRONLY|O_CREAT, 0600) = 3\n\
                 7 kill(9, 0)        = 0\n\
                 7 kill(9, SIGTERM) = 0\n\
                 7 flock(3, LOCK_EX|LOCK_NB) = 0\n\
                 7 mkdir(\"/b\", 0700) = -1 EEXIST (File exists)\n\
                 7 clone3({flags=CLONE_VM|CLONE_VFORK}, 88) = 8\n\
                 7 +++ exited with 0 +++\n";
    let changes = changes(trace);
    assert_eq!(changes.len(), 5, "{changes:#?}");
}

#[test]
fn a_variable_that_no_program_can_be_given_is_named_before_and_after() {
    // On a system with pages of 4 KiB; with larger ones more would do.
    let scene = Scene::new().set_in("env", "LARGE", &"x".repeat(200_000)).set_in("env", "SMALL", "x");
    let output = scene.program().arg("--dry-run").output().expect("the program starts");
    let said = String::from_utf8(output.stdout).expect("text");
    let fault =
        "variable LARGE has 200000 bytes, and with name and NUL no program can be given more than 131072 in one";
    assert!(said.contains(&format!("FAIL  exec        {fault}; ")), "{}", &said[said.len() - 2000..]);
    let line = scene.start().wait_for_log(LAUNCH_FAILED);
    assert!(line.contains(fault) && !line.contains("xxx"), "{line}");
}

#[test]
fn a_program_for_another_machine_is_named_before_and_after() {
    let mut header = vec![0; 64];
    header[..6].copy_from_slice(b"\x7fELF\x02\x01");
    // EM_S390 of elf.h: nobody tests on one.
    header[18] = 22;
    let scene = Scene::new().command(&["./program"]);
    fs::write(scene.file("program"), header).expect("a file");
    fs::set_permissions(scene.file("program"), fs::Permissions::from_mode(0o755)).expect("an executable file");
    let output = scene.program().arg("--dry-run").output().expect("the program starts");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("it is built for another kind of machine, and this machine is "), "{said}");
    let line = scene.start().wait_for_log(LAUNCH_FAILED);
    assert!(line.contains("/program\": it is built for another kind of machine"), "{line}");
}
