//! The policy: given what happened and when, what to do. Pure: it reads no clock, opens nothing, logs nothing.
//!
//! # The machine
//!
//! One [`Machine`] decides for one worker at a time. [`Machine::handle`] takes the time and an [`Event`] (a fact) and
//! returns [`Actions`] (orders); [`Machine::next_deadline`] says when to come back with [`Event::TimePassed`] if
//! nothing else happens. Coming early, or twice, is harmless. There is no other way in or out.
//!
//! Every deadline lives inside the variant of [`State`] that needs it. Leaving a state is forgetting its deadlines;
//! there is no timer to cancel, and none that can fire for a worker that is gone. What follows an exit lives in the
//! state too ([`AfterExit`]): a drain knows whether a stop, a restart or a retry follows it, and a stop that arrives in
//! the middle of a restart only has to change that word.
//!
//! The reason for an order goes with it and is never guessed: what is cancelled says whether it had timed out, and what
//! a probe says of the worker is judged here, once, and told ([`Notice::Probed`]).
//!
//! A worker's name is its [`Generation`]. An event that names another generation than the state's is stale, and falls
//! through every row of the table below.
//!
//! # The states
//!
//! ```text
//!            ┌───────────────────────── delay over ─────────────────────────┐
//!            ▼                                                              │
//!   ┌─► Launching ──► Leasing            (secrets)                          │
//!   │        │  ▲──────┘                                                    │
//!   │        ├──► Clearing ─► Launching  (port held: TERM, KILL, 3 rounds)  │
//!   │        ├──► Waiting  ─────────────────────────────────────────────────┘
//!   │        ▼               ▲ exit, never healthy or not for long
//!   │    Starting ───────────┤
//!   │        │ healthy       │
//!   │        ▼               │
//!   ├──── Running ───────────┘
//!   │        │ stop, restart, unhealthy (also from Starting)
//!   │        ▼
//!   └─── Draining ──► Killing ──► Stopped
//! ```
//!
//! Each state has a deadline, a live worker, or both, except two: `Launching`, which is left in the same breath because
//! a launch is answered at once, and `Stopped`, which is the end.
//!
//! # The table
//!
//! Rows are events, columns states; `·` changes nothing. `L` is Launching, `W` Waiting, `D` Draining, `K` Killing,
//! `End` Stopped. A `W` without a delay is an `L`. `tests/simulation.rs` reads this table: where it has a dot, the
//! event must never order or change anything, and elsewhere it must be seen to.
//!
//! ```text
//!                   Launching      Leasing       Clearing     Waiting      Starting         Running          Draining         Killing        Stopped
//! TimePassed        ·              cancel, L     L (recheck)  L            probe / D retry  probe, sync / D  K                kill / End     ·
//! Spawned           Starting       ·             ·            ·            ·                ·                ·                ·              ·
//! LaunchFailed      W (backoff)    ·             ·            ·            ·                ·                ·                ·              ·
//! PortHeld          Clearing / W   ·             ·            ·            ·                ·                ·                ·              ·
//! LeaseStarted      Leasing        ·             ·            ·            ·                ·                ·                ·              ·
//! LeaseEnded        ·              L             ·            ·            ·                ·                ·                ·              ·
//! LeaderExited      ·              ·             ·            ·            ·                ·                wait for rest    ·              ·
//! Exited            ·              ·             ·            ·            W (backoff)      L / W (minimum)  L / W / End      L / W / End    ·
//! Probed            ·              ·             ·            ·            find owner       find owner / D   ·                ·              ·
//! OwnerFound        ·              ·             ·            ·            Running / D      D retry          ·                ·              ·
//! SyncEnded         ·              ·             ·            ·            ·                rest / retry     ·                ·              ·
//! StopRequested     stop noted     cancel, End   End          End          D stop           D stop           D stop / K       K stop         ·
//! RestartRequested  ·              reload, L     reload, L    reload, L    D reload         D reload         D reload         K reload       ·
//! LockLost          stop noted     cancel, End   End          End          D stop           D stop           D stop           K stop         ·
//! Slept             ·              ·             ·            ·            ·                probe, sync      ·                ·              ·
//! ```
//!
//! A launch is answered before any other event is handled, so a stop cannot come between; should it, the stop is noted
//! in `Launching` and carried out with the answer. A launch answered while a stop was noted is drained at once.
//!
//! # What the machine promises
//!
//! At most one worker: `Launch` is ordered only from states without one. No launch after a stop. Every stop ends within
//! drain plus kill time. A killed worker that the kernel does not let go is killed again every [`KILL_TIME`] and never
//! replaced beside itself. A launch that fails, for whatever reason, counts towards one backoff, which one healthy
//! answer resets. `tests/simulation.rs` holds the machine to all of this.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

mod backoff;
mod exchange;
mod machine;
mod run;
mod start;
mod state;
mod stop;
mod types;

pub use backoff::Backoff;
pub use exchange::{HealthSettings, SYNC_TIMEOUT, StatusRule, SyncSettings};
pub use machine::{KILL_TIME, Machine, ROUNDS_MAX, Settings};
pub use state::Condition;
pub use types::{
    Action, Actions, AfterExit, Event, Generation, Health, Holders, KillCause, Notice, Owner, ProbeOutcome, StopSignal,
};

#[cfg(doc)]
use state::State;
