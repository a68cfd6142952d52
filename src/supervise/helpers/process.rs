//! A short-lived process beside the worker: a secrets tool or an event hook.
//!
//! It runs in a group of its own and is fed and read through non-blocking pipes. Nothing here waits: the loop calls
//! [`Helper::proceed`] whenever a pipe is ready or a child may have exited, and often enough is always right. What a
//! helper leaves in its group is killed before it is reaped, and its output ends with it, even where a daemon that it
//! started holds the pipe open. A killed helper that can't be reaped yet lies in a [`Zombies`] until it can, so that
//! no zombie stays. Refuses a PATH search at spawn and output beyond a bound.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use platform::{ExitStatus, Lifetime, Pid, Pipe, Reaped, Signal};

use crate::config::Config;
use crate::supervise::launch::environment as env;
use crate::supervise::launch::refusal;
use crate::supervise::mark::HELPER_VARIABLE;

/// How much is read at a time.
const READ_BYTES: usize = 4096;

/// The most killed helpers that are waited for. The kernel lets go of one in microseconds unless a disk or a driver
/// holds it, so more than a few mean that nothing new should be started either.
const ZOMBIES_MAX: usize = 64;

/// How much of a captured helper's standard error is kept, in bytes: its end, where it says why it failed.
const ERRORS_BYTES_MAX: usize = 4096;

/// How many reads one look at a pipe makes at most. A pipe that is fed faster than that is read on at the next look;
/// more than all that a pipe holds, so that the last look misses nothing.
const READS_MAX: usize = 64;

/// What to run, and how. What it prints goes to /dev/null unless it is captured.
pub(crate) struct Task<'a> {
    /// The program and its arguments.
    pub(crate) command: &'a Command,
    /// The whole environment, as `NAME=value`.
    pub(crate) env: &'a [CString],
    /// Its working directory, absolute.
    pub(crate) dir: &'a Path,
    /// Whether it may outlive the supervisor.
    pub(crate) lifetime: Lifetime,
    /// What it may read on its standard input; `None`: /dev/null.
    pub(crate) stdin: Option<Vec<u8>>,
    /// The most output that is kept; `None`: it is not captured, nor is the standard error.
    pub(crate) output_bytes_max: Option<usize>,
}

/// A command from the config with its placeholder filled in and its program found.
#[derive(Debug, PartialEq)]
pub(crate) struct Command {
    program: PathBuf,
    args: Vec<String>,
}

impl Command {
    /// Fills `value` in for `placeholder` in every word and looks for the program: a bare name in the supervisor's own
    /// PATH (launchd's where there is none), a relative path from `dir`. Neither is taken from the current directory.
    ///
    /// # Errors
    /// One line: the program isn't there, or can't be run.
    pub(crate) fn from_config(words: &[String], placeholder: &str, value: &str, dir: &Path) -> Result<Self, String> {
        let args = words.iter().map(|word| word.replace(placeholder, value)).collect();
        Self::find(args, std::env::var_os("PATH").as_deref(), dir)
    }

    fn find(args: Vec<String>, path: Option<&OsStr>, dir: &Path) -> Result<Self, String> {
        let program = args.first().map_or("", String::as_str);
        let program = env::resolve(program, path, dir).map_err(|error| error.to_string())?;
        Ok(Self { program, args })
    }
}

/// Where relative paths in a config start: its file's directory.
pub(crate) fn base_dir(config: &Config) -> PathBuf {
    config.path.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The environment of this process, as exec takes it.
pub(crate) fn own_env() -> Vec<CString> {
    as_env(std::env::vars_os())
}

/// The same for a helper, with which supervisor it is: where a helper does not end with one that is killed, the next
/// one finds it by that.
pub(crate) fn helper_env() -> Vec<CString> {
    let own = std::env::vars_os().filter(|(name, _)| name != HELPER_VARIABLE);
    as_env(own.chain([(HELPER_VARIABLE.into(), platform::own_identity().into())]))
}

fn as_env(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<CString> {
    let entry = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    // What came in through exec holds no NUL, so nothing is lost here.
    variables.filter_map(|variable| CString::new(entry(variable)).ok()).collect()
}

/// A helper that is gone.
pub(crate) struct Done {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed; empty if that was too much.
    pub(crate) output: Vec<u8>,
    /// It printed more than the bound, and was killed for it.
    pub(crate) overflowed: bool,
    /// The end of what it wrote to its standard error.
    pub(crate) errors: Vec<u8>,
}

/// A helper that runs, or was last seen running. Dropping it kills its group.
pub(crate) struct Helper {
    /// `None` once it is reaped, kept among the zombies or let go.
    pid: Option<Pid>,
    feed: Option<Feed>,
    output: Option<Capture>,
    errors: Option<Capture>,
}

impl Helper {
    /// Starts a helper, and feeds it what its pipe takes at once. Its pipes are registered under `token`.
    ///
    /// # Errors
    /// No descriptor for a pipe, or what the spawn reports; nothing runs then.
    pub(crate) fn spawn(task: Task<'_>, registry: &Registry, token: Token) -> io::Result<Self> {
        let program = CString::new(task.command.program.as_os_str().as_bytes())?;
        let args = task.command.args.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<Vec<_>, _>>()?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let (feed, stdin) = task.stdin.map(|bytes| Feed::open(bytes, registry, token)).transpose()?.unzip();
        let open = |bytes_max, beyond| Capture::open(bytes_max, beyond, registry, token);
        let bytes_max = task.output_bytes_max;
        let (output, stdout) = bytes_max.map(|bytes_max| open(bytes_max, Beyond::Kill)).transpose()?.unzip();
        let (errors, stderr) = bytes_max.map(|_| open(ERRORS_BYTES_MAX, Beyond::Forget)).transpose()?.unzip();
        let command = platform::Command {
            program: &program,
            args: &args,
            env: task.env,
            dir: task.dir,
            lifetime: task.lifetime,
            stdin: stdin.as_ref().map_or(null.as_fd(), AsFd::as_fd),
            stdout: stdout.as_ref().map_or(null.as_fd(), AsFd::as_fd),
            stderr: stderr.as_ref().map_or(null.as_fd(), AsFd::as_fd),
        };
        let pid = platform::spawn(&command)
            .map_err(|error| io::Error::new(error.cause.kind(), refusal::explain(&error, &command)))?;
        let mut helper = Self { pid: Some(pid), feed, output, errors };
        helper.write();
        Ok(helper)
    }

    /// Writes and reads what can be without waiting, and looks whether the helper is gone. Once it has returned `Some`,
    /// the helper is to be dropped; before, calling it needlessly is harmless.
    pub(crate) fn proceed(&mut self) -> Option<Done> {
        self.write();
        // Asked before the last read: whatever it printed before its end is in the pipe by then.
        let reaped = self.pid.map_or(Reaped::NotYet, platform::reap_with_group);
        if reaped != Reaped::NotYet {
            self.pid = None;
        }
        self.read();
        let Reaped::Gone(status) = reaped else { return None };
        let overflowed = self.output.as_ref().is_some_and(|output| output.overflowed);
        let [output, errors] =
            [&mut self.output, &mut self.errors].map(|capture| capture.take().map_or(Vec::new(), |it| it.bytes));
        Some(Done { status, output, overflowed, errors })
    }

    /// Its pid, until it is reaped.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Kills the helper and its group. [`Helper::proceed`] reports the end.
    pub(crate) fn kill(&mut self) {
        if let Some(pid) = self.pid {
            // Nobody left is no error, and there is no other.
            let _ = platform::signal_group(pid, Signal::Kill);
        }
    }

    /// Leaves the helper to itself: it is neither killed nor reaped.
    pub(crate) fn let_go(mut self) {
        self.pid = None;
    }

    fn write(&mut self) {
        if self.feed.as_mut().is_some_and(Feed::write) {
            // Closing the pipe is what tells the helper that there is no more.
            self.feed = None;
        }
    }

    fn read(&mut self) {
        for capture in [&mut self.output, &mut self.errors].into_iter().flatten() {
            capture.read();
        }
        if self.output.as_ref().is_some_and(|output| output.overflowed) {
            self.kill();
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
        self.pid.map(platform::reap_with_group);
    }
}

/// What a helper is to read.
struct Feed {
    pipe: File,
    bytes: Vec<u8>,
    written: usize,
}

impl Feed {
    /// A feed, and the helper's end of it.
    fn open(bytes: Vec<u8>, registry: &Registry, token: Token) -> io::Result<(Self, OwnedFd)> {
        let Pipe { ours, theirs } = platform::pipe_to_helper()?;
        registry.register(&mut SourceFd(&ours.as_raw_fd()), token, Interest::WRITABLE)?;
        Ok((Self { pipe: ours.into(), bytes, written: 0 }, theirs))
    }

    /// Writes until the pipe is full. True: there is nothing more to write, or nobody who wants it.
    fn write(&mut self) -> bool {
        while self.written < self.bytes.len() {
            match self.pipe.write(&self.bytes[self.written..]) {
                Ok(0) => return true,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // EPIPE: it has closed its standard input or is gone. It need not listen.
                Err(_) => return true,
            }
        }
        true
    }
}

/// What a helper has printed so far. Never shown: it may be a secret.
struct Capture {
    /// `None` once nothing more is wanted. Closing a pipe takes it out of the poll: it has no other descriptor.
    pipe: Option<File>,
    bytes: Vec<u8>,
    bytes_max: usize,
    beyond: Beyond,
    overflowed: bool,
}

/// What becomes of a helper that prints more than is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    /// All of it is dropped, and the helper is to be killed.
    Kill,
    /// The oldest is dropped.
    Forget,
}

impl Capture {
    /// A capture, and the helper's end of it.
    fn open(bytes_max: usize, beyond: Beyond, registry: &Registry, token: Token) -> io::Result<(Self, OwnedFd)> {
        let Pipe { ours, theirs } = platform::pipe_from_helper()?;
        registry.register(&mut SourceFd(&ours.as_raw_fd()), token, Interest::READABLE)?;
        Ok((Self { pipe: Some(ours.into()), bytes: Vec::new(), bytes_max, beyond, overflowed: false }, theirs))
    }

    /// Reads until the pipe is empty, at its end, or has said too much; so never for ever.
    fn read(&mut self) {
        for _ in 0..READS_MAX {
            let Some(pipe) = &mut self.pipe else { return };
            let mut chunk = [0; READ_BYTES];
            match pipe.read(&mut chunk) {
                Ok(count @ 1..) => self.take(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        let excess = self.bytes.len().saturating_sub(self.bytes_max);
        if excess > 0 && self.beyond == Beyond::Kill {
            (self.bytes, self.overflowed, self.pipe) = (Vec::new(), true, None);
        } else {
            self.bytes.drain(..excess);
        }
    }
}

/// Killed helpers that could not be reaped yet. Sweep it whenever a child may have exited.
#[derive(Default)]
pub(crate) struct Zombies {
    pids: Vec<Pid>,
}

impl Zombies {
    /// Whether another helper may be started.
    ///
    /// # Errors
    /// The reason why not: too many killed ones hang in the kernel.
    pub(crate) fn ensure_room(&self) -> Result<(), String> {
        if self.pids.len() < ZOMBIES_MAX {
            return Ok(());
        }
        Err(format!("the kernel does not let go of {ZOMBIES_MAX} earlier ones that were killed"))
    }

    /// Kills a helper with its group and sees to it that it gets reaped.
    pub(crate) fn kill_and_keep(&mut self, helper: &mut Helper) {
        helper.kill();
        self.pids.extend(helper.pid.take());
        self.sweep();
    }

    /// Their pids.
    pub(crate) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.pids.iter().copied()
    }

    /// Reaps those that can be.
    pub(crate) fn sweep(&mut self) {
        self.pids.retain(|pid| platform::reap_with_group(*pid) == Reaped::NotYet);
    }
}

/// What the tests of helpers, secrets and hooks share.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::time::{Duration, Instant};

    /// The longest that a test waits for something.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A poll as the loop has one, and a directory of the test's own.
    pub(in crate::supervise) struct Bench {
        poll: mio::Poll,
        pub(in crate::supervise) dir: PathBuf,
    }

    impl Bench {
        pub(in crate::supervise) fn new(test: &str) -> Self {
            let dir = Self::dir_of(test);
            std::fs::create_dir_all(&dir).unwrap();
            Self { poll: mio::Poll::new().unwrap(), dir }
        }

        pub(in crate::supervise) fn dir_of(test: &str) -> PathBuf {
            std::env::temp_dir().join(format!("ws-helper-{}-{test}", std::process::id()))
        }

        pub(in crate::supervise) fn registry(&self) -> &Registry {
            self.poll.registry()
        }

        /// Turns like the loop until `step` has an answer. A test can't take over SIGCHLD, so each turn is short.
        pub(in crate::supervise) fn turn_until<T>(&mut self, what: &str, mut step: impl FnMut() -> Option<T>) -> T {
            let (started_at, mut events) = (Instant::now(), mio::Events::with_capacity(8));
            loop {
                if let Some(answer) = step() {
                    return answer;
                }
                assert!(started_at.elapsed() < PATIENCE, "never came: {what}");
                match self.poll.poll(&mut events, Some(Duration::from_millis(5))) {
                    Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
                    Ok(()) | Err(_) => {}
                }
            }
        }

        /// Waits for a file that a helper writes whole, and returns what is in it.
        pub(in crate::supervise) fn file(&mut self, name: &str) -> String {
            let path = self.dir.join(name);
            self.turn_until(name, || std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
        }

        /// Waits for a file with a pid in it.
        pub(in crate::supervise) fn pid(&mut self, name: &str) -> Pid {
            Pid::new(self.file(name).trim().parse().unwrap()).unwrap()
        }

        /// Waits until the process is gone; one that nobody has reaped counts as gone.
        pub(in crate::supervise) fn wait_for_end(&mut self, pid: Pid) {
            self.turn_until("the end of a process", || matches!(platform::identify(pid), Ok(None)).then_some(()));
        }

        /// Waits until our child has been reaped by `sweep`.
        pub(in crate::supervise) fn wait_for_reap(&mut self, pid: Pid, mut sweep: impl FnMut()) {
            self.turn_until("the reaping of a child", || {
                sweep();
                (platform::reap_with_group(pid) == Reaped::Gone(ExitStatus::Unknown)).then_some(())
            });
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }

    /// A shell that prints its pid into the file `NAME.pid` first.
    pub(in crate::supervise) fn shell(bench: &Bench, name: &str, script: &str) -> Vec<String> {
        let file = bench.dir.join(format!("{name}.pid"));
        let script = format!("echo $$ >'{}'; {script}", file.display());
        ["/bin/sh", "-c", &script].map(str::to_owned).into()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Bench, shell};
    use super::*;

    const TOKEN: Token = Token(7);

    fn spawn(bench: &Bench, words: &[String], stdin: Option<Vec<u8>>, output_bytes_max: Option<usize>) -> Helper {
        let command = Command::from_config(words, "{}", "", Path::new("/")).unwrap();
        let (env, dir, lifetime) = (&helper_env(), Path::new("/"), Lifetime::Ours);
        let task = Task { command: &command, env, dir, lifetime, stdin, output_bytes_max };
        Helper::spawn(task, bench.registry(), TOKEN).unwrap()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn finish(bench: &mut Bench, mut helper: Helper) -> Done {
        bench.turn_until("the end of the helper", || helper.proceed())
    }

    #[test]
    fn what_a_helper_prints_is_captured() {
        let mut bench = Bench::new("print");
        let helper = spawn(&bench, &words(&["echo", "a", "b"]), None, Some(100));
        let pid = helper.pid.unwrap();
        let done = finish(&mut bench, helper);
        assert_eq!((done.status, done.overflowed), (ExitStatus::Code(0), false));
        assert_eq!(done.output, b"a b\n");
        assert_eq!(platform::reap_with_group(pid), Reaped::Gone(ExitStatus::Unknown));
    }

    #[test]
    fn more_than_a_pipe_holds_goes_in_and_comes_out_whole() {
        let mut bench = Bench::new("cat");
        let sent: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
        let helper = spawn(&bench, &words(&["/bin/cat"]), Some(sent.clone()), Some(sent.len()));
        let done = finish(&mut bench, helper);
        assert_eq!(done.status, ExitStatus::Code(0));
        assert!(done.output == sent);
    }

    #[test]
    fn a_helper_that_never_reads_holds_nothing_up() {
        let mut bench = Bench::new("deaf");
        let mut helper = spawn(&bench, &words(&["/bin/sleep", "60"]), Some(vec![b'x'; 1_000_000]), None);
        assert!(helper.proceed().is_none());
        helper.kill();
        assert!(matches!(finish(&mut bench, helper).status, ExitStatus::Signal { number: 9, .. }));
    }

    #[test]
    fn a_helper_that_closes_its_input_is_no_error() {
        let mut bench = Bench::new("closed");
        let helper = spawn(&bench, &shell(&bench, "a", "exec <&-; exit 3"), Some(vec![b'x'; 1_000_000]), None);
        assert_eq!(finish(&mut bench, helper).status, ExitStatus::Code(3));
    }

    #[test]
    fn output_up_to_the_bound_is_kept_and_one_byte_more_ends_the_helper() {
        let mut bench = Bench::new("bound");
        let print = |count: usize| words(&["/usr/bin/printf", &"x".repeat(count)]);
        let helper = spawn(&bench, &print(5000), None, Some(5000));
        assert_eq!(finish(&mut bench, helper).output.len(), 5000);
        let helper = spawn(&bench, &print(5001), None, Some(5000));
        let done = finish(&mut bench, helper);
        assert!(done.overflowed && done.output.is_empty());
        let helper = spawn(&bench, &words(&["yes"]), None, Some(5000));
        assert!(finish(&mut bench, helper).overflowed);
    }

    #[test]
    fn nothing_of_a_helper_s_group_outlives_it() {
        let mut bench = Bench::new("group");
        let child = bench.dir.join("child.pid");
        let script = format!("sleep 60 & echo $! >'{}'; echo value", child.display());
        let helper = spawn(&bench, &shell(&bench, "a", &script), None, Some(100));
        let done = finish(&mut bench, helper);
        assert_eq!(done.output, b"value\n");
        let child = bench.pid("child.pid");
        bench.wait_for_end(child);
    }

    #[test]
    fn a_dropped_helper_dies_with_its_children() {
        let mut bench = Bench::new("drop");
        let child = bench.dir.join("child.pid");
        let script = format!("sleep 60 & echo $! >'{}'; sleep 60", child.display());
        let helper = spawn(&bench, &shell(&bench, "a", &script), None, None);
        let child = bench.pid("child.pid");
        let pid = helper.pid.unwrap();
        drop(helper);
        bench.wait_for_end(child);
        bench.wait_for_reap(pid, || {
            platform::reap_with_group(pid);
        });
    }

    #[test]
    fn a_buried_helper_leaves_no_zombie() {
        let mut bench = Bench::new("kill_and_keep");
        let mut helper = spawn(&bench, &words(&["/bin/sleep", "60"]), None, Some(100));
        let pid = helper.pid.unwrap();
        let mut zombies = Zombies::default();
        zombies.kill_and_keep(&mut helper);
        bench.wait_for_reap(pid, || zombies.sweep());
        assert!(zombies.pids.is_empty());
    }

    #[test]
    fn too_many_zombies_let_nothing_new_start() {
        let pid = Pid::new(i32::MAX).unwrap();
        let mut zombies = Zombies { pids: vec![pid; ZOMBIES_MAX] };
        assert!(zombies.ensure_room().unwrap_err().contains("kernel"));
        zombies.sweep();
        assert_eq!(zombies.ensure_room(), Ok(()));
    }

    #[test]
    fn a_helper_that_was_let_go_lives_on() {
        let mut bench = Bench::new("let-go");
        let out = bench.dir.join("out");
        let script = format!("cat >'{}'", out.display());
        let helper = spawn(&bench, &shell(&bench, "a", &script), Some(b"{}\n".to_vec()), None);
        let pid = helper.pid.unwrap();
        helper.let_go();
        assert_eq!(bench.file("out"), "{}\n");
        bench.wait_for_reap(pid, || {
            platform::reap_with_group(pid);
        });
    }

    #[test]
    fn a_program_that_is_not_there_is_one_line() {
        let error = Command::from_config(&words(&["no-such-{}", "{}"]), "{}", "tool", Path::new("/")).unwrap_err();
        assert!(error.starts_with("cannot find program \"no-such-tool\"") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn the_placeholder_is_filled_in_everywhere() {
        let command = Command::from_config(&words(&["/bin/{}", "-{}-{}", "x"]), "{}", "cat", Path::new("/")).unwrap();
        assert_eq!(command, Command { program: "/bin/cat".into(), args: words(&["/bin/cat", "-cat-cat", "x"]) });
    }

    #[test]
    fn a_program_is_never_taken_from_the_current_directory() {
        use std::os::unix::fs::PermissionsExt;
        let bench = Bench::new("evil");
        let planted = bench.dir.join("secrets");
        std::fs::write(&planted, "").unwrap();
        std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o755)).unwrap();
        let find = |program: &str, path: &str| Command::find(words(&[program]), Some(OsStr::new(path)), &bench.dir);
        for path in ["", ".", "::.", "bin:."] {
            assert!(find("secrets", path).is_err(), "{path}");
        }
        assert_eq!(find("./secrets", "").unwrap().program, bench.dir.join("./secrets"));
        assert_eq!(find("secrets", bench.dir.to_str().unwrap()).unwrap().program, planted);
    }
}
