//! Signals through EVFILT_SIGNAL, in a kqueue of their own, so that events need no telling apart: a pid and a
//! descriptor may be the same number. An inner kqueue that is left undrained does not wake its outer one again, hence
//! everything is read until empty. No kqueue is inherited by a spawned process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::signal::SigSet;

use super::signal::{Signal, catch, disregard_the_unheeded, taken_over};
use crate::limits;

/// Never wait.
const AT_ONCE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Signals sent to this process, as a pollable queue.
#[derive(Debug)]
pub struct Signals {
    queue: Kqueue,
    /// Sent while the parent's mask still held them back: a registration does not see those.
    earlier: Vec<Signal>,
}

impl Signals {
    /// Takes over every signal of [`Signal::LISTENED`], but for a SIGHUP that is ignored, which stays so; those that
    /// mean nothing here do nothing from now on.
    ///
    /// # Errors
    /// No descriptor (EMFILE, ENFILE) or no memory for it; then the signals act as before.
    pub fn open() -> io::Result<Signals> {
        let queue = Kqueue::new()?;
        limits::close_on_exec(queue.as_fd().as_raw_fd());
        // EVFILT_SIGNAL tells of ignored ones too.
        let taken = taken_over();
        let register = |signal: &Signal| {
            let ident = signal.number().cast_unsigned() as usize;
            change(ident, EventFilter::EVFILT_SIGNAL, EvFlags::EV_ADD, FilterFlag::empty())
        };
        let changes: Vec<KEvent> = taken.iter().map(register).collect();
        queue.kevent(&changes, &mut [], Some(AT_ONCE))?;
        // Registered before it is caught, or a signal in between would be caught and queued nowhere.
        // EVFILT_SIGNAL does not replace the disposition: a default SIGTERM would still kill.
        for &signal in &taken {
            // Of children only exits, not stops.
            let stops = if signal == Signal::Child { libc::SA_NOCLDSTOP } else { 0 };
            catch(signal.number(), libc::SA_RESTART | stops)?;
        }
        disregard_the_unheeded()?;
        let mut signals = Signals { queue, earlier: Vec::new() };
        signals.earlier = signals.sent_so_far(&taken)?;
        if !signals.earlier.is_empty() {
            signals.wake()?;
        }
        let mask: SigSet = taken.iter().map(|signal| signal.to_nix()).collect();
        mask.thread_unblock()?;
        Ok(signals)
    }

    /// Takes the next signal, or None when the queue is empty; call until None.
    ///
    /// # Errors
    /// What reading the descriptor reports; never EINTR.
    pub fn take(&mut self) -> io::Result<Option<Signal>> {
        if let Some(signal) = self.earlier.pop() {
            return Ok(Some(signal));
        }
        self.read()
    }

    /// What a blocked mask holds back, once each. Asked for pending signals first: one that comes in between is then
    /// at worst in both sets, never queued twice.
    fn sent_so_far(&mut self, taken: &[Signal]) -> io::Result<Vec<Signal>> {
        let pending = pending_signals()?;
        let mut sent: Vec<Signal> = taken.iter().copied().filter(|signal| pending.contains(signal.to_nix())).collect();
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
                    let signal = i32::try_from(events[0].ident()).ok().and_then(Signal::listened);
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

fn pending_signals() -> io::Result<SigSet> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigpending writes a whole sigset_t into `set`.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by sigpending, which has succeeded.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(set.assume_init()) })
}
