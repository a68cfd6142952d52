//! clone(2) as posix_spawn(3) uses it, with what only this program knows.
//!
//! The new process runs in our memory, on a stack of its own, while we are stopped, until it executes the program. So
//! it makes system calls and nothing else: no allocation, no lock, no unwinding.
//!
//! posix_spawn sets the disposition of each signal there, since it can't know that all but the ignored ones are reset
//! by execve(2) anyway (glibc 2.36: 83 system calls where these are 12; musl: 48), and musl's hears of a failed execve
//! through a pipe. With musl that takes 40 µs more until the first instruction of the program, and 30 where only the
//! ignored signals are named: 4 % of a restart. This also tells a missing directory from a missing program without
//! leaving ours.

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use super::command::{Command, Lifetime, SpawnStage};
use crate::limits;
use crate::pid::own_pid;
use crate::signals::is_ignored;

/// Several times what the calls before an execve take. In 16 bytes each, as the ABIs want a stack to be aligned.
const STACK_BYTES: usize = 8 * 1024;
type StackUnit = MaybeUninit<u128>;

/// The exit code of a process that could not execute its program, by tradition; nobody sees it.
const NOT_EXECUTED: c_int = 127;

/// The kernel's _NSIG: signals are numbered from 1 up to it.
const SIGNALS_MAX: c_int = 64;

/// What the new process is to do, and where it says what it could not.
struct Order<'a> {
    program: *const c_char,
    args: *const *const c_char,
    env: *const *const c_char,
    dir: *const c_char,
    fds: [RawFd; 3],
    umask: Option<libc::mode_t>,
    ignored: &'a [c_int],
    /// The process to end with; None: it has a life of its own.
    ends_with: Option<libc::pid_t>,
    failure: Option<(SpawnStage, Errno)>,
}

/// Starts the program with these descriptors as its 0, 1 and 2.
pub(super) fn start(command: &Command<'_>, fds: [RawFd; 3]) -> Result<i32, (SpawnStage, Errno)> {
    let dir = CString::new(command.dir.as_os_str().as_bytes()).map_err(|_| (SpawnStage::Directory, Errno::EINVAL))?;
    let (args, env) = (pointers(command.args), pointers(command.env));
    let mut order = Order {
        program: command.program.as_ptr(),
        args: args.as_ptr(),
        env: env.as_ptr(),
        dir: dir.as_ptr(),
        fds,
        umask: limits::inherited_umask().map(|umask| umask.bits()),
        ignored: ignored_signals(),
        ends_with: (command.lifetime == Lifetime::Ours).then(|| own_pid().cast_signed()),
        failure: None,
    };
    let mut stack = [StackUnit::uninit(); STACK_BYTES / size_of::<StackUnit>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // No handler of ours may run in the new process while it is in our memory.
    let mut mask = SigSet::empty();
    let blocked = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask));
    blocked.map_err(|errno| (SpawnStage::Program, errno))?;
    // SAFETY: with CLONE_VFORK the call returns once the new process no longer uses our memory; until then `order`, all
    // that it points to, and `stack`, which grows down from its end, live and are nobody else's. `become_program` is
    // written for that process.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(become_program, top.cast(), flags, (&raw mut order).cast())
    };
    let cloned = Errno::result(pid);
    // The mask is one that sigprocmask gave: setting it can't fail.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
    let pid = cloned.map_err(|errno| (SpawnStage::Program, errno))?;
    // SAFETY: `order` is ours alone again. Volatile, since the compiler has not seen who wrote it.
    let failure = unsafe { ptr::read_volatile(&raw const order.failure) };
    let Some(failure) = failure else { return Ok(pid) };
    // It has called _exit, so that this waits for no more than the kernel's part of that.
    while nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None) == Err(Errno::EINTR) {}
    Err(failure)
}

/// The C array that execve(2) wants.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    let mut pointers = Vec::with_capacity(texts.len() + 1);
    pointers.extend(texts.iter().map(|text| text.as_ptr()));
    pointers.push(ptr::null());
    pointers
}

/// The signals that this process ignored when it spawned for the first time; from then on it ignores no other. Ignored
/// is the only disposition that execve(2) keeps.
fn ignored_signals() -> &'static [c_int] {
    static IGNORED: OnceLock<Vec<c_int>> = OnceLock::new();
    IGNORED.get_or_init(|| (1..=SIGNALS_MAX).filter(|signal| is_ignored(*signal)).collect())
}

/// The first and only function of the new process.
extern "C" fn become_program(order: *mut c_void) -> c_int {
    // SAFETY: `start` passes its order, which is this process's alone for now.
    let order = unsafe { &mut *order.cast::<Order<'_>>() };
    order.failure = Some(execute(order));
    // SAFETY: _exit runs nothing of this program, whose memory this still is.
    unsafe { libc::_exit(NOT_EXECUTED) }
}

/// Returns only if it failed.
fn execute(order: &Order<'_>) -> (SpawnStage, Errno) {
    // SAFETY: system calls on integers, on C strings and arrays that `start` has made and keeps, and on a zeroed
    // sigaction and an empty set, which are valid. Only this process's own attributes change.
    unsafe {
        let mut default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in order.ignored {
            libc::sigaction(*signal, &raw const default, ptr::null_mut());
        }
        libc::setsid();
        if let Some(parent) = order.ends_with {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            // Gone before that was set: nobody waits for this process any more.
            if libc::getppid() != parent {
                return (SpawnStage::Program, Errno::ESRCH);
            }
        }
        for (source, target) in order.fds.into_iter().zip(0..) {
            if libc::dup2(source, target) == -1 {
                return (SpawnStage::Descriptors, Errno::last());
            }
        }
        if let Some(umask) = order.umask {
            libc::umask(umask);
        }
        if libc::chdir(order.dir) == -1 {
            return (SpawnStage::Directory, Errno::last());
        }
        let mut none = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(order.program, order.args, order.env);
        (SpawnStage::Program, Errno::last())
    }
}
