//! Whether what the loop looks at and writes lies on disks that can hang as a network can.

use std::path::Path;

use crate::config::Config;

/// What lies on a network or FUSE file system, as sentences for the log.
pub fn remote(config: &Config) -> Vec<String> {
    let mut paths =
        vec![("state_dir", &config.state_dir), ("log_stdout", &config.log_stdout), ("log_stderr", &config.log_stderr)];
    paths.push(("the configuration", &config.path));
    paths.extend(config.env_file.as_ref().map(|path| ("env_file", path)));
    let lies = |(what, path): (&str, &std::path::PathBuf)| {
        // What is missing will be made where the nearest directory lies.
        let kind = path.ancestors().find_map(|place: &Path| platform::remote_file_system(place).ok())??;
        Some(format!(
            "{what} {path:?} lies on a {kind} file system, and where that hangs, so does the supervisor; keep it on a \
             local disk"
        ))
    };
    paths.into_iter().filter_map(lies).collect()
}
