//! That the page on the configuration says what the program does: its table is made from the program's own, and every
//! piece of TOML in it loads. `UPDATE_DOCS=1 cargo test --test docs` writes the table anew.

mod pages;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use pages::{block, blocks, load_well, page, page_path};
use worker_supervisor::config::Config;
use worker_supervisor::config::keys::{KEYS, Key};
use worker_supervisor::supervise::launch::environment::Environment;

const PAGE: &str = "configuration.md";
const BEGIN: &str =
    "<!-- Made by tests/docs.rs from the program's own table: UPDATE_DOCS=1 cargo test --test docs -->\n\n";
const END: &str = "\n<!-- The end of what is made. -->\n";

/// The two keys that every config needs.
const REQUIRED: &str = "command = [\"bun\"]\nport = 3111\n";

fn table() -> String {
    let rows: String = KEYS.iter().map(row).collect();
    format!("| key | value | default | what it does | example |\n| --- | --- | --- | --- | --- |\n{rows}")
}

fn row(key: &Key) -> String {
    let Key { name, kind, default, text, example } = key;
    let is_prose = ["required", "none", "any ", "the "].iter().any(|start| default.starts_with(start));
    let default = if is_prose { (*default).to_owned() } else { format!("`{default}`") };
    let expected = kind.expected();
    assert!(![&expected, *text].iter().any(|cell| cell.contains('|')), "{name} would end its cell");
    format!("| `{name}` | {expected} | {default} | {text} | `{example}` |\n")
}

#[test]
fn the_table_of_keys_is_the_programs_own() {
    let text = page(PAGE);
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (shown, after) = rest.split_once(END).expect("the mark where the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = [before, BEGIN, &table(), END, after].concat();
        return fs::write(page_path(PAGE), updated).expect("the page can be written");
    }
    for (shown, made) in shown.lines().zip(table().lines()) {
        assert_eq!(shown, made, "run UPDATE_DOCS=1 cargo test --test docs");
    }
    assert_eq!(shown.lines().count(), table().lines().count(), "run UPDATE_DOCS=1 cargo test --test docs");
}

#[test]
fn the_examples_of_all_keys_make_a_config() {
    let content: String = KEYS.iter().map(|row| format!("{} = {}\n", row.name, row.example)).collect();
    let config = load_well("worker", &content);
    assert_eq!((config.name.as_str(), config.launchd_label.as_str()), ("system-bus", "com.example.worker"));
}

#[test]
fn an_example_says_something_else_than_the_default() {
    let without = load_well("worker", REQUIRED).effective();
    for Key { name, example, .. } in KEYS {
        if !["command", "port", "required_secrets"].contains(name) {
            let with = load_well("worker", &format!("{REQUIRED}{name} = {example}\n"));
            assert_ne!(with.effective(), without, "{name}");
        }
    }
}

#[test]
fn every_piece_of_toml_on_the_page_loads() {
    let pieces = blocks(&page(PAGE), "toml");
    assert!(pieces.len() >= 4, "{pieces:?}");
    for piece in pieces {
        let required = if piece.starts_with("command = ") { "" } else { REQUIRED };
        load_well("worker", &format!("{required}{piece}"));
    }
}

#[test]
fn every_piece_of_toml_in_the_readme_loads() {
    let pieces = blocks(&page("../README.md"), "toml");
    assert!(pieces.len() >= 2, "{pieces:?}");
    for piece in pieces {
        let required = if piece.contains("command = ") { "" } else { REQUIRED };
        load_well("worker", &format!("{required}{piece}"));
    }
}

#[test]
fn the_environment_file_on_the_page_is_read_as_the_page_says() {
    let path = std::env::temp_dir().join(format!("ws-docs-env-{}", std::process::id()));
    fs::write(&path, block(&page(PAGE), "sh")).expect("a file for the test");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the mode to be set");
    let config = Config { env_file: Some(path.clone()), ..load_well("worker", REQUIRED) };
    let (environment, warnings) = Environment::build([], &config, []).expect("the file is read");
    fs::remove_file(path).expect("the file goes");
    let value = |name| environment.value(name).and_then(|value| value.to_str());
    assert_eq!(value("INNGEST_BASE_URL"), Some("http://127.0.0.1:8288"));
    assert_eq!(value("NODE_ENV"), Some("production"));
    assert_eq!(value("GREETING"), Some("taken as it is: $HOME \\n \"quotes\""));
    assert_eq!(value("REPLY"), Some("the same, with ' and \" in it"));
    assert_eq!(value("MOTTO"), Some("escapes: \n \r \t \" \\ $"));
    assert_eq!(value("PRICE"), Some("5$"));
    // With PWD, which no file has to set.
    assert_eq!((environment.to_exec().map(|all| all.len()), warnings), (Ok(7), Vec::new()));
}

#[test]
fn every_example_file_loads_and_says_nothing_odd() {
    let examples = fs::read_dir(page_path("../examples")).expect("the examples");
    let paths = examples.map(|entry| entry.expect("an example").path());
    let files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        load_well("worker", &fs::read_to_string(file).expect("an example can be read"));
    }
}
