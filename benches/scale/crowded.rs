//! The same on a machine with many processes and sockets: a restart, and whatever looks beyond the worker's own.
//!
//! A crowd takes seconds to gather, so that contenders do not meet each in turn, but in a block of rounds with each,
//! pass by pass. What looks at the machine is measured without a crowd and with the whole of it.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::recipes::{large, large_tree, ours, registered, small_tree, wrapped};
use super::trees;
use crate::support::crowd::{Size, grouped};
use crate::support::place::{PortClaim, TempDir, free_port};
use crate::support::record::Record;
use crate::support::{
    Contender, Crowd, LIMIT, Mark, Recipe, Results, Site, Summary, bare_vfork, now_ns, product, rounds, wait_for,
    worker,
};

const PASSES: usize = 3;

const RESTARTED: &str = "Restart on a crowded machine";
const LOOKS: &str = "What looks at a crowded machine";

/// One thing to measure.
struct Row {
    table: &'static str,
    who: String,
    what: &'static str,
    rounds: usize,
    once: Box<dyn FnMut() -> Duration>,
    /// With each crowd.
    times: [Vec<Duration>; 4],
}

/// Adds what each took with each crowd, over what it took without one.
pub(crate) fn measure(results: &mut Results) {
    let sizes = sizes();
    let mut rows = rows();
    for pass in 0..rounds(PASSES, 1) {
        for turn in 0..sizes.len() {
            // Nobody is always the first, on a machine that has rested.
            let at = (pass + turn) % sizes.len();
            match Crowd::gather(sizes[at]) {
                Ok(_crowd) => rows.iter_mut().for_each(|row| row.measure(at)),
                Err(reason) => results.remark(format!("{}: not measured, {reason}", sizes[at])),
            }
        }
    }
    for Row { table, who, what, times, .. } in &rows {
        for (size, times_then) in sizes.iter().zip(times).filter(|(_, times)| !times.is_empty()) {
            let figure = results.add(table, &format!("{who}, {size}"), what, Summary::of_times(times_then));
            if !times[0].is_empty() {
                figure.against(Summary::of_times(&times[0]));
            }
        }
    }
}

/// From nobody to all of it.
fn sizes() -> [Size; 4] {
    let (processes, sockets) = (rounds(10_000, 50), rounds(50_000, 200));
    let nobody = Size::default();
    [
        nobody,
        Size { processes, ..nobody },
        Size { processes: sockets.div_ceil(1_000), sockets, ..nobody },
        Size { processes, sockets, ..nobody },
    ]
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |table, who: &str, what, rounds, once| {
        rows.push(Row { table, who: who.to_owned(), what, rounds, once, times: Default::default() });
    };
    for recipe in [bare_vfork(), product()] {
        add(RESTARTED, recipe.name, "from SIGKILL to the next worker, ms", 30, restarting(recipe));
    }
    for recipe in [registered(), wrapped()] {
        add(LOOKS, recipe.name, "listen() to the registration, ms", 10, registering(recipe));
    }
    let stranger = Stranger::start();
    let meeting = Box::new(move || stranger.is_met());
    add(LOOKS, "a stranger has the port", "from exec until it is named, ms", 10, meeting);
    for (processes, recipe) in [(10, small_tree()), (large(), large_tree())] {
        let who = format!("a worker and {} processes", grouped(processes));
        add(LOOKS, &who, "from SIGTERM until all are gone, ms", 4, Box::new(move || trees::end(recipe)));
    }
    rows
}

impl Row {
    fn measure(&mut self, crowd: usize) {
        if self.table == RESTARTED || crowd == 0 || crowd == self.times.len() - 1 {
            self.times[crowd].extend((0..rounds(self.rounds, 1)).map(|_| (self.once)()));
        }
    }
}

fn restarting(recipe: Recipe) -> Box<dyn FnMut() -> Duration> {
    let mut contender = Contender::ready(recipe);
    Box::new(move || {
        let (time, _) = contender.restart();
        contender.wait_ready();
        time
    })
}

/// The PUT follows the first healthy answer as soon as it is known whose that was.
pub(super) fn registering(recipe: Recipe) -> Box<dyn FnMut() -> Duration> {
    let mut contender = Contender::ready(recipe);
    Box::new(move || {
        contender.restart();
        contender.wait_ready();
        let [listens, put] = [Mark::Listens, Mark::Put].map(|mark| contender.wait_mark(mark).at_ns);
        Duration::from_nanos(put - listens)
    })
}

/// A worker on a port, of nobody who is measured.
struct Stranger {
    process: Started,
    port: PortClaim,
    _dir: TempDir,
}

impl Stranger {
    fn start() -> Self {
        let (dir, port) = (TempDir::new(), free_port());
        let path = dir.join("record");
        let mut record = Record::create(&path);
        let mut command = Command::new(worker());
        command.env("BENCH_RECORD", &path).env("BENCH_PORT", port.number().to_string());
        let process = Started(command.spawn().expect("a stranger starts"));
        let listens = || record.entries().iter().any(|entry| entry.mark == Mark::Listens).then_some(());
        wait_for(|| "a stranger on the port".to_owned(), listens);
        Self { process, port, _dir: dir }
    }

    /// Starts a supervisor, and waits until it says who has its port.
    fn is_met(&self) -> Duration {
        let dir = TempDir::new();
        let mut command = ours(dir.path(), &Site { worker: worker().to_owned(), port: self.port.number() }, "");
        let (lines, errors) = UnixStream::pair().expect("two ends");
        lines.set_read_timeout(Some(LIMIT)).expect("a limit");
        command.stdin(Stdio::null()).stderr(OwnedFd::from(errors));
        let started_at = now_ns();
        let _supervisor = Started(command.spawn().expect("the supervisor starts"));
        // Ours of the end that it writes to.
        drop(command);
        let naming = format!("is held by pid {} ", self.process.0.id());
        let named = BufReader::new(lines).lines().map_while(Result::ok).any(|line| line.contains(&naming));
        let took = Duration::from_nanos(now_ns() - started_at);
        assert!(named, "it never said that the port {naming}");
        took
    }
}

/// A process that ends with this: it has nothing to lose and no worker.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
