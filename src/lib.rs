//! Supervises one worker: see the README for its use and ARCHITECTURE.md for how it is cut.
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
