//! `--dry-run`: what would be done, and everything that would stand in the way. Changes nothing.

use std::io::Write;
use std::path::Path;

use crate::config::Config;
use crate::error::{Error, ExitCode};

/// Examines the configuration at `path` and prints what it finds.
///
/// # Errors
/// A configuration that cannot be used.
pub fn examine(path: &Path, output: &mut dyn Write) -> Result<ExitCode, Error> {
    let loaded = Config::load(path)?;
    let _ = write!(output, "{}", loaded.config.effective());
    Ok(ExitCode::Ok)
}
