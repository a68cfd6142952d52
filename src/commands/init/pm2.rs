//! An ecosystem file of pm2, as JSON: how its first program is run. Pure.

use serde_json::Value;

use super::draft::{Guess, text};

/// What pm2 runs a script with, by the end of its name; another is run by itself.
const INTERPRETERS: [(&str, &str); 7] = [
    (".js", "node"),
    (".cjs", "node"),
    (".mjs", "node"),
    (".ts", "bun"),
    (".py", "python3"),
    (".sh", "bash"),
    (".rb", "ruby"),
];

/// What the first program of an ecosystem file runs, and how.
///
/// # Errors
/// It tells of none.
pub(super) fn read(value: &Value) -> Result<Guess, String> {
    let apps = value.get("apps").unwrap_or(value);
    let apps = apps.as_array().map_or(std::slice::from_ref(apps), Vec::as_slice);
    let app = apps.first().unwrap_or(&Value::Null);
    let script = text(app, &["script"]).ok_or("it is no ecosystem file of pm2: no program in it has a script")?;
    let mut guess = Guess::default();
    let by_name = INTERPRETERS.into_iter().find(|(end, _)| script.ends_with(end)).map(|(_, program)| program);
    let interpreter = text(app, &["interpreter"]).or(by_name).filter(|interpreter| *interpreter != "none");
    guess.config.command.extend(interpreter.map(str::to_owned));
    guess.config.command.extend(words(app.get("node_args").or_else(|| app.get("interpreter_args"))));
    guess.config.command.push(script.to_owned());
    guess.config.command.extend(words(app.get("args")));
    guess.config.worker_dir = text(app, &["cwd"]).unwrap_or_default().into();
    guess.config.name = text(app, &["name"]).unwrap_or_default().to_owned();
    for variables in ["env", "env_production"] {
        for (name, value) in app.get(variables).and_then(Value::as_object).into_iter().flatten() {
            guess.set(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    if apps.len() > 1 {
        guess.notes.push("the first program of the file is taken; one supervisor keeps one worker".into());
    }
    if app.get("instances").is_some_and(|instances| instances.as_u64() != Some(1)) {
        guess.notes.push("instances is left out: one worker is kept".into());
    }
    Ok(guess)
}

/// Arguments, in a list or in a line.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(line)) => line.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
