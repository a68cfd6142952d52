//! A held port is reclaimed: its holders are named and asked to go, then made to; nobody else is touched. And what
//! answers on the port is the worker only if the port is the worker's.
//!
//! FreeBSD finds no owners of a port, so that there nothing is reclaimed and nothing of this applies.
#![cfg(not(target_os = "freebsd"))]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use support::words::{ENDED, IMPOSTOR, LAUNCH_FAILED, PORT_AWAITED, PORT_CONFLICT, PORT_LOST, READY, STARTED, field};
use support::{Fixture, PortClaim, Scene, Signal, children_of, free_port, process_alive, request, slowed, wait_until};

const LIMIT: Duration = support::LIMIT;

#[test]
fn holder_is_named_and_gone_before_the_worker_starts() {
    let scene = Scene::new();
    let holder = Fixture::listening(scene.port(), &[]);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();

    let conflicts = supervisor.lines_with(PORT_CONFLICT);
    assert_eq!(conflicts.len(), 1, "{}", scene.story());
    let user =
        nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users can be asked").expect("we have a name");
    let named = format!("is held by pid {} (", holder.pid());
    assert!(conflicts[0].contains(&named), "{}", conflicts[0]);
    assert!(conflicts[0].contains("examples/worker, user "), "{}", conflicts[0]);
    assert!(conflicts[0].contains(&format!("user {})", user.name)), "{}", conflicts[0]);

    assert_eq!(holder.wait_exit().code(), Some(0));
    assert!(holder.report().signals_of(holder.pid()).contains(&"TERM"), "{}", holder.report());
    let gone = holder.wait_for_events("exit", 1)[0].mono_ns();
    let start = scene.wait_for_events("start", 1).remove(0);
    assert_eq!(start.pid(), worker);
    assert!(gone < start.mono_ns(), "the worker started while the holder lived\n{}", scene.story());
}

#[test]
fn clients_of_the_holder_survive() {
    let scene = Scene::new();
    let holder = Fixture::listening(scene.port(), &["--hang"]);
    let address = format!("127.0.0.1:{}", scene.port().number());
    // Each of them is connected to the held port: one by a single connection, one by many.
    let ports = [free_port(), free_port()];
    let clients = ports.each_ref().map(|port| Fixture::listening(port, &["--register-at", &address]));
    let askers: Vec<_> =
        [(&ports[0], 1), (&ports[1], 30)].into_iter().flat_map(|(port, count)| ask(port, count)).collect();
    holder.wait_for_events("request", 31);

    let supervisor = scene.start();
    supervisor.wait_ready();
    assert!(!holder.is_alive());
    for client in &clients {
        assert!(client.is_alive(), "a client was ended\n{}", scene.story());
        assert_eq!(client.report().of("signal"), Vec::<&support::Event>::new());
        assert_eq!(supervisor.lines_with(&format!("pid {} ", client.pid())), Vec::<String>::new());
    }
    for asker in askers {
        asker.join().expect("the asker ends");
    }
}

/// Makes the fixture on a port connect to where it registers, so many times at once.
fn ask(port: &PortClaim, count: usize) -> Vec<std::thread::JoinHandle<()>> {
    let number = port.number();
    let ask = move || {
        // Whether it could register is no matter: that it is connected is.
        let _refused = request(number, "PUT", "/");
    };
    (0..count).map(|_| std::thread::spawn(ask)).collect()
}

#[test]
fn holder_that_ignores_term_is_killed_after_the_grace() {
    let scene = Scene::new().set("port_grace_secs", "0.4");
    let holder = Fixture::listening(scene.port(), &["--ignore-term"]);
    let supervisor = scene.start();
    supervisor.wait_ready();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(holder.wait_exit().signal(), Some(Signal::SIGKILL as i32));
    assert_eq!(holder.report().signals_of(holder.pid()), ["TERM", "CONT"]);
    let asked = holder.wait_for_events("signal", 1)[0].mono_ns();
    let start = scene.wait_for_events("start", 1)[0].mono_ns();
    let waited = Duration::from_nanos(start - asked);
    assert!(waited > Duration::from_millis(350), "killed after {waited:?}\n{}", scene.story());
    assert_eq!(supervisor.lines_with(PORT_CONFLICT).len(), 1, "{}", scene.story());
}

#[test]
fn stopped_holder_is_asked_to_go_too() {
    let scene = Scene::new().set("port_grace_secs", "15");
    let holder = Fixture::listening(scene.port(), &[]);
    holder.signal(Signal::SIGSTOP);
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert_eq!(holder.wait_exit().code(), Some(0), "it was killed, and could have gone by itself");
}

#[test]
fn ancestor_that_holds_the_port_is_reported_and_never_signalled() {
    let scene = Scene::new();
    // This very process is an ancestor of the supervisor: any signal to it fails the test.
    let held = TcpListener::bind(("127.0.0.1", scene.port().number())).expect("a claimed port is free");
    let supervisor = scene.start();
    let line = supervisor.wait_for_nth_log(2, PORT_LOST);
    assert!(line.contains(&format!("held by pid {} (", std::process::id())), "{line}");
    assert_eq!(field(&line, "failures"), Some("2"));
    assert_eq!(supervisor.lines_with(PORT_CONFLICT), Vec::<String>::new());
    assert_eq!(supervisor.lines_with(STARTED), Vec::<String>::new());
    wait_until("the holder in the status file", LIMIT, || {
        let holder = scene.status().and_then(|status| Some(status["port_holder"].as_str()?.to_owned()));
        holder.is_some_and(|holder| holder.starts_with(&format!("pid {} (", std::process::id())))
    });
    drop(held);
    supervisor.wait_ready();
    wait_until("a status without a holder", LIMIT, || {
        scene.status().is_some_and(|status| status["port_holder"].is_null())
    });
}

#[test]
fn first_report_of_a_held_port_comes_before_the_backoff() {
    let scene = Scene::new().set("restart_backoff_min_secs", "60").set("restart_backoff_max_secs", "60");
    let _held = TcpListener::bind(("127.0.0.1", scene.port().number())).expect("a claimed port is free");
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_LOST);
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn holder_that_is_replaced_at_once_is_given_up_after_three_rounds() {
    let scene = Scene::new().set("restart_backoff_min_secs", "0.5").set("restart_backoff_max_secs", "0.5");
    let holder = Fixture::listening(scene.port(), &["--bequeath"]);
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(PORT_LOST);
    // The signals of one launch; the next one comes after the backoff.
    let asked = asked_to_go(&holder);
    assert_eq!(asked.len(), 3, "{asked:?}\n{}{}", holder.report(), scene.story());
    assert_eq!(asked[0], holder.pid());
    let heir = *holder.report().descendants().last().expect("an heir");
    assert!(!asked.contains(&heir), "{asked:?}");
    assert!(line.contains(&format!("held by pid {heir} (")), "{line}");
    let rounds: Vec<_> = supervisor.lines_with(PORT_CONFLICT);
    assert_eq!(rounds.iter().map(|line| field(line, "round").expect("a round")).collect::<Vec<_>>(), ["1", "2", "3"]);

    // No war: never more than three a launch, with the backoff in between.
    supervisor.wait_for_nth_log(3, PORT_LOST);
    let (asked, launches) = (asked_to_go(&holder).len(), supervisor.lines_with(PORT_LOST).len() + 1);
    assert!(asked <= 3 * launches, "{asked} were asked to go in {launches} launches");
    assert_eq!(supervisor.lines_with(STARTED), Vec::<String>::new());

    // The war ends when nobody comes after the last one.
    wait_until("the end of the last heir", LIMIT, || {
        let living: Vec<i32> = holder.report().descendants().into_iter().filter(|pid| process_alive(*pid)).collect();
        for pid in living {
            support::send_signal(pid, Signal::SIGKILL);
        }
        !support::is_listening(scene.port().number()) || scene.report().of("listen").len() == 1
    });
    supervisor.wait_ready();
}

/// Who got a SIGTERM, each once, in order.
fn asked_to_go(holder: &Fixture) -> Vec<i32> {
    let report = holder.report();
    let signals = report.of("signal").into_iter().filter(|event| event.field("name") == "TERM");
    let mut pids: Vec<i32> = signals.map(support::Event::pid).collect();
    pids.dedup();
    pids
}

#[test]
fn both_holders_of_one_shared_socket_are_removed() {
    let scene = Scene::new();
    let holder = Fixture::listening(scene.port(), &["--escape"]);
    let other = holder.wait_for_events("descendant", 1)[0].pid();
    let supervisor = scene.start();
    supervisor.wait_ready();
    assert!(!holder.is_alive() && !process_alive(other), "{}", scene.story());
    let line = supervisor.wait_for_log(PORT_CONFLICT);
    for pid in [holder.pid(), other] {
        assert!(line.contains(&format!("pid {pid} (")), "{line}");
    }
}

#[test]
fn restart_while_the_port_is_being_cleared_does_not_forget_the_holder() {
    let scene = Scene::new().set("port_grace_secs", "1.5");
    let holder = Fixture::listening(scene.port(), &["--ignore-term"]);
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_CONFLICT);
    supervisor.signal(Signal::SIGUSR1);
    supervisor.wait_ready();
    assert!(!holder.is_alive());
    // The effort begins anew, with the same holder: this is no second set of holders.
    let rounds: Vec<String> = supervisor.lines_with(PORT_CONFLICT);
    assert!(rounds.iter().all(|line| field(line, "round") == Some("1")), "{rounds:?}");
}

#[test]
fn stop_while_the_port_is_being_cleared_ends_at_once() {
    let scene = Scene::new().set("port_grace_secs", "60");
    let holder = Fixture::listening(scene.port(), &["--ignore-term"]);
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_CONFLICT);
    assert_eq!(supervisor.stop(), 0);
    assert!(holder.is_alive(), "the stop killed the holder");
    assert_eq!(supervisor.lines_with(STARTED), Vec::<String>::new());
}

#[test]
fn with_wait_the_holder_is_named_and_left_alone_until_it_goes() {
    let scene = Scene::new().set("port_conflict", "\"wait\"");
    let holder = Fixture::listening(scene.port(), &[]);
    let supervisor = scene.start();
    let line = supervisor.wait_for_log(PORT_AWAITED);
    assert!(line.contains(&format!("is held by pid {} (", holder.pid())), "{line}");
    wait_until("the state in the status file", LIMIT, || {
        scene.status().is_some_and(|status| status["state"] == "awaiting-port")
    });
    // Two more looks at the port change nothing, and say nothing.
    let updated = |status: serde_json::Value| status["updated_ms"].as_u64();
    let first = scene.status().and_then(updated);
    wait_until("another look at the port", LIMIT, || scene.status().and_then(updated) > first);
    assert_eq!(supervisor.lines_with(PORT_AWAITED).len(), 1);
    assert_eq!(holder.report().of("signal"), Vec::<&support::Event>::new());

    holder.signal(Signal::SIGTERM);
    supervisor.wait_ready();
    assert_eq!(holder.report().signals_of(holder.pid()), ["TERM"], "only the test's own signal");
}

#[test]
fn stop_while_the_port_is_cleared_ends_at_once() {
    let scene = Scene::new().set("port_grace_secs", "3600");
    let stranger = Fixture::listening(scene.port(), &["--ignore-term"]);
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_CONFLICT);
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.wait_exit(), 0);
    assert_eq!(scene.report().starts().len(), 0);
    assert!(stranger.is_alive());
}

#[test]
fn stop_while_the_port_is_awaited_ends_at_once() {
    let scene = Scene::new().set("port_conflict", "\"wait\"");
    let holder = Fixture::listening(scene.port(), &[]);
    let supervisor = scene.start();
    supervisor.wait_for_log(PORT_AWAITED);
    let asked = Instant::now();
    assert_eq!(supervisor.stop(), 0);
    assert!(asked.elapsed() < slowed(Duration::from_secs(2)));
    assert!(holder.is_alive());
}

#[test]
fn holder_of_every_address_is_in_the_way_of_one() {
    for everywhere in ["0.0.0.0", "::"] {
        let scene = Scene::new();
        let holder = Fixture::listening(scene.port(), &["--host", everywhere]);
        let supervisor = scene.start();
        supervisor.wait_ready();
        assert!(!holder.is_alive(), "{everywhere}\n{}", scene.story());
        assert!(supervisor.lines_with(PORT_CONFLICT)[0].contains(&format!("pid {} (", holder.pid())));
    }
}

#[test]
fn worker_on_an_ipv6_address_is_credited_and_its_holder_removed() {
    let scene = Scene::new().worker(&["--host", "::1"]).set("host", "\"::1\"");
    let holder = Fixture::listening(scene.port(), &["--host", "::1"]);
    // The same port of the other family is nobody's business.
    let neighbour = Fixture::listening(scene.port(), &[]);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    assert_eq!(scene.wait_for_events("listen", 1)[0].pid(), worker);
    assert!(!holder.is_alive());
    assert!(neighbour.is_alive());
    let address = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, scene.port().number()));
    assert_eq!(support::request_to(address, "GET", "/").expect("an answer").status, 200);
}

#[test]
fn stranger_that_answers_in_the_place_of_the_worker_is_never_credited() {
    let scene = Scene::new().worker(&["--life", "--listen-after", "30", "--life"]);
    let supervisor = scene.start();
    // The port was free when the worker started; it is taken before the worker listens.
    let first = scene.wait_for_events("start", 1)[0].pid();
    let stranger = Fixture::listening(scene.port(), &[]);
    let line = supervisor.wait_for_log(IMPOSTOR);
    assert!(line.contains(&format!("was answered by pid {} (", stranger.pid())), "{line}");
    let worker = supervisor.wait_ready();
    assert_ne!(worker, first);
    assert!(!stranger.is_alive());
    assert_order(&supervisor, &[IMPOSTOR, ENDED, PORT_CONFLICT, READY]);
}

#[test]
fn stranger_that_shares_the_port_is_a_conflict_even_if_the_worker_answers() {
    let scene = Scene::new().worker(&["--reuse-port", "--life", "--listen-after", "1", "--life"]);
    let supervisor = scene.start();
    let first = scene.wait_for_events("start", 1)[0].pid();
    // Only the worker's own answers are healthy, and they are not enough.
    let stranger = Fixture::listening(scene.port(), &["--reuse-port", "--health", "503"]);
    let line = supervisor.wait_for_log(IMPOSTOR);
    assert!(line.contains(&format!("pid {} (", stranger.pid())), "{line}");
    assert!(!line.contains(&format!("pid {first} ")), "{line}");
    let worker = supervisor.wait_ready();
    assert_ne!(worker, first);
    assert!(!stranger.is_alive());
    assert_order(&supervisor, &[IMPOSTOR, ENDED, PORT_CONFLICT, READY]);
}

#[test]
fn worker_whose_group_member_listens_is_credited() {
    // The worker itself is a launcher: who listens is its child, in its group.
    let scene = Scene::new();
    let program = support::worker_program();
    let script = format!("{:?} --port {} --report {:?} & wait", program, scene.port().number(), scene.file("report"));
    let scene = scene.command(&["/bin/sh", "-c", &script]);
    let supervisor = scene.start();
    let worker = supervisor.wait_ready();
    let listening = scene.wait_for_events("listen", 1)[0].pid();
    assert_ne!(listening, worker);
    assert_eq!(support::group_of(listening), Some(worker));
    assert_eq!(supervisor.lines_with(IMPOSTOR), Vec::<String>::new());
    assert_eq!(children_of(supervisor.pid()), [worker]);
}

#[test]
fn listening_socket_that_was_inherited_is_in_nobodys_way() {
    let scene = Scene::new();
    let program = scene.program();
    let mut burdened = std::process::Command::new(support::worker_program());
    burdened.arg("--burden").arg(program.get_program()).args(program.get_args());
    burdened.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    burdened.env("WORKER_BURDEN_LISTEN", scene.port().number().to_string());
    let supervisor = scene.start_with(&mut burdened);
    supervisor.wait_ready();
    assert_eq!(supervisor.lines_with(PORT_CONFLICT), Vec::<String>::new());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn address_of_another_machine_is_no_place_for_a_worker() {
    // Of TEST-NET-1, RFC 5737: nobody has it.
    let scene = Scene::new().set("host", "\"192.0.2.1\"");
    let supervisor = scene.start();
    let line = supervisor.wait_for_nth_log(2, LAUNCH_FAILED);
    assert!(line.contains("192.0.2.1 is not an address of this machine; set host to the worker's"), "{line}");
    assert_eq!(supervisor.lines_with(STARTED), Vec::<String>::new());
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn configuration_that_is_handed_over_as_a_descriptor_is_read() {
    let scene = Scene::new();
    let program = scene.program();
    let mut shell = std::process::Command::new("/bin/sh");
    let path = program.get_program().display().to_string();
    shell.args(["-c", "exec \"$0\" --config /dev/fd/7 7<\"$1\"", &path]).arg(scene.config_file());
    support::same_surroundings(&mut shell, &program);
    let supervisor = scene.start_with(&mut shell);
    supervisor.wait_ready();
    assert_eq!(supervisor.stop(), 0);
}

/// The first lines with each of these come one after the other.
fn assert_order(supervisor: &support::Supervisor<'_>, words: &[&str]) {
    let log = supervisor.stderr();
    let places: Vec<_> =
        words.iter().map(|text| log.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{log}"))).collect();
    assert!(places.is_sorted(), "not in the order {words:?}:\n{log}");
}
