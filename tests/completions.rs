//! The completions of bash, zsh and fish: made from the program's own command line, committed in `completions/`, and
//! tried in the real shells. `UPDATE_DOCS=1 cargo test --test completions` writes them anew.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use argh::{CommandInfoWithArgs, FlagInfoKind, SubCommandInfo};
use argh_complete::{Generator, bash::Bash, fish::Fish, zsh::Zsh};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};
use support::{LIMIT, TempDir, wait_for};
use worker_supervisor::cli::{PROGRAM, described};

/// Each shell's file, under the name that the shell looks for.
const BASH: &str = "worker-supervisor.bash";
const ZSH: &str = "_worker-supervisor";
const FISH: &str = "worker-supervisor.fish";

const PROMPT: &str = "READY> ";

/// In the place of the program: shows which words the shell has made of a line.
const STAND_IN: &str = "worker-supervisor() { printf '[%s]' \"$@\"; echo .; }";

/// What is typed before a tab, and the words that the line is made of then.
const LINES: [(&str, &str); 9] = [
    ("st", "[status]"),
    ("--dr", "[--dry-run]"),
    ("--config worker.toml resta", "[--config][worker.toml][restart]"),
    ("--config wor", "[--config][worker.toml]"),
    ("status --js", "[status][--json]"),
    ("logs --fo", "[logs][--follow]"),
    ("logs --config wor", "[logs][--config][worker.toml]"),
    ("logs -n 5 --fo", "[logs][-n][5][--follow]"),
    ("launchd ins", "[launchd][install]"),
];

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(name)
}

/// The command line with what argh does not tell of it: actions are words that are completed like commands, each with
/// the options of its command after it.
fn command() -> CommandInfoWithArgs {
    let mut command = described();
    command.name = PROGRAM;
    let launchd = command.commands.iter_mut().find(|it| it.name == "launchd").expect("a command");
    let flags = launchd.command.flags;
    let actions = [
        ("print", "print its property list"),
        ("install", "write the property list and load the job"),
        ("uninstall", "unload the job and remove the property list"),
    ];
    let described = |(name, description)| CommandInfoWithArgs { name, description, flags, ..Default::default() };
    launchd.command.commands =
        actions.map(described).map(|command| SubCommandInfo { name: command.name, command }).into();
    command
}

/// The options of a command, and of those below it, whose value is a path.
fn path_options(command: &CommandInfoWithArgs) -> BTreeSet<&'static str> {
    let own = command.flags.iter().filter(|it| matches!(it.kind, FlagInfoKind::Option { arg_name: "path" }));
    let own = own.map(|it| it.long.trim_start_matches('-')).collect();
    command.commands.iter().map(|it| path_options(&it.command)).fold(own, |all, below| &all | &below)
}

/// Each shell's completions. bash has names of files wherever nothing else is known; the others are told where.
fn made() -> [(&'static str, String); 3] {
    let command = command();
    let (mut zsh, mut fish) = (String::new(), Fish::generate(PROGRAM, &command));
    let paths = path_options(&command);
    for line in Zsh::generate(PROGRAM, &command).lines() {
        let takes_path = paths.iter().any(|option| line.trim_start().starts_with(&format!("'--{option}[")));
        let line = if takes_path { line.replace("'': :'", "'':path:_files'") } else { line.to_owned() };
        zsh += &(line + "\n");
    }
    for option in paths {
        fish = fish.replace(&format!(" -f -l {option} -r"), &format!(" -F -l {option} -r"));
    }
    // The same in a spelling that fish before 4 knows as well. No line ends with blanks.
    let fish = fish.replace("commandline -xpc", "commandline -opc");
    let fish = fish.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    [(BASH, Bash::generate(PROGRAM, &command)), (ZSH, zsh), (FISH, fish)]
}

#[test]
fn the_committed_completions_are_the_programs_own() {
    for (name, text) in made() {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(committed(name), text).expect("the file can be written");
            continue;
        }
        let found = fs::read_to_string(committed(name)).ok();
        assert!(found.is_some_and(|it| it == text), "{name}: run UPDATE_DOCS=1 cargo test --test completions");
    }
}

/// A shell on a terminal of its own, in a directory with a config. It ends with the test.
struct Terminal {
    shell: Child,
    screen: File,
    shown: String,
    _dir: TempDir,
}

impl Terminal {
    /// Starts it with this start-up file, which is to set the prompt.
    fn open(shell: &str, arguments: &[&str], start_up: (&str, &str)) -> Self {
        let dir = TempDir::new();
        fs::write(dir.join("worker.toml"), "").expect("a file");
        fs::write(dir.join(start_up.0), start_up.1).expect("a file");
        let OpenptyResult { master, slave } = openpty(None, None).expect("a terminal");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = Command::new(shell);
        command.args(arguments).current_dir(dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir.path()).env("TERM", "dumb");
        let shell = command.stdin(end()).stdout(end()).stderr(end()).spawn();
        let shell = shell.unwrap_or_else(|error| panic!("cannot run {command:?}, which this test needs: {error}"));
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a terminal that doesn't wait");
        let mut terminal = Self { shell, screen: master.into(), shown: String::new(), _dir: dir };
        terminal.wait_to_show(PROMPT);
        terminal
    }

    /// Types, once there is a prompt, and goes on when this is shown and there is a prompt again.
    fn type_line(&mut self, line: &str, expected: &str) {
        self.shown.clear();
        self.screen.write_all(line.as_bytes()).expect("the terminal takes it");
        self.wait_to_show(expected);
        self.shown = self.shown.split_once(expected).map_or(String::new(), |(_, rest)| rest.to_owned());
        self.wait_to_show(PROMPT);
    }

    fn wait_to_show(&mut self, expected: &str) {
        let Self { screen, shown, .. } = self;
        let mut seen = String::new();
        wait_for(
            &format!("{expected:?} on the terminal"),
            LIMIT,
            || "what was shown is above".into(),
            || {
                let mut buffer = [0; 4096];
                match screen.read(&mut buffer) {
                    Ok(count) => shown.push_str(&String::from_utf8_lossy(&buffer[..count])),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("{error} after {shown:?}"),
                }
                if *shown != seen {
                    seen.clone_from(shown);
                    println!("{shown:?}");
                }
                shown.contains(expected).then_some(())
            },
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone_already = self.shell.kill();
        let _status = self.shell.wait();
    }
}

/// Types each line up to a tab, then return: the words that the shell calls the program with tell what it completed.
fn complete_all(terminal: &mut Terminal) {
    for (typed, words) in LINES {
        terminal.type_line(&format!("worker-supervisor {typed}\t\r"), &format!("{words}."));
    }
}

#[test]
fn bash_completes_on_a_terminal() {
    let source = committed(BASH);
    let start_up =
        format!("PS1='{PROMPT}'\nbind 'set enable-bracketed-paste off'\n{STAND_IN}\nsource '{}'\n", source.display());
    complete_all(&mut Terminal::open("bash", &["--noprofile", "--rcfile", "start", "-i"], ("start", &start_up)));
}

#[test]
fn zsh_completes_on_a_terminal() {
    let directory = committed("");
    // HOME is where zsh finds its start-up file.
    let start_up = format!(
        "unsetopt PROMPT_SP\nfpath=('{}' $fpath)\nautoload -Uz compinit && compinit -u -D\n\
         {STAND_IN}\nPS1='{PROMPT}'\n",
        directory.display()
    );
    complete_all(&mut Terminal::open("zsh", &["-d", "-i"], (".zshrc", &start_up)));
}

/// fish is asked, by its own means, what it would offer.
#[test]
fn fish_offers_the_same() {
    let dir = TempDir::new();
    fs::write(dir.join("worker.toml"), "").expect("a file");
    for (typed, words) in LINES {
        let script = format!("source '{}'; complete -C 'worker-supervisor {typed}'", committed(FISH).display());
        let mut fish = Command::new("fish");
        let output = fish.args(["--no-config", "-c", &script]).current_dir(dir.path()).env("HOME", dir.path()).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run fish, which this test needs: {error}"));
        let offered = String::from_utf8(output.stdout).expect("text");
        let word = words.rsplit('[').next().expect("a word").trim_end_matches(']');
        let offers: Vec<&str> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(offers, [word], "{typed}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
