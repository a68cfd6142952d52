//! Bytes of a config file: a config that means the same when its rendering is read again, or problems with places.
#![no_main]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use worker_supervisor::config::{Config, ConfigError, Loaded};

/// One directory for each fuzzing process. Nothing runs at its end: whoever starts it sets and removes TMPDIR.
static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = std::env::temp_dir().join(format!("worker-supervisor-fuzz-{}", std::process::id()));
    for directory in ["typed", "rendered"] {
        fs::create_dir_all(root.join(directory)).expect("the temporary directory can be written");
        let file = root.join(directory).join("fuzz.toml");
        fs::write(&file, "").expect("the temporary directory can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }
    root
});

fuzz_target!(|content: &[u8]| {
    match load("typed", content) {
        Ok(Loaded { config, warnings }) => {
            check_texts(warnings.iter().map(String::as_str));
            let rendered = config.effective();
            let again = load("rendered", rendered.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{rendered}"));
            assert_eq!(Config { path: config.path.clone(), ..again.config }, config, "rendered as\n{rendered}");
        }
        Err(ConfigError::File(message)) => check_texts([message.as_str()]),
        Err(ConfigError::Content { problems, .. }) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = 1 + content.iter().filter(|&&byte| byte == b'\n').count();
            for problem in &problems {
                assert!((1..=lines).contains(&problem.line) && problem.column >= 1, "{problem:?} of {lines} lines");
                assert!(problem.column <= content.len() + 1, "{problem:?} is beyond the end");
            }
            check_texts(problems.iter().map(|problem| problem.message.as_str()));
        }
    }
});

fn load(directory: &str, content: &[u8]) -> Result<Loaded, ConfigError> {
    let path = SCRATCH.join(directory).join("fuzz.toml");
    fs::write(&path, content).expect("the temporary directory can be written");
    Config::load_with_home(&path, Some(OsStr::new("/home/fuzz")))
}

/// What is shown to a person never holds control characters, wherever it came from.
fn check_texts<'a>(texts: impl IntoIterator<Item = &'a str>) {
    for text in texts {
        assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
    }
}
