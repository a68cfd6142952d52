//! What size costs: of the machine, of the worker, and of its files.
//!
//! A crowd of processes and sockets, a worker with many descriptors, a tree of processes, many secrets, a long
//! environment, a huge log. Each is measured beside the same thing without it, in turn, in one run. What a machine does
//! not allow is said, and is never a failure.

mod scale {
    pub(crate) mod burdens;
    pub(crate) mod crowded;
    pub(crate) mod recipes;
    pub(crate) mod rotation;
    pub(crate) mod trees;
}
mod support;

use support::Results;

fn main() {
    let mut results = Results::new("scale");
    scale::crowded::measure(&mut results);
    scale::trees::measure(&mut results);
    scale::burdens::measure(&mut results);
    scale::rotation::measure(&mut results);
    results.finish();
}
