//! A `command` that names a program which starts the server, and not the server.
//!
//! Pure: it goes by the words alone, and knows the usual programs. All of them work: the drain waits for the whole
//! session. But each is one more process, that can die alone or keep a signal to itself.

use std::path::Path;

use super::report::Finding;

/// What is to be written for a script of a package manager.
const SCRIPT: &str = "what its script runs, such as [\"node\", \"server.js\"]";

/// What to do about a program between the supervisor and the server, if `command` names one that is known.
pub(super) fn finding(command: &[String]) -> Option<Finding> {
    advice(command).map(|text| Finding::warn("command", text))
}

/// The same, as text.
pub(in crate::commands) fn advice(command: &[String]) -> Option<String> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let (program, args) = words.split_first()?;
    let program = Path::new(program).file_name()?.to_str()?;
    let (what, instead) = between(program, args)?;
    Some(format!(
        "{what} stands between the supervisor and the server, and may die alone or keep a signal to itself; \
         better name the server itself: {instead}"
    ))
}

fn between<'a>(program: &'a str, args: &[&str]) -> Option<(&'a str, &'static str)> {
    let first = args.iter().find(|arg| !arg.starts_with('-')).copied();
    let instead = match program {
        "npm" | "yarn" | "pnpm" => SCRIPT,
        "npx" | "pnpx" | "bunx" => "its program in node_modules/.bin",
        "bun" if runs_script(args) => SCRIPT,
        "deno" if first == Some("task") => SCRIPT,
        "uv" | "poetry" | "pipenv" | "pdm" if first == Some("run") => "the program in .venv/bin",
        "pm2" | "pm2-runtime" | "pm2-docker" | "nodemon" | "forever" | "honcho" | "foreman" | "overmind" => {
            "what it would start, which the supervisor restarts by itself"
        }
        _ if stays_beside_line(program, args) => {
            "its program and arguments, with variables in [env], or put `exec` before it"
        }
        _ => return None,
    };
    Some((program, instead))
}

/// Whether bun is to run a script of package.json: the word after `run` names no file.
fn runs_script(args: &[&str]) -> bool {
    let mut words = args.iter().skip_while(|arg| arg.starts_with('-'));
    let is_run = words.next() == Some(&"run");
    let is_filtered = args.iter().any(|arg| *arg == "--filter" || arg.starts_with("--filter="));
    is_run && (is_filtered || words.find(|arg| !arg.starts_with('-')).is_some_and(|name| !name.contains(['.', '/'])))
}

/// Whether a shell is to run a line and stays beside what that starts.
fn stays_beside_line(program: &str, args: &[&str]) -> bool {
    line_of_shell(program, args).is_some() && !args.iter().any(|arg| arg.contains("exec "))
}

/// The line that a program is to run, if it is a shell that is given one.
pub(in crate::commands) fn line_of_shell<'a>(program: &str, args: &[&'a str]) -> Option<&'a str> {
    const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];
    let name = Path::new(program).file_name()?.to_str()?;
    let takes_line = |arg: &&str| arg.starts_with('-') && !arg.starts_with("--") && arg.ends_with('c');
    let at = args.iter().position(takes_line).filter(|_| SHELLS.contains(&name))?;
    args.get(at + 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(" | ").map(str::to_owned).collect();
        finding(&words).map(|finding| finding.text)
    }

    #[test]
    fn programs_between_are_named_with_what_to_write_instead() {
        assert_eq!(
            found("/usr/bin/npm | run | start").as_deref(),
            Some(
                "npm stands between the supervisor and the server, and may die alone or keep a signal to itself; \
                 better name the server itself: what its script runs, such as [\"node\", \"server.js\"]"
            )
        );
        let lines = [
            ("npx | tsx | server.ts", "node_modules/.bin"),
            ("yarn | start", "script"),
            ("pnpm | --silent | run | start", "script"),
            ("bun | run | start", "script"),
            ("bun | --bun | run | dev", "script"),
            ("bun | run | --filter | a | start", "script"),
            ("deno | task | start", "script"),
            ("uv | run | server.py", ".venv/bin"),
            ("pm2-runtime | server.js", "restarts by itself"),
            ("sh | -c | bun worker.ts; echo ended", "exec"),
            ("/bin/bash | -lc | node server.js", "exec"),
        ];
        for (line, instead) in lines {
            assert!(found(line).is_some_and(|text| text.contains(instead)), "{line}: {:?}", found(line));
        }
    }

    #[test]
    fn servers_are_well() {
        for line in [
            "bun | run | src/serve.ts",
            "bun | server.ts",
            "bun | run | --hot | server.ts",
            "node | server.js",
            "sh | -c | exec node server.js",
            "sh | start.sh",
            "gunicorn | wsgi:app",
            "uv | --version",
            "/srv/npm/server",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
