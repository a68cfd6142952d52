//! The port on Linux: what only its kernel has, and what strace proves about the way to a free port.
#![cfg(target_os = "linux")]

mod support;

use std::collections::HashSet;
use std::fs::read_to_string;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use support::words::{DIED, IMPOSTOR, PORT_CONFLICT, PORT_LOST, READY, STARTED, field};
use support::{Fixture, Scene, calls_of, is_fork, request, slowed, traced, traced_with, wait_until};

#[test]
fn holder_of_another_specific_address_is_left_alone() {
    let scene = Scene::new();
    let neighbour = Fixture::listening(scene.port(), &["--host", "127.0.0.2"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert!(neighbour.is_alive());
    assert_eq!(supervisor.lines_with(PORT_CONFLICT), Vec::<String>::new());
}

#[test]
fn holder_of_another_user_is_reported_and_outlived() {
    use std::os::unix::process::CommandExt;
    if !support::is_root_to("start a supervisor that is another user's") {
        return;
    }
    let scene = Scene::new();
    let holder = Fixture::listening(scene.port(), &[]);
    let nobody = nix::unistd::User::from_name("nobody").expect("users can be asked").expect("there is a nobody");
    let copies = support::copied_programs(&scene);
    scene.reconfigure(|config| {
        config.command(&[copies.worker.to_str().expect("a path"), "--port", &scene.port().number().to_string()]);
    });
    support::give_to(&scene, nobody.uid.as_raw(), nobody.gid.as_raw());
    let mut command = support::program_at(&scene, &copies.supervisor);
    command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    let supervisor = scene.start_with(&mut command);

    let line = supervisor.wait_for_nth_log(2, PORT_LOST);
    // Its descriptors are not for us to read, but the kernel's table says whose the socket is.
    assert!(line.contains("user root"), "{line}");
    assert_eq!(field(&line, "failures"), Some("2"));
    assert_eq!(supervisor.lines_with(STARTED), Vec::<String>::new());
    assert!(holder.is_alive());
    assert_eq!(holder.report().of("signal"), Vec::<&support::Event>::new());
    drop(holder);
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn connections_in_time_wait_are_no_conflict() {
    let scene = Scene::new();
    let port = scene.port().number();
    let server = Fixture::listening(scene.port(), &[]);
    for _ in 0..50 {
        // The server closes first, so that the remains of the connection are on its side.
        request(port, "GET", "/").expect("an answer");
    }
    drop(server);
    assert!(support::time_waits_on(port) >= 50, "{} in TIME_WAIT", support::time_waits_on(port));

    let trace = scene.file("trace");
    let supervisor = scene.start_with(&mut traced(&scene, &trace, "openat,open,clone,clone3,fork,vfork"));
    supervisor.wait_ready();
    assert!(support::time_waits_on(port) >= 50, "they were gone before they could matter");
    let before = calls_of(&trace, supervisor.pid(), |calls| calls.iter().any(|call| is_fork(call)));
    let before: Vec<_> = before.into_iter().take_while(|call| !is_fork(call)).collect();
    let scanned: Vec<_> = before.iter().filter(|call| call.contains("/proc/net") || call.contains("/fd\"")).collect();
    assert!(scanned.is_empty(), "a free port needs no scan: {scanned:?}");
}

#[test]
fn nothing_is_forked_to_clear_the_port() {
    let scene = Scene::new().set("port_grace_secs", "0.1");
    let holder = Fixture::listening(scene.port(), &["--ignore-term"]);
    let trace = scene.file("trace");
    let supervisor = scene.start_with(&mut traced(&scene, &trace, "process"));
    supervisor.wait_ready();
    assert!(!holder.is_alive());
    let calls = calls_of(&trace, supervisor.pid(), |calls| calls.iter().any(|call| is_fork(call)));
    let forks: Vec<_> = calls.iter().filter(|call| is_fork(call)).collect();
    assert_eq!(forks.len(), 1, "the worker, and nothing else: {forks:?}");
    let execs = calls.iter().filter(|call| call.starts_with("execve")).count();
    assert_eq!(execs, 1, "{calls:?}");
}

#[test]
fn scan_of_a_process_with_20_000_descriptors_is_short_and_a_stop_is_heard() {
    const FDS: usize = 20_000;
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).expect("a limit");
    let fds = FDS.min(usize::try_from(hard).unwrap_or(FDS).saturating_sub(50));
    let scene = Scene::new().set("port_grace_secs", "60");
    // Neither is asked to go: one has the descriptors, the other the port, and both keep the port held.
    let holder = Fixture::listening(scene.port(), &["--ignore-term", "--open-fds", &fds.to_string()]);
    let opened = std::fs::read_dir(format!("/proc/{}/fd", holder.pid())).expect("its descriptors").count();
    assert!(opened >= fds, "{opened}");

    let started = Instant::now();
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_CONFLICT);
    let found = started.elapsed();
    assert!(found < slowed(Duration::from_secs(3)), "it took {found:?} to find the holder");
    let asked = Instant::now();
    assert_eq!(supervisor.stop(), 0);
    assert!(asked.elapsed() < slowed(Duration::from_secs(2)), "the stop took {:?}", asked.elapsed());
}

#[test]
fn holder_that_goes_while_it_is_looked_for_costs_no_backoff() {
    let scene = Scene::new().set("restart_backoff_min_secs", "60").set("restart_backoff_max_secs", "60");
    let holder = Fixture::listening(scene.port(), &[]);
    let trace = scene.file("trace");
    // The port is found held, and half a second passes before it is asked by whom.
    let delayed = ["-e", "inject=bind:delay_exit=500000:when=1"];
    let supervisor = scene.start_with(&mut traced_with(&scene, &trace, "bind", &delayed));
    let at_port = format!("htons({})", scene.port().number());
    wait_until("the look at the port", support::LIMIT, || {
        read_to_string(&trace).is_ok_and(|text| text.contains(&at_port) && text.contains("EADDRINUSE"))
    });
    support::send_signal(holder.pid(), support::Signal::SIGKILL);
    holder.wait_exit();
    supervisor.wait_ready();
    assert_eq!(supervisor.lines_with(PORT_LOST), Vec::<String>::new());
}

#[test]
fn holder_that_cannot_be_looked_for_is_reported_with_the_reason() {
    let scene = Scene::new();
    let holder = Fixture::listening(scene.port(), &[]);
    // musl opens directories by open, which some machines do not have.
    let failing = ["-P", "/proc", "-e", "inject=?open,openat:error=EMFILE"];
    let supervisor = scene.start_with(&mut traced_with(&scene, &scene.file("trace"), "?open,openat", &failing));
    let line = supervisor.wait_for_log(PORT_LOST);
    assert!(line.contains("cannot be looked for: ") && line.contains("(os error 24)"), "{line}");
    assert!(holder.is_alive());
}

#[test]
fn every_socket_of_a_shared_port_has_its_holder_removed() {
    let scene = Scene::new();
    let holders: Vec<_> = (0..5).map(|_| Fixture::listening(scene.port(), &["--reuse-port"])).collect();
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert!(holders.iter().all(|holder| !holder.is_alive()), "{}", scene.story());
    let line = &supervisor.lines_with(PORT_CONFLICT)[0];
    let named: HashSet<_> =
        holders.iter().filter(|holder| line.contains(&format!("pid {} (", holder.pid()))).map(Fixture::pid).collect();
    assert_eq!(named.len(), 4, "four are named: {line}");
    assert!(line.contains(", 1 more;"), "and the fifth is counted: {line}");
}

#[test]
fn stranger_that_takes_the_port_of_a_living_worker_is_found_at_the_next_probe() {
    let scene = Scene::new().set("health_interval_secs", "0.05").set("restart_backoff_min_secs", "0.05");
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    // Answered on the connection that it came on.
    request(scene.port().number(), "GET", "/close").expect("an answer");
    let address = (Ipv4Addr::LOCALHOST, scene.port().number()).into();
    wait_until("a free port", support::LIMIT, || platform::port_is_free(address).is_ok_and(|is_free| is_free));
    let stranger = Fixture::listening(scene.port(), &[]);
    let line = supervisor.wait_for_log(IMPOSTOR);
    assert!(line.contains(&format!("was answered by pid {} (", stranger.pid())), "{line}");
    assert_ne!(supervisor.wait_nth_ready(2), worker);
    assert!(!stranger.is_alive());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn stranger_of_another_user_is_not_taken_for_the_worker() {
    use std::os::unix::process::CommandExt;
    if !support::is_root_to("start a supervisor that is another user's") {
        return;
    }
    let scene = Scene::new();
    let nobody = nix::unistd::User::from_name("nobody").expect("users can be asked").expect("there is a nobody");
    let copies = support::copied_programs(&scene);
    scene.reconfigure(|config| {
        config.command(&[copies.worker.to_str().expect("a path"), "--no-listen"]);
    });
    support::give_to(&scene, nobody.uid.as_raw(), nobody.gid.as_raw());
    let mut command = support::program_at(&scene, &copies.supervisor);
    command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    let supervisor = scene.start_with(&mut command);
    supervisor.wait_for_log(STARTED);
    // The port was free when the worker started. Who listens now is not for this user to see, but that it is root's.
    let stranger = Fixture::listening(scene.port(), &[]);
    let line = supervisor.wait_for_log(IMPOSTOR);
    assert!(line.contains("was answered by a process of user root that we cannot see and not by the worker"), "{line}");
    assert!(supervisor.lines_with(READY).is_empty() && stranger.is_alive());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn who_has_the_port_without_listening_is_said() {
    let scene = Scene::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, scene.port().number()));
    let own = format!("pid {} (", std::process::id());
    let new = || socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let bound = new();
    bind(bound.as_raw_fd(), &SockaddrStorage::from(address)).expect("the port is free");
    // Kernels before 6.8 do not tell of it.
    let told = platform::occupants(address).expect("netlink");
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(PORT_LOST);
    let expected =
        if told.is_empty() { "a process that can't be found" } else { "which has bound it and does not listen" };
    assert!(line.contains(expected) && (told.is_empty() || line.contains(&own)), "{line}");
    assert_eq!(supervisor.stop(), 0);
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    let peer = elsewhere.local_addr().expect("an address");
    connect(bound.as_raw_fd(), &SockaddrStorage::from(peer)).expect("connected");
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(PORT_LOST);
    let expected = format!("which has it as the local port of a connection to {peer}");
    assert!(line.contains(&own) && line.contains(&expected), "{line}");
    assert_eq!(supervisor.stop(), 0);
    let checked = scene.run(&["--dry-run"]);
    assert!(checked.stdout.contains(&format!("{expected}; stop it, or set port to another")), "{}", checked.stdout);
}

#[test]
fn nobody_is_signalled_by_the_numbers_of_another_process_namespace() {
    if !support::is_root_to("make a process namespace") {
        return;
    }
    let scene = Scene::new();
    let holder = Fixture::listening(scene.port(), &[]);
    // A process namespace of its own, and the /proc of this one.
    let program = scene.program();
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    let supervisor = scene.start_with(&mut command);
    let line = supervisor.wait_for_nth_log(2, PORT_LOST);
    assert!(line.contains("cannot be looked for: /proc is missing, or of another process namespace"), "{line}");
    assert!(holder.is_alive());
    assert_eq!(holder.report().of("signal"), Vec::<&support::Event>::new());
    supervisor.kill();
}

#[test]
fn worker_of_a_supervisor_in_a_container_that_has_our_network_is_left_alone() {
    if !support::is_root_to("make a process namespace") {
        return;
    }
    // Not the container's first process, and with a /tmp of its own, where the locks of addresses are.
    let (inner, outer) = (Scene::new(), Scene::new());
    let locks = "/tmp/worker-supervisor-0";
    let script = format!("mkdir -p -m 700 {locks} && mount -t tmpfs -o mode=700 none {locks} && \"$0\" \"$@\"; :");
    let program = inner.program();
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "--", "/bin/sh", "-c", &script]);
    command.arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut command, &program);
    let container = inner.start_with(&mut command);
    container.wait_ready();
    let outer = outer.set("port", inner.port().number()).set("name", "\"outer\"");
    let supervisor = outer.start();
    let line = supervisor.wait_for_nth_log(2, PORT_LOST);
    let whose = "the worker of another supervisor, in a container: pid ";
    assert!(line.contains(whose), "{line}");
    assert_eq!(inner.report().of("signal"), Vec::<&support::Event>::new());
    assert_eq!(container.lines_with(DIED), Vec::<String>::new());
    assert_eq!(supervisor.stop(), 0);
    container.kill();
}

#[test]
fn worker_in_the_range_of_outgoing_connections_is_ready_at_each_of_many_starts() {
    if !support::is_root_to("make a network namespace") {
        return;
    }
    // With so few ports for outgoing connections a probe meets itself every few times.
    let scene = Scene::new().worker(&["--listen-after", "0.1"]).set("stable_secs", 0);
    let port = scene.port().number();
    let script = format!(
        "ip link set lo up && echo '{} {}' >/proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" \"$@\"",
        port - 3,
        port + 4
    );
    let program = scene.program();
    let mut apart = std::process::Command::new("unshare");
    apart.args(["--net", "--", "/bin/sh", "-c", &script]).arg(program.get_program()).args(program.get_args());
    support::same_surroundings(&mut apart, &program);
    let supervisor = scene.start_with(&mut apart);
    let starts: usize = std::env::var("PORT_STARTS").map_or(25, |text| text.parse().expect("a number of starts"));
    for start in 1..=starts {
        let worker = scene.wait_for_events("listen", start)[start - 1].pid();
        support::wait_for(
            "a healthy worker",
            support::LIMIT,
            || scene.story(),
            || {
                let status = scene.status()?;
                (status["pid"] == worker && status["healthy"] == true).then_some(())
            },
        );
        support::send_signal(worker, support::Signal::SIGKILL);
    }
    let said = read_to_string(scene.file("worker.err")).unwrap_or_default();
    assert!(!said.contains("cannot listen"), "{said}");
    assert_eq!(supervisor.stop(), 0);
}
