//! The vocabulary of the integration tests: a scene (directory, port, configuration), the supervisor in it, its worker,
//! strangers, clients, and waits with a limit.
//! It promises that nothing outlives a test, failed or not, that tests in parallel never meet on a port or a path, and
//! that every wait ends: in what was awaited, or in a panic that says what never came and shows the supervisor's log.
//! Words that the supervisor prints are in `words` alone. What only one system can tell is in a file with its name.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of the vocabulary")]

mod api;
mod client;
mod config;
mod fixture;
mod helpers;
mod place;
mod process;
mod report;
mod sampler;
mod scene;
mod seeded;
#[cfg(target_os = "linux")]
mod strace;
mod supervisor;
mod usage;
mod users;
mod wait;
pub(crate) mod words;

pub(crate) use api::ApiStandIn;
pub(crate) use client::{Answer, connect, is_listening, request, request_to};
pub(crate) use config::{Config, quoted};
pub(crate) use fixture::{Fixture, worker_program};
pub(crate) use helpers::{dumped, files_below, shell, wait_for_line, wait_for_pid};
pub(crate) use nix::sys::signal::Signal;
pub(crate) use place::{PortClaim, TempDir, free_port};
pub(crate) use process::{children_of, descriptors_of, group_members, group_of, process_alive, send_signal};
pub(crate) use report::{Event, WorkerReport};
#[cfg(target_os = "linux")]
pub(crate) use sampler::time_waits_on;
pub(crate) use sampler::{Sampler, listeners_on};
pub(crate) use scene::{Ran, Scene};
pub(crate) use seeded::Seeded;
#[cfg(target_os = "linux")]
pub(crate) use strace::{calls_of, is_fork, traced, traced_with};
pub(crate) use supervisor::Supervisor;
pub(crate) use usage::{Usage, usage_of};
pub(crate) use users::{copied_programs, give_to, is_root_to, program_at, same_surroundings};
pub(crate) use wait::{LIMIT, let_pass, monotonic_ns, slowed, wait_for, wait_until};
