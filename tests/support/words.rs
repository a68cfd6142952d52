//! The words of the supervisor's own log that tests wait for. A log line is `TIME LEVEL message key=value…`; each
//! constant is the part from the level's blank on, so that it cannot match inside another message.

/// A worker was spawned; has `pid`.
pub(crate) const STARTED: &str = " started ";
/// The first healthy answer of a worker; has `pid` and `after_ms`.
pub(crate) const READY: &str = " ready ";
/// A worker ended by itself.
pub(crate) const DIED: &str = " worker died";
/// The last line of an orderly stop.
pub(crate) const STOPPED: &str = " stopped";
/// The level of what the user must look at.
pub(crate) const ERROR: &str = " ERROR ";
/// The level of what went on in another way than asked.
pub(crate) const WARN: &str = " WARN ";

/// The value of `key=value` in a log line or an event; quotes around it are left off.
pub(crate) fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let start = format!("{key}=");
    let rest = line.split_inclusive(char::is_whitespace).scan(0, |at, word| {
        let from = *at;
        *at += word.len();
        Some(&line[from..])
    });
    let value = rest.into_iter().find_map(|rest| rest.strip_prefix(start.as_str()))?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split_whitespace().next(),
    }
}
