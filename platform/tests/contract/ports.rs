//! Whose a port is.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;

use worker_supervisor_platform::port_is_free;
#[cfg(not(target_os = "freebsd"))]
use worker_supervisor_platform::{
    Listening, Ownership, Pid, holders, is_session_member, is_stopped, listening_of, ownership,
};

#[cfg(not(target_os = "freebsd"))]
use crate::support::{Helper, eventually};

crate::tests![
    a_port_with_a_listener_is_not_free,
    a_port_is_not_free_beside_a_wildcard_listener,
    connections_that_linger_leave_the_port_free,
    another_address_is_no_conflict,
    an_address_that_is_not_ours_is_an_error,
    asking_does_not_keep_the_port,
    #[cfg(not(target_os = "freebsd"))]
    only_listeners_are_holders_and_never_clients,
    #[cfg(not(target_os = "freebsd"))]
    a_wildcard_listener_is_a_holder,
    #[cfg(not(target_os = "freebsd"))]
    a_shared_socket_has_both_holders,
    #[cfg(not(target_os = "freebsd"))]
    a_process_is_asked_where_it_listens,
    #[cfg(not(target_os = "freebsd"))]
    the_leader_owns_its_port,
    #[cfg(not(target_os = "freebsd"))]
    a_child_of_the_leader_owns_the_port_for_its_group,
    #[cfg(not(target_os = "freebsd"))]
    a_stranger_owns_its_port,
    #[cfg(not(target_os = "freebsd"))]
    nobody_owns_a_free_port,
    #[cfg(target_os = "linux")]
    a_stranger_beside_us_makes_it_a_conflict,
];

#[cfg(not(target_os = "freebsd"))]
fn a_process_is_asked_where_it_listens() {
    let mut helper = Helper::start("listen", &["127.0.0.1:0"]);
    let addr: SocketAddr = helper.line().parse().expect("an address");
    let (_ours, other) = listen("127.0.0.1:0");
    let listens = |pids: &[Pid], at| listening_of(pids, at).expect("no error").expect("the system tells");
    let expected = Listening { addrs: vec![addr], is_reached: true };
    assert_eq!(listens(&[helper.pid], addr), expected);
    assert_eq!(listens(&[helper.pid], other), Listening { is_reached: false, ..expected });
    assert_eq!(listens(&[], addr), Listening { addrs: vec![], is_reached: false });
    assert!(!is_stopped(helper.pid));
    // SAFETY: kill takes two numbers; the helper has not been reaped.
    assert_eq!(unsafe { libc::kill(helper.pid.as_raw(), libc::SIGSTOP) }, 0);
    eventually("a stopped process", || is_stopped(helper.pid).then_some(()));
}

fn listen(addr: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(addr).expect("listening");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

fn with_host(host: &str, addr: SocketAddr) -> SocketAddr {
    format!("{host}:{}", addr.port()).parse().expect("an address")
}

/// Machines without IPv6 exist, also in CI.
fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

fn a_port_with_a_listener_is_not_free() {
    let hosts: &[&str] =
        if has_ipv6() { &["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] } else { &["127.0.0.1:0", "0.0.0.0:0"] };
    for host in hosts {
        let (listener, addr) = listen(host);
        assert!(!port_is_free(addr).expect("no error"), "{addr}");
        drop(listener);
        assert!(port_is_free(addr).expect("no error"), "{addr}");
    }
}

fn a_port_is_not_free_beside_a_wildcard_listener() {
    let (_v4, addr) = listen("0.0.0.0:0");
    assert!(!port_is_free(with_host("127.0.0.1", addr)).expect("no error"));
    if has_ipv6() {
        // The standard library leaves IPV6_V6ONLY as the system has it; where that is dual-stack it is in the way.
        let (_v6, addr) = listen("[::]:0");
        assert!(!port_is_free(with_host("[::1]", addr)).expect("no error"));
        let reachable_by_v4 = TcpStream::connect(with_host("127.0.0.1", addr)).is_ok();
        assert_eq!(port_is_free(with_host("127.0.0.1", addr)).expect("no error"), !reachable_by_v4);
    }
}

fn connections_that_linger_leave_the_port_free() {
    let (listener, addr) = listen("127.0.0.1:0");
    let client = TcpStream::connect(addr).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    // The side that closes first lingers in TIME_WAIT: ours.
    drop(server);
    drop(client);
    // And one that is still open.
    let _client = TcpStream::connect(addr).expect("connected");
    let _server = listener.accept().expect("accepted");
    drop(listener);
    assert!(port_is_free(addr).expect("no error"));
}

fn another_address_is_no_conflict() {
    if !has_ipv6() {
        return;
    }
    let (_listener, addr) = listen("127.0.0.1:0");
    assert!(port_is_free(with_host("[::1]", addr)).expect("no error"));
}

fn an_address_that_is_not_ours_is_an_error() {
    // 192.0.2.0/24 is for documentation; no machine has it.
    let error = port_is_free("192.0.2.1:3111".parse().expect("an address")).expect_err("not ours");
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

fn asking_does_not_keep_the_port() {
    let (listener, addr) = listen("127.0.0.1:0");
    drop(listener);
    for _ in 0..100 {
        assert!(port_is_free(addr).expect("no error"));
    }
    TcpListener::bind(addr).expect("still free");
}

/// A helper that listens, and where.
#[cfg(not(target_os = "freebsd"))]
fn listening(role: &str, addr: &str) -> (Helper, SocketAddr) {
    let mut helper = Helper::start(role, &[addr]);
    let addr = helper.line().parse().expect("an address");
    (helper, addr)
}

#[cfg(not(target_os = "freebsd"))]
fn only_listeners_are_holders_and_never_clients() {
    let (helper, addr) = listening("listen", "127.0.0.1:0");
    // We are the client.
    let _client = TcpStream::connect(addr).expect("connected");
    assert_eq!(holders(addr).expect("no error"), [helper.pid]);
    let other = SocketAddr::from(([127, 0, 0, 1], if addr.port() == 1 { 2 } else { addr.port() - 1 }));
    assert!(!holders(other).expect("no error").contains(&helper.pid));
}

#[cfg(not(target_os = "freebsd"))]
fn a_wildcard_listener_is_a_holder() {
    let (helper, addr) = listening("listen", "0.0.0.0:0");
    assert_eq!(holders(with_host("127.0.0.1", addr)).expect("no error"), [helper.pid]);
    assert_eq!(holders(addr).expect("no error"), [helper.pid]);
}

#[cfg(not(target_os = "freebsd"))]
fn a_shared_socket_has_both_holders() {
    let mut helper = Helper::start("listen-twice", &["127.0.0.1:0"]);
    let line = helper.line();
    let (addr, child) = line.split_once(' ').expect("an address and a pid");
    let child = Pid::new(child.parse().expect("a pid")).expect("above 1");
    let mut expected = [helper.pid, child];
    expected.sort_unstable();
    assert_eq!(holders(addr.parse().expect("an address")).expect("no error"), expected);
}

#[cfg(not(target_os = "freebsd"))]
fn the_leader_owns_its_port() {
    let (helper, addr) = listening("listen", "127.0.0.1:0");
    let _client = TcpStream::connect(addr).expect("connected");
    assert_eq!(
        ownership(addr, helper.pid, &mut |pid| is_session_member(pid, helper.pid)).expect("no error"),
        Ownership::Own
    );
}

#[cfg(not(target_os = "freebsd"))]
fn a_child_of_the_leader_owns_the_port_for_its_group() {
    let (helper, addr) = listening("listen-in-a-child", "127.0.0.1:0");
    let found = eventually("a holder", || holders(addr).expect("no error").first().copied());
    assert_ne!(found, helper.pid);
    assert_eq!(
        ownership(addr, helper.pid, &mut |pid| is_session_member(pid, helper.pid)).expect("no error"),
        Ownership::Own
    );
}

#[cfg(not(target_os = "freebsd"))]
fn a_stranger_owns_its_port() {
    let (stranger, addr) = listening("listen", "127.0.0.1:0");
    let (worker, _) = listening("listen", "127.0.0.1:0");
    assert_eq!(
        ownership(addr, worker.pid, &mut |pid| is_session_member(pid, worker.pid)).expect("no error"),
        Ownership::Stranger(vec![stranger.pid])
    );
}

#[cfg(not(target_os = "freebsd"))]
fn nobody_owns_a_free_port() {
    let (worker, _) = listening("listen", "127.0.0.1:0");
    let (listener, addr) = listen("127.0.0.1:0");
    drop(listener);
    assert_eq!(
        ownership(addr, worker.pid, &mut |pid| is_session_member(pid, worker.pid)).expect("no error"),
        Ownership::Unknown
    );
    assert_eq!(holders(addr).expect("no error"), []);
}

/// SO_REUSEPORT lets two listen on one address; the second one here is the test itself.
#[cfg(target_os = "linux")]
fn a_stranger_beside_us_makes_it_a_conflict() {
    let first = reuseport_listener(0);
    let addr = first.local_addr().expect("an address");
    let second = reuseport_listener(addr.port());
    let group = nix::unistd::setsid().expect("a group of our own").as_raw();
    let ours = Pid::new(group).expect("above 1");
    assert_eq!(ownership(addr, ours, &mut |pid| is_session_member(pid, ours)).expect("no error"), Ownership::Own);
    let (worker, _) = listening("listen", "127.0.0.1:0");
    assert_eq!(
        ownership(addr, worker.pid, &mut |pid| is_session_member(pid, worker.pid)).expect("no error"),
        Ownership::Stranger(vec![ours])
    );
    drop((first, second));
}

#[cfg(target_os = "linux")]
fn reuseport_listener(port: u16) -> TcpListener {
    // SAFETY: each call gets integers, or a pointer to a live value with its size; the descriptor is ours alone.
    unsafe {
        let raw = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(raw >= 0);
        let on: libc::c_int = 1;
        let size = size_of_val(&on) as libc::socklen_t;
        assert_eq!(libc::setsockopt(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, (&raw const on).cast(), size), 0);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = port.to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let size = size_of_val(&address) as libc::socklen_t;
        assert_eq!(libc::bind(raw, (&raw const address).cast(), size), 0);
        assert_eq!(libc::listen(raw, 8), 0);
        TcpListener::from_raw_fd(raw)
    }
}
