//! Whether what the loop looks at and writes lies on disks that can hang as a network can.

use std::path::PathBuf;

use crate::config::Config;

/// What lies on a network or FUSE file system, as sentences for the log.
pub fn remote(config: &Config) -> Vec<String> {
    let paths = [
        ("state_dir", Some(&config.state_dir)),
        ("log_stdout", Some(&config.log_stdout)),
        ("log_stderr", Some(&config.log_stderr)),
        ("the configuration", Some(&config.path)),
        ("env_file", config.env_file.as_ref()),
    ];
    let lies = |(what, path): (&str, Option<&PathBuf>)| {
        let path = path?;
        // What is missing will be made where the nearest directory lies.
        let kind = path.ancestors().find_map(|place| platform::remote_file_system(place).ok())??;
        Some(format!(
            "{what} {path:?} lies on a {kind} file system, and where that hangs, so does the supervisor; keep it on a \
             local disk"
        ))
    };
    paths.into_iter().filter_map(lies).collect()
}
