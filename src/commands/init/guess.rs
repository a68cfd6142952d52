//! From a project's files to a config: what to run, where it listens, whether it is an Inngest worker. Pure.
//!
//! A file that was named comes first, then a Procfile, package.json and pyproject.toml, as each says more of how the
//! program is run than the next one. What nothing says is guessed; why a key has its value is told with it.

use super::draft::{Found, Guess, Project, text};
use super::python::Python;
use super::{plist, pm2, words};
use crate::commands::dry_run::wrapper;
use crate::config::Config;
use serde_json::Value;

/// What a file that was named tells: a property list of launchd, or an ecosystem file of pm2 in JSON.
///
/// # Errors
/// Why it is neither, or tells nothing.
pub fn read_named(content: &[u8]) -> Result<Guess, String> {
    if content.starts_with(b"bplist") {
        return Err("it is a binary property list; `plutil -convert xml1 FILE` makes it one of text".into());
    }
    if content.trim_ascii_start().starts_with(b"<") {
        return plist::read(content);
    }
    let value = serde_json::from_slice(content).map_err(|error| {
        let file = "require(\"./ecosystem.config.js\")";
        format!(
            "it is neither a property list nor JSON ({error}); of a file in JavaScript \
             `node -p 'JSON.stringify({file})' >ecosystem.json` makes JSON"
        )
    })?;
    pm2::read(&value)
}

/// Adds what the project's directory tells, and what nothing does.
///
/// # Errors
/// Nothing says what to run, or a file can't be read.
pub fn complete(guess: &mut Guess, project: &Project<'_>) -> Result<(), String> {
    let package = match (project.read)("package.json").map_err(|cause| format!("\"package.json\": {cause}"))? {
        Some(content) => {
            serde_json::from_slice(&content).map_err(|error| format!("\"package.json\" is not JSON: {error}"))?
        }
        None => Value::Null,
    };
    let python = (project.read)("pyproject.toml").map_err(|cause| format!("\"pyproject.toml\": {cause}"))?;
    let python = Python::of(python.as_deref().unwrap_or_default())?;
    let port = project.dotenv_port.unwrap_or(PORT_DEFAULT).to_string();
    let mut why = "the file that was named".to_owned();
    if guess.config.command.is_empty() {
        let found = procfile(project, &port)?
            .or_else(|| script(project, &package))
            .or_else(|| main_file(project, &package))
            .or_else(|| python.command(project));
        (guess.config.command, why) = found.ok_or(
            "nothing here says what to run: neither a Procfile with a web line, nor a package.json with a start \
             script, a module or a main file, nor a pyproject.toml with a server; write the config by hand",
        )?;
    }
    let script = words::unwrap(guess, &mut why, project, &package, &port);
    guess.say("command", &why);
    guess.notes.extend(wrapper::advice(&guess.config.command));
    set_port(guess, project, script.as_deref());
    if text(&package, &["dependencies", "inngest"]).is_some() || python.requires("inngest") {
        let why = "inngest is among the dependencies; better a route that logs nothing";
        (guess.config.health_endpoint, guess.config.sync_endpoint) = (ENDPOINT.into(), Some(ENDPOINT.into()));
        guess.say("health_endpoint", why);
        guess.say("sync_endpoint", "inngest is among the dependencies, and this is its path unless told otherwise");
    }
    if guess.config.name.is_empty() {
        let name = text(&package, &["name"]).map(str::to_owned).or(python.name);
        // What comes before the slash is a scope.
        guess.config.name = name.unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
    }
    if !guess.config.env.is_empty() {
        guess.say("env", "what the worker is told; PORT, or what was set for it before");
    }
    Ok(())
}

const ENDPOINT: &str = "/api/inngest";
const PORT_DEFAULT: u16 = 3000;
const PYTHON_PORT: u16 = 8000;

fn procfile(project: &Project<'_>, port: &str) -> Result<Found, String> {
    let Some(content) = (project.read)("Procfile").map_err(|cause| format!("\"Procfile\": {cause}"))? else {
        return Ok(None);
    };
    let content = String::from_utf8_lossy(&content);
    let line = content.lines().find_map(|line| line.strip_prefix("web:")).map(str::trim);
    let words = line.filter(|line| !line.is_empty()).map(|line| words::of_line(line, port));
    Ok(words.map(|words| (words, "the web line of Procfile".into())))
}

fn script(project: &Project<'_>, package: &Value) -> Found {
    let name = ["start", "serve"].into_iter().find(|name| text(package, &["scripts", name]).is_some())?;
    let words = [manager(project, package), "run", name].map(str::to_owned);
    Some((words.into(), "package.json".into()))
}

/// Who runs the scripts of a project: as package.json says, or as what has locked its packages.
fn manager(project: &Project<'_>, package: &Value) -> &'static str {
    const LOCKS: [(&str, &str); 4] =
        [("bun", "bun.lock"), ("bun", "bun.lockb"), ("pnpm", "pnpm-lock.yaml"), ("yarn", "yarn.lock")];
    let said = text(package, &["packageManager"]).and_then(|said| said.split('@').next());
    let by_word = LOCKS.into_iter().find(|(manager, _)| said == Some(manager));
    let found = by_word.or_else(|| LOCKS.into_iter().find(|(_, lock)| said.is_none() && (project.exists)(lock)));
    found.map_or("npm", |(manager, _)| manager)
}

fn main_file(project: &Project<'_>, package: &Value) -> Found {
    let named = ["module", "main"].into_iter().filter_map(|key| text(package, &[key]));
    let file = named.chain(["server.js"]).find(|file| package.is_object() && (project.exists)(file))?;
    let words = if manager(project, package) == "bun" { vec!["bun", "run", file] } else { vec!["node", file] };
    Some((words.into_iter().map(str::to_owned).collect(), "the main file of package.json".into()))
}

/// Where the worker listens: as its command or its variables say; else as most servers of its kind do, and it is told.
fn set_port(guess: &mut Guess, project: &Project<'_>, script: Option<&str>) {
    let Config { command, env, .. } = &guess.config;
    let told = env.iter().find(|(name, _)| name == "PORT").and_then(|(_, port)| port.parse().ok());
    let program = command[0].rsplit('/').next().unwrap_or_default();
    let is_python =
        ["uvicorn", "gunicorn", "hypercorn", "uv", "flask"].contains(&program) || program.starts_with("python");
    let usual = if is_python { PYTHON_PORT } else { PORT_DEFAULT };
    let named = words::port(command, script);
    let (port, why) = match (named, told.filter(|port| *port != 0), project.dotenv_port) {
        (Some(port), _, _) => (port, "the command says so"),
        (None, Some(port), _) => (port, "PORT says so"),
        (None, None, Some(port)) => (port, "PORT in .env says so"),
        (None, None, None) => (usual, "a guess, as nothing says it; PORT tells the worker, if it asks"),
    };
    if named.is_none() {
        guess.set("PORT", port.to_string());
    }
    guess.config.port = port;
    guess.say("port", why);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command, the port and whether it is an Inngest worker, of a project of these files.
    fn guessed(files: &[(&str, &str)]) -> Result<(String, u16, bool), String> {
        let find = |name: &str| files.iter().find(|(file, _)| *file == name).map(|(_, content)| *content);
        let project = Project {
            read: &|name| Ok(find(name).map(|content| content.as_bytes().to_vec())),
            exists: &|name| find(name).is_some(),
            dotenv_port: find(".env").and_then(|port| port.parse().ok()),
        };
        let mut guess = Guess::default();
        complete(&mut guess, &project)?;
        let Config { command, port, sync_endpoint, .. } = guess.config;
        Ok((command.join(" "), port, sync_endpoint.is_some()))
    }

    #[track_caller]
    fn assert_guessed(files: &[(&str, &str)], command: &str, port: u16) {
        assert_eq!(guessed(files).map(|(command, port, _)| (command, port)), Ok((command.into(), port)), "{files:?}");
    }

    #[test]
    fn projects_for_node_and_bun_are_understood() {
        let start = |script: &str| format!("{{\"scripts\": {{\"start\": {script:?}, \"real\": \"node b.js\"}}}}");
        for (script, files, command, port) in [
            ("bun run src/serve.ts", &[][..], "bun run src/serve.ts", 3000),
            ("PORT=4000 bun src/serve.ts", &[], "bun src/serve.ts", 4000),
            ("cross-env A=b PORT=4000 node a.js", &[(".env", "5000")], "node a.js", 4000),
            ("node a.js", &[(".env", "5000")], "node a.js", 5000),
            ("node a.js -p $PORT", &[], "node a.js -p 3000", 3000),
            ("npm run real", &[], "node b.js", 3000),
            ("npm real", &[], "node b.js", 3000),
            ("npm run start", &[], "npm run start", 3000),
            ("tsc && node a.js", &[("yarn.lock", "")], "yarn run start", 3000),
            ("tsc && node a.js --port 3200", &[("yarn.lock", "")], "yarn run start", 3200),
            ("pg_isready -p 5432 && node a.js", &[], "npm run start", 3000),
            ("pg_isready -p 5432 && node a.js --port 3200", &[], "npm run start", 3200),
            ("PORT=4000 next start -p $PORT", &[], "next start -p 4000", 4000),
            ("export PORT=3905; node a.js", &[], "npm run start", 3905),
            ("PORT=3906;node a.js", &[], "npm run start", 3906),
            ("(cd app && node a.js -p 3901)", &[], "npm run start", 3901),
            ("docker run -p 8080:80 img", &[], "docker run -p 8080:80 img", 8080),
            ("gunicorn --bind 0.0.0.0:8000 a:b", &[], "gunicorn --bind 0.0.0.0:8000 a:b", 8000),
            ("exec node a.js --port 3200", &[], "node a.js --port 3200", 3200),
            ("redis-server -p 6379 & node a.js -p 3200 2>&1 | pino -p 1", &[], "npm run start", 3200),
            ("node 'a b.js'", &[("bun.lock", "")], "bun run start", 3000),
            ("npx tsx a.ts", &[("node_modules/.bin/tsx", "")], "node_modules/.bin/tsx a.ts", 3000),
            ("npx tsx a.ts", &[], "npx tsx a.ts", 3000),
            (
                "next start --port=3100",
                &[("node_modules/.bin/next", "")],
                "node_modules/.bin/next start --port=3100",
                3100,
            ),
        ] {
            let package = start(script);
            assert_guessed(&[files, &[("package.json", &*package)]].concat(), command, port);
        }
        let module = "{\"module\": \"index.ts\", \"packageManager\": \"bun@1.3\"}";
        assert_guessed(&[("package.json", module), ("index.ts", "")], "bun run index.ts", 3000);
        assert_guessed(&[("package.json", "{}"), ("server.js", "")], "node server.js", 3000);
        assert!(guessed(&[("package.json", module)]).is_err_and(|error| error.contains("by hand")));
        assert!(guessed(&[("package.json", "[]"), ("server.js", "")]).is_err());
    }

    #[test]
    fn python_projects_and_procfiles_are_understood() {
        let requires = |list: &str| format!("[project]\nname = \"a\"\ndependencies = [{list}]\n");
        let [both, flask, poetry] = [
            requires("\"fastapi\", \"inngest>=0.4\""),
            requires("\"flask\", \"gunicorn-x\", \"gunicorn==23\""),
            "[tool.poetry]\nname = \"a\"\n[tool.poetry.dependencies]\nhypercorn = \"^0.17\"\n".into(),
        ];
        assert_guessed(&[("pyproject.toml", &both), ("app/main.py", "")], "uvicorn app.main:app --port 8000", 8000);
        assert_eq!(guessed(&[("pyproject.toml", &both), ("main.py", "")]).map(|it| it.2), Ok(true));
        assert_guessed(&[("pyproject.toml", &flask), ("app.py", ""), ("uv.lock", "")], "uv run gunicorn app:app", 8000);
        assert_guessed(&[("pyproject.toml", &poetry), ("asgi.py", "")], "hypercorn asgi:application", 8000);
        assert!(guessed(&[("pyproject.toml", &requires("\"gunicorn-x\""))]).is_err());
        let scripts = "[project]\n[project.scripts]\nserve = \"a:b\"\n";
        assert_guessed(&[("pyproject.toml", scripts), (".venv/bin/serve", "")], ".venv/bin/serve", 3000);
        assert_guessed(&[("Procfile", "worker: x\nweb:  node a.js\n")], "node a.js", 3000);
        assert_guessed(&[("Procfile", "web: node \"$A\"")], "sh -c exec node \"$A\"", 3000);
        assert_guessed(&[("Procfile", "web: node a.js -p 81 \"a b\"")], "sh -c exec node a.js -p 81 \"a b\"", 81);
        assert_guessed(&[("Procfile", "web: cd x && PORT='82' y")], "sh -c cd x && PORT='82' y", 82);
        assert_guessed(&[("Procfile", "web: a -p 81; b || c")], "sh -c a -p 81; b || c", 3000);
        assert_guessed(&[("Procfile", "web: A=\"b\" node a.js | x")], "sh -c A=\"b\" node a.js | x", 3000);
    }

    #[test]
    fn bytes_of_any_kind_are_a_guess_or_an_error() {
        let seeds = [
            "{\"apps\": [{\"script\": \"a.js\", \"args\": \"-p 1\", \"env\": {\"A\": 1}}]}",
            "<plist><dict><key>ProgramArguments</key><array><string>a&amp;b</string></array></dict></plist>",
            "{\"scripts\": {\"start\": \"A=b npm run start\"}, \"name\": \"@a/b\"}",
            "[project]\ndependencies = [\"uvicorn\"]\n",
            "web: A=b node --port=1 $PORT",
        ];
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize
        };
        for _ in 0..20_000 {
            let mut bytes = seeds[next() % seeds.len()].as_bytes().to_vec();
            for _ in 0..1 + next() % 4 {
                let at = next() % bytes.len();
                match next() % 3 {
                    0 => bytes.truncate(at + 1),
                    _ => bytes[at] = next() as u8,
                }
            }
            let mut guess = read_named(&bytes).unwrap_or_default();
            let project =
                Project { read: &|_| Ok(Some(bytes.clone())), exists: &|name| name.len() % 2 == 0, dotenv_port: None };
            if complete(&mut guess, &project).is_ok() {
                assert!(!guess.config.command.is_empty() && guess.config.port > 0);
                assert!(!guess.said.iter().any(|(_, why)| why.contains(char::is_control)));
            }
        }
    }
}
