//! What a person waits for: the example worker, real bun with the Inngest SDK, killed, or restarted while it has a
//! request to answer, until it answers again and until it is registered again.
//!
//! Beside it, in each round, bun's own: started by hand and registered by hand as soon as it answers, which nobody can
//! be faster than. Peers do not register, and are told to restart by SIGTERM to the worker, as their commands do.
//! All run side by side and take turns; whether one answers is asked every millisecond. Needs what `make test`
//! installs.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::api::ApiStandIn;
use support::client::request;
use support::place::{PortClaim, TempDir, free_port};
use support::{
    Contender, Mark, Recipe, Results, Summary, THROTTLE, absent_peers, is_earnest, peers, product_of_example, rounds,
    shell_loop, wait_for,
};

const ROUNDS: usize = 20;
const ROUNDS_SMOKE: usize = 1;

/// supervisord takes part in every fifth round only.
const SLOW: Duration = Duration::from_millis(700);
const SLOW_EVERY: usize = 5;

/// How long the request that is under way at a restart goes on after the order.
const UNDER_WAY: Duration = Duration::from_millis(200);

const OWN: &str = "bun by itself";
const ANSWERS: &str = "until it answers, ms";
const REGISTERED: &str = "until it is registered, ms";
const MORE: &str = "more than bun's own";

/// Somebody with the example as its worker.
struct Felt {
    name: &'static str,
    note: &'static str,
    contender: Contender,
    api: ApiStandIn,
    port: PortClaim,
    registers: bool,
    /// When its worker answered first.
    answered_at: Instant,
    _dir: TempDir,
}

/// What was measured of one, round by round, beside bun's own in the same round.
#[derive(Default)]
struct Times {
    answers: Vec<Pair>,
    registered: Vec<Pair>,
}

/// What it took, and what bun by itself took.
type Pair = (Duration, Duration);

fn main() {
    let mut results = Results::new("felt");
    let mut recipes = vec![product_of_example(), shell_loop()];
    recipes.extend(if is_earnest() { peers() } else { Vec::new() });
    let mut all: Vec<Felt> = recipes.into_iter().map(Felt::start).collect();
    compare(&mut results, "What a person waits for: kill -9 of bun with the Inngest SDK", &mut all, Felt::kill);
    let restart = "What a person waits for: a restart with a request under way, from its answer on";
    compare(&mut results, restart, &mut all, Felt::restart);
    for name in absent_peers() {
        results.remark(format!("{name}: not installed, not measured"));
    }
    results.finish();
}

/// Has all workers replaced in turn. `replace` says from when on a person waits.
fn compare(results: &mut Results, table: &str, all: &mut [Felt], replace: fn(&mut Felt) -> Instant) {
    let mut times: Vec<Times> = all.iter().map(|_| Times::default()).collect();
    let (mut own_answers, mut own_registered) = (Vec::new(), Vec::new());
    for round in 0..rounds(ROUNDS, ROUNDS_SMOKE) {
        let (answers, registered) = bun_by_itself();
        own_answers.push(answers);
        own_registered.push(registered);
        let count = all.len();
        for turn in 0..count {
            let which = (round + turn) % count;
            let (felt, times) = (&mut all[which], &mut times[which]);
            if times.answers.iter().any(|(took, _)| *took > SLOW) && round % SLOW_EVERY != 0 {
                continue;
            }
            felt.wait_age();
            let known = felt.api.requests().len();
            let began_at = replace(felt);
            felt.wait_answer();
            times.answers.push((felt.answered_at - began_at, answers));
            if felt.registers {
                felt.wait_registered(known);
                times.registered.push((began_at.elapsed(), registered));
            }
        }
    }
    results.add(table, OWN, ANSWERS, Summary::of_times(&own_answers));
    results.add(table, OWN, REGISTERED, Summary::of_times(&own_registered));
    for (felt, times) in all.iter().zip(&times) {
        for (what, pairs) in [(ANSWERS, &times.answers), (REGISTERED, &times.registered)] {
            let Some(took) = (!pairs.is_empty()).then(|| pairs.iter().map(|(took, _)| *took).collect::<Vec<_>>())
            else {
                continue;
            };
            results.add(table, felt.name, what, Summary::of_times(&took)).note = felt.note.to_owned();
            let more = pairs.iter().map(|(took, own)| (took.as_secs_f64() - own.as_secs_f64()) * 1e3);
            results.add(table, felt.name, &format!("{what} {MORE}"), Summary::of(more.collect()));
        }
    }
}

impl Felt {
    /// Starts it, and waits until its worker answers and is registered.
    fn start(recipe: Recipe) -> Self {
        let (dir, port, api_port) = (TempDir::new(), free_port(), free_port());
        let api = ApiStandIn::start(&api_port);
        let program = dir.join("worker");
        write_worker(&program, port.number(), api_port.number());
        let contender = Contender::start_over(recipe, &program, port.number());
        let registers = recipe.name == product_of_example().name;
        let (name, note, answered_at) = (recipe.name, recipe.note, Instant::now());
        let mut felt = Self { name, note, contender, api, port, registers, answered_at, _dir: dir };
        felt.wait_answer();
        if registers {
            felt.wait_registered(0);
        }
        felt
    }

    fn worker(&mut self) -> Pid {
        Pid::from_raw(self.contender.wait_mark(Mark::Began).pid)
    }

    fn kill(&mut self) -> Instant {
        let worker = self.worker();
        let began_at = Instant::now();
        kill(worker, Signal::SIGKILL).expect("the worker lives");
        began_at
    }

    /// Orders a restart, and lets a request end a while after that.
    fn restart(&mut self) -> Instant {
        let under_way = UnderWay::begin(self.port.number());
        let worker = self.worker();
        if self.registers {
            kill(Pid::from_raw(self.contender.pid()), Signal::SIGUSR1).expect("the supervisor lives");
        } else {
            kill(worker, Signal::SIGTERM).expect("the worker lives");
        }
        sleep(UNDER_WAY);
        under_way.end()
    }

    fn wait_answer(&mut self) {
        wait_answer(self.port.number());
        self.answered_at = Instant::now();
    }

    fn wait_registered(&self, known: usize) {
        wait_for(|| format!("a registration by {}", self.name), || (self.api.requests().len() > known).then_some(()));
    }

    /// Some leave a second between two starts.
    fn wait_age(&self) {
        sleep(THROTTLE.saturating_sub(self.answered_at.elapsed()));
    }
}

/// A request whose body is not whole yet.
struct UnderWay {
    stream: TcpStream,
}

impl UnderWay {
    fn begin(port: u16) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the worker listens");
        let head = "POST /api/inngest?fnId=inngest-bun-worker-greet&stepId=step HTTP/1.1\r\nHost: localhost\r\n\
                    Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{";
        stream.write_all(head.as_bytes()).expect("the worker reads");
        // The worker has to have it before it is told to go.
        sleep(Duration::from_millis(20));
        Self { stream }
    }

    /// Sends the rest, and returns when the answer was there.
    fn end(mut self) -> Instant {
        self.stream.write_all(b"}").expect("the worker waits for it");
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 "), "the request was cut: {answer:?}");
        Instant::now()
    }
}

/// How long bun takes to answer, and to be registered by whoever asks for that at once.
fn bun_by_itself() -> (Duration, Duration) {
    let (dir, port, api_port) = (TempDir::new(), free_port(), free_port());
    let api = ApiStandIn::start(&api_port);
    let program = dir.join("worker");
    write_worker(&program, port.number(), api_port.number());
    let mut command = Command::new(&program);
    command.env("BENCH_RECORD", dir.join("record")).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let began_at = Instant::now();
    let bun = Ended(command.spawn().expect("bun can be started"));
    wait_answer(port.number());
    let answers = began_at.elapsed();
    request(port.number(), "PUT", "/api/inngest").expect("an answer to the registration");
    wait_for(|| "a registration".to_owned(), || (!api.requests().is_empty()).then_some(()));
    let registered = began_at.elapsed();
    drop(bun);
    (answers, registered)
}

/// A child that is killed in the end.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_answer(port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    wait_for(|| format!("an answer at {address}"), || request(port, "GET", "/health").ok());
}

/// The worker as one program, which whoever runs it runs alike. It writes down its pid as the others do.
fn write_worker(program: &Path, port: u16, api_port: u16) {
    let example = example();
    let (bun, serve) = (example.join("node_modules/.bin/bun"), example.join("src/serve.ts"));
    let text = format!(
        "#!/bin/sh\necho \"B $$ 0\" >>\"$BENCH_RECORD\"\n\
         export PORT={port} INNGEST_DEV=http://127.0.0.1:{api_port} INNGEST_BASE_URL=http://127.0.0.1:{api_port}\n\
         exec '{}' run '{}'\n",
        bun.display(),
        serve.display(),
    );
    std::fs::write(program, text).expect("a program can be written");
    std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).expect("our own file");
}

fn example() -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/inngest-bun");
    let installed = example.join("node_modules/.package-lock.json");
    assert!(installed.exists(), "bun and the Inngest SDK are missing: run `make test`, which installs them");
    example
}
