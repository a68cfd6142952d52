//! The dotenv format, as far as its dialects agree.
//!
//! - Blank lines and lines that start with `#` say nothing. LF and CRLF end a line; a byte order mark is skipped.
//! - `NAME=value`, with or without `export` before it and spaces around `=`. A name is a letter or `_`, then letters,
//!   digits, `_`, `.` and `-`.
//! - `'…'` is taken as it is. In `"…"`, `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes; any other backslash stays.
//!   Both may span lines; after the closing quote only a comment may follow.
//! - Anything else runs to the end of the line or to a `#` after a space, without the spaces around it.
//! - `$NAME` is not replaced: what is written is what the worker gets. Of two lines with one name the last counts.

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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut entries = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let line = || 1 + newlines(&text) - newlines(rest);
        rest = take_line(rest, &mut entries).map_err(|cause| WrongLine { line: line(), cause })?;
    }
    Ok(entries)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// Takes one assignment, comment or blank line off the front, with its line break.
fn take_line<'a>(text: &'a str, entries: &mut Vec<(String, String)>) -> Result<&'a str, &'static str> {
    let start = text.trim_start_matches(is_blank);
    if start.is_empty() || start.starts_with(['\n', '#']) {
        return Ok(after_line(start));
    }
    let (name, value) = take_name(without_export(start))?;
    let (value, rest) = take_value(value)?;
    if value.contains('\0') {
        return Err("the value holds a NUL");
    }
    entries.push((name.to_owned(), value));
    Ok(rest)
}

/// Spaces within a line. A lone CR is one, so that it never gets into a value.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r')
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
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

/// The value, and the text from the next line on.
fn take_value(text: &str) -> Result<(String, &str), &'static str> {
    let start = text.trim_start_matches(is_blank);
    if let Some(quoted) = start.strip_prefix('\'') {
        take_literal(quoted)
    } else if let Some(quoted) = start.strip_prefix('"') {
        take_escaped(quoted)
    } else {
        // With the blanks: one of them may make a comment of a `#`.
        Ok(take_bare(text))
    }
}

fn take_literal(text: &str) -> Result<(String, &str), &'static str> {
    let (value, rest) = text.split_once('\'').ok_or("the ' that opens here is never closed")?;
    Ok((value.to_owned(), end_of_quoted(rest)?))
}

fn take_escaped(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Ok((value, end_of_quoted(characters.as_str())?)),
            '\\' => push_escape(&mut value, characters.next()),
            _ => value.push(character),
        }
    }
    Err("the \" that opens here is never closed")
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

/// What follows a closing quote up to the end of its line.
fn end_of_quoted(text: &str) -> Result<&str, &'static str> {
    let end = text.trim_start_matches(is_blank);
    if end.is_empty() || end.starts_with(['\n', '#']) {
        return Ok(after_line(end));
    }
    Err("something follows the closing quote")
}

fn take_bare(text: &str) -> (String, &str) {
    let line = text.split('\n').next().unwrap_or_default();
    let comment = line.match_indices('#').find(|(index, _)| line[..*index].ends_with(is_blank));
    let value = &line[..comment.map_or(line.len(), |(index, _)| index)];
    (value.trim_matches(is_blank).to_owned(), after_line(text))
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
        assert_eq!(values(""), Vec::<String>::new());
    }

    #[test]
    fn names_may_hold_dots_and_dashes_and_export_may_be_one() {
        let names: Vec<String> =
            parse("a.b-C_1=x\n_=y\nexport=z\nexport export=q\nexported=r").unwrap().into_iter().map(|e| e.0).collect();
        assert_eq!(names, ["a.b-C_1", "_", "export", "export", "exported"]);
    }

    #[test]
    fn a_wrong_line_is_named_without_its_content() {
        for (text, line, word) in [
            ("A=1\nB", 2, "NAME=value"),
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
