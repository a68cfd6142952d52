//! What one exchange costs in time and in heap allocations, once its buffer has grown.
//!
//! Prints the median of many rounds and where the middle eight tenths lie; asserts nothing about time. The one
//! assertion is that a reused exchange allocates nothing. Without `--bench` (which `cargo bench` passes) it runs a
//! few rounds, as a smoke test.

mod counting;

use std::hint::black_box;
use std::time::Instant;

use counting::allocations;
use worker_supervisor::http::{Exchange, HEAD_BYTES_MAX, Progress};

const ROUNDS: usize = 2_001;
const ROUNDS_SMOKE: usize = 11;
const EXCHANGES_PER_ROUND: usize = 20;

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { ROUNDS_SMOKE };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer-Timing: handler;dur=0.21\r\n\
                X-Inngest-Framework: bun\r\nX-Inngest-Sdk: inngest-js:v4\r\nDate: Tue, 01 Jul 2025 10:00:00 GMT\r\n";
    let body = r#"{"message":"Successfully registered","modified":false}"#;
    let with_length = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let line = format!("X-Filler: {}\r\n", "0123456789".repeat(40));
    let lines = (HEAD_BYTES_MAX - with_length.len()) / line.len();
    let long = format!("{head}{}Content-Length: {}\r\n\r\n{body}", line.repeat(lines), body.len());

    println!("{:<44} {:>9} {:>9} {:>9} {:>12}", "exchange", "median ns", "10 % ns", "90 % ns", "allocations");
    measure("answer with Content-Length, in one piece", with_length.as_bytes(), usize::MAX, rounds);
    measure("answer in chunks, in one piece", chunked.as_bytes(), usize::MAX, rounds);
    measure("answer with Content-Length, byte by byte", with_length.as_bytes(), 1, rounds);
    measure("answer in chunks, byte by byte", chunked.as_bytes(), 1, rounds);
    measure("head of 16 KiB, in one piece", long.as_bytes(), usize::MAX, rounds);
    measure("head of 16 KiB, byte by byte", long.as_bytes(), 1, rounds);
}

/// Runs `answer` through one reused exchange, cut into pieces of `piece_bytes`, and prints what an exchange cost.
fn measure(name: &str, answer: &[u8], piece_bytes: usize, rounds: usize) {
    let mut exchange = Exchange::new();
    run(&mut exchange, answer, piece_bytes);
    let mut nanoseconds = Vec::with_capacity(rounds);
    let allocations_before = allocations();
    for _ in 0..rounds {
        let started_at = Instant::now();
        for _ in 0..EXCHANGES_PER_ROUND {
            run(&mut exchange, black_box(answer), piece_bytes);
        }
        nanoseconds.push(started_at.elapsed().as_nanos() as usize / EXCHANGES_PER_ROUND);
    }
    let allocations = allocations() - allocations_before;
    nanoseconds.sort_unstable();
    let [low, median, high] = [1, 5, 9].map(|tenths| nanoseconds[rounds * tenths / 10]);
    println!("{name:<44} {median:>9} {low:>9} {high:>9} {allocations:>12}");
    assert_eq!(allocations, 0, "a reused exchange allocated: {name}");
}

/// One exchange, from a forgotten last answer to a verdict.
fn run(exchange: &mut Exchange, answer: &[u8], piece_bytes: usize) {
    exchange.reset();
    let mut progress = Progress::NeedMore;
    for piece in answer.chunks(piece_bytes) {
        progress = exchange.receive(piece);
    }
    assert_eq!(progress, Progress::Done);
    let status = exchange.verdict().and_then(Result::ok).map(|answer| answer.status);
    assert_eq!(status, Some(200));
}
