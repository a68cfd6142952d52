//! That the JSON Schema of the config says what the program does: it is made from the program's own table of keys,
//! every example names it and keeps to it, and at each key's bounds the two agree. What the program accepts the schema
//! accepts; it does not know what needs more than one key, HOME or a file.
//! `UPDATE_DOCS=1 cargo test --test schema` writes it anew.

#[path = "schema/checker.rs"]
mod checker;
mod pages;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use checker::{check, from_toml};
use pages::{blocks, load, page, page_path};
use serde_json::{Map, Value, json};
use worker_supervisor::config::keys::{BYTES_MAX, BYTES_MIN, KEYS, Key, Kind, TIME_MAX};

const SCHEMA: &str = "../schema/worker-supervisor.schema.json";

fn schema() -> Value {
    let (mut properties, mut tables) = (Map::new(), Map::new());
    for key in KEYS {
        match key.name.split_once('.') {
            None => properties.insert(key.name.into(), described(key)),
            Some((table, name)) => {
                let inner = tables.entry(table).or_insert_with(|| json!({}));
                inner.as_object_mut().expect("a table of keys").insert(name.into(), described(key))
            }
        };
    }
    for (name, inner) in tables {
        properties.insert(name, json!({ "type": "object", "properties": inner, "additionalProperties": false }));
    }
    let required: Vec<&str> = KEYS.iter().filter(|key| key.default == "required").map(|key| key.name).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "worker-supervisor",
        "description": "The config of worker-supervisor, which keeps one worker alive",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// What a value of a key must be, and what an editor shows of it.
fn described(key: &Key) -> Value {
    let Key { name, kind, default, text, example } = key;
    let end = match *default {
        "required" => "required".to_owned(),
        "none" => "no default".to_owned(),
        default => format!("default: {default}"),
    };
    let mut schema = shape(name, *kind);
    schema["description"] = format!("{text} ({}; {end})", kind.expected()).into();
    schema["examples"] = json!([toml_value(example)]);
    // An editor would write the others out as they are.
    let is_value = !["required", "none"].contains(default) && !default.contains("NAME");
    let path = default.starts_with("~/").then(|| format!("{default:?}"));
    if let Some(Ok(default)) = is_value.then(|| from_toml(&format!("it = {}", path.as_deref().unwrap_or(default)))) {
        schema["default"] = default["it"].clone();
    }
    schema
}

fn toml_value(text: &str) -> Value {
    from_toml(&format!("it = {text}")).unwrap_or_else(|error| panic!("{text}: {error}"))["it"].clone()
}

fn shape(name: &str, kind: Kind) -> Value {
    let number = |time: Duration| match time.subsec_nanos() {
        0 => json!(time.as_secs()),
        _ => json!(time.as_secs_f64()),
    };
    let times = |min| json!({ "type": "number", "minimum": number(min), "maximum": number(TIME_MAX) });
    let strings = json!({ "type": "string" });
    match kind {
        Kind::Text(..) | Kind::OptionalText(..) => form(name),
        Kind::Host(_) => json!({
            "type": "string",
            "pattern": "^[0-9A-Fa-f:.\\[\\]]+$",
            "not": { "enum": ["0.0.0.0", "::", "[::]"] },
        }),
        Kind::Path(_) | Kind::OptionalPath(_) => json!({ "type": "string", "minLength": 1 }),
        Kind::Conflict(_) => json!({ "type": "string", "enum": ["kill", "wait"] }),
        Kind::Switch(_) => json!({ "type": "boolean" }),
        Kind::Port(_) => json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX }),
        Kind::Count { max, .. } => json!({ "type": "integer", "minimum": 1, "maximum": max }),
        Kind::Bytes(_) => json!({
            "type": "integer",
            "anyOf": [{ "const": 0 }, { "minimum": BYTES_MIN, "maximum": BYTES_MAX }],
        }),
        Kind::Seconds { min, .. } => times(min),
        Kind::Interval(_) => times(Duration::ZERO),
        Kind::Command(_) => json!({
            "type": "array",
            "items": [{ "type": "string", "minLength": 1 }],
            "additionalItems": strings,
            "minItems": if name == "on_event" { 0 } else { 1 },
        }),
        Kind::Statuses(_) => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": 100, "maximum": 599 },
            "minItems": 1,
        }),
        Kind::RequiredSecrets(_) => json!({ "type": "array", "items": strings }),
        Kind::Variables(_) => variables(strings),
        Kind::Secrets(_) => variables(json!({ "type": "string", "minLength": 1 })),
    }
}

/// The form that the program's own check of a text asks for.
fn form(name: &str) -> Value {
    const NAME: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$";
    match name {
        "name" => json!({ "type": "string", "pattern": NAME, "maxLength": 64 }),
        "launchd.label" => json!({ "type": "string", "pattern": NAME, "maxLength": 128 }),
        "health_endpoint" | "sync_endpoint" => json!({ "type": "string", "pattern": "^/[!-~]*$", "maxLength": 2048 }),
        "host_header" => json!({ "type": "string", "pattern": "^[!-~]+$", "maxLength": 255 }),
        other => panic!("say what {other} must look like"),
    }
}

fn variables(value: Value) -> Value {
    json!({ "type": "object", "propertyNames": { "pattern": "^[^=]+$" }, "additionalProperties": value })
}

#[test]
fn the_schema_is_made_from_the_programs_own_table() {
    let made = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(page_path(SCHEMA), made).expect("the schema can be written");
    }
    for (committed, made) in page(SCHEMA).lines().zip(made.lines()) {
        assert_eq!(committed, made, "run UPDATE_DOCS=1 cargo test --test schema");
    }
    assert_eq!(page(SCHEMA).len(), made.len(), "run UPDATE_DOCS=1 cargo test --test schema");
}

#[test]
fn every_example_names_the_schema_in_its_first_line_and_keeps_to_it() {
    let schema_path = page_path(SCHEMA).canonicalize().expect("the schema is there");
    let examples = toml_files(&page_path("../examples"));
    assert!(examples.len() >= 3, "{examples:?}");
    for example in examples {
        let text = fs::read_to_string(&example).expect("an example can be read");
        let first = text.lines().next().unwrap_or_default();
        let named = first.strip_prefix("#:schema ").map(|path| example.with_file_name("").join(path));
        let named = named.and_then(|path| path.canonicalize().ok());
        assert_eq!(named.as_ref(), Some(&schema_path), "{example:?}: {first}");
        let value = from_toml(&text).unwrap_or_else(|error| panic!("{example:?}: {error}"));
        assert_eq!(check(&schema(), &value), Ok(()), "{example:?}");
    }
}

fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).expect("a directory of examples").map(|entry| entry.expect("an entry").path());
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let is_searched = |path: &&PathBuf| !path.ends_with("node_modules");
    let deeper = directories.iter().filter(is_searched).flat_map(|path| toml_files(path));
    files.into_iter().filter(|path| path.extension().is_some_and(|end| end == "toml")).chain(deeper).collect()
}

#[test]
fn what_the_documentation_shows_keeps_to_the_schema() {
    let examples: String = KEYS.iter().map(|key| format!("{} = {}\n", key.name, key.example)).collect();
    let pages = ["configuration.md", "operations.md", "troubleshooting.md", "events.md"];
    let pieces: Vec<String> = pages.iter().flat_map(|name| blocks(&page(name), "toml")).chain([examples]).collect();
    assert!(pieces.len() >= 8, "{pieces:?}");
    for piece in pieces {
        let required = if piece.contains("\ncommand = ") || piece.starts_with("command = ") {
            ""
        } else {
            "command = [\"bun\"]\nport = 3111\n"
        };
        let value = from_toml(&format!("{required}{piece}")).unwrap_or_else(|error| panic!("{piece}: {error}"));
        assert_eq!(check(&schema(), &value), Ok(()), "{piece}");
    }
}

/// Values at the bounds of a kind and beyond them, of its type and of others.
fn samples(name: &str, kind: Kind) -> Vec<String> {
    let bounds = |low: &str, high: &str, beyond: [&str; 2]| [low, high, beyond[0], beyond[1]].map(str::to_owned).into();
    let text = |length: usize| format!("\"{}\"", "x".repeat(length));
    let path = |length: usize| format!("\"/{}\"", "x".repeat(length - 1));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match kind {
        Kind::Text(..) | Kind::OptionalText(..) => match name {
            "name" => [words(&["\".x\"", "\"a/b\"", "\"A.b_c-1\""]), vec![text(1), text(64), text(65)]].concat(),
            "launchd.label" => [words(&["\".x\"", "\"a b\""]), vec![text(1), text(128), text(129)]].concat(),
            "host_header" => [words(&["\"a b\"", "\"ä\""]), vec![text(1), text(255), text(256)]].concat(),
            _ => [words(&["\"a\"", "\"/a b\"", "\"/%20?\"", "\"/ä\""]), vec![path(1), path(2048), path(2049)]].concat(),
        },
        Kind::Host(_) => words(&["\"127.0.0.1\"", "\"[::1]\"", "\"localhost\"", "\"0.0.0.0\"", "\"::\""]),
        Kind::Path(_) | Kind::OptionalPath(_) => words(&["\"a\"", "\"~\"", "\"/\""]),
        Kind::Conflict(_) => words(&["\"kill\"", "\"wait\"", "\"Kill\""]),
        Kind::Switch(_) => words(&["true", "false", "\"true\""]),
        Kind::Port(_) => bounds("1", "65535", ["0", "65536"]),
        Kind::Count { max, .. } => bounds("1", &max.to_string(), ["0", &(max + 1).to_string()]),
        Kind::Bytes(_) => {
            [words(&["0", "1", "-1"]), bounds("4096", &BYTES_MAX.to_string(), ["4095", &(BYTES_MAX + 1).to_string()])]
                .concat()
        }
        Kind::Seconds { min, .. } if min > Duration::ZERO => bounds("0.001", "31536000", ["0.0009", "31536000.1"]),
        Kind::Seconds { .. } | Kind::Interval(_) => bounds("0", "31536000", ["-0.1", "31536001"]),
        Kind::Command(_) => words(&["[]", "[\"a\"]", "[\"a\", \"\"]", "[\"\"]", "[\"a\", 1]"]),
        Kind::Statuses(_) => words(&["[]", "[100]", "[599]", "[99]", "[600]", "[200, \"401\"]"]),
        Kind::RequiredSecrets(_) => words(&["[]", "[1]"]),
        Kind::Variables(_) => words(&["{}", "{ A = \"\" }", "{ A = 1 }", "{ \"\" = \"a\" }", "{ \"a=b\" = \"a\" }"]),
        Kind::Secrets(_) => words(&["{}", "{ A = \"a\" }", "{ A = \"\" }", "{ A = 1 }"]),
    }
}

/// Whether the program and the schema accept a config: the same of both, or the test ends.
#[track_caller]
fn is_accepted(content: &str) -> bool {
    let program = load("worker", content).map(|_| ()).map_err(|error| error.to_string());
    let schema = from_toml(content).and_then(|value| check(&schema(), &value));
    assert_eq!(program.is_ok(), schema.is_ok(), "{content}the program: {program:?}, the schema: {schema:?}");
    program.is_ok()
}

/// A config of this key, the two required ones, and what keeps the two delays in order, each on a line.
fn config_with(name: &str, value: &str) -> String {
    let others = [
        ("command", "[\"bun\"]"),
        ("port", "3111"),
        ("restart_backoff_min_secs", "0"),
        ("restart_backoff_max_secs", "31536000"),
    ];
    let others = others.iter().filter(|(other, _)| *other != name);
    others.chain([&(name, value)]).map(|(name, value)| format!("{name} = {value}\n")).collect()
}

#[test]
fn program_and_schema_agree_at_the_bounds_of_each_key() {
    for Key { name, kind, .. } in KEYS {
        let mut samples = samples(name, *kind);
        samples.extend(["true", "1", "1.5", "\"\"", "\"x y\"", "[]", "[{}]", "{}", "{ a = 1 }"].map(str::to_owned));
        // A number of seconds may be whole; all else has one type.
        let accepted = samples.iter().filter(|sample| is_accepted(&config_with(name, sample))).count();
        assert!((1..samples.len()).contains(&accepted), "{name}: {accepted} of {samples:?}");
    }
}

#[test]
fn program_and_schema_agree_on_keys_that_are_missing_unknown_or_replaced() {
    assert!(is_accepted("command = [\"bun\"]\nport = 3111\n[launchd]\n"));
    for content in [
        "",
        "command = [\"bun\"]\n",
        "port = 3111\n",
        "command = [\"bun\"]\nport = 3111\nprot = 3112\n",
        "command = [\"bun\"]\nport = 3111\nhttp_timeout_secs = 5\n",
        "command = [\"bun\"]\nport = 3111\nlaunchd = true\n",
        "command = [\"bun\"]\nport = 3111\n[launchd]\nport = 1\n",
    ] {
        assert!(!is_accepted(content), "{content}");
    }
}
