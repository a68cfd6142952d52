//! Supervises one worker: see the README for its use and ARCHITECTURE.md for how it is cut.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod doctor;
pub mod env;
pub mod error;
pub mod http;
pub mod launchd;
pub mod logfile;
pub mod operator;
pub mod ownlog;
pub mod policy;
pub mod runtime;
pub mod span;
pub mod state_dir;
pub mod status;
