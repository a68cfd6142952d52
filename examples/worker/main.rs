//! A worker to supervise: the fixture of the integration tests and, as `worker --demo`, of the first try by hand.
//! It answers GET as a healthy endpoint and PUT as a registration, says in a report file what happened to it, and on
//! SIGTERM finishes the running requests and exits 0. Arguments make it misbehave in one named way each: `--help`
//! lists them. It promises to tell what it inherited (mask, ignored signals, descriptors) before it changes anything,
//! and to handle signals without polling. It refuses to be a good server: one request a connection, no keep-alive.

mod answer;
mod burden;
mod chatter;
mod descendants;
mod inherited;
mod life;
mod listen;
mod options;
mod report;
mod request;
#[cfg(target_os = "linux")]
mod seize;
mod serve;
mod tool;

use std::process::ExitCode;
use std::sync::Arc;

use crate::inherited::Inherited;
use crate::life::Life;
use crate::options::{Descendant, Options, USAGE};
use crate::report::Report;

fn main() -> ExitCode {
    let inherited = Inherited::read();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match arguments.split_first() {
        Some((flag, program)) if flag == "--burden" => return burden::become_burdened(program),
        Some((flag, words)) if flag == "--tool" => return tool::lease(words),
        Some((flag, _)) if flag == tool::DAEMON => return tool::linger(),
        Some(_) | None => {}
    }
    #[cfg(target_os = "linux")]
    if let [flag, pid] = &arguments[..]
        && flag == "--seize"
    {
        return seize::hold(pid);
    }
    match Options::parse(&arguments, Report::starts_in) {
        Ok(options) => run(&inherited, options),
        Err(message) => {
            eprintln!("worker: {message}; see --help");
            ExitCode::from(64)
        }
    }
}

/// Plays the part that the options name. Returns never: every part ends in an exit of its own.
fn run(inherited: &Inherited, options: Options) -> ! {
    match options.descendant {
        None => work(inherited, options),
        Some(kind) => descendants::live(inherited, options, kind),
    }
}

/// The worker itself: report, prepare the ends, then listen and serve.
fn work(inherited: &Inherited, options: Options) -> ! {
    if let Some(file) = &options.dump_env {
        report::dump_environment(file);
    }
    let report = Report::open(options.report.as_deref());
    report.event("start", &inherited.to_string());
    let life = Arc::new(Life::new(options, report));
    life.watch_signals(inherited);
    life.say_last_words_early();
    chatter::start(life.options.chatter);
    life.end_when_due();
    if life.options.fork_child {
        descendants::start(&life, Descendant::Sleep, None);
    }
    listen::pause(life.options.listen_after);
    if life.options.no_listen {
        life::wait_for_ever();
    }
    listen::open_fds(life.options.open_fds);
    let listener = listen::bind(&life);
    life.keep(&listener);
    life.report.event("listen", &format!("port={}", life.options.port));
    if life.options.hand_over {
        descendants::start(&life, Descendant::Serve, Some(&listener));
        life.exit(0);
    }
    if life.options.escape {
        descendants::start(&life, Descendant::Hold, Some(&listener));
    }
    serve::accept_for_ever(&life, &listener)
}
