//! What pyproject.toml says of how a program is run. Pure.

use toml::de::{DeTable, DeValue};

use super::draft::{Found, Project};

/// What pyproject.toml says.
#[derive(Default)]
pub(super) struct Python {
    is_there: bool,
    pub(super) name: Option<String>,
    /// As they are written: `uvicorn[standard]>=0.30`.
    dependencies: Vec<String>,
    scripts: Vec<String>,
}

impl Python {
    /// # Errors
    /// It is not TOML.
    pub(super) fn of(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "\"pyproject.toml\" is not valid UTF-8")?;
        let table =
            DeTable::parse(text).map_err(|error| format!("\"pyproject.toml\" is not TOML: {}", error.message()))?;
        let table =
            |path: &[&str]| path.iter().try_fold(table.get_ref(), |table, key| table.get(*key)?.get_ref().as_table());
        let keys = |path: &[&str]| {
            table(path).into_iter().flat_map(|table| table.keys()).map(|key| key.get_ref().to_string()).collect()
        };
        let mut dependencies: Vec<String> = keys(&["tool", "poetry", "dependencies"]);
        let project = table(&["project"]);
        let listed = project.and_then(|project| project.get("dependencies")).and_then(|list| list.get_ref().as_array());
        dependencies.extend(listed.into_iter().flat_map(|list| list.iter()).filter_map(|it| string(it.get_ref())));
        let name = project.or(table(&["tool", "poetry"])).and_then(|table| string(table.get("name")?.get_ref()));
        Ok(Self { is_there: !text.is_empty(), name, dependencies, scripts: keys(&["project", "scripts"]) })
    }

    /// Whether a package is among the dependencies.
    pub(super) fn requires(&self, name: &str) -> bool {
        let is_longer = |rest: &str| rest.starts_with(|c: char| c == '-' || c == '_' || c.is_ascii_alphanumeric());
        self.dependencies.iter().any(|it| it.strip_prefix(name).is_some_and(|rest| !is_longer(rest)))
    }

    /// What to run, as far as it says so.
    pub(super) fn command(&self, project: &Project<'_>) -> Found {
        const APPS: [(&str, &str); 6] = [
            ("main.py", "main:app"),
            ("app.py", "app:app"),
            ("app/main.py", "app.main:app"),
            ("src/main.py", "src.main:app"),
            ("asgi.py", "asgi:application"),
            ("wsgi.py", "wsgi:application"),
        ];
        if !self.is_there {
            return None;
        }
        let app = APPS.into_iter().find(|(file, _)| (project.exists)(file));
        let server = ["uvicorn", "fastapi", "hypercorn", "gunicorn"].into_iter().find(|name| self.requires(name));
        let (words, why) = match (server, app, &*self.scripts) {
            (Some("gunicorn"), Some((_, app)), _) => {
                (vec!["gunicorn", app], "pyproject.toml has gunicorn; the app is a guess")
            }
            (Some("hypercorn"), Some((_, app)), _) => {
                (vec!["hypercorn", app], "pyproject.toml has hypercorn; the app is a guess")
            }
            // It takes no port from PORT.
            (Some(_), Some((_, app)), _) => {
                (vec!["uvicorn", app, "--port", "8000"], "pyproject.toml has uvicorn; the app is a guess")
            }
            (_, _, [script]) => (vec![&**script], "the script of pyproject.toml"),
            _ if (project.exists)("main.py") => (vec!["python3", "main.py"], "main.py, beside pyproject.toml"),
            _ => return None,
        };
        let tool: &[&str] = if (project.exists)("uv.lock") { &["uv", "run"] } else { &[] };
        Some((tool.iter().chain(&words).map(|word| (*word).to_owned()).collect(), why.into()))
    }
}

fn string(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}
