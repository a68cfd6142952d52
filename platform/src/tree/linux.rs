//! The process tree through /proc. With PR_SET_CHILD_SUBREAPER whatever a worker leaves becomes our child, so that the
//! lists of children (proc_pid_children, `CONFIG_PROC_CHILDREN`) name all that descends from us, however many processes
//! the machine has. A list that is read while processes come and go may miss some: callers ask until nobody is new.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::pid::{Pid, own_pid};
use crate::process::{ensure_own_proc, other_thread};

/// The longest environment of which a variable is looked for, in bytes: what one exec takes by default (MAX_ARG_STRLEN
/// times 16).
const ENVIRONMENT_BYTES_MAX: u64 = 2 << 20;

/// The most descendants that are followed.
const DESCENDANTS_MAX: usize = 1 << 16;

/// The longest list of children that is read, in bytes: some thirty.
const LIST_BYTES_MAX: usize = 256;

/// Makes this process the one that orphans among its descendants are given to (prctl(2)).
pub(super) fn become_subreaper() -> Option<ChildList> {
    // SAFETY: prctl with this option takes an integer and touches no memory of ours.
    let is_done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } == 0;
    is_done.then(ChildList::open)?.ok()
}

/// The kernel's list of our children, held open.
#[derive(Debug)]
pub struct ChildList(File);

impl ChildList {
    fn open() -> io::Result<ChildList> {
        ensure_own_proc()?;
        // That of the first thread: the process is taken to have one.
        let pid = own_pid();
        File::open(format!("/proc/{pid}/task/{pid}/children")).map(ChildList)
    }

    /// Whether `child`, which has exited and is not reaped, may have left somebody beside our other children, which are
    /// all `known`. What it leaves becomes ours before its exit can be noticed (exit_notify of kernel/exit.c). True
    /// where the list does not even name the child, can't be read, or is longer than that of a few.
    #[must_use]
    pub fn may_be_left_by(&self, child: Pid, known: &[Pid]) -> bool {
        let mut list = [0; LIST_BYTES_MAX];
        let length = self.0.read_at(&mut list, 0).unwrap_or(LIST_BYTES_MAX);
        let list = str::from_utf8(&list[..length]).unwrap_or_default();
        let mut listed = list.split_ascii_whitespace().map(|pid| pid.parse().ok().and_then(Pid::new));
        let is_known = |pid: Option<Pid>| pid.is_some_and(|pid| known.contains(&pid));
        length == LIST_BYTES_MAX || !listed.clone().any(|pid| pid == Some(child)) || !listed.all(is_known)
    }
}

/// Every process.
pub(super) fn everybody() -> io::Result<Vec<Pid>> {
    ensure_own_proc()?;
    Ok(numbers_in("/proc")?.filter_map(Pid::new).collect())
}

/// Our children, and theirs, and so on; zombies too. All processes, where the kernel keeps no lists of children.
pub(super) fn descendants() -> io::Result<Vec<Pid>> {
    let mut found = children()?;
    let mut next = 0;
    while let Some(pid) = found.get(next).copied().filter(|_| found.len() < DESCENDANTS_MAX) {
        // Gone meanwhile, and its children are ours then: the next look finds them.
        found.extend(children_of(pid.as_raw()).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

/// Our children; zombies too.
pub(super) fn children() -> io::Result<Vec<Pid>> {
    children_of(own_pid().cast_signed())
}

/// Each thread has a list of the processes that it has made or inherited.
fn children_of(pid: i32) -> io::Result<Vec<Pid>> {
    ensure_own_proc()?;
    let mut children = Vec::new();
    for thread in numbers_in(&format!("/proc/{pid}/task"))? {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"))?;
        children.extend(list.split_ascii_whitespace().filter_map(|child| child.parse().ok().and_then(Pid::new)));
    }
    Ok(children)
}

fn numbers_in(directory: &str) -> io::Result<impl Iterator<Item = i32> + use<>> {
    Ok(fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// The value of an environment variable, as it was when the process executed its program. None: it has none, or it may
/// not be looked at.
pub(super) fn variable(pid: Pid, name: &str) -> Option<Vec<u8>> {
    ensure_own_proc().ok()?;
    let mut environment = environment(&format!("/proc/{pid}/environ"))?;
    if environment.is_empty()
        && let Some(thread) = other_thread(pid)
    {
        environment = self::environment(&format!("/proc/{pid}/task/{thread}/environ"))?;
    }
    let mut variables = environment.split(|&byte| byte == 0);
    variables.find_map(|variable| Some(variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

fn environment(path: &str) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    File::open(path).ok()?.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment).ok()?;
    Some(environment)
}

/// Whether a process is none any more, or a zombie.
pub(super) fn has_ended(pid: Pid) -> bool {
    crate::process::identify(pid).is_ok_and(|identity| identity.is_none())
}

/// Who has begun to exit is found by kill(2) until its parent reaps it.
pub(super) fn group_is_closing(_leader: Pid) -> bool {
    false
}
