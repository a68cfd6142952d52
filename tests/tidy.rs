//! The style guide as a test: what a reviewer would have to say twice, this says.
//!
//! Each check is a pure function from a file's text to findings and has a test that shows it failing; one test applies
//! them all to this repository. Checks of code see it with comments and literals blanked, so that prose may name what
//! code must not do. It reads files and runs nothing. What rustfmt and clippy already say, it does not repeat.

use std::fs;
use std::path::Path;

use tidy::uses::{self, Uses};

mod tidy {
    pub(crate) mod uses;
}

const FILE_LINES_MAX: usize = 400;
const COLUMNS_MAX: usize = 120;

/// Directories that hold nothing written by hand.
const SKIPPED: [&str; 3] = ["target", "node_modules", ".git"];
/// Where packages come from is the business of whoever installs them. Split, so that this file names none either.
const HOSTS: [[&str; 2]; 5] =
    [["npm", "js."], ["crates", ".io"], ["pypi", ".org"], ["python", "hosted"], ["debian", ".org"]];

/// One finding: the line, counted from 1, and what is wrong with it.
type Finding = (usize, String);

/// A source file in the forms that checks ask for. Both have the same lines.
struct Source {
    text: String,
    /// Without comments and the insides of literals.
    code: String,
}

impl Source {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), code: blank_comments_and_literals(text) }
    }
}

/// The paths that a check holds for, and the check.
type Rule = (fn(&str) -> bool, fn(&Source) -> Vec<Finding>);

const RULES: [Rule; 7] = [
    (|_| true, header),
    (|path| !is_test(path), file_length),
    (|_| true, columns),
    (|_| true, banners),
    (|_| true, unfinished),
    // The fixture has to look at its signals before the standard library changes them.
    (|path| !path.starts_with("platform/") && path != "tests/fixture/inherited.rs", unsafe_code),
    // One file holds the wait, with its limit, that all tests share.
    (
        |path| {
            !["tests/fixture/", "benches/", "tests/support/wait.rs", "src/commands/restart.rs"]
                .iter()
                .any(|it| path.starts_with(it))
        },
        sleeping,
    ),
];

/// Files that are tests from end to end.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || (path.contains("tests/") && !path.contains("/support/"))
}

fn header(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//!") { vec![] } else { vec![(1, "does not open with a `//!` header".into())] }
}

fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count() - test_module_lines(&source.code);
    if lines <= FILE_LINES_MAX { vec![] } else { vec![(1, format!("{lines} lines without its tests"))] }
}

fn columns(source: &Source) -> Vec<Finding> {
    // A table between fences can't be folded.
    let mut is_fenced = false;
    let is_wide = |line: &str| {
        is_fenced ^= line.trim_start_matches(['/', '!', ' ']).starts_with("```");
        !is_fenced && line.chars().count() > COLUMNS_MAX
    };
    lines_where(&source.text, is_wide, "wider than 120 columns")
}

fn banners(source: &Source) -> Vec<Finding> {
    let is_banner = |line: &str| {
        let comment = line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!', ' ']));
        comment.is_some_and(|comment| ["----", "====", "****", "####", "~~~~"].iter().any(|b| comment.starts_with(b)))
    };
    lines_where(&source.text, is_banner, "a banner; let the order of the items speak")
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let promised = [["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let unnumbered = ["TO", "DO"].concat();
    let is_promised = |line: &str| promised.iter().any(|word| has_word(line, word));
    let mut found = lines_where(&source.text, is_promised, "unfinished work");
    let is_loose = |line: &str| has_word(line, &unnumbered) && !line.contains('#');
    found.extend(lines_where(&source.text, is_loose, "work to do without an issue number"));
    found
}

fn unsafe_code(source: &Source) -> Vec<Finding> {
    // A benchmark that counts allocations has to implement an allocator.
    let is_allocator = has_word(&source.code, "GlobalAlloc");
    let is_unsafe = |line: &str| has_word(line, "unsafe") && !is_allocator;
    lines_where(&source.code, is_unsafe, "unsafe code outside platform/")
}

fn sleeping(source: &Source) -> Vec<Finding> {
    lines_where(&source.code, |line| line.contains("sleep("), "sleeps; wait for a condition, with a limit")
}

/// For any text file, not only for code.
fn registry_hosts(path: &str, text: &str) -> Vec<Finding> {
    let names_host = |line: &str| HOSTS.iter().any(|host| line.contains(&host.concat()));
    // Cargo writes the name of its index into each entry itself.
    let is_cargos_own = |line: &str| path.ends_with("Cargo.lock") && line.starts_with("source = ");
    lines_where(text, |line| names_host(line) && !is_cargos_own(line), "names a package registry")
}

fn download_addresses(path: &str, text: &str) -> Vec<Finding> {
    let is_lock = path.ends_with("package-lock.json");
    lines_where(text, |line| is_lock && line.contains("\"resolved\""), "a lock file with download addresses")
}

fn lines_where(text: &str, mut is_wrong: impl FnMut(&str) -> bool, wrong: &str) -> Vec<Finding> {
    let numbered = text.lines().enumerate();
    numbered.filter(|(_, line)| is_wrong(line)).map(|(at, _)| (at + 1, wrong.to_owned())).collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// The line, counted from 0, that closes the block opened at or after `start`: the first brace at the same indentation,
/// as rustfmt writes it. None where there is no block, or all of it stands on one line.
fn block_end(lines: &[&str], start: usize) -> Option<usize> {
    let opening = (start..lines.len()).find(|&at| lines[at].contains('{') || lines[at].trim_end().ends_with(';'))?;
    if !lines[opening].trim_end().ends_with('{') {
        return None;
    }
    let indentation = lines[start].len() - lines[start].trim_start().len();
    let closing = format!("{}}}", " ".repeat(indentation));
    (opening + 1..lines.len()).find(|&at| lines[at].starts_with(&closing))
}

/// First and last line, counted from 0, of each `#[cfg(test)]` module.
fn test_modules(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let module = |at: usize| {
        // Other attributes may stand between.
        let head = (at + 1..lines.len()).find(|&next| !lines[next].starts_with("#["))?;
        lines[head].contains("mod ").then(|| block_end(&lines, head)).flatten().map(|last| (at, last))
    };
    (0..lines.len()).filter(|&at| lines[at] == "#[cfg(test)]").filter_map(module).collect()
}

fn test_module_lines(code: &str) -> usize {
    test_modules(code).iter().map(|(first, last)| last - first + 1).sum()
}

/// The code without comments, literals and `#[cfg(test)]` modules.
fn shipped(text: &str) -> String {
    let code = blank_comments_and_literals(text);
    let modules = test_modules(&code);
    let is_shipped = |at: usize| !modules.iter().any(|&(first, last)| (first..=last).contains(&at));
    code.lines().enumerate().map(|(at, line)| if is_shipped(at) { line } else { "" }).collect::<Vec<_>>().join("\n")
}

/// The same text with comments and the insides of string and character literals as spaces; lines stay where they were.
fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, kept_ends) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), 0),
            '/' if rest.starts_with("/*") => (block_comment_length(rest), 0),
            '"' => (string_length(rest), 1),
            'r' => raw_string_length(rest).map_or((1, 1), |length| (length, 0)),
            '\'' => (char_literal_length(rest).unwrap_or(1), 1),
            _ => (first.len_utf8(), 1),
        };
        let blanked = rest[..taken].char_indices().map(|(at, c)| {
            let is_end = at < kept_ends || at + c.len_utf8() > taken - kept_ends;
            if is_end || c == '\n' { c } else { ' ' }
        });
        code.extend(blanked);
        rest = &rest[taken..];
    }
    code
}

fn block_comment_length(text: &str) -> usize {
    text.find("*/").map_or(text.len(), |end| end + "*/".len())
}

fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let closing = text.char_indices().skip(1).find(|&(_, c)| {
        let closes = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        closes
    });
    closing.map_or(text.len(), |(at, _)| at + 1)
}

fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let opening = hashes + 2;
    if text.as_bytes().get(opening - 1) != Some(&b'"') {
        return None;
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    Some(text[opening..].find(&closing).map_or(text.len(), |at| opening + at + closing.len()))
}

/// None for a lifetime, which has no closing quote.
fn char_literal_length(text: &str) -> Option<usize> {
    let second = text[1..].chars().next()?;
    if second == '\\' {
        return text[3..].find('\'').map(|at| at + 4);
    }
    let end = 1 + second.len_utf8();
    text[end..].starts_with('\'').then_some(end + 1)
}

/// Every file below `directory`, as text with its path from the root; what is not UTF-8 is left out.
fn text_files(root: &Path, directory: &Path, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(directory).expect("the repository can be read");
    for path in entries.map(|entry| entry.expect("the repository can be read").path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
            text_files(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let below_root = path.strip_prefix(root).expect("the walk began at the root");
            files.push((below_root.to_string_lossy().into_owned(), text));
        }
    }
}

fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut found = registry_hosts(path, text);
    found.extend(download_addresses(path, text));
    if path.ends_with(".rs") {
        let source = Source::new(text);
        found.extend(RULES.iter().filter(|(holds_for, _)| holds_for(path)).flat_map(|(_, check)| check(&source)));
    }
    found
}

#[test]
fn this_repository_keeps_its_style_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    text_files(root, root, &mut files);
    for expected in ["src/main.rs", "platform/src/lib.rs", "tests/tidy.rs", "Cargo.lock"] {
        assert!(files.iter().any(|(path, _)| path == expected), "the walk missed {expected}");
    }
    let report_on = |(path, text): &(String, String)| {
        findings(path, text).into_iter().map(|(line, wrong)| format!("{path}:{line}: {wrong}")).collect::<Vec<_>>()
    };
    let report: Vec<String> = files.iter().flat_map(report_on).collect();
    assert!(report.is_empty(), "{} findings:\n{}", report.len(), report.join("\n"));
}

/// What the files below `directory` use.
fn uses_in(name: &str, directory: &str) -> Uses {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files = Vec::new();
    text_files(&root, &root, &mut files);
    files.retain(|(path, _)| path.ends_with(".rs") && !is_test(path));
    files.iter_mut().for_each(|(_, text)| *text = shipped(text));
    uses::uses(name, &files)
}

#[test]
fn no_file_uses_itself_by_way_of_others() {
    let crates = [("worker_supervisor", "src"), ("worker_supervisor_platform", "platform/src")];
    let circles: Vec<_> =
        crates.iter().flat_map(|(name, directory)| uses::circles(&uses_in(name, directory))).collect();
    assert!(circles.is_empty(), "{} circles:\n{}", circles.len(), circles.join("\n"));
}

#[test]
fn every_file_uses_lower_floors_or_its_own() {
    let broken = uses::broken_floors(&uses_in("worker_supervisor", "src"));
    assert!(broken.is_empty(), "{} uses of what is not below:\n{}", broken.len(), broken.join("\n"));
}

/// The lines that `check` complains about.
fn lines_found(check: fn(&Source) -> Vec<Finding>, text: &str) -> Vec<usize> {
    check(&Source::new(text)).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn header_is_asked_for() {
    assert_eq!(lines_found(header, "use std::fs;\n"), [1]);
    assert_eq!(lines_found(header, "//! What it is.\n"), [0; 0]);
}

#[test]
fn long_file_is_found_and_its_tests_are_not_counted() {
    let code = "fn f() {}\n".repeat(FILE_LINES_MAX);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn f() {}\n".repeat(FILE_LINES_MAX));
    assert_eq!(lines_found(file_length, &format!("{code}{tests}")), [0; 0]);
    assert_eq!(lines_found(file_length, &format!("{code}fn g() {{}}\n{tests}")), [1]);
}

#[test]
fn wide_line_is_found() {
    let line = |columns| format!("{}\n", "é".repeat(columns));
    let fence = "//! ```text\n";
    assert_eq!(lines_found(columns, &[fence, &line(121), fence, &line(120), &line(121)].concat()), [5]);
}

#[test]
fn banner_is_found() {
    assert_eq!(lines_found(banners, "// ---- part\n    // ====\n/// a - b\n//! | --- |\n"), [1, 2]);
}

#[test]
fn unfinished_work_is_found() {
    let words = [["FIX", "ME later"], ["XX", "X"], ["TO", "DO tidy"], ["TO", "DO(#12)"], ["TO", "DOS"]];
    let comments: String = words.iter().map(|word| format!("// {}\n", word.concat())).collect();
    assert_eq!(lines_found(unfinished, &comments), [1, 2, 3]);
}

#[test]
fn unsafe_code_is_found_in_code_alone() {
    let text = "#![forbid(unsafe_code)]\n// unsafe\nlet a = \"unsafe\";\nunsafe { f() }\n";
    assert_eq!(lines_found(unsafe_code, text), [4]);
    assert_eq!(lines_found(unsafe_code, &format!("{text}unsafe impl GlobalAlloc for A {{}}\n")), [0; 0]);
}

#[test]
fn sleep_is_found() {
    assert_eq!(lines_found(sleeping, "// sleep(1)\nthread::sleep(second);\n"), [2]);
}

#[test]
fn registry_and_download_address_are_found() {
    let index = format!("source = \"registry+{}\"\n", HOSTS[1].concat());
    assert_eq!(registry_hosts("README.md", &index).len(), 1);
    assert_eq!(registry_hosts("Cargo.lock", &index).len(), 0);
    assert_eq!(download_addresses("a/package-lock.json", "{\n\"resolved\": \"\"\n}\n").len(), 1);
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    let text = "a(\"{\\\"\", '{', '\\'', r#\"\"{\"#); // {\n/* {\n{ */ fn f<'a>() {}";
    let code = blank_comments_and_literals(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(code.matches('{').count(), 1);
    assert!(code.ends_with("fn f<'a>() {}"));
}

/// What the files of a made-up crate `house` use.
fn made_up(files: &[(&str, &str)]) -> Uses {
    let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), shipped(text))).collect();
    uses::uses("house", &files)
}

#[test]
fn uses_lead_to_files() {
    let uses = made_up(&[
        ("lib.rs", "mod a;\npub use self::a::b::B;\npub use crate::c::C;\n"),
        ("main.rs", "use house::c::{self, C};\n"),
        ("a/mod.rs", "mod b;\npub(crate) use b::{B, Two as Three};\nuse std::io;\n"),
        ("a/b.rs", "use super::{\n    super::c::{C, D},\n    Item,\n};\nmod sys {\n    use super::B;\n}\n"),
        ("c.rs", "// use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::a::b::B;\n}\n"),
    ]);
    let of = |file: &str| uses[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("lib.rs"), [""; 0]);
    assert_eq!(of("main.rs"), ["c.rs"]);
    assert_eq!(of("a/mod.rs"), ["a/b.rs"]);
    assert_eq!(of("a/b.rs"), ["a/mod.rs", "c.rs"]);
    assert_eq!(of("c.rs"), [""; 0]);
}

#[test]
fn circle_is_found_and_its_chain_is_told() {
    let mut files = vec![
        ("a.rs", "use crate::b::B;\n"),
        ("b.rs", "use crate::c::{C, D};\n"),
        ("c.rs", "use crate::error::Error;\n"),
        ("error.rs", ""),
    ];
    assert!(uses::circles(&made_up(&files)).is_empty());
    files[2].1 = "use super::a::A;\n";
    let found = uses::circles(&made_up(&files));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a.rs → b.rs → c.rs → a.rs"]);
}

#[test]
fn broken_floor_is_found() {
    let uses = made_up(&[
        ("main.rs", "use house::commands;\nuse platform::Pid;\n"),
        ("commands/mod.rs", "use crate::supervise;\n"),
        ("supervise/mod.rs", "use crate::policy::Event;\nuse crate::commands;\n"),
        ("config/mod.rs", "use crate::cli::Args;\nuse crate::attic::Box;\n"),
        ("cli.rs", "use crate::error::Error;\n"),
        ("policy/mod.rs", "mod state;\nuse state::State;\nuse crate::http::Verdict;\n"),
        ("policy/state.rs", "use crate::time::Now;\nuse platform::Pid;\n"),
        ("http/mod.rs", ""),
        ("error.rs", "use crate::cli::Args;\n"),
        ("time.rs", ""),
        ("attic.rs", ""),
    ]);
    assert_eq!(
        uses::broken_floors(&uses),
        [
            "config/mod.rs → attic.rs",
            "error.rs → cli.rs",
            "policy/mod.rs → http/mod.rs",
            "policy/state.rs → platform",
            "supervise/mod.rs → commands/mod.rs",
        ]
    );
}
