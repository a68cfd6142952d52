//! The line that says why a process died, out of the end of what it wrote to its standard error.
//!
//! A runtime gives the error a line, and puts around it the source, the stack, the error's properties and its own
//! version. Three things tell that line from the rest, whatever the runtime: it is not indented; it names its kind, as
//! in `TypeError: …`, `panic: …`, `ERROR …` or `… (KeyError)`; and what follows it is nearly all indented. Where no
//! line names its kind, the last one that is not indented counts. Of an error and its cause it is the one that comes
//! last: bun prints a cause just as it prints an error after others that were only logged. `tests/data/last_words` has
//! what runtimes print, and the line of each. Pure: it reads no file.

/// So many lines that may be news of their own may follow an error that still counts.
const FOLLOWERS_MAX: usize = 6;

/// The line of `tail` that a person would pick, without the white space around it. None: all of it is blank.
pub(crate) fn choose(tail: &[u8]) -> Option<&[u8]> {
    let lines = || tail.rsplit(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty());
    let chosen = last_error(lines())
        .or_else(|| lines().find(|line| may_be_news(line)))
        .or_else(|| lines().find(|line| has_letter(line) && !is_remark(line)))
        .or_else(|| lines().next())?;
    // Python draws a tree of an exception group.
    let drawn = chosen.iter().take_while(|byte| matches!(byte, b'|' | b' ' | b'\t')).count();
    Some(if drawn < chosen.len() { &chosen[drawn..] } else { chosen.trim_ascii() })
}

/// The last line that names its kind, unless too much has come after it. The lines come from the end.
fn last_error<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let (mut followers, mut below, mut bare) = (0, None, None);
    for line in lines {
        if names_its_kind(line) && !is_remark(line) {
            if !line.ends_with(b":") || line.windows(2).any(|pair| pair == b": ") {
                return Some(line);
            }
            // Rust says where it panicked, and the message stands in the next line.
            if let Some(message) = below.filter(|&below| may_be_news(below)) {
                return Some(message);
            }
            // A name alone says little: the error that it is the cause of says more.
            bare = bare.or(Some(line));
        }
        // A stack of Go is not indented, but each of its lines is a call.
        followers += usize::from(may_be_news(line) && !line.ends_with(b")"));
        if followers > FOLLOWERS_MAX {
            break;
        }
        below = Some(line);
    }
    bare
}

/// Whether a line says itself that it is about an error.
fn names_its_kind(line: &[u8]) -> bool {
    if is_indented(line) {
        return false;
    }
    let mut words = line.split(|&byte| byte == b' ').peekable();
    let mut is_named = line.ends_with(b"Error)") || words.peek().is_some_and(|word| is_errno(word));
    while let Some(word) = words.next() {
        // What is quoted or called names nothing.
        if word.iter().any(|byte| b"\"'`({=".contains(byte)) {
            continue;
        }
        let is_said = word.ends_with(b":") || word == line || words.peek().is_some_and(|next| next.starts_with(b"["));
        let name = word.strip_suffix(b":").unwrap_or(word);
        let name = name.strip_prefix(b"[").unwrap_or(name);
        let name = name.strip_suffix(b"]").unwrap_or(name);
        is_named |= matches!(name, b"ERROR" | b"CRITICAL" | b"FATAL" | b"Fatal" | b"panicked");
        is_named |= is_said && [&b"error"[..], b"exception", b"panic", b"fatal"].iter().any(|kind| is_kind(name, kind));
    }
    is_named
}

/// bun heads what a system call refused with no more than its code, as in `ENOENT: …`.
fn is_errno(word: &[u8]) -> bool {
    let code = word.strip_prefix(b"E").and_then(|rest| rest.strip_suffix(b":"));
    code.is_some_and(|code| code.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()))
}

fn is_kind(name: &[u8], kind: &[u8]) -> bool {
    name.len().checked_sub(kind.len()).is_some_and(|start| name[start..].eq_ignore_ascii_case(kind))
}

/// Whether a line may be worth telling for itself.
fn may_be_news(line: &[u8]) -> bool {
    !is_indented(line) && has_letter(line) && !is_numbered(line) && !is_remark(line)
}

fn is_indented(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

fn has_letter(line: &[u8]) -> bool {
    line.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
}

/// A line of the source (`12 | …`) or of a stack (`12: …`).
fn is_numbered(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && (line[digits..].starts_with(b" |") || line[digits..].starts_with(b": "))
}

/// A runtime's version or advice, which comes last of all, or what runs a script says of it: its line, and that it has
/// ended.
fn is_remark(line: &[u8]) -> bool {
    [&b"Bun v"[..], b"Node.js v", b"note: ", b"hint: ", b"$ ", b"[ELIFECYCLE]"]
        .iter()
        .any(|start| line.starts_with(start))
        || (line.starts_with(b"(") && line.ends_with(b")"))
        || is_end_of_script(line)
}

/// Of bun: `error: script "start" exited with code 1`, or `was terminated by signal SIGKILL (…)`.
fn is_end_of_script(line: &[u8]) -> bool {
    line.starts_with(b"error: script \"")
        && [&b"\" exited with code "[..], b"\" was terminated by signal "]
            .iter()
            .any(|words| line.windows(words.len()).any(|part| part == *words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn chosen(tail: &str) -> Option<&str> {
        choose(tail.as_bytes()).map(|line| std::str::from_utf8(line).unwrap())
    }

    #[test]
    fn of_what_runtimes_print_it_is_the_line_that_a_person_would_pick() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/last_words");
        let (mut tried, mut wrong) = (0, Vec::new());
        for file in fs::read_dir(dir).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            // Each report comes after a line `#### WHAT HAPPENED => THE LINE`.
            for report in text.split("#### ").skip(1) {
                let (heading, printed) = report.split_once('\n').unwrap();
                let (what, expected) = heading.split_once(" => ").unwrap();
                tried += 1;
                if chosen(printed) != Some(expected) {
                    wrong.push(format!("{path:?}, {what}: {:?}", chosen(printed)));
                }
            }
        }
        assert!(tried > 50 && wrong.is_empty(), "{tried} tried\n{}", wrong.join("\n"));
    }
}
