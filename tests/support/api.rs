//! A stand-in for the server that workers register with: it answers every request as Inngest answers
//! `POST /fn/register`, and remembers it. A thread of the test; it ends when it is dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use super::place::PortClaim;
use super::wait::{LIMIT, slowed, wait_until};

const BODY: &str = r#"{"ok":true,"modified":true}"#;

/// The server; requests are kept as `METHOD PATH`.
pub(crate) struct ApiStandIn {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ApiStandIn {
    /// Starts it on a claimed port: at once, or later than the worker that needs it.
    pub(crate) fn start(port: &PortClaim) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        let listener = TcpListener::bind(address).expect("a claimed port is free");
        let (requests, stopping) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (kept, ended) = (Arc::clone(&requests), Arc::clone(&stopping));
        let thread = spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                // A client that goes away in the middle is no matter here.
                let _gone = stream.and_then(|stream| answer(stream, &kept));
            }
        });
        Self { address, requests, stopping, thread: Some(thread) }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// All requests until now.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panics with the lock held").clone()
    }

    /// Waits until at least `count` requests came.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) {
        wait_until(&format!("{count} requests at the API"), LIMIT, || self.requests().len() >= count);
    }
}

impl Drop for ApiStandIn {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread out of accept.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, requests: &Mutex<Vec<String>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(slowed(LIMIT)))?;
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !is_whole(&text) {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    let line: Vec<&str> = text.split(' ').take(2).collect();
    requests.lock().expect("no test panics with the lock held").push(line.join(" "));
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let length =
        headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, n)| n.parse().ok());
    body.len() >= length.unwrap_or(0)
}
