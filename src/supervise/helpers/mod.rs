//! Short-lived processes beside the worker: secrets tools and event hooks.

pub(crate) mod hooks;
pub(crate) mod process;
mod secret_answer;
pub(crate) mod secrets;
