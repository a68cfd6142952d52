//! A property list of launchd, as far as it says how a program is run. Pure.
//!
//! Reads what `plutil -convert xml1` writes: elements without attributes, the five named entities, comments. Anything
//! else is an error, never taken for something that it may not be.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::draft::{Guess, text};
use crate::config::keys::Field;

/// How deep lists and dictionaries may lie in each other.
const DEPTH_MAX: usize = 16;

/// What the job of a property list runs, and how.
///
/// # Errors
/// Why it says nothing of that.
pub(super) fn read(content: &[u8]) -> Result<Guess, String> {
    let rest = std::str::from_utf8(content).map_err(|_| "it is not valid UTF-8")?;
    let mut reader = Reader { rest };
    let mut tag = reader.tag().ok_or("it holds no element")?;
    if tag.starts_with("plist") {
        tag = reader.tag().unwrap_or_default();
    }
    let list = reader.value(tag, 0).ok_or("it is not a property list in XML, or one that is damaged")?;
    let mut guess = Guess::default();
    let arguments = list.get("ProgramArguments").and_then(Value::as_array).into_iter().flatten();
    guess.config.command = arguments.filter_map(Value::as_str).map(str::to_owned).collect();
    // The first argument is only what the program is told that it is called, launchd.plist(5).
    if let Some(program) = text(&list, &["Program"]) {
        guess.config.command.splice(..guess.config.command.len().min(1), [program.to_owned()]);
    }
    if guess.config.command.is_empty() {
        return Err("it has neither ProgramArguments nor Program".into());
    }
    guess.config.worker_dir = text(&list, &["WorkingDirectory"]).unwrap_or_default().into();
    for (variable, value) in list.get("EnvironmentVariables").and_then(Value::as_object).into_iter().flatten() {
        match variable.as_str() {
            "HOME" | "PATH" => guess.notes.push(format!("{variable} is left out: `launchd install` takes the shell's")),
            _ => guess.set(variable, value.as_str().unwrap_or_default().to_owned()),
        }
    }
    let stdout: Field<PathBuf> = |config| &mut config.log_stdout;
    let stderr: Field<PathBuf> = |config| &mut config.log_stderr;
    for (key, name, log) in [("log_stdout", "StandardOutPath", stdout), ("log_stderr", "StandardErrorPath", stderr)] {
        if let Some(path) = text(&list, &[name]) {
            *log(&mut guess.config) = path.into();
            guess.say(key, name);
        }
    }
    if let Some(label) = text(&list, &["Label"]) {
        guess.config.launchd_label = label.to_owned();
        guess.say("launchd.label", "that of the job, which `launchd install` replaces");
        guess.config.name = label.rsplit('.').next().unwrap_or_default().to_owned();
    }
    Ok(guess)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The inside of the next tag; comments, declarations and text before it are skipped.
    fn tag(&mut self) -> Option<&'a str> {
        loop {
            let (_, tag) = self.rest.split_once('<')?;
            let end = if tag.starts_with("!--") { "-->" } else { ">" };
            let (tag, rest) = tag.split_once(end)?;
            self.rest = rest;
            if !tag.starts_with(['!', '?']) {
                return Some(tag.trim_end());
            }
        }
    }

    /// The value whose opening tag was read.
    fn value(&mut self, tag: &str, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        match tag {
            "dict" => {
                let mut entries = Map::new();
                loop {
                    match self.tag()? {
                        "/dict" => return Some(entries.into()),
                        "key" => {
                            let key = self.text("key")?;
                            let tag = self.tag()?;
                            entries.insert(key, self.value(tag, depth + 1)?);
                        }
                        _ => return None,
                    }
                }
            }
            "array" => {
                let mut elements = Vec::new();
                loop {
                    match self.tag()? {
                        "/array" => return Some(elements.into()),
                        tag => elements.push(self.value(tag, depth + 1)?),
                    }
                }
            }
            "string" | "integer" | "real" | "date" | "data" => self.text(tag).map(Value::String),
            "true/" | "false/" | "string/" | "dict/" | "array/" | "data/" => Some(Value::Null),
            _ => None,
        }
    }

    /// The text up to the closing tag of this name.
    fn text(&mut self, name: &str) -> Option<String> {
        let (text, rest) = self.rest.split_once('<')?;
        self.rest = rest.strip_prefix('/')?.strip_prefix(name)?.strip_prefix('>')?;
        let mut parts = text.split('&');
        let mut plain = parts.next()?.to_owned();
        for part in parts {
            let (entity, rest) = part.split_once(';')?;
            plain.push(match entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => numbered(entity)?,
            });
            plain.push_str(rest);
        }
        Some(plain)
    }
}

/// A character by its number, `#10` or `#xA`.
fn numbered(entity: &str) -> Option<char> {
    let number = entity.strip_prefix('#')?;
    let number = match number.strip_prefix('x') {
        Some(number) => u32::from_str_radix(number, 16),
        None => number.parse(),
    };
    char::from_u32(number.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_run_whatever_it_is_told_to_be_called() {
        let command = |inner: &str| {
            let guess = read(format!("<plist><dict>{inner}</dict></plist>").as_bytes());
            guess.map(|guess| guess.config.command.join(" "))
        };
        let program = "<key>Program</key><string>/bin/&#110;&#x6F;de</string>";
        let arguments = "<key>ProgramArguments</key><array><string>me</string><string>a.js</string></array>";
        assert_eq!(command(program), Ok("/bin/node".into()));
        assert_eq!(command(&format!("{arguments}{program}")), Ok("/bin/node a.js".into()));
        assert_eq!(command(arguments), Ok("me a.js".into()));
        for wrong in ["&#;", "&#x;", "&#xD800;", "&x;"] {
            assert!(command(&format!("<key>Program</key><string>{wrong}</string>")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_and_dictionaries_lie_in_each_other_as_deep_as_is_allowed() {
        let is_read = |opening: &str, closing: &str, depth: usize| {
            let nested = format!("{}<true/>{}", opening.repeat(depth), closing.repeat(depth));
            let job = format!("<plist><dict><key>Program</key><string>/a</string><key>A</key>{nested}</dict></plist>");
            read(job.as_bytes()).is_ok()
        };
        for (opening, closing) in [("<array>", "</array>"), ("<dict><key>a</key>", "</dict>")] {
            assert!(is_read(opening, closing, DEPTH_MAX - 1) && !is_read(opening, closing, DEPTH_MAX));
        }
    }
}
