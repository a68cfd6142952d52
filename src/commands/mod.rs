//! The commands of an operator: `status`, `restart`, `logs`, `--dry-run`, `init` and `launchd`.
//!
//! They talk to the supervisor through its state directory and one signal, so that it needs no socket and no port: the
//! lock tells whether it runs, the status file what it does. Everything here takes plain inputs and writers; the caller
//! knows the terminal, prints errors and exits. Nothing here touches the worker.

pub mod dry_run;
pub mod init;
pub mod launchd;
pub mod logs;
pub mod restart;
pub mod status;
mod wait;
