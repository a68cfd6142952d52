//! What each event asks for, time aside. Each is new: what is stale never comes here.

use std::time::{Duration, Instant};

use worker_supervisor::policy::{
    Action, AfterExit, Generation, Holders, KillCause, Notice, Owner, ProbeOutcome, StopSignal, SyncSettings,
};

use super::{AWAIT_PAUSE, Effort, End, KILL_TIME, Life, RECHECK_PAUSE, ROUNDS_MAX, Reference, TROUBLE_PAUSE};

impl Reference {
    pub(super) fn spawned(&mut self, now: Instant, generation: Generation) {
        let stop = self.answered();
        self.next = generation.next();
        self.tell(Notice::Started(generation));
        let life = Life::begun(generation, now, now + self.settings.startup_timeout);
        self.life = Some(life);
        match stop {
            Some(signal) => self.drain(now, signal, AfterExit::Stop),
            None => self.send_probe(now, life),
        }
    }

    pub(super) fn launch_failed(&mut self, now: Instant) {
        if self.answered().is_some() {
            return self.quit(false);
        }
        let delay = self.next_backoff();
        self.tell(Notice::LaunchFailed { failures: self.failures, delay });
        self.launch_after(now, delay);
    }

    pub(super) fn port_held(&mut self, now: Instant, holders: Holders) {
        let effort = self.effort.take();
        if self.answered().is_some() {
            return self.quit(false);
        }
        if self.settings.wait_for_port {
            self.awaits_port = true;
            self.tell(Notice::PortAwaited);
            return self.launch_after(now, AWAIT_PAUSE);
        }
        match (holders, effort) {
            (Holders::Untouchable | Holders::Unseen, _) => self.port_lost(now),
            (Holders::Fresh, Some(Effort { round: ROUNDS_MAX, .. })) => self.port_lost(now),
            (Holders::Fresh, Some(effort)) => self.ask_holders(now, effort.round + 1),
            (Holders::Fresh | Holders::Asked, None) => self.ask_holders(now, 1),
            (Holders::Asked, Some(effort)) => self.press_holders(now, effort),
        }
    }

    fn ask_holders(&mut self, now: Instant, round: u32) {
        self.order(Action::AskHolders);
        self.tell(Notice::PortConflict { round });
        self.effort = Some(Effort { round, kill_at: now + self.settings.port_grace, give_up_at: None });
        self.recheck_at = Some(now + RECHECK_PAUSE);
    }

    fn press_holders(&mut self, now: Instant, mut effort: Effort) {
        match effort.give_up_at {
            Some(give_up_at) if give_up_at <= now => return self.port_lost(now),
            None if effort.kill_at <= now => {
                self.order(Action::KillHolders);
                effort.give_up_at = Some(now + KILL_TIME);
            }
            Some(_) | None => {}
        }
        self.effort = Some(effort);
        self.recheck_at = Some(now + RECHECK_PAUSE);
    }

    fn port_lost(&mut self, now: Instant) {
        let delay = self.next_backoff();
        self.tell(Notice::PortLost { failures: self.failures, delay });
        self.launch_after(now, delay);
    }

    pub(super) fn lease_started(&mut self, now: Instant) {
        if self.answered().is_some() {
            self.order(Action::CancelLease { timed_out: false });
            return self.quit(false);
        }
        self.lease_until = Some(now + self.settings.lease_timeout);
    }

    pub(super) fn exited(&mut self, now: Instant) {
        let Some(life) = self.life.take() else { return };
        let uptime = now.saturating_duration_since(life.spawned_at);
        let stable = uptime >= self.settings.stable;
        let delay = match life.end {
            Some(End { then: AfterExit::Stop | AfterExit::Launch | AfterExit::Reload, .. }) => Duration::ZERO,
            None if life.ready && stable => Duration::ZERO,
            None if life.ready => self.settings.backoff.min.min(self.settings.backoff.max),
            Some(End { then: AfterExit::Retry, .. }) | None => self.next_backoff(),
        };
        match life.end {
            None => self.tell(Notice::Died { generation: life.generation, uptime, delay }),
            Some(end) => self.tell(Notice::Ended { generation: life.generation, after_exit: end.then, delay }),
        }
        match life.end.map(|end| end.then) {
            Some(AfterExit::Stop) => return self.quit(false),
            Some(AfterExit::Reload) => self.order(Action::Reload),
            Some(AfterExit::Launch | AfterExit::Retry) | None => {}
        }
        self.launch_after(now, delay);
    }

    pub(super) fn probed(&mut self, now: Instant, outcome: ProbeOutcome) {
        let Some(mut life) = self.life else { return };
        let health = &self.settings.health;
        let (healthy, trouble) = match outcome {
            ProbeOutcome::Answered(status) => (health.status.accepts(status), false),
            ProbeOutcome::Failed => (false, false),
            ProbeOutcome::LocalError => (false, true),
        };
        if life.ready && !healthy && !trouble {
            return self.probe_failed(now, life);
        }
        let sent_at = life.probe_sent_at.take().unwrap_or(now);
        life.excused &= trouble;
        life.probe_due_at = match (trouble, life.ready) {
            (true, true) => now + TROUBLE_PAUSE.min(health.interval),
            (true, false) => now + TROUBLE_PAUSE,
            (false, true) => now.max(sent_at + health.interval),
            (false, false) => now + life.startup_pause(now),
        };
        if trouble {
            life.startup_at = life.startup_at.max(life.probe_due_at + health.timeout);
        }
        if healthy && !life.ready {
            self.order(Action::FindOwner(life.generation));
        }
        if healthy && std::mem::take(&mut life.streak) > 0 {
            self.tell(Notice::HealthRegained);
        }
        self.life = Some(life);
    }

    pub(super) fn owner_found(&mut self, now: Instant, owner: Owner) {
        let Some(mut life) = self.life else { return };
        if owner == Owner::Stranger {
            self.tell(Notice::Impostor(life.generation));
            return self.drain(now, StopSignal::Term, AfterExit::Retry);
        }
        self.failures = 0;
        life.ready = true;
        life.excused = false;
        life.probe_due_at = now + self.settings.health.interval;
        self.tell(Notice::Ready { generation: life.generation, after: now.saturating_duration_since(life.spawned_at) });
        match self.settings.sync {
            SyncSettings::Never => self.life = Some(life),
            SyncSettings::Once | SyncSettings::Every(_) => self.serve_sync(now, life),
        }
    }

    pub(super) fn sync_ended(&mut self, now: Instant, accepted: bool) {
        let Some(mut life) = self.life else { return };
        if !accepted {
            return self.sync_failed(now, life);
        }
        life.sync_sent_at = None;
        life.sync_failures = 0;
        life.sync_due_at = match self.settings.sync {
            SyncSettings::Never | SyncSettings::Once => None,
            SyncSettings::Every(interval) => Some(now + interval),
        };
        self.life = Some(life);
        self.tell(Notice::Synced);
    }

    pub(super) fn stop_requested(&mut self, now: Instant, signal: StopSignal) {
        if self.launching {
            self.stop_noted = Some(signal);
            return;
        }
        match self.life {
            None if self.over => {}
            None => {
                if self.lease_until.is_some() {
                    self.order(Action::CancelLease { timed_out: false });
                }
                self.quit(false);
            }
            Some(Life { end: Some(End { killed: true, by, .. }), .. }) => self.end_by(by, AfterExit::Stop, true),
            Some(Life { end: Some(End { then: AfterExit::Stop, .. }), generation, .. }) => {
                self.order(Action::Kill(generation));
                self.tell(Notice::Killing { generation, cause: KillCause::AskedTwice });
                self.end_by(now + KILL_TIME, AfterExit::Stop, true);
            }
            Some(_) => self.drain(now, signal, AfterExit::Stop),
        }
    }

    pub(super) fn restart_requested(&mut self, now: Instant) {
        if self.launching || self.over {
            return;
        }
        match self.life {
            None => {
                if self.lease_until.is_some() {
                    self.order(Action::CancelLease { timed_out: false });
                }
                self.order(Action::Reload);
                self.launch(None);
            }
            Some(Life { end: Some(End { then: AfterExit::Stop, .. }), .. }) => {}
            Some(Life { end: Some(End { by, killed, .. }), .. }) => self.end_by(by, AfterExit::Reload, killed),
            Some(_) => self.drain(now, StopSignal::Term, AfterExit::Reload),
        }
    }
}
