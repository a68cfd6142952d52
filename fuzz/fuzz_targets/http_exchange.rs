//! Bytes of a worker's answer, fed whole, byte by byte, cut at random and cut as [`Exchange::room`] says.
//!
//! The first byte chooses the cuts, the second how often the end of the input is repeated, so that the limits on
//! heads, interim answers and bodies are in reach of short inputs; the rest is what the worker sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use worker_supervisor::http::{BODY_BYTES_KEPT_MAX, Exchange, HttpFailure, Progress};

/// How much of an input's end is repeated.
const TAIL_BYTES: usize = 32;
/// Longer answers are not fed byte by byte.
const SINGLE_BYTES_MAX: usize = 32 << 10;

/// What came of an answer, before and after the end of its connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    open: (Progress, Option<Verdict>),
    closed: (Progress, Option<Verdict>),
}

type Verdict = Result<(u16, Vec<u8>), HttpFailure>;

fuzz_target!(|input: &[u8]| {
    let [cuts, repeats, answer @ ..] = input else { return };
    let tail = &answer[answer.len().saturating_sub(TAIL_BYTES)..];
    let answer = [answer, &tail.repeat(usize::from(*repeats).pow(2) / 16)].concat();
    let mut exchange = Exchange::new();
    let whole = outcome(&mut exchange, [answer.as_slice()]);
    check(&whole);
    // The same one again: nothing of the first answer may be left in it.
    let mut random = Cuts { state: u32::from(*cuts) | 1 << 8, rest: &answer };
    assert_eq!(outcome(&mut exchange, &mut random), whole, "cut at random");
    if answer.len() <= SINGLE_BYTES_MAX {
        assert_eq!(outcome(&mut exchange, answer.chunks(1)), whole, "byte by byte");
    }
    assert_eq!(as_room_says(&answer), whole, "as much as there is room for");
});

fn outcome<'a>(exchange: &mut Exchange, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    exchange.reset();
    let mut furthest = 0;
    for piece in pieces {
        let now = rank(exchange.receive(piece));
        assert!(now >= furthest, "an answer that was heard is heard no more");
        furthest = now;
    }
    closed(exchange)
}

fn rank(progress: Progress) -> u8 {
    match progress {
        Progress::NeedMore => 0,
        Progress::Heard => 1,
        Progress::Done => 2,
    }
}

/// Reads as the runtime does: never more than there is room for, and nothing once there is none.
fn as_room_says(answer: &[u8]) -> Outcome {
    let mut exchange = Exchange::new();
    let mut rest = answer;
    while !rest.is_empty() && exchange.room() > 0 {
        let (piece, later) = rest.split_at(exchange.room().min(rest.len()));
        let _ = exchange.receive(piece);
        rest = later;
    }
    assert_eq!(exchange.room() == 0, exchange.progress() == Progress::Done, "room is for what can matter");
    closed(&mut exchange)
}

fn closed(exchange: &mut Exchange) -> Outcome {
    let open = (exchange.progress(), verdict(exchange));
    let progress = exchange.end();
    Outcome { open, closed: (progress, verdict(exchange)) }
}

fn verdict(exchange: &Exchange) -> Option<Verdict> {
    exchange.verdict().map(|verdict| verdict.map(|response| (response.status, response.body.to_vec())))
}

fn check(outcome: &Outcome) {
    assert_eq!(outcome.open.1.is_none(), outcome.open.0 == Progress::NeedMore, "a verdict as soon as it is heard");
    assert_eq!(outcome.closed.0, Progress::Done, "the end of the connection is the end");
    match &outcome.closed.1 {
        Some(Ok((status, body))) => {
            assert!(matches!(status, 101 | 200..=999), "status {status}");
            assert!(body.len() <= BODY_BYTES_KEPT_MAX, "{} bytes kept", body.len());
        }
        Some(Err(_)) => {}
        None => panic!("no verdict at the end"),
    }
    if outcome.open.1.is_some() {
        assert_eq!(outcome.open.1, outcome.closed.1, "the end of the connection changes no verdict");
    }
}

/// Pieces of up to 64 bytes, or up to 8 KiB, as a small generator of numbers says.
struct Cuts<'a> {
    state: u32,
    rest: &'a [u8],
}

impl<'a> Iterator for Cuts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // Xorshift; from 1 on it never reaches 0.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let bytes_max = if self.state & 0x100 == 0 { 0x3f } else { 0x1fff };
        let (piece, rest) = self.rest.split_at(((self.state >> 9) as usize & bytes_max).min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
