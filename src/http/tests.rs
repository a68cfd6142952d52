//! Every sample answer must give the same verdict however it is cut into pieces.

use super::*;
use HttpFailure::{ClosedEarly, HeadTooLong, NoAnswer, NotHttp, Tls, TooManyInterim};
use Progress::{Done, Heard, NeedMore};

type Verdict = Option<Result<(u16, Vec<u8>), HttpFailure>>;

/// An answer, and what is to be made of it before and after the connection ends.
struct Sample {
    bytes: Vec<u8>,
    open: Progress,
    verdict: Result<(u16, Vec<u8>), HttpFailure>,
}

fn answered(bytes: impl AsRef<[u8]>, open: Progress, status: u16, body: impl AsRef<[u8]>) -> Sample {
    Sample { bytes: bytes.as_ref().to_vec(), open, verdict: Ok((status, body.as_ref().to_vec())) }
}

fn failed(bytes: impl AsRef<[u8]>, open: Progress, failure: HttpFailure) -> Sample {
    Sample { bytes: bytes.as_ref().to_vec(), open, verdict: Err(failure) }
}

fn chunked(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

fn feed<'a>(exchange: &mut Exchange, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Progress, Verdict) {
    exchange.reset();
    for piece in pieces {
        let _ = exchange.receive(piece);
    }
    let open = exchange.progress();
    assert_eq!(exchange.end(), Done);
    (open, owned(exchange.verdict()))
}

fn owned(verdict: Option<Result<Response<'_>, HttpFailure>>) -> Verdict {
    verdict.map(|verdict| verdict.map(|answer| (answer.status, answer.body.to_vec())))
}

/// The start of an answer, for a message.
fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(200)].escape_ascii().to_string()
}

/// Feeds every sample whole, byte by byte and in two pieces cut at every byte (of long ones, at many).
fn check(samples: &[Sample]) {
    let mut exchange = Exchange::new();
    for Sample { bytes, open, verdict } in samples {
        let expected = (*open, Some(verdict.clone()));
        let name = shown(bytes);
        assert!(feed(&mut exchange, [bytes.as_slice()]) == expected, "whole: {name}");
        assert!(feed(&mut exchange, bytes.chunks(1)) == expected, "byte by byte: {name}");
        for cut in (0..=bytes.len()).step_by(if bytes.len() < 2000 { 1 } else { bytes.len() / 50 }) {
            let (left, right) = bytes.split_at(cut);
            assert!(feed(&mut exchange, [left, right]) == expected, "cut at {cut}: {name}");
        }
    }
}

fn tolerated_heads() -> Vec<Sample> {
    vec![
        answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Done, 200, "ok"),
        answered("HTTP/1.1 401 Unauthorized\r\ncontent-length:2\r\n\r\n{}", Done, 401, "{}"),
        answered("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", Done, 302, ""),
        answered("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Done, 200, "ok"),
        answered("HTTP/1.0 200 OK\r\n\r\nok", Heard, 200, "ok"),
        answered("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", Done, 200, "ok"),
        answered("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", Done, 200, "ok"),
        answered("HTTP/1.1 200\n\n", Heard, 200, ""),
        answered("HTTP/1.1  503  Busy\r\n\r\n", Heard, 503, ""),
        answered("\r\n\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Done, 200, "ok"),
        answered(b"HTTP/1.1 200 \xc3\xa4\r\nX: \xff\r\nContent-Length: 1\r\n\r\nx", Done, 200, "x"),
        answered("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Done, 200, "ok"),
        answered("HTTP/1.1 200 OK\r\nno colon\r\n@: x\r\n folded\r\nContent-Length: 2\r\n\r\nok", Done, 200, "ok"),
        answered("HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", Done, 200, ""),
        answered("HTTP/1.1 999 ?\r\n\r\n", Heard, 999, ""),
    ]
}

fn bodies() -> Vec<Sample> {
    let head = "HTTP/1.1 200 OK\r\n";
    vec![
        answered("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", Done, 204, ""),
        answered("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", Done, 304, ""),
        answered(format!("{head}Content-Length: 0\r\n\r\nsurplus"), Done, 200, ""),
        answered(format!("{head}Content-Length: 2\r\n\r\nok, surplus"), Done, 200, "ok"),
        answered(format!("{head}Content-Length: 9\r\n\r\ncut"), Heard, 200, "cut"),
        answered(format!("{head}\r\nuntil the close"), Heard, 200, "until the close"),
        answered(format!("{head}Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok"), Done, 200, "ok"),
        answered(format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!"), Done, 200, ""),
        answered(format!("{head}Content-Length: 2, 3\r\n\r\nok!"), Done, 200, ""),
        answered(format!("{head}Content-Length: +2\r\n\r\nok"), Done, 200, ""),
        answered(format!("{head}Content-Length:\r\n\r\nok"), Done, 200, ""),
        answered(format!("{head}Content-Length: 18446744073709551615\r\n\r\nok"), Heard, 200, "ok"),
        answered(format!("{head}Content-Length: 18446744073709551616\r\n\r\nok"), Done, 200, ""),
        answered(format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n"), Done, 200, ""),
        answered(format!("{head}Content-Length: x\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), Done, 200, ""),
        answered(format!("{head}Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nzip"), Heard, 200, "zip"),
        answered(format!("{head}Transfer-Encoding: chunked, gzip\r\n\r\n1\r\n"), Heard, 200, "1\r\n"),
        answered(format!("{head}Transfer-Encoding: gzip, chunked,\r\n\r\n1\r\nz\r\n0\r\n\r\n"), Done, 200, "z"),
        answered(
            format!("{head}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n"),
            Done,
            200,
            "z",
        ),
    ]
}

fn chunks() -> Vec<Sample> {
    vec![
        answered(chunked("0\r\n\r\n"), Done, 200, ""),
        answered(chunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nsurplus"), Done, 200, "abc0123456789"),
        answered(chunked("b\nhello world\n0\n\n"), Done, 200, "hello world"),
        answered(chunked("2;name=\"a;b\"\r\nok\r\n0;last\r\n\r\n"), Done, 200, "ok"),
        answered(chunked("2 \t\r\nok\r\n000\r\n\r\n"), Done, 200, "ok"),
        answered(chunked("0000000000000000000002\r\nok\r\n0\r\n\r\n"), Done, 200, "ok"),
        answered(chunked("2\r\nok\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n"), Done, 200, "ok"),
        answered(chunked("2\r\n\r\n\r\n0\r\n\r\n"), Done, 200, "\r\n"),
        answered(chunked("2\r\nok\r\n0\r\nTrailer: x\r\n"), Heard, 200, "ok"),
        answered(chunked("2\r\nok\r\n"), Heard, 200, "ok"),
        answered(chunked("9\r\ncut"), Heard, 200, "cut"),
        answered(chunked("ffffffffffffffff\r\nendless"), Heard, 200, "endless"),
        answered(chunked("2\r\nok\r\n10000000000000000\r\nx"), Done, 200, "ok"),
        answered(chunked("2\r\nok\r\nxyz\r\n"), Done, 200, "ok"),
        answered(chunked("2\r\nok\r\n-1\r\n"), Done, 200, "ok"),
        answered(chunked("2\r\nok\r\n\r\n0\r\n\r\n"), Done, 200, "ok"),
        answered(chunked("2\r\nok!2\r\nno\r\n0\r\n\r\n"), Done, 200, "ok"),
        answered(chunked(";no size\r\n"), Done, 200, ""),
        answered(chunked("0x2\r\nok\r\n"), Done, 200, ""),
    ]
}

fn interim_answers() -> Vec<Sample> {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let hints = |count| "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(count);
    vec![
        answered(format!("HTTP/1.1 100 Continue\r\n\r\n{last}"), Done, 200, "ok"),
        answered(format!("HTTP/1.1 100\n\n{}\r\n{last}", hints(1)), Done, 200, "ok"),
        answered(format!("HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\n{last}"), Done, 200, "ok"),
        answered(hints(INTERIM_MAX.into()) + last, Done, 200, "ok"),
        failed(hints(usize::from(INTERIM_MAX) + 1) + last, Done, TooManyInterim),
        failed(hints(1), NeedMore, ClosedEarly),
        failed(hints(1) + "garbage", Done, NotHttp),
        answered("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02", Done, 101, ""),
    ]
}

fn no_answers() -> Vec<Sample> {
    vec![
        failed("", NeedMore, NoAnswer),
        failed("\r\n", NeedMore, ClosedEarly),
        failed("HTTP/1.", NeedMore, ClosedEarly),
        failed("HTTP/1.1 200 OK", NeedMore, ClosedEarly),
        failed("HTTP/1.1 200 OK\r\nContent-Le", NeedMore, ClosedEarly),
        failed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", NeedMore, ClosedEarly),
        failed("x", Done, NotHttp),
        failed("\x15\x03\x01\x00\x02\x02\x28", Done, Tls),
        failed("\x15\x03\n", Done, Tls),
        failed("\x15", NeedMore, ClosedEarly),
        failed("\x15\n", Done, NotHttp),
        failed("\x15x", Done, NotHttp),
        failed("SSH-2.0-OpenSSH_9.6\r\n", Done, NotHttp),
        failed("<html></html>", Done, NotHttp),
        failed("\r\r\nHTTP/1.1 200 OK\r\n\r\n", Done, NotHttp),
        failed(" HTTP/1.1 200 OK\r\n\r\n", Done, NotHttp),
        failed("http/1.1 200 OK\r\n\r\n", Done, NotHttp),
        failed("HTTP/2.0 200 OK\r\n\r\n", Done, NotHttp),
        failed("HTTP/1.1\r\n\r\n", Done, NotHttp),
        failed("HTTP/1.1 20\r\n\r\n", Done, NotHttp),
        failed("HTTP/1.1 2000 OK\r\n\r\n", Done, NotHttp),
        failed("HTTP/1.1 +20 OK\r\n\r\n", Done, NotHttp),
        failed("HTTP/1.1 099 Low\r\n\r\n", Done, NotHttp),
        failed("HTTP/1.1 200 an escape \x1b[2J is no reason phrase\r\n\r\n", Done, NotHttp),
    ]
}

fn long_answers() -> Vec<Sample> {
    let head = |status: u16, bytes: usize| {
        let line = format!("HTTP/1.1 {status} OK\r\nX: ");
        let filler = "a".repeat(bytes - line.len() - "\r\n\r\n".len());
        format!("{line}{filler}\r\n\r\n")
    };
    let long = "b".repeat(BODY_BYTES_KEPT_MAX + 10_000);
    let kept = &long[..BODY_BYTES_KEPT_MAX];
    let start = "HTTP/1.1 200 OK\r\n";
    let many = "A: b\r\n".repeat(HEADERS_MAX);
    vec![
        answered(head(200, HEAD_BYTES_MAX) + "body", Heard, 200, "body"),
        answered(head(200, HEAD_BYTES_MAX + 1) + "body", Done, 200, ""),
        answered(head(101, HEAD_BYTES_MAX + 1), Done, 101, ""),
        answered(head(503, 3 * HEAD_BYTES_MAX), Done, 503, ""),
        failed(head(103, HEAD_BYTES_MAX + 1), Done, HeadTooLong),
        failed("HTTP/1.1 200 ".to_owned() + &"a".repeat(HEAD_BYTES_MAX), Done, HeadTooLong),
        failed("\r\n".repeat(HEAD_BYTES_MAX), Done, HeadTooLong),
        answered(format!("{start}{many}\r\nbody"), Heard, 200, "body"),
        answered(format!("{start}{many}A: b\r\n\r\nbody"), Done, 200, ""),
        answered(format!("{start}\r\n{long}"), Heard, 200, kept),
        answered(format!("{start}Content-Length: {}\r\n\r\n{long}", long.len()), Done, 200, kept),
        answered(chunked(&format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len())), Done, 200, kept),
    ]
}

fn all_samples() -> Vec<Sample> {
    let tables = [tolerated_heads(), bodies(), chunks(), interim_answers(), no_answers(), long_answers()];
    tables.into_iter().flatten().collect()
}

#[test]
fn lenient_heads_are_understood_however_they_are_cut() {
    check(&tolerated_heads());
}

#[test]
fn bodies_follow_their_framing_and_never_change_the_status() {
    check(&bodies());
}

#[test]
fn chunks_are_decoded_and_bad_ones_end_the_body() {
    check(&chunks());
}

#[test]
fn interim_answers_are_skipped_up_to_their_limit() {
    check(&interim_answers());
}

#[test]
fn what_is_no_answer_fails_for_the_right_reason() {
    check(&no_answers());
}

#[test]
fn long_answers_are_cut_off_at_their_limits() {
    check(&long_answers());
}

#[test]
fn a_megabyte_in_chunks_is_read_to_its_end() {
    let body = format!("{:x}\r\n{}\r\n", 1000, "c".repeat(1000)).repeat(1000) + "0\r\n\r\n";
    let (open, verdict) = feed(&mut Exchange::new(), chunked(&body).as_bytes().chunks(4096));
    assert_eq!(open, Done);
    assert!(verdict == Some(Ok((200, vec![b'c'; BODY_BYTES_KEPT_MAX]))));
}

#[test]
fn an_endless_body_is_not_read_for_ever() {
    let endless = [b'9'; 4096];
    for head in ["HTTP/1.1 200 OK\r\n\r\n".to_owned(), chunked("ffffffffffff\r\n"), chunked("0;"), chunked("0\r\n")] {
        let mut exchange = Exchange::new();
        assert_eq!(exchange.receive(head.as_bytes()), Heard);
        let mut bytes_read = 0;
        while exchange.progress() == Heard {
            assert!(exchange.room() > 0 && bytes_read <= BODY_BYTES_READ_MAX, "{head:?}");
            bytes_read += endless.len();
            let _ = exchange.receive(&endless);
        }
        assert!(matches!(exchange.verdict(), Some(Ok(Response { status: 200, .. }))), "{head:?}");
    }
}

#[test]
fn the_status_is_heard_with_the_last_byte_of_the_head() {
    let head = b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n";
    let mut exchange = Exchange::new();
    assert_eq!(exchange.receive(&head[..head.len() - 1]), NeedMore);
    assert_eq!(exchange.verdict(), None);
    assert_eq!(exchange.receive(&head[head.len() - 1..]), Heard);
    assert_eq!(exchange.verdict(), Some(Ok(Response { status: 500, location: b"", is_page: false, body: b"" })));
    assert_eq!(exchange.room(), 100);
}

#[test]
fn a_head_has_room_for_one_byte_more_than_its_limit() {
    let mut exchange = Exchange::new();
    assert_eq!(exchange.room(), HEAD_BYTES_MAX + 1);
    let _ = exchange.receive(b"HTTP/1.1 ");
    assert_eq!(exchange.room(), HEAD_BYTES_MAX - 8);
}

#[test]
fn garbage_is_refused_with_the_first_byte_that_shows_it() {
    let start = b"HTTP/1.1 200 OK\x01";
    for wrong_at in 0..start.len() {
        let mut bytes = *start;
        bytes[wrong_at] = 1;
        let mut exchange = Exchange::new();
        for (at, byte) in bytes[..=wrong_at].iter().enumerate() {
            let expected = if at == wrong_at { Done } else { NeedMore };
            assert_eq!(exchange.receive(&[*byte]), expected, "byte {at} of {}", shown(&bytes));
        }
    }
}

/// What the head of an answer says beside its status.
fn facts(exchange: &mut Exchange, head: &str) -> (String, bool, bool) {
    exchange.reset();
    for byte in head.as_bytes() {
        let _ = exchange.receive(&[*byte]);
    }
    let answer = exchange.verdict().expect("a head").expect("an answer");
    (String::from_utf8_lossy(answer.location).into_owned(), answer.is_page, answer.accepts())
}

#[test]
fn location_and_kind_of_an_answer_are_read_from_its_own_head() {
    let mut exchange = Exchange::new();
    let none = || String::new();
    let page = "HTTP/1.1 200 OK\r\ncontent-type: Text/HTML; charset=utf-8\r\n\r\n";
    let long = "x".repeat(2 * LOCATION_BYTES_MAX);
    for (head, expected) in [
        ("HTTP/1.1 308 Moved\r\nlocation:  /a/ \r\n\r\n".to_owned(), ("/a/".to_owned(), false, false)),
        (page.to_owned(), (none(), true, false)),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_owned(), (none(), false, true)),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), (none(), false, true)),
        ("HTTP/1.1 302 Found\r\n\r\n".to_owned(), (none(), false, false)),
        (
            format!("HTTP/1.1 302 Found\r\nLocation: {long}\r\n\r\n"),
            (long[..LOCATION_BYTES_MAX].to_owned(), false, false),
        ),
        (format!("HTTP/1.1 103 Hints\r\nLocation: /a\r\n\r\n{page}"), (none(), true, false)),
    ] {
        assert_eq!(facts(&mut exchange, &head), expected, "{head}");
    }
}

#[test]
fn an_empty_piece_is_not_the_end() {
    let mut exchange = Exchange::new();
    assert_eq!(exchange.receive(b""), NeedMore);
    assert_eq!(exchange.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), Heard);
    assert_eq!(exchange.receive(b""), Heard);
    assert_eq!(exchange.receive(b"ok"), Done);
}

#[test]
fn reading_no_more_than_there_is_room_for_gives_the_same_verdict() {
    for Sample { bytes, verdict, .. } in all_samples() {
        let mut exchange = Exchange::new();
        let mut rest = bytes.as_slice();
        while exchange.progress() != Done && !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(exchange.room()));
            let _ = exchange.receive(piece);
            rest = after;
        }
        let _ = exchange.end();
        assert!(owned(exchange.verdict()) == Some(verdict), "{}", shown(&bytes));
    }
}

/// A small generator (xorshift64), so that a seed replays its run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pieces<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let longest = [3, 17, 300, 5000][self.below(4)];
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(self.below(longest + 1).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }

    /// Replaces, removes or inserts a byte that means something to a parser.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let byte = b"\r\n \t:;,0f1\0\x1b\xffH"[self.below(14)];
        let index = self.below(bytes.len().min(300));
        match self.below(3) {
            0 => bytes[index] = byte,
            1 => bytes.insert(index, byte),
            _ => drop(bytes.remove(index)),
        }
    }
}

#[test]
fn random_pieces_give_the_verdict_of_the_whole() {
    let samples = all_samples();
    let mut exchange = Exchange::new();
    for seed in 1..=2000 {
        let mut random = Random::new(seed);
        let Sample { bytes, open, verdict } = &samples[random.below(samples.len())];
        let pieces = random.pieces(bytes);
        assert!(feed(&mut exchange, pieces) == (*open, Some(verdict.clone())), "seed {seed}: {}", shown(bytes));
    }
}

#[test]
fn damaged_answers_get_one_verdict_however_they_are_cut() {
    let mut samples = all_samples();
    samples.retain(|sample| (4..2000).contains(&sample.bytes.len()));
    let (mut first, mut second) = (Exchange::new(), Exchange::new());
    for seed in 1..=20_000 {
        let mut random = Random::new(seed);
        let mut bytes = samples[random.below(samples.len())].bytes.clone();
        for _ in 0..=random.below(3) {
            random.damage(&mut bytes);
        }
        let pieces = random.pieces(&bytes);
        assert!(feed(&mut first, [&bytes[..]]) == feed(&mut second, pieces), "seed {seed}: {}", shown(&bytes));
    }
}

#[test]
fn a_reused_exchange_keeps_nothing_of_the_last_answer() {
    let mut exchange = Exchange::new();
    let first = feed(&mut exchange, [b"HTTP/1.1 500 Oops\r\n\r\nlong body".as_slice()]);
    assert_eq!(first, (Heard, Some(Ok((500, b"long body".to_vec())))));
    assert_eq!(feed(&mut exchange, [b"".as_slice()]), (NeedMore, Some(Err(NoAnswer))));
}

#[test]
fn requests_are_rendered_for_one_exchange_each() {
    let version = env!("CARGO_PKG_VERSION");
    let common = format!("User-Agent: worker-supervisor/{version}\r\nAccept: */*\r\nConnection: close\r\n");
    let get = Request::new(Method::Get, "/api/inngest?x=1", "127.0.0.1:3111");
    let put = Request::new(Method::Put, "/", "[::1]:3111");
    let expected_get = format!("GET /api/inngest?x=1 HTTP/1.1\r\nHost: 127.0.0.1:3111\r\n{common}\r\n");
    let expected_put = format!("PUT / HTTP/1.1\r\nHost: [::1]:3111\r\n{common}Content-Length: 0\r\n\r\n");
    assert_eq!(get.as_bytes().escape_ascii().to_string(), expected_get.as_bytes().escape_ascii().to_string());
    assert_eq!(put.as_bytes().escape_ascii().to_string(), expected_put.as_bytes().escape_ascii().to_string());
}

#[test]
fn modified_is_read_from_a_json_object_only() {
    let modified = |body: &[u8]| SyncAnswer::read(body).modified;
    assert_eq!(modified(br#"{"message":"Successfully registered","modified":true}"#), Some(true));
    assert_eq!(modified(b" {\"modified\": false}\n"), Some(false));
    for body in ["", "<html></html>", "{}", "true", "[true]", r#"{"modified":"true"}"#, r#"{"modified":tr"#, "\u{1b}["]
    {
        assert_eq!(modified(body.as_bytes()), None, "{body:?}");
    }
    assert_eq!(modified("[".repeat(BODY_BYTES_KEPT_MAX).as_bytes()), None);
}

#[test]
fn message_of_a_sync_is_read_whatever_else_is_said() {
    let message = |body: &str| SyncAnswer::read(body.as_bytes()).message;
    assert_eq!(
        message(r#"{"message":"Failed to register; ECONNREFUSED","modified":1}"#).as_deref(),
        Some("Failed to register; ECONNREFUSED")
    );
    assert_eq!(message(r#"{"message":7}"#), None);
    assert_eq!(message("<html></html>"), None);
}

#[test]
fn failures_read_as_causes() {
    assert_eq!(NotHttp.to_string(), "answered something that is not HTTP");
    assert_eq!(NoAnswer.to_string(), "closed the connection without an answer");
    assert_eq!(ClosedEarly.to_string(), "closed the connection in the middle of its answer");
    assert_eq!(HeadTooLong.to_string(), "sent 16384 bytes without a final status line");
    assert_eq!(TooManyInterim.to_string(), "sent more than 8 interim answers");
}
