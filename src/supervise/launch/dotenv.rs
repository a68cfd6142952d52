//! The dotenv format, as far as its dialects agree.
//!
//! - Blank lines and lines that start with `#` say nothing. LF, CRLF and a CR alone end a line; a byte order mark is
//!   skipped.
//! - `NAME=value`, with or without `export` before it and spaces around `=`. A name is a letter or `_`, then letters,
//!   digits, `_`, `.` and `-`.
//! - `'…'` and `` `…` `` are taken as they are. In `"…"`, `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes; any other
//!   backslash stays. All may span lines; after the closing quote only a comment may follow.
//! - Anything else runs to the end of the line or to a `#` after a space, without the spaces around it; `\$` is a `$`.
//! - `$NAME` is not replaced: what is written is what the worker gets. Of two lines with one name the last counts.
//!
//! Where dialects differ is told by [`contested`]: checked with bun 1.4, Node.js 20 and dotenv 18 of npm.

/// A line that is none of the above. Says nothing of what the line holds: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongLine {
    /// Counted from 1. For a quote that is never closed: the line on which it opens.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) cause: &'static str,
}

/// All assignments in the order of the text.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, WrongLine> {
    let mut entries = Vec::new();
    for_each(text, |Entry { name, value, .. }| entries.push((name.to_owned(), value)))?;
    Ok(entries)
}

/// The variables that bun, Node.js or dotenv would give another value than [`parse`], by name.
pub(crate) fn contested(text: &str) -> Result<Vec<String>, WrongLine> {
    let mut names: Vec<String> = Vec::new();
    for_each(text, |entry| {
        if is_contested(&entry) && !names.iter().any(|known| known == entry.name) {
            names.push(entry.name.to_owned());
        }
    })?;
    Ok(names)
}

/// One assignment.
struct Entry<'a> {
    name: &'a str,
    value: String,
    /// The value as it is written, with its quotes.
    written: &'a str,
    /// From there to the next line.
    end: &'a str,
}

/// Whether what is written means something else elsewhere. bun replaces variables in quotes of any kind; Node.js and
/// dotenv keep a backslash; of the escapes in `"…"` all three know `\n` alone; a `#` begins a comment for them wherever
/// it stands; and Node.js drops a CR.
fn is_contested(entry: &Entry<'_>) -> bool {
    let Entry { written, end, .. } = entry;
    let is_variable = |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphanumeric() || "_{$".contains(next));
    let has_variable = written.match_indices('$').any(|(at, _)| is_variable(&written[at + 1..]));
    let has_escape = written.starts_with('"') && written.replace("\\n", "").contains('\\');
    let has_hash = !written.starts_with(QUOTES) && written.contains('#');
    has_variable || has_escape || has_hash || written.contains("\\$") || [*written, *end].concat().contains('\r')
}

/// Calls back with each assignment in the order of the text.
fn for_each(text: &str, mut each: impl FnMut(Entry<'_>)) -> Result<(), WrongLine> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let line = || 1 + newlines(&text) - newlines(rest);
        rest = take_line(rest, &mut each).map_err(|cause| WrongLine { line: line(), cause })?;
    }
    Ok(())
}

/// Line ends, once CRLF is LF.
const LINE_ENDS: [char; 2] = ['\n', '\r'];
const QUOTES: [char; 3] = ['"', '\'', '`'];

const UNCLOSED: &str = "the quote that opens here is never closed";

fn newlines(text: &str) -> usize {
    text.matches(LINE_ENDS).count()
}

/// Takes one assignment, comment or blank line off the front, with its line break.
fn take_line<'a>(text: &'a str, each: &mut dyn FnMut(Entry<'_>)) -> Result<&'a str, &'static str> {
    let start = text.trim_start_matches(is_blank);
    if start.is_empty() || start.starts_with(LINE_ENDS) || start.starts_with('#') {
        return Ok(after_line(start));
    }
    let (name, value) = take_name(without_export(start))?;
    let (parsed, behind) = take_value(value)?;
    let rest = end_of_value(behind)?;
    if parsed.contains('\0') {
        return Err("the value holds a NUL");
    }
    let [written, end] = [(value, behind), (behind, rest)].map(|(from, to)| &from[..from.len() - to.len()]);
    each(Entry { name, value: parsed, written: written.trim_matches(is_blank), end });
    Ok(rest)
}

/// Spaces within a line.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn after_line(text: &str) -> &str {
    text.split_once(LINE_ENDS).map_or("", |(_, rest)| rest)
}

fn without_export(text: &str) -> &str {
    match text.strip_prefix("export") {
        Some(rest) if rest.starts_with(is_blank) => rest.trim_start_matches(is_blank),
        _ => text,
    }
}

/// The name, and the text from its value on.
fn take_name(text: &str) -> Result<(&str, &str), &'static str> {
    let is_in_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    let (name, rest) = text.split_at(text.find(|character| !is_in_name(character)).unwrap_or(text.len()));
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return Err("expected a variable's name: a letter or _, then letters, digits, _ . -");
    }
    let value = rest.trim_start_matches(is_blank).strip_prefix('=').ok_or("expected NAME=value")?;
    Ok((name, value))
}

/// The value, and the text right behind it.
fn take_value(text: &str) -> Result<(String, &str), &'static str> {
    let start = text.trim_start_matches(is_blank);
    match start.chars().next() {
        Some(quote @ ('\'' | '`')) => take_literal(&start[1..], quote),
        Some('"') => take_escaped(&start[1..]),
        // With the blanks: one of them may make a comment of a `#`.
        Some(_) | None => Ok(take_bare(text)),
    }
}

fn take_literal(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    let (value, rest) = text.split_once(quote).ok_or(UNCLOSED)?;
    Ok((value.replace('\r', "\n"), rest))
}

fn take_escaped(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Ok((value, characters.as_str())),
            '\\' => push_escape(&mut value, characters.next()),
            '\r' => value.push('\n'),
            _ => value.push(character),
        }
    }
    Err(UNCLOSED)
}

fn push_escape(value: &mut String, escaped: Option<char>) {
    match escaped {
        Some('n') => value.push('\n'),
        Some('r') => value.push('\r'),
        Some('t') => value.push('\t'),
        Some(itself @ ('"' | '\\' | '$')) => value.push(itself),
        Some(other) => value.extend(['\\', other]),
        // The text ends here, and with it the quote was never closed.
        None => {}
    }
}

/// The text from the next line on, if nothing but a comment comes before it.
fn end_of_value(text: &str) -> Result<&str, &'static str> {
    let end = text.trim_start_matches(is_blank);
    if end.is_empty() || end.starts_with(LINE_ENDS) || end.starts_with('#') {
        return Ok(after_line(end));
    }
    Err("something follows the closing quote")
}

fn take_bare(text: &str) -> (String, &str) {
    let line = text.split(LINE_ENDS).next().unwrap_or_default();
    let comment = line.match_indices('#').find(|(index, _)| line[..*index].ends_with(is_blank));
    let (value, rest) = text.split_at(comment.map_or(line.len(), |(index, _)| index));
    (value.trim_matches(is_blank).replace("\\$", "$"), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of `A`, in order.
    fn values(text: &str) -> Vec<String> {
        let entries = parse(text).unwrap_or_else(|wrong| panic!("{text:?}: {wrong:?}"));
        entries.into_iter().inspect(|(name, _)| assert_eq!(name, "A")).map(|(_, value)| value).collect()
    }

    #[test]
    fn values_are_read_as_documented() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("A=\n", ""),
            ("A=   \n", ""),
            ("export A=b", "b"),
            ("export\tA = b", "b"),
            ("  A  =  b c  ", "b c"),
            ("A=b=c==", "b=c=="),
            ("A=b # c", "b"),
            ("A=b# c", "b# c"),
            ("A=#b", "#b"),
            ("A= # b", ""),
            ("A= #", ""),
            ("A=b\r\n", "b"),
            ("\u{feff}A=b", "b"),
            ("A=$HOME ${X} `y`", "$HOME ${X} `y`"),
            ("A=`b \'\"# \\n $X`  # d", "b \'\"# \\n $X"),
            ("A=a\\$b\\n", "a$b\\n"),
            ("A=b\r", "b"),
            ("A=\"b\rc\"", "b\nc"),
            ("A='b\rc'\r", "b\nc"),
            ("A=b'c\"d", "b'c\"d"),
            ("A='b # c \\n \"'  # d", "b # c \\n \""),
            ("A=''", ""),
            ("A=\"b # c\" # d", "b # c"),
            ("A=\"\\n\\r\\t\\\"\\\\\\$\\d'\"", "\n\r\t\"\\$\\d'"),
            ("A=\"b\r\nc\"", "b\nc"),
            ("A='b\n\nA=c'", "b\n\nA=c"),
            ("A=ü🦀", "ü🦀"),
        ] {
            assert_eq!(values(text), [value], "{text:?}");
        }
    }

    #[test]
    fn blank_lines_and_comments_say_nothing() {
        assert_eq!(values("\n  \n# A=x\n\t# y\nA=1\n\n\r\nA=2 \n#"), ["1", "2"]);
        assert_eq!(values("A=1\r# c\rA=2\r\rA=3"), ["1", "2", "3"]);
        assert_eq!(values(""), Vec::<String>::new());
    }

    #[test]
    fn names_may_hold_dots_and_dashes_and_export_may_be_one() {
        let names: Vec<String> =
            parse("a.b-C_1=x\n_=y\nexport=z\nexport export=q\nexported=r").unwrap().into_iter().map(|e| e.0).collect();
        assert_eq!(names, ["a.b-C_1", "_", "export", "export", "exported"]);
    }

    #[test]
    fn what_others_read_otherwise_is_told_by_name() {
        let text = "A=${X}\nB='$x'\nC=`$1`\nD=a\\$b\nE=\"a\\t\"\nF=a#b\nG=1\rH=#\nI=\"a\rb\"\nJ=a$$b\nA=$Y\n";
        assert_eq!(contested(text).unwrap(), ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"]);
        let text = "A=5$\nB='a#b' # $X\nC=\"a#b\\n\"\nD=`a`\nE=a$-b\nF=a # b\nG='a\\t'\nH=a\\t\r\nI=\nJ=it's";
        assert_eq!(contested(text).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_line_is_named_without_its_content() {
        for (text, line, word) in [
            ("A=1\nB", 2, "NAME=value"),
            ("A=1\r\r\n=b", 3, "name"),
            ("B=`c", 1, "never closed"),
            ("A=1\n\n=b", 3, "name"),
            ("1A=b", 1, "name"),
            ("A B=c", 1, "NAME=value"),
            ("\"A\"=b", 1, "name"),
            ("export A", 1, "NAME=value"),
            ("A=1\nB='c\nd", 2, "never closed"),
            ("B=\"c\nd", 1, "never closed"),
            ("B=\"c\\", 1, "never closed"),
            ("B=\"c\\\"", 1, "never closed"),
            ("A=\"1\n2\"\nB='c'd", 3, "closing quote"),
            ("A=b\0", 1, "NUL"),
            ("A=1\r\nB\r\n", 2, "NAME=value"),
        ] {
            let wrong = parse(text).expect_err(text);
            assert_eq!(wrong.line, line, "{text:?}");
            assert!(wrong.cause.contains(word), "{text:?}: {}", wrong.cause);
        }
    }
}
