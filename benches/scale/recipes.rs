//! The contenders of this benchmark: the product and the bare loop, with something large to carry each.

use std::fmt::Write;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};

use crate::support::{Mark, RARELY_SECS, Recipe, Site, bare_vfork, product, product_program, put, rounds, supervise};

/// The health check's, in seconds, where a figure is about that.
pub(crate) const OFTEN_SECS: f64 = 0.005;

/// An environment file has a thousand lines of this length.
const LINE_BYTES: usize = 1_000;

/// What a worker has open besides is less.
const OTHER_DESCRIPTORS: usize = 50;

const SYNC: &str = "sync_endpoint = \"/api\"\n";

/// A product that registers its worker, over one that listens itself.
pub(crate) fn registered() -> Recipe {
    Recipe {
        name: "worker-supervisor, the worker itself listens",
        prepare: |dir, site| late(ours(dir, site, SYNC)),
        ready: Mark::Put,
        note: "",
        ..product()
    }
}

/// The same behind a shell, as package managers have it: who listens has to be looked for.
pub(crate) fn wrapped() -> Recipe {
    Recipe {
        name: "worker-supervisor, a child of the worker listens",
        prepare: |dir, site| {
            let wrapper = dir.join("wrapper");
            put(&wrapper, &format!("#!/bin/sh\n'{}' & wait\n", site.worker.display()), 0o700);
            late(ours(dir, &Site { worker: wrapper, port: site.port }, SYNC))
        },
        ..registered()
    }
}

/// The same over a worker with many descriptors.
pub(crate) fn registered_with_descriptors() -> Recipe {
    Recipe {
        name: "worker-supervisor, the worker has so many descriptors",
        prepare: |dir, site| with_descriptors(late(ours(dir, site, SYNC))),
        ..registered()
    }
}

/// How many these are: nearly as many as may be open, where 20,000 are too many.
pub(crate) fn descriptors() -> usize {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit of open files");
    rounds(20_000, 500).min(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS))
}

/// Over a worker with many descriptors.
pub(crate) fn laden() -> Recipe {
    Recipe { prepare: |dir, site| with_descriptors((product().prepare)(dir, site)), ..product() }
}

/// The bare loop over the same.
pub(crate) fn bare_laden() -> Recipe {
    Recipe { prepare: |dir, site| with_descriptors((bare_vfork().prepare)(dir, site)), ..bare_vfork() }
}

/// With an environment file of a megabyte.
pub(crate) fn long_environment() -> Recipe {
    Recipe {
        prepare: |dir, site| {
            let mut text = String::new();
            for (name, value) in variables() {
                let _ = writeln!(text, "{name}='{value}'");
            }
            // It stays from run to run: one that was edited a moment ago is read again at each restart.
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("long.env");
            if !read_to_string(&file).is_ok_and(|found| found == text) {
                put(&file, &text, 0o600);
            }
            ours(dir, site, &format!("env_file = {file:?}\n"))
        },
        ..product()
    }
}

/// The bare loop with the same variables.
pub(crate) fn bare_long_environment() -> Recipe {
    Recipe {
        prepare: |dir, site| {
            let mut command = (bare_vfork().prepare)(dir, site);
            command.envs(variables());
            command
        },
        ..bare_vfork()
    }
}

/// With a hundred secrets, each printed by a program that does nothing else.
pub(crate) fn secretive() -> Recipe {
    Recipe {
        prepare: |dir, site| {
            let mut more = "secrets_command = [\"/bin/echo\", \"value of {name}\"]\n[secrets]\n".to_owned();
            for number in 1..=rounds(100, 4) {
                let _ = writeln!(more, "SECRET_{number} = \"secret-{number}\"");
            }
            ours(dir, site, &more)
        },
        ..product()
    }
}

/// Over a worker with a small tree of processes, all of which a stop asks.
pub(crate) fn small_tree() -> Recipe {
    Recipe { prepare: |dir, site| with_tree(ours(dir, site, "stop_group = true\n"), SMALL_TREE), ..product() }
}

/// The same with a large one.
pub(crate) fn large_tree() -> Recipe {
    Recipe { prepare: |dir, site| with_tree(ours(dir, site, "stop_group = true\n"), large()), ..product() }
}

/// Processes of a small tree.
pub(crate) const SMALL_TREE: usize = 10;

/// Processes of a large one.
pub(crate) fn large() -> usize {
    rounds(1_000, 30)
}

/// The worker grows so many descendants.
pub(crate) fn with_tree(mut command: Command, processes: usize) -> Command {
    command.env("BENCH_TREE", processes.to_string());
    command
}

/// With a log that is rotated beyond so many bytes, and checks that the worker can time.
pub(crate) fn rotating() -> Recipe {
    Recipe {
        prepare: |dir, site| {
            let more = format!("log_keep = 1\nlog_max_bytes = {}\n", super::rotation::log_bytes());
            supervise(&product_program(), dir, site, OFTEN_SECS, &more)
        },
        ..product()
    }
}

/// The product as it is measured here: its checks are rare.
pub(crate) fn ours(dir: &Path, site: &Site, more: &str) -> Command {
    supervise(&product_program(), dir, site, RARELY_SECS, more)
}

/// A worker that listened at the same moment of its life each time would meet the probes in step.
fn late(mut command: Command) -> Command {
    command.env("BENCH_DELAY_MS_MAX", "40");
    command
}

fn with_descriptors(mut command: Command) -> Command {
    command.env("BENCH_DESCRIPTORS", descriptors().to_string());
    command
}

fn variables() -> impl Iterator<Item = (String, String)> {
    (0..rounds(1_000, 10)).map(|number| {
        let name = format!("VARIABLE_{number:04}");
        let value = "x".repeat(LINE_BYTES - name.len() - "=''\n".len());
        (name, value)
    })
}
