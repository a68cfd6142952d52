//! Short-lived processes beside the worker: secrets tools and event hooks.

pub(crate) mod hooks;
pub(crate) mod process;
mod secret_answer;
mod secret_entry;
pub(crate) mod secrets;
