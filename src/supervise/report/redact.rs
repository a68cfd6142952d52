//! Text of the worker, a tool or the network, and the leased values in it.
//!
//! Such text is [`Foreign`] from where it was read, and there is one way out of it, [`Redactor::show`]: every leased
//! value is replaced by `[secret VARIABLE]`, and only then is the text escaped and cut, so that neither hides a value
//! from the search. A value is also found where some of its characters are written as JSON does (`\"`, `\u0022`) or as
//! an address does (`%22`, `+`); where it spans lines, each line by itself; and where the text begins or ends in the
//! middle of it. Base64 and the like are not seen through. Refuses to look for what is shorter than six bytes: that
//! would be found in any text. Pure.

use crate::error::escape;
use crate::supervise::launch::environment::Secret;

/// The shortest value, line of a value, or part of one at either end of a text, that is looked for.
const PIECE_BYTES_MIN: usize = 6;

/// The length of what stands for one character, as `\ud83e\udd80` does.
const ENCODED_BYTES_MAX: usize = 12;

/// How many values are remembered of one variable: the one in use, and those that a worker may still have.
const VALUES_MAX: usize = 3;

/// How much of a text is looked at. What is shown is a part of that.
const TEXT_BYTES_MAX: usize = 4096;

/// How the start of a value may be written: how many bytes at the start of a text stand for how many of the value.
/// Neither's end is passed, and the value has a byte at least.
type Way = fn(&[u8], &[u8]) -> Option<(usize, usize)>;

/// What is tried in turn for each character. What stands for something else in an address or in JSON may also be there
/// for itself, and what does so in an address may do so in JSON.
const ORDERS: [&[Way]; 3] = [&[plain, json, percent], &[json, percent, plain], &[json, plain]];

/// Text as it came from somebody else. It has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq)]
pub(crate) struct Foreign(Vec<u8>);

impl Foreign {
    /// Marks text as somebody else's.
    pub(crate) fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Foreign(…)")
    }
}

/// The values that are not to be seen.
#[derive(Default)]
pub(crate) struct Redactor {
    /// Each with its variable, the newest last.
    values: Vec<(String, Secret)>,
}

impl Redactor {
    /// Looks for this value too from now on, and no longer for one that the variable had long ago.
    pub(crate) fn learn(&mut self, variable: &str, value: &Secret) {
        self.values.retain(|(of, known)| of != variable || known != value);
        let is_of = |(of, _): &(String, Secret)| of == variable;
        if self.values.iter().filter(|value| is_of(value)).count() >= VALUES_MAX
            && let Some(oldest) = self.values.iter().position(is_of)
        {
            self.values.remove(oldest);
        }
        self.values.push((variable.to_owned(), value.clone()));
    }

    /// The text as it may be shown and kept: without a leased value, escaped, at most `bytes_max` bytes of it.
    pub(crate) fn show(&self, foreign: &Foreign, bytes_max: usize) -> String {
        escape(self.redact(&foreign.0[..foreign.0.len().min(TEXT_BYTES_MAX)]), bytes_max)
    }

    fn redact(&self, text: &[u8]) -> Vec<u8> {
        // Whose value each byte belongs to.
        let mut owners: Vec<Option<&str>> = vec![None; text.len()];
        for (variable, value) in &self.values {
            let lines = value.expose().split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
            for piece in lines.chain([value.expose()]).filter(|piece| piece.len() >= PIECE_BYTES_MIN) {
                mark(text, piece, variable, &mut owners);
            }
        }
        let mut shown = Vec::with_capacity(text.len());
        let mut before = None;
        for (&byte, owner) in text.iter().zip(owners) {
            match owner {
                None => shown.push(byte),
                Some(variable) if before != owner => {
                    shown.extend([b"[secret ", variable.as_bytes(), b"]"].concat());
                }
                Some(_) => {}
            }
            before = owner;
        }
        shown
    }
}

/// Notes where `piece` is found in the text, or the part of it that the text begins or ends with. Before the former
/// there may be the rest of an encoded character.
fn mark<'a>(text: &[u8], piece: &[u8], variable: &'a str, owners: &mut [Option<&'a str>]) {
    let is_rest = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_hexdigit() || b"\\u".contains(byte));
    let starts = (0..text.len()).map(|start| (start, piece));
    let ends_of_it = (0..text.len().min(ENCODED_BYTES_MAX))
        .filter(|&start| start <= 1 || is_rest(&text[..start]))
        .flat_map(|start| (1..=piece.len() - PIECE_BYTES_MIN).map(move |cut| (start, &piece[cut..])));
    for (start, piece) in starts.chain(ends_of_it) {
        for length in ORDERS.iter().filter_map(|ways| length(&text[start..], piece, ways)) {
            for owner in &mut owners[start..start + length] {
                owner.get_or_insert(variable);
            }
        }
    }
}

/// How many bytes at the start of the text are the piece, or as much of it as comes before the text's end; each
/// character is written in the first of these ways that fits.
fn length(text: &[u8], piece: &[u8], ways: &[Way]) -> Option<usize> {
    let (mut at, mut found, mut cut_at) = (0, 0, None);
    while found < piece.len() {
        let rest = &text[at..];
        // It may be cut in the middle of a character, whose first bytes may also be there for themselves.
        let is_cut = rest.is_empty() || rest.len() < ENCODED_BYTES_MAX && b"%\\".contains(&rest[0]);
        if is_cut && found >= PIECE_BYTES_MIN {
            cut_at = Some(at);
        }
        let Some((written, bytes)) = ways.iter().find_map(|way| way(rest, &piece[found..])) else { return cut_at };
        (at, found) = (at + written, found + bytes);
    }
    Some(at)
}

fn plain(text: &[u8], piece: &[u8]) -> Option<(usize, usize)> {
    (text.first() == Some(&piece[0])).then_some((1, 1))
}

/// As in an address or a form.
fn percent(text: &[u8], piece: &[u8]) -> Option<(usize, usize)> {
    match *text {
        [b'+', ..] if piece[0] == b' ' => Some((1, 1)),
        [b'%', ref digits @ ..] if hex(digits, 2) == Some(piece[0].into()) => Some((3, 1)),
        _ => None,
    }
}

/// As in a string of JSON, where a character beyond the first 65,536 takes two numbers.
fn json(text: &[u8], piece: &[u8]) -> Option<(usize, usize)> {
    let [b'\\', letter, digits @ ..] = text else { return None };
    if *letter != b'u' {
        return (unescaped(*letter) == piece[0]).then_some((2, 1));
    }
    let first = hex(digits, 4)?;
    if first == u32::from(piece[0]) {
        return Some((6, 1));
    }
    let (code, written) = match digits.get(4..) {
        Some([b'\\', b'u', low @ ..]) if first & 0xfc00 == 0xd800 => {
            (0x10000 + ((first & 0x3ff) << 10) + (hex(low, 4)? & 0x3ff), ENCODED_BYTES_MAX)
        }
        _ => (first, 6),
    };
    let mut bytes = [0; 4];
    let character = char::from_u32(code)?.encode_utf8(&mut bytes);
    piece.starts_with(character.as_bytes()).then_some((written, character.len()))
}

/// The number that so many digits at the start of a text stand for.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    text.get(..digits)?.iter().try_fold(0, |number, &digit| Some(number * 16 + char::from(digit).to_digit(16)?))
}

/// The character that a letter after a backslash stands for.
fn unescaped(letter: u8) -> u8 {
    match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a value that escaping changes: a backslash, quotes, a control character, a byte that is no UTF-8.
    const ODD: &[u8] = b"p\\4\"s's\x1b\xff-w0rd";

    fn redactor(values: &[(&str, &[u8])]) -> Redactor {
        let mut redactor = Redactor::default();
        for (variable, value) in values {
            redactor.learn(variable, &Secret::new(value.to_vec()));
        }
        redactor
    }

    fn shown(redactor: &Redactor, text: &[u8]) -> String {
        redactor.show(&Foreign::new(text), 1000)
    }

    #[test]
    fn a_value_is_replaced_by_the_name_of_its_variable() {
        let redactor = redactor(&[("KEY", b"hunter22"), ("OTHER", b"swordfish")]);
        let text = b"hunter22 and swordfish, hunter22hunter2 swordfishhunter22 hunter";
        let redacted = "[secret KEY] and [secret OTHER], [secret KEY]hunter2 [secret OTHER][secret KEY] [secret KEY]";
        assert_eq!(shown(&redactor, text), redacted);
        assert_eq!(shown(&redactor, b"nothing of it"), "nothing of it");
    }

    #[test]
    fn short_values_are_not_looked_for() {
        let redactor = redactor(&[("SHORT", b"12345"), ("LONG", b"123456")]);
        assert_eq!(shown(&redactor, b"12345 123456 1234567"), "12345 [secret LONG] [secret LONG]7");
    }

    #[test]
    fn the_longest_of_values_that_overlap_leaves_nothing_of_the_others() {
        let redactor = redactor(&[("A", b"aaaaaaXXXX"), ("B", b"XXXXbbbbbb"), ("C", b"aaaXXXX")]);
        assert_eq!(shown(&redactor, b"(aaaaaaXXXXbbbbbb)"), "([secret A][secret B])");
    }

    #[test]
    fn no_value_survives_in_any_part_of_a_text() {
        for value in
            [&b"0123456789abcdef"[..], ODD, b"first line\nsecond line\nthe third", b"\xf0\x9f\xa6\x80\xc3\xa9ab"]
        {
            let redactor = redactor(&[("KEY", value)]);
            let text = [b"refused \\ \xe2\x82\xac: ", value, b" (", value, b") \xff"].concat();
            for start in 0..text.len() {
                for end in start..=text.len() {
                    for bytes_max in [7, 20, 1000] {
                        let shown = redactor.show(&Foreign::new(&text[start..end]), bytes_max);
                        let survives = |piece: &&[u8]| shown.contains(&escape(piece, 1000)[..]);
                        let survivor =
                            value.windows(PIECE_BYTES_MIN).filter(|piece| !piece.contains(&b'\n')).find(survives);
                        assert_eq!(survivor, None, "{shown:?} of {:?}", text[start..end].escape_ascii().to_string());
                    }
                }
            }
        }
    }

    #[test]
    fn a_value_that_was_put_into_json_is_found() {
        let redactor = redactor(&[("KEY", b"a\"b\\c\nd\te-f")]);
        assert_eq!(shown(&redactor, br#"{"key":"a\"b\\c\nd\te-f"}"#), r#"{"key":"[secret KEY]"}"#);
        assert_eq!(shown(&redactor, br#"{"key":"a\u0022b\u005cc\u000Ad\u0009e-f"}"#), r#"{"key":"[secret KEY]"}"#);
    }

    #[test]
    fn a_value_of_other_characters_is_found_in_json_that_is_all_ascii() {
        let redactor = redactor(&[("KEY", "g\u{e9}heim \u{20ac}\u{1f980}\x08!".as_bytes())]);
        let written = r#""g\u00e9heim \u20ac\uD83E\udd80\b!" \u00e9 \ud83e\u0041 \ud83e"#;
        assert_eq!(shown(&redactor, written.as_bytes()), r#""[secret KEY]" \\u00e9 \\ud83e\\u0041 \\ud83e"#);
    }

    #[test]
    fn a_value_with_what_an_address_would_encode_is_found_in_json() {
        let redactor = redactor(&[("KEY", b"%25a\\\"b+")]);
        assert_eq!(shown(&redactor, br#""%25a\\\"b+""#), r#""[secret KEY]""#);
    }

    #[test]
    fn what_is_left_of_a_character_at_the_start_hides_nothing_of_a_value() {
        let redactor = redactor(&[("KEY", "\"/\u{1f980}secret".as_bytes())]);
        for (start, shows) in [
            ("2%2F%F0%9F%A6%80secret", "2[secret KEY]"),
            ("0022/\\ud83e\\udd80secret", "0022[secret KEY]"),
            ("83e\\udd80secret", "83e\\\\udd80[secret KEY]"),
        ] {
            assert_eq!(shown(&redactor, start.as_bytes()), shows);
        }
    }

    #[test]
    fn a_value_that_was_put_into_an_address_is_found() {
        let redactor = redactor(&[("KEY", "p/w\u{e9}rd x%y=".as_bytes())]);
        for put in ["p%2Fw%C3%A9rd%20x%25y%3D", "p%2fw%c3%a9rd+x%25y%3d", "p/w\u{e9}rd x%y="] {
            assert_eq!(shown(&redactor, format!("https://h/?q={put}&r=1").as_bytes()), "https://h/?q=[secret KEY]&r=1");
        }
        assert_eq!(shown(&redactor, b"p%2Fw% and p%2"), "p%2Fw% and p%2");
        assert_eq!(shown(&redactor, b"cut: p%2Fw%C3%A9rd%2"), "cut: [secret KEY]%2");
        assert_eq!(shown(&redactor, b"cut: p%2Fw%C3%A9rd+x%2"), "cut: [secret KEY]%2");
    }

    #[test]
    fn a_value_that_looks_as_if_it_were_encoded_is_found() {
        let redactor = redactor(&[("KEY", b"100%25+\\u0041\\n")]);
        assert_eq!(shown(&redactor, b"<100%25+\\u0041\\n>"), "<[secret KEY]>");
        assert_eq!(shown(&redactor, b"<100%2525%2B%5Cu0041%5Cn>"), "<[secret KEY]>");
    }

    #[test]
    fn each_line_of_a_value_is_looked_for_and_so_is_all_of_it() {
        let redactor = redactor(&[("PEM", b"-----BEGIN-----\r\nMIIEv\r\nQIBADAN\r\n-----END-----")]);
        assert_eq!(shown(&redactor, b"bad line QIBADAN here"), "bad line [secret PEM] here");
        assert_eq!(shown(&redactor, b"<-----BEGIN-----\r\nMIIEv\r\nQIBADAN\r\n-----END----->"), "<[secret PEM]>");
    }

    #[test]
    fn earlier_values_of_a_variable_are_looked_for_and_very_old_ones_not() {
        let mut redactor = redactor(&[("KEY", b"value 1"), ("OTHER", b"another"), ("KEY", b"value 2")]);
        redactor.learn("KEY", &Secret::new(b"value 1".to_vec()));
        redactor.learn("KEY", &Secret::new(b"value 3".to_vec()));
        assert_eq!(shown(&redactor, b"value 1, value 2, value 3"), "[secret KEY], [secret KEY], [secret KEY]");
        redactor.learn("KEY", &Secret::new(b"value 4".to_vec()));
        assert_eq!(shown(&redactor, b"value 1, value 2, another"), "[secret KEY], value 2, [secret OTHER]");
    }

    #[test]
    fn neither_foreign_text_nor_a_redactor_is_seen_in_debug() {
        assert_eq!(format!("{:?}", Foreign::new("hunter22")), "Foreign(…)");
    }
}
