//! Texts that end up in a launchd job's property list: read by another's reader, each is what it was, or was refused.
//!
//! The input is the config's path, the program, the home and PATH, with a NUL between each two.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plist::{Dictionary, Value};
use worker_supervisor::commands::launchd::Job;
use worker_supervisor::config::{Config, Loaded};

/// The least config; only its path is of interest.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("worker-supervisor-fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, "command = [\"worker\"]\nport = 3111\n").expect("the temporary directory can be written");
    let loaded = Config::load_with_home(&path, Some(OsStr::new("/home/fuzz")));
    std::fs::remove_file(&path).expect("the file is ours");
    let Ok(Loaded { config, .. }) = loaded else { panic!("the least config is refused: {loaded:?}") };
    config
});

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let [path, program, home] = [part(), part(), part()].map(|bytes| Path::new(OsStr::from_bytes(bytes)));
    let Ok(search_path) = std::str::from_utf8(part()) else { return };
    let config = Config { path: path.into(), ..CONFIG.clone() };
    let job = Job { config: &config, program, search_path, home };
    let text = match job.plist() {
        Ok(text) => text,
        Err(error) => return assert!(!error.to_string().is_empty(), "refused without a reason"),
    };
    let list = Value::from_reader_xml(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let list = list.as_dictionary().expect("a dictionary");
    let arguments = list.get("ProgramArguments").and_then(Value::as_array).expect("arguments");
    let arguments: Vec<&str> = arguments.iter().filter_map(Value::as_string).collect();
    assert_eq!(arguments, [text_of(program), "--config", text_of(path)]);
    let variables = list.get("EnvironmentVariables").and_then(Value::as_dictionary).expect("variables");
    assert_eq!(string(variables, "HOME"), text_of(home));
    let absolute: Vec<&str> = search_path.split(':').filter(|entry| entry.starts_with('/')).collect();
    assert_eq!(string(variables, "PATH"), absolute.join(":"));
    assert_eq!(string(list, "StandardErrorPath"), text_of(&job.log_path()));
    assert_eq!(string(list, "Label"), config.launchd_label);
});

/// A text that got into a property list is one.
fn text_of(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn string<'a>(dictionary: &'a Dictionary, key: &str) -> &'a str {
    dictionary.get(key).and_then(Value::as_string).unwrap_or_else(|| panic!("no {key}"))
}
