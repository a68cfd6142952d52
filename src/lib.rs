//! The library under the program `worker-supervisor`, which keeps one worker alive: it starts it, notices its exit,
//! checks its health over HTTP, registers it, restarts it, drains it, and leaves nothing behind.
//!
//! Most readers want the program: the README says what it does and how to install it, the man page how to call it. The
//! library is there so that tests and benchmarks can use its parts, and its interface follows the program's needs.
//! What is stable is the program's: command line, config, exit codes, log lines, status fields.
//!
//! # Where to begin
//! - [`policy`] decides: a state machine that takes facts and gives orders. It reads no clock and opens nothing, and
//!   can be used without all the rest.
//! - [`http`] is one HTTP/1.1 exchange as a state machine: bytes in, bytes out, no sockets.
//! - [`supervise`] is the loop around the two: it waits, tells the policy what happened, and does what that says.
//! - [`config`] is what a config may say, a row for each key; [`cli`] is the command line; [`commands`] are what it
//!   asks for beside supervising.
//! - [`lock`] and [`state_dir`] keep supervisors apart and hold what outlives one. What differs between systems, and
//!   all unsafe code, is in the crate `worker-supervisor-platform`.
//!
//! ARCHITECTURE.md has the promises and the reasons.
//!
//! # The policy by itself
//! ```
//! use std::time::{Duration, Instant};
//! use worker_supervisor::policy::{
//!     Action, Backoff, Event, Generation, HealthSettings, Machine, Settings, StatusRule, SyncSettings,
//! };
//!
//! let secs = Duration::from_secs;
//! let settings = Settings {
//!     startup_timeout: secs(60),
//!     stable: secs(10),
//!     backoff: Backoff { min: secs(1), max: secs(30) },
//!     drain: secs(5),
//!     port_grace: secs(2),
//!     wait_for_port: false,
//!     lease_timeout: secs(10),
//!     health: HealthSettings { interval: secs(30), timeout: secs(5), streak_max: 3, status: StatusRule::Below500 },
//!     sync: SyncSettings::Every(secs(300)),
//! };
//! let now = Instant::now();
//! let (mut machine, orders) = Machine::new(settings, now, false);
//! let first = Generation::FIRST;
//! assert!(orders.into_iter().any(|order| order == Action::Launch(first)));
//!
//! // It was started, and has died before it was ever healthy: the next start is a second away.
//! machine.handle(now, Event::Spawned(first));
//! let died = now + secs(2);
//! machine.handle(died, Event::Exited(first));
//! assert_eq!(machine.next_deadline(), Some(died + secs(1)));
//! ```
#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod http;
pub mod lock;
pub mod policy;
pub mod print;
pub mod state_dir;
pub mod supervise;
pub mod time;
