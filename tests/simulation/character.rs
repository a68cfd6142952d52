//! What a seed is like: its settings, and how its world tends to misbehave.
//!
//! Each habit is drawn on its own, so that one seed has a world where nothing but leases goes wrong, and another one
//! where everything does.

use std::time::Duration;

use worker_supervisor::policy::{Backoff, HealthSettings, Settings, StatusRule, SyncSettings};

use super::dice::Dice;

const NONE: Duration = Duration::ZERO;
const INSTANT: Duration = Duration::from_millis(1);
const SHORT: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const FEW: Duration = Duration::from_secs(5);
const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a reaction takes. Settings are drawn from the same lengths, so that an answer and a deadline often meet in
/// the very same instant.
pub(crate) const REACTIONS: [Duration; 8] = [NONE, NONE, INSTANT, INSTANT, SHORT, SECOND, FEW, HALF_MINUTE];

/// By how much a deadline is missed: below, at and above what counts as having been asleep.
pub(crate) const LATENESSES: [Duration; 7] = [
    INSTANT,
    Duration::from_millis(249),
    Duration::from_millis(250),
    Duration::from_millis(251),
    FEW,
    HOUR,
    Duration::from_secs(24 * 3600),
];

/// Random settings, within the bounds of the configuration: delays and graces may be zero, the rest may not.
pub(crate) fn settings(dice: &mut Dice) -> Settings {
    Settings {
        startup_timeout: dice.pick(&[INSTANT, SECOND, FEW, HALF_MINUTE, HOUR]),
        stable: dice.pick(&[NONE, SECOND, FEW, HOUR]),
        backoff: Backoff {
            min: dice.pick(&[NONE, INSTANT, SECOND, SECOND, HALF_MINUTE]),
            max: dice.pick(&[NONE, INSTANT, FEW, HALF_MINUTE, HALF_MINUTE, YEAR]),
        },
        drain: dice.pick(&[NONE, INSTANT, SECOND, FEW, YEAR]),
        port_grace: dice.pick(&[NONE, SHORT, SECOND, HALF_MINUTE]),
        wait_for_port: dice.one_in(4),
        lease_timeout: dice.pick(&[INSTANT, SECOND, FEW]),
        health: HealthSettings {
            interval: dice.pick(&[INSTANT, SECOND, FEW, HALF_MINUTE, YEAR]),
            timeout: dice.pick(&[INSTANT, SHORT, SECOND, FEW, HALF_MINUTE]),
            streak_max: dice.pick(&[1, 2, 3, 5]),
            status: match dice.below(3) {
                0 => StatusRule::OneOf(vec![200]),
                1 => StatusRule::OneOf(vec![401, 503]),
                _ => StatusRule::Below500,
            },
        },
        sync: match dice.below(4) {
            0 => SyncSettings::Never,
            1 => SyncSettings::Once,
            _ => SyncSettings::Every(dice.pick(&[INSTANT, FEW, HALF_MINUTE, HOUR])),
        },
    }
}

/// How a worker takes to its probes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Well,
    Ill,
    Hung,
    Mixed,
}

/// The habits of a world. A number n stands for "once in n times"; 0 is never.
#[derive(Debug)]
pub(crate) struct Habits {
    pub(crate) adopted: bool,
    pub(crate) launch_fails: u64,
    pub(crate) leases: u64,
    pub(crate) port_held: u64,
    pub(crate) stranger: u64,
    pub(crate) crashes: u64,
    pub(crate) ignores_drain: u64,
    pub(crate) unkillable: u64,
    pub(crate) moods: [Mood; 3],
    pub(crate) sync_refused: u64,
    pub(crate) never_ends: u64,
    pub(crate) stops: u64,
    pub(crate) restarts: u64,
    pub(crate) lock_lost: u64,
    pub(crate) slept: u64,
    /// A worker that goes leaves a descendant with a session of its own on the port.
    pub(crate) leaves_listener: u64,
    pub(crate) sleeps: u64,
    pub(crate) mischief: u64,
}

impl Habits {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let moods = [Mood::Well, Mood::Well, Mood::Ill, Mood::Hung, Mood::Mixed];
        Self {
            adopted: dice.one_in(4),
            launch_fails: dice.pick(&[0, 0, 8, 2, 1]),
            leases: dice.pick(&[0, 0, 8, 2]),
            port_held: dice.pick(&[0, 0, 8, 2]),
            stranger: dice.pick(&[0, 8, 2]),
            crashes: dice.pick(&[0, 8, 2, 1]),
            ignores_drain: dice.pick(&[0, 8, 2, 1]),
            unkillable: dice.pick(&[0, 0, 8, 1]),
            moods: [dice.pick(&moods), dice.pick(&moods), dice.pick(&moods)],
            sync_refused: dice.pick(&[0, 8, 2, 1]),
            never_ends: dice.pick(&[0, 8, 2]),
            stops: dice.pick(&[0, 0, 60, 15]),
            restarts: dice.pick(&[0, 60, 15, 4]),
            lock_lost: dice.pick(&[0, 0, 60, 15]),
            slept: dice.pick(&[0, 0, 60, 15]),
            leaves_listener: dice.pick(&[0, 0, 8, 2]),
            sleeps: dice.pick(&[0, 0, 10, 3]),
            mischief: dice.pick(&[0, 20, 4]),
        }
    }
}
