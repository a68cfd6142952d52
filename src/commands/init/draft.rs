//! What is known of a worker so far, and where more may be found.

use serde_json::Value;

use crate::config::Config;
use crate::error::escape;

/// How much is told of why a key has its value, in bytes.
const WHY_BYTES_MAX: usize = 300;

/// The content of a file, or why it can't be read; `None` if there is none.
pub type Content = Result<Option<Vec<u8>>, String>;

/// The directory of a project: its files, as far as anybody asks for them.
pub struct Project<'a> {
    /// A file's content.
    pub read: &'a dyn Fn(&str) -> Content,
    /// Whether there is such a file.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// PORT of a .env file.
    pub dotenv_port: Option<u16>,
}

/// A config as far as it is known, with texts as they would be typed.
#[derive(Debug, Default)]
pub struct Guess {
    /// The values.
    pub config: Config,
    /// The keys that are set, and why they are.
    pub said: Vec<(&'static str, String)>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Guess {
    /// Notes that a key is set, and why.
    pub(super) fn say(&mut self, key: &'static str, why: &str) {
        self.said.push((key, escape(why, WHY_BYTES_MAX)));
    }

    /// What was guessed, a line each; of variables the names alone.
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        for (key, why) in &self.said {
            lines.extend([key, ": ", &self.config.shown(key), " (", why, ")\n"]);
        }
        for note in &self.notes {
            lines.extend(["note: ", note, "\n"]);
        }
        lines
    }

    /// Sets a variable of the worker, in the place of an earlier one.
    pub(super) fn set(&mut self, variable: &str, value: String) {
        self.config.env.retain(|(earlier, _)| earlier != variable);
        self.config.env.push((variable.to_owned(), value));
        self.config.env.sort();
    }
}

/// What to run, and who says so.
pub(super) type Found = Option<(Vec<String>, String)>;

/// A name as the config takes it.
pub(super) fn name_of(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = text.trim_start_matches('.').chars().map(allowed).take(64).collect();
    if name.is_empty() { "worker".into() } else { name }
}

/// A text in objects in objects.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_str()
}
