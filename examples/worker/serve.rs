//! Accepts connections, a thread each, and decides what each request is answered with.
//! A path that does something wins over `--hang…`, which wins over health and registration, so that a test can still
//! end a worker that hangs.

use std::io::{self, Read, Write, copy, sink};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::answer::{Answer, Shape, send_raw};
use crate::life::{Life, wait_for_ever};
use crate::listen::pause;
use crate::options::{SyncBody, seconds, signal};
use crate::report::escaped;
use crate::request::Request;

/// How long a registration may take at the other server.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(5);

/// What is done about a request.
enum Reply {
    /// Answered in a shape, after a delay.
    Send(Answer, Shape, Duration),
    /// These very bytes.
    Raw(Vec<u8>),
    /// Never answered.
    Hang,
}

/// Serves until the process ends.
pub(crate) fn accept_for_ever(life: &Arc<Life>, listener: &TcpListener) -> ! {
    if life.options.no_accept {
        wait_for_ever();
    }
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let life = Arc::clone(life);
                thread::spawn(move || life.converse(stream));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                eprintln!("worker: cannot accept: {error}");
                life.exit(71);
            }
        }
    }
}

impl Life {
    fn converse(&self, mut stream: TcpStream) {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(request) = Request::read(&mut stream) {
            self.note(&request, open);
            match self.decide(&request) {
                Reply::Send(answer, shape, delay) => {
                    self.while_running(|| {
                        pause(delay);
                        // Before the answer: a client that has it may have asked again before this thread goes on.
                        self.open.fetch_sub(1, Ordering::SeqCst);
                        // A client that does not wait for its answer is its own business.
                        let _gone = answer.send(shape, &mut stream);
                    });
                    return;
                }
                Reply::Raw(bytes) => {
                    let _gone = send_raw(&bytes, &mut stream);
                }
                Reply::Hang => {
                    // Ends when the client closes, whatever it sends until then.
                    let _gone = copy(&mut stream, &mut sink());
                    self.report.event("closed", &format!("path={}", escaped(&request.path)));
                }
            }
        }
        // Before the close, so that a client which waits for it is never counted twice.
        self.open.fetch_sub(1, Ordering::SeqCst);
        drop(stream);
    }

    fn note(&self, request: &Request, open: u32) {
        let header = |name| request.header(name).map_or_else(|| "none".to_owned(), escaped);
        let (method, path) = (escaped(&request.method), escaped(&request.path));
        let (host, length) = (header("host"), header("content-length"));
        let fields = format!("method={method} path={path} host={host} content-length={length} open={open}");
        self.report.event("request", &fields);
        if self.options.demo {
            println!("{method} {path}");
        }
    }

    fn decide(&self, request: &Request) -> Reply {
        if let Some(reply) = self.obey_path(request) {
            return reply;
        }
        let before = self.requests.fetch_add(1, Ordering::SeqCst);
        if self.options.shape == Shape::Hang || before >= self.options.hang_after || exists(&self.options.hang_while) {
            return Reply::Hang;
        }
        let raw_sync = self.options.raw_sync.as_ref().filter(|_| request.is_sync());
        if let Some(bytes) = raw_sync.or(self.options.raw.as_ref()).and_then(|file| std::fs::read(file).ok()) {
            return Reply::Raw(bytes);
        }
        if request.is_sync() {
            return if self.options.sync_hang { Reply::Hang } else { self.reply(self.register()) };
        }
        let before = self.probes.fetch_add(1, Ordering::SeqCst);
        let fails = before < self.options.fail_first || exists(&self.options.fail_while);
        let status = if fails { 503 } else { self.options.health };
        self.reply(self.json(status, r#"{"message":"a worker for tests"}"#.to_owned()))
    }

    /// The paths that do something; a malformed one is answered 400.
    fn obey_path(&self, request: &Request) -> Option<Reply> {
        let obeyed = if let Some(text) = request.after("/wait/") {
            seconds("/wait/", text)
        } else if let Some(text) = request.after("/print/") {
            text.parse().map(print_bytes).map(|()| Duration::ZERO).map_err(|_| format!("/print/ cannot print {text}"))
        } else if let Some(text) = request.after("/exit/") {
            text.parse().map(|code| self.exit(code)).map_err(|_| format!("/exit/ takes no {text}"))
        } else if let Some(text) = request.after("/kill/") {
            signal(text).map(|signal| self.die_of(signal))
        } else {
            return None;
        };
        Some(match obeyed {
            Ok(delay) => Reply::Send(self.json(200, "{}".to_owned()), Shape::Plain, delay),
            Err(message) => Reply::Send(self.json(400, message), Shape::Plain, Duration::ZERO),
        })
    }

    fn register(&self) -> Answer {
        let before = self.syncs.fetch_add(1, Ordering::SeqCst);
        if before < self.options.sync_fail_first || exists(&self.options.sync_fail_while) {
            return self.json(500, r#"{"message":"cannot register"}"#.to_owned());
        }
        let elsewhere = self.options.register_at.as_deref().map_or(Ok(()), register_at);
        if let Err(error) = elsewhere {
            eprintln!("worker: cannot register: {error}");
            return self.json(500, r#"{"message":"cannot reach the server to register with"}"#.to_owned());
        }
        let message = |modified| format!(r#"{{"message":"Successfully registered","modified":{modified}}}"#);
        match self.options.sync_body {
            SyncBody::Json => self.json(self.options.sync, message(true)),
            SyncBody::Unmodified => self.json(self.options.sync, message(false)),
            SyncBody::Html => Answer {
                content_type: "text/html",
                ..self.json(self.options.sync, "<!doctype html><title>Welcome</title>".to_owned())
            },
            SyncBody::Empty => self.json(self.options.sync, String::new()),
        }
    }

    fn reply(&self, mut answer: Answer) -> Reply {
        let missing = self.options.body_bytes.saturating_sub(answer.body.len());
        answer.body.extend(std::iter::repeat_n(' ', missing));
        let shape = if exists(&self.options.garbage_while) { Shape::Garbage } else { self.options.shape };
        Reply::Send(answer, shape, self.options.answer_after)
    }

    fn json(&self, status: u16, body: String) -> Answer {
        let usual = if status < 400 { "OK" } else { "Trouble" };
        let reason = self.options.reason.clone().unwrap_or_else(|| usual.to_owned());
        Answer { status, reason, content_type: "application/json", body }
    }
}

fn exists(file: &Option<PathBuf>) -> bool {
    file.as_ref().is_some_and(|file| file.exists())
}

/// Lines of 64 bytes, the line feed included, numbered so that a test sees which are missing.
fn print_bytes(bytes: usize) {
    let mut out = io::stdout().lock();
    for number in 0..bytes.div_ceil(64) {
        // A full disk is what some tests are about.
        let _full = writeln!(out, "{number:063}");
    }
}

/// What an SDK does when it is asked to register: it tells the server, and fails when the server fails.
fn register_at(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(REGISTRATION_LIMIT))?;
    let body = r#"{"appname":"worker","functions":[]}"#;
    let length = body.len();
    write!(
        stream,
        "POST /fn/register HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 2") {
        Ok(())
    } else {
        Err(io::Error::other(format!("it answered {:?}", answer.lines().next())))
    }
}
