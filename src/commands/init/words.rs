//! From a line for a shell, or from a wrapper, to the program itself and its arguments. Pure.
//!
//! A line is cut into words only where a shell would do no more than that. What runs a script of package.json, or a
//! program of node_modules or a virtual environment, is replaced by what it would run, as far as that can be seen.

use serde_json::Value;

use super::draft::{Guess, Project, text};
use crate::commands::dry_run::wrapper;

/// How many wrappers may stand in a row: a script may name itself.
const WRAPPERS_MAX: usize = 8;

/// The words of a line of a shell, if it is nothing but words; PORT is put in its place.
fn split(line: &str, port: &str) -> Option<Vec<String>> {
    let before = || line.split_ascii_whitespace().take_while(|word| is_assignment(word));
    let port = before().find_map(|word| word.strip_prefix("PORT=")).unwrap_or(port);
    let line = line.replace("${PORT}", port).replace("$PORT", port);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " \t_-./:@,+=%".contains(c);
    let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
    (line.chars().all(is_plain) && !words.is_empty()).then_some(words)
}

/// The words of a line, or those of the shell that it needs.
pub(super) fn of_line(line: &str, port: &str) -> Vec<String> {
    split(line, port).unwrap_or_else(|| {
        // The shell makes way for a single command, unless a variable stands first: exec takes that for a program.
        let is_single = !line.contains(['|', '&', ';', '(', '\n']) && !is_assignment(line);
        vec!["sh".into(), "-c".into(), format!("{}{line}", if is_single { "exec " } else { "" })]
    })
}

/// Whether a word, or a line, begins with `NAME=`.
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Replaces wrappers in a command by what they run, and variables before it by variables of the worker. Returns the
/// script that a wrapper is left to run, if there is one.
pub(super) fn unwrap(
    guess: &mut Guess,
    why: &mut String,
    project: &Project<'_>,
    package: &Value,
    port: &str,
) -> Option<String> {
    for _ in 0..WRAPPERS_MAX {
        let words: Vec<&str> = guess.config.command.iter().map(String::as_str).collect();
        let (variable, next) = match words[..] {
            [first, ref rest @ ..] if is_assignment(first) && !rest.is_empty() => (Some(first.to_owned()), owned(rest)),
            ["env" | "cross-env", ref rest @ ..] if rest.first().is_some_and(|it| is_assignment(it)) => {
                (None, owned(rest))
            }
            // What a shell does itself, or measures.
            ["exec" | "time", ref rest @ ..] if rest.first().is_some_and(|it| !it.starts_with('-')) => {
                (None, owned(rest))
            }
            _ => match inside(&words, project, package, port, why) {
                Inside::Command(next) => (None, next),
                Inside::Script(line) => return Some(line),
                Inside::Unseen => return None,
            },
        };
        if let Some((name, value)) = variable.as_deref().and_then(|it| it.split_once('=')) {
            guess.set(name, value.to_owned());
        }
        guess.config.command = next;
    }
    None
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What a wrapper runs.
enum Inside {
    /// A command, which can take its place.
    Command(Vec<String>),
    /// A script that needs a shell, or runs with others.
    Script(String),
    /// Nothing that can be seen, or it is none.
    Unseen,
}

fn inside(words: &[&str], project: &Project<'_>, package: &Value, port: &str, why: &mut String) -> Inside {
    const BINS: [&str; 2] = ["node_modules/.bin/", ".venv/bin/"];
    let script = |name: &str| text(package, &["scripts", name]);
    if let Some((name, line)) = script_of(words).and_then(|name| Some((name, script(name)?))) {
        let has_others = ["pre", "post"].iter().any(|before| script(&format!("{before}{name}")).is_some());
        let direct = split(line, port).filter(|_| !has_others);
        let says = if direct.is_some() { "is" } else { "takes a shell, or another script before or after it:" };
        why.push_str(&format!(", whose script {name:?} {says} `{line}`"));
        return direct.map_or_else(|| Inside::Script(line.to_owned()), Inside::Command);
    }
    let rest = match words {
        ["npx" | "bunx" | "pnpx", rest @ ..] => rest,
        ["uv" | "poetry" | "pipenv" | "pdm", "run", rest @ ..] => rest,
        _ => words,
    };
    let Some((program, arguments)) = rest.split_first() else { return Inside::Unseen };
    let path = BINS.iter().map(|bin| format!("{bin}{program}")).find(|path| (project.exists)(path));
    let path = path.filter(|_| !program.contains('/') && !program.starts_with('-'));
    path.map_or(Inside::Unseen, |path| Inside::Command([vec![path], owned(arguments)].concat()))
}

/// The script of package.json that a command runs, without arguments of its own.
fn script_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    match words {
        ["npm" | "pnpm" | "yarn" | "bun", "run" | "run-script", name] => Some(name),
        ["npm" | "pnpm" | "yarn", name] => Some(name),
        _ => None,
    }
}

/// The port that a command names, or the script that it runs.
pub(super) fn port(command: &[String], script: Option<&str>) -> Option<u16> {
    const OPTIONS: [&str; 6] = ["--port", "-p", "--bind", "-b", "--listen", "PORT"];
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let line = || command.split_first().and_then(|(program, args)| wrapper::line_of_shell(program, args));
    let words: Vec<&str> = match script.or_else(line) {
        Some(line) => words_of_server(line),
        None => command.into_iter().flat_map(str::split_ascii_whitespace).collect(),
    };
    let value = |at: usize| match words[at].split_once('=') {
        Some((option, value)) => OPTIONS.contains(&option).then_some(value),
        None => OPTIONS.contains(&words[at]).then(|| words.get(at + 1).copied())?,
    };
    let port = |value: &str| {
        let value = value.trim_matches(['"', '\'', ')', '}']);
        // As in 8080:80, of a container, where it is the first one.
        let outside = value.split_once(':').and_then(|(outside, _)| outside.parse().ok());
        outside.or_else(|| value.rsplit(':').next()?.parse().ok()).filter(|port| *port != 0)
    };
    (0..words.len()).find_map(|at| port(value(at)?))
}

/// The words of the last command of a line for a shell, and of the first one of its pipe; before them what PORT is set
/// to. What else stands before waits for a database, or builds: the ports that it names are those of others.
fn words_of_server(line: &str) -> Vec<&str> {
    const ENDS: [&str; 5] = ["&&", "||", ";", "\n", " & "];
    let last = ENDS.into_iter().fold(line, |line, end| line.split(end).last().unwrap_or(line));
    let server = last.split('|').next().unwrap_or(last);
    let before = line.split([' ', '\t', '\n', ';']).filter(|word| word.starts_with("PORT="));
    before.chain(server.split_ascii_whitespace()).collect()
}
