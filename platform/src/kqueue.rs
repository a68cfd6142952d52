//! macOS and FreeBSD: signals and exits through kqueue(2), and the pin that these systems allow. Each queue and each
//! bell is a kqueue of its own, so that dropping it is all the deregistration there is, and events need no telling
//! apart: a pid and a descriptor may be the same number. An inner kqueue that is left undrained does not wake its outer
//! one again, hence everything is read until empty. No kqueue is inherited by a spawned process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};

use crate::process::{self, Identity, Pid, PinProcess};
use crate::signals::{self, SendSignal, Signal};
use crate::{ExitNotice, SignalQueue};

/// Never wait.
const AT_ONCE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// The most events read from a bell's kqueue at once; it has one registration, which fires once.
const WATCH_EVENTS_MAX: usize = 16;

/// Signals through EVFILT_SIGNAL.
#[derive(Debug)]
pub struct Signals {
    queue: Kqueue,
    /// Sent while the parent's mask still held them back: a registration does not see those.
    earlier: Vec<Signal>,
}

impl SignalQueue for Signals {
    fn open() -> io::Result<Signals> {
        let queue = Kqueue::new()?;
        crate::limits::close_on_exec(queue.as_fd().as_raw_fd());
        let changes = Signal::ALL.map(|signal| {
            let ident = signal.number().cast_unsigned() as usize;
            change(ident, EventFilter::EVFILT_SIGNAL, EvFlags::EV_ADD, FilterFlag::empty())
        });
        queue.kevent(&changes, &mut [], Some(AT_ONCE))?;
        // Registered before it is caught, or a signal in between would be caught and queued nowhere.
        let mut mask = SigSet::empty();
        for signal in Signal::ALL {
            mask.add(signal.to_nix());
            catch(signal)?;
        }
        let mut signals = Signals { queue, earlier: Vec::new() };
        signals.earlier = signals.sent_so_far()?;
        if !signals.earlier.is_empty() {
            signals.wake()?;
        }
        mask.thread_unblock()?;
        Ok(signals)
    }

    fn next(&mut self) -> io::Result<Option<Signal>> {
        if let Some(signal) = self.earlier.pop() {
            return Ok(Some(signal));
        }
        self.read()
    }
}

impl Signals {
    /// What a blocked mask holds back, once each. Asked for pending signals first: one that comes in between is then
    /// at worst in both sets, never queued twice.
    fn sent_so_far(&mut self) -> io::Result<Vec<Signal>> {
        let pending = pending_signals()?;
        let mut sent: Vec<Signal> =
            Signal::ALL.into_iter().filter(|signal| pending.contains(signal.to_nix())).collect();
        while let Some(signal) = self.read()? {
            if !sent.contains(&signal) {
                sent.push(signal);
            }
        }
        Ok(sent)
    }

    /// Makes the descriptor readable, as it is for signals that come later.
    fn wake(&self) -> io::Result<()> {
        let flags = EvFlags::EV_ADD | EvFlags::EV_CLEAR;
        let add = change(0, EventFilter::EVFILT_USER, flags, FilterFlag::empty());
        let trigger = change(0, EventFilter::EVFILT_USER, EvFlags::empty(), FilterFlag::NOTE_TRIGGER);
        self.queue.kevent(&[add, trigger], &mut [], Some(AT_ONCE))?;
        Ok(())
    }

    fn read(&mut self) -> io::Result<Option<Signal>> {
        let mut events = [change(0, EventFilter::EVFILT_SIGNAL, EvFlags::empty(), FilterFlag::empty())];
        loop {
            match self.queue.kevent(&[], &mut events, Some(AT_ONCE)) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    // The event of `wake` is no signal, and only passes by.
                    let is_signal = events[0].filter() == Ok(EventFilter::EVFILT_SIGNAL);
                    let signal = i32::try_from(events[0].ident()).ok().and_then(Signal::from_number);
                    if let (true, Some(signal)) = (is_signal, signal) {
                        return Ok(Some(signal));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.queue.as_fd().as_raw_fd()
    }
}

fn change(ident: usize, filter: EventFilter, flags: EvFlags, note: FilterFlag) -> KEvent {
    KEvent::new(ident, filter, flags, note, 0, 0)
}

/// EVFILT_SIGNAL does not replace the disposition: a default SIGTERM would still kill. A handler that does nothing is
/// right, and ignoring is wrong: exec turns a caught signal into a default one but passes an ignored one on, and an
/// ignored SIGCHLD lets the kernel reap.
fn catch(signal: Signal) -> nix::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let flags = match signal {
        // Only exits, not stops.
        Signal::Child => SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP,
        Signal::Term | Signal::Int | Signal::Hup | Signal::Usr1 => SaFlags::SA_RESTART,
    };
    let action = SigAction::new(SigHandler::Handler(nothing), flags, SigSet::empty());
    // SAFETY: a handler that does nothing is safe at any moment.
    unsafe { sigaction(signal.to_nix(), &action) }?;
    Ok(())
}

fn pending_signals() -> io::Result<SigSet> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigpending writes a whole sigset_t into `set`.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by sigpending, which has succeeded.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) })
}

/// The exit of one process through EVFILT_PROC. One watcher per bell, and `watch` once: it submits every pid that it
/// remembers again, and stops at the first that has gone.
#[derive(Debug)]
pub struct ExitWatch {
    watcher: kqueue::Watcher,
    fired: bool,
}

impl ExitNotice for ExitWatch {
    fn register(pid: Pid) -> io::Result<ExitWatch> {
        let mut watcher = kqueue::Watcher::new()?;
        crate::limits::close_on_exec(watcher.as_raw_fd());
        watcher.add_pid(pid.as_raw(), kqueue::EventFilter::EVFILT_PROC, kqueue::FilterFlag::NOTE_EXIT)?;
        let fired = match watcher.watch() {
            Ok(()) => false,
            // XNU answers so from the moment on that the exit begins (P_REF_DEAD is set in proc_prepareexit), which may
            // be long before waitpid can reap: closing sockets takes time. The same for a pid that nobody has.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => true,
            Err(error) => return Err(error),
        };
        Ok(ExitWatch { watcher, fired })
    }

    fn has_fired(&mut self) -> bool {
        for _ in 0..WATCH_EVENTS_MAX {
            match self.watcher.poll(None) {
                None => break,
                // The one registration is an exit, so whatever the event says, this is it; but for an interrupted read.
                Some(event) => self.fired |= !is_interrupted(&event),
            }
        }
        self.fired
    }
}

fn is_interrupted(event: &kqueue::Event) -> bool {
    match &event.data {
        kqueue::EventData::Error(error) => error.kind() == io::ErrorKind::Interrupted,
        _ => false,
    }
}

impl AsRawFd for ExitWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.watcher.as_raw_fd()
    }
}

/// Nothing holds a process here; the identity is compared instead, right before each signal.
#[derive(Debug)]
pub(crate) struct Pin;

impl PinProcess for Pin {
    fn pin(_pid: Pid) -> io::Result<Option<Pin>> {
        Ok(Some(Pin))
    }

    fn holds(&self, identity: &Identity) -> bool {
        process::identify(identity.pid).is_ok_and(|now| now.as_ref() == Some(identity))
    }

    fn send(&self, identity: &Identity, signal: SendSignal) -> io::Result<()> {
        if !self.holds(identity) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        signals::send(identity.pid.as_raw(), signal)
    }
}
