//! That the manual says what the program does: the pages on operations, troubleshooting and events, the man page, and
//! the example hooks. What is quoted exists, what exists is listed, what is linked is there, and the hooks work.

mod pages;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pages::{blocks, load_well, page};
use serde_json::Value;
use support::{LIMIT, Scene, TempDir, quoted, slowed, wait_for};
use worker_supervisor::supervise::report::status::{Exit, Probe, Status, Sync, Transition};

/// Code, one character after the other.
type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

const PAGES: [&str; 3] = ["operations.md", "troubleshooting.md", "events.md"];
const MAN_PAGE: &str = "worker-supervisor.1";

/// So much of a quoted message may be chance, in characters.
const CHANCE: usize = 4;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// All files below a directory that end so.
fn files_below(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("cannot read {directory:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path, end),
            false => Vec::from_iter(path.to_str().is_some_and(|text| text.ends_with(end)).then_some(path)),
        })
        .collect()
}

/// What stands between two texts, each time.
fn all_between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

/// The part of a page under a heading, up to the next of that rank.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let rank = heading.split(' ').next().expect("a heading");
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    rest.split(&format!("\n{rank} ")).next().unwrap_or(rest)
}

/// What the first cells of the tables in a text name in backticks.
fn first_cells(text: &str) -> BTreeSet<String> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn help(command: Option<&str>) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_worker-supervisor"));
    let output = program.args(command).arg("--help").output().expect("the program runs");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The first columns of the lines under a heading of a help text.
fn help_column<'a>(help: &'a str, heading: &str) -> Vec<&'a str> {
    let under = help.split_once(&format!("\n{heading}:\n")).map_or("", |(_, rest)| rest);
    let lines = under.lines().take_while(|line| !line.is_empty());
    let entries = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    entries.filter_map(|line| line.split("  ").next()).collect()
}

/// The items of a list in a section of the man page, each as the words of its line.
fn man_items(heading: &str) -> Vec<Vec<String>> {
    let page = page(MAN_PAGE);
    let (_, rest) = page.split_once(&format!("\n.Sh {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let lines = rest.lines().take_while(|line| !line.starts_with(".Sh "));
    let items = lines.filter_map(|line| line.strip_prefix(".It "));
    items.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn man_commands() -> BTreeSet<String> {
    man_items("COMMANDS").into_iter().map(|words| words[1].clone()).collect()
}

fn man_options() -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for words in man_items("OPTIONS") {
        for part in words.split(|word| word == ",") {
            let is_long = part.get(1).is_some_and(|word| word == "Fl");
            let name = if is_long { format!("--{}", part[2]) } else { format!("-{}", part[1]) };
            options.insert(name);
        }
    }
    options
}

/// The numbers in the program's enumeration.
fn exit_codes() -> BTreeSet<u8> {
    let text = source("src/error.rs");
    let (_, variants) = text.split_once("pub enum ExitCode {").expect("the codes");
    let variants = variants.split_once("\n}").expect("their end").0;
    variants.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = ")?.1.parse().ok()).collect()
}

/// Every string literal of the program's own code, with `{…}` and `{}` as `…`.
fn literals() -> Vec<String> {
    let mut files = files_below(&root().join("src"), ".rs");
    files.extend(files_below(&root().join("platform/src"), ".rs"));
    assert!(files.len() > 40, "{files:?}");
    files.iter().flat_map(|file| literals_of(&fs::read_to_string(file).expect("a source file"))).collect()
}

fn literals_of(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => drop(characters.by_ref().find(|next| *next == '\n')),
            '\'' => skip_character(&mut characters),
            '"' => found.push(without_places(&literal(&mut characters))),
            _ => {}
        }
    }
    found
}

/// Goes past a character's literal, or past the first letter of a lifetime, which has no closing quote.
fn skip_character(characters: &mut Characters<'_>) {
    if characters.next() == Some('\\') {
        characters.next();
    }
    characters.next_if_eq(&'\'');
}

/// The rest of a literal whose opening quote was read. A line that goes on after a backslash loses its indentation.
fn literal(characters: &mut Characters<'_>) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next().filter(|character| *character != '"') {
        match (character, if character == '\\' { characters.next() } else { None }) {
            (_, None) => text.push(character),
            (_, Some('\n')) => while characters.next_if(|next| next.is_whitespace()).is_some() {},
            (_, Some(escaped)) => text.push(escaped),
        }
    }
    text
}

fn without_places(text: &str) -> String {
    let mut parts = text.split('{');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push('…');
        plain.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    plain
}

/// Whether a message begins as a literal does and has all its other fixed parts, in order.
fn is_made_from(message: &str, literal: &str) -> bool {
    let mut parts = literal.split('…');
    let Some(mut rest) = parts.next().filter(|first| first.len() > CHANCE).and_then(|it| message.strip_prefix(it))
    else {
        return false;
    };
    parts.all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// Where a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
}

fn anchors(page: &str) -> BTreeSet<String> {
    page.lines().filter_map(|line| line.strip_prefix('#')).map(|it| anchor(it.trim_start_matches('#').trim())).collect()
}

/// A hook by a link in a directory of its own: a copy could be busy, held by a process that another test is starting.
fn hook(name: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new();
    let script = dir.join(name);
    symlink(root().join("examples/hooks").join(name), &script).expect("the hook can be linked");
    (dir, script)
}

/// Runs a hook as the supervisor does, with this directory first on its PATH.
fn run_hook(script: &Path, event: &str, details: &str, path: &Path) -> std::process::Child {
    let inherited = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(script);
    command.arg(event).env("PATH", format!("{}:{inherited}", path.display())).current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the hook starts");
    // A hook that wants nothing of it may be gone already.
    let _told = child.stdin.take().expect("a pipe").write_all(details.as_bytes());
    child
}

fn end_of(mut hook: std::process::Child) -> Option<i32> {
    wait_for("the end of the hook", LIMIT, String::new, || hook.try_wait().expect("a child")).code()
}

/// The body of the next POST, which is answered with 204.
fn next_body(listener: &TcpListener) -> String {
    listener.set_nonblocking(true).expect("a listener that doesn't wait");
    let (mut stream, _) = wait_for("a post", LIMIT, String::new, || listener.accept().ok());
    stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(slowed(LIMIT))))
        .expect("a stream that waits");
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).expect("a request in time");
        bytes.extend(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("POST /T0 ") && head.contains("\r\nContent-Type: application/json"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("an answer");
            return body.to_owned();
        }
        assert!(count > 0, "the request ended early: {text}");
    }
}

#[test]
fn man_page_and_help_name_the_same_commands_and_options() {
    let mut options = BTreeSet::new();
    let summary = help(None);
    let mut commands: BTreeSet<String> = help_column(&summary, "Commands").into_iter().map(str::to_owned).collect();
    assert!(commands.contains("status"), "{summary}");
    let of_commands: Vec<String> = commands.iter().map(|command| help(Some(command))).collect();
    for help in of_commands.iter().chain([&summary]) {
        let names = help_column(help, "Options").into_iter().flat_map(|column| column.split(", "));
        options.extend(names.filter(|name| name.starts_with('-')).map(str::to_owned));
        for action in all_between(help, "  action  ", "\n") {
            commands.extend(action.replace(" or ", ", ").split(", ").map(|word| word.trim().to_owned()));
        }
    }
    assert!(commands.contains("uninstall"), "{commands:?}");
    assert_eq!(man_commands(), commands);
    assert_eq!(man_options(), options);
}

#[test]
fn exit_codes_on_both_pages_are_the_programs_own() {
    let codes = exit_codes();
    assert!(codes.len() >= 8, "{codes:?}");
    let on_man_page: BTreeSet<u8> = man_items("EXIT STATUS").iter().filter_map(|words| words[0].parse().ok()).collect();
    assert_eq!(on_man_page, codes);
    let operations = page("operations.md");
    let rows = section(&operations, "## Exit codes").lines().filter_map(|line| line.strip_prefix("| "));
    let in_table: BTreeSet<u8> = rows.filter_map(|row| row.split(' ').next()?.parse().ok()).collect();
    assert_eq!(in_table, codes);
}

#[test]
fn every_quoted_log_line_can_be_said_by_the_program() {
    let literals = literals();
    let mut count = 0;
    for page_name in PAGES {
        for line in page(page_name).lines() {
            let level = ["ERROR ", "WARN ", "INFO "].into_iter().find(|level| line.starts_with(level));
            let Some(message) = level.and_then(|level| line.strip_prefix(level)) else { continue };
            count += 1;
            assert!(literals.iter().any(|literal| is_made_from(message, literal)), "{page_name}: {line}");
        }
    }
    assert!(count >= 20, "{count} lines were looked at");
}

/// The texts of an SVG, a line each. Panics where it is not well-formed XML, as far as ours have need of it.
fn svg_lines(svg: &str) -> Vec<String> {
    let (mut open, mut lines) = (Vec::new(), Vec::new());
    let mut rest = svg;
    while let Some((text, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').expect("the end of a tag");
        for entity in text.split('&').skip(1).filter_map(|it| it.split(';').next()) {
            assert!(["amp", "lt", "gt", "quot", "#x27"].contains(&entity), "&{entity}");
        }
        if open.contains(&"text") {
            let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#x27;", "'");
            let line: &mut String = lines.last_mut().expect("a line was begun");
            line.push_str(&plain.replace("&amp;", "&"));
        }
        let name = tag.trim_end_matches('/').split(' ').next().expect("a name");
        let is_quoted = |attribute: &str| attribute.contains('=') || attribute.trim().is_empty();
        assert!(tag.split('"').step_by(2).skip(1).all(|it| it == "/" || is_quoted(it)), "<{tag}>");
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
        if name == "text" {
            lines.push(String::new());
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    lines
}

#[test]
fn the_recording_is_an_svg_of_what_the_program_prints() {
    let svg = page("demo.svg");
    assert!(svg.len() < 60_000 && !svg.contains("script") && svg.contains("prefers-reduced-motion"));
    let (literals, lines) = (literals(), svg_lines(&svg));
    let page = source("src/commands/status/page.rs");
    let labels: Vec<&str> = all_between(&page, "\n        (\"", "\"").into_iter().chain(["lately"]).collect();
    let mut logged = 0;
    for line in &lines {
        let is_ours = |word: &str| !word.contains('/') || word.contains("/home/joe/") || word.contains("/api/");
        assert!(line.split_whitespace().all(is_ours), "a path of somebody: {line}");
        if let Some((_, message)) = line.split_once("Z INFO ").or_else(|| line.split_once("Z WARN ")) {
            logged += 1;
            let message = message.trim_end_matches('…');
            let begins = |literal: &String| is_made_from(message, literal) || is_begun(message, literal);
            assert!(literals.iter().any(begins), "{line}");
        } else if let Some(row) = line.strip_prefix("  ") {
            let label = row.get(..12).expect("a label").trim();
            assert!(labels.contains(&label), "{line}");
        } else {
            assert!(line.starts_with("$ ") || line.starts_with("worker: healthy for "), "{line}");
        }
    }
    assert!(logged >= 8 && lines.len() > logged + 10, "{lines:#?}");
    let commands: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("$ ")).collect();
    let ["worker-supervisor &", kill, "worker-supervisor status"] = commands[..] else { panic!("{commands:?}") };
    assert!(kill.starts_with("kill -9 "), "{kill}");
}

/// Whether a message that was cut begins as a literal does, by its first fixed part.
fn is_begun(message: &str, literal: &str) -> bool {
    literal.split('…').next().is_some_and(|first| first.len() > CHANCE && message.starts_with(first))
}

#[test]
fn every_symptom_is_in_the_sources() {
    let literals = literals().join("\n");
    // Said by others: the kernel, Inngest, its SDK.
    let wrong_key = "JSON Parse error: Unexpected identifier \"Authentication\"";
    let foreign = ["EADDRINUSE", "Unable to reach SDK URL", "Failed to register", "ECONNREFUSED", "drain_timeout_secs"];
    let troubleshooting = page("troubleshooting.md");
    let headings = troubleshooting.lines().filter_map(|line| line.strip_prefix("### "));
    let mut count = 0;
    for symptom in headings.flat_map(|heading| heading.split('`').skip(1).step_by(2)) {
        let fixed = symptom
            .split(|c: char| c == '…' || c.is_ascii_digit())
            .map(|part| part.trim_matches([' ', ';', ':', ',', '(', ')', '?']));
        for part in fixed.filter(|part| part.len() > CHANCE && *part != wrong_key && !foreign.contains(part)) {
            count += 1;
            assert!(said(part, &literals), "{symptom}: nothing says {part:?}");
        }
    }
    assert!(count >= 40, "{count} parts were looked at");
}

/// Whether a fixed part of a symptom is in a literal, or made of several in a row, each after a colon or semicolon.
fn said(part: &str, literals: &str) -> bool {
    literals.contains(part)
        || [": ", "; "].iter().any(|mark| part.contains(mark) && part.split(mark).all(|piece| said(piece, literals)))
}

#[test]
fn every_piece_of_toml_loads() {
    let pieces: Vec<String> = PAGES.iter().flat_map(|name| blocks(&page(name), "toml")).collect();
    assert!(pieces.len() >= 3, "{pieces:?}");
    for piece in pieces {
        let required = if piece.starts_with("command = ") { "" } else { "command = [\"bun\"]\nport = 3111\n" };
        load_well("worker", &format!("{required}{piece}"));
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut documents = files_below(&root().join("docs"), ".md");
    documents.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "launchd/README.md"].map(|it| root().join(it)));
    documents.push(root().join("examples/inngest-bun/README.md"));
    for document in documents.iter().filter(|document| document.exists()) {
        let text = fs::read_to_string(document).expect("a page");
        for link in all_between(&text, "](", ")").into_iter().filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { document.with_file_name("").join(path) };
            // The page that introduces all others is the last to be written.
            assert!(target.exists() || path == "README.md", "{document:?} links {link}");
            let is_there =
                heading.is_empty() || anchors(&fs::read_to_string(&target).expect("a page")).contains(heading);
            assert!(is_there, "{document:?} links {link}, and there is no such heading");
        }
    }
}

#[test]
fn every_event_is_on_the_page_and_no_other() {
    let hooks = source("src/supervise/report/happening.rs");
    let names = hooks.split_once("fn name(self)").and_then(|(_, rest)| rest.split_once("\n    }\n")).expect("names").0;
    let events: BTreeSet<String> = all_between(names, "=> \"", "\"").into_iter().map(str::to_owned).collect();
    assert!(events.len() >= 9, "{events:?}");
    let page = page("events.md");
    let introduction = page.split("\n## ").next().expect("a beginning");
    assert_eq!(first_cells(introduction), events);
}

#[test]
fn every_field_of_the_status_is_on_the_page_and_no_other() {
    let status = Status {
        last_exit: Some(Exit::default()),
        last_probe: Some(Probe::default()),
        sync: Some(Sync::default()),
        transitions: vec![Transition::default()],
        ..Status::default()
    };
    let value = serde_json::to_value(status).expect("a status is JSON");
    let page = page("events.md");
    let described = section(&page, "## The status");
    let fields: BTreeSet<String> = value.as_object().expect("an object").keys().cloned().collect();
    assert_eq!(first_cells(described), fields);
    let inner = [&value["last_exit"], &value["last_probe"], &value["sync"], &value["transitions"][0]];
    for name in inner.into_iter().filter_map(Value::as_object).flat_map(|object| object.keys()) {
        assert!(described.contains(&format!("`{name}`")), "{name} is not described");
    }
}

#[test]
fn every_line_of_status_is_described() {
    let code = source("src/commands/status/page.rs");
    let labels = all_between(&code, "\n        (\"", "\"").into_iter();
    let labels: BTreeSet<String> = labels.filter(|label| !label.is_empty()).map(str::to_owned).collect();
    let labels = labels.into_iter().chain(["lately".to_owned()]).collect::<BTreeSet<_>>();
    assert!(labels.len() >= 12 && code.contains("once(\"lately\")"), "{labels:?}");
    let page = page("operations.md");
    let described = first_cells(section(&page, "## Reading `status`"));
    assert_eq!(described, labels);
}

#[test]
fn every_metric_is_described() {
    let code = source("src/commands/status/prometheus.rs");
    let code = code.split("#[cfg(test)]").next().expect("code");
    let metrics: BTreeSet<String> = all_between(code, "page.add(\"", "\"").into_iter().map(str::to_owned).collect();
    assert!(metrics.len() >= 15, "{metrics:?}");
    assert_eq!(
        first_cells(section(&page("operations.md"), "## Metrics")).difference(&metrics).collect::<Vec<_>>(),
        ["worker_supervisor_"]
    );
    assert!(metrics.is_subset(&first_cells(section(&page("operations.md"), "## Metrics"))));
}

#[test]
fn hook_of_the_page_on_operations_writes_the_metrics() {
    let hook = blocks(&page("operations.md"), "toml").into_iter().find(|piece| piece.contains("--prometheus"));
    let scene = Scene::new();
    let program = format!("{} --config {}", env!("CARGO_BIN_EXE_worker-supervisor"), scene.config_file().display());
    let hook = hook.expect("the hook").replace("worker-supervisor status", &format!("{program} status"));
    let hook = hook.replace("/tmp/worker.prom", &scene.file("worker.prom").display().to_string());
    let scene = scene.set("on_event", hook.trim().strip_prefix("on_event = ").expect("the key"));
    let supervisor = scene.start();
    let metrics = || fs::read_to_string(scene.file("worker.prom")).ok();
    let written = wait_for("metrics", LIMIT, || scene.story(), metrics);
    assert!(written.contains("\nworker_supervisor_up{name=\"worker\"} 1\n"), "{written}");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn webhook_posts_the_details_as_they_are() {
    let (dir, script) = hook("webhook.sh");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    fs::write(dir.join("webhook.curl"), format!("url = \"http://{address}/T0\"\n")).expect("the address");
    let details = "{\"event\":\"unhealthy\",\"message\":\"a \\\"b\\\" $(id) `id` 'c' @d \\\\n\"}\n";
    let hook = run_hook(&script, "unhealthy", details, dir.path());
    assert_eq!(next_body(&listener), details);
    assert_eq!(end_of(hook), Some(0));
    drop(listener);
    assert_eq!(end_of(run_hook(&script, "unhealthy", details, dir.path())), Some(7), "nobody listens there");
}

#[test]
fn webhook_tells_of_a_failed_registration_when_the_supervisor_runs_it() {
    let (dir, script) = hook("webhook.sh");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    fs::write(dir.join("webhook.curl"), format!("url = \"http://{address}/T0\"\n")).expect("the address");
    let scene = Scene::new().worker(&["--sync", "500"]).set("sync_endpoint", "\"/api\"");
    let scene = scene.set("on_event", format!("[{}, \"{{event}}\"]", quoted(&script)));
    let supervisor = scene.start();
    let details: Value = serde_json::from_str(&next_body(&listener)).expect("JSON");
    assert_eq!(details["event"], "sync-failed");
    assert_eq!(details["status"]["sync"]["accepted"], false);
    assert!(details["message"].as_str().is_some_and(|text| text.starts_with("cannot sync: status 500")), "{details}");
    assert_eq!(supervisor.stop(), 0);
}

#[test]
fn notification_gets_the_details_as_data_and_never_as_code() {
    let (dir, script) = hook("notify-macos.sh");
    let stand_in = dir.join("osascript");
    let [arguments, input] = ["arguments", "input"].map(|name| dir.join(name));
    let record = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"${0%/*}/arguments\"\ncat >\"${0%/*}/input\"\n";
    fs::write(&stand_in, record).expect("a stand-in");
    fs::set_permissions(&stand_in, Permissions::from_mode(0o755)).expect("a mode");
    let run = |details: &str| {
        assert_eq!(end_of(run_hook(&script, "unhealthy", details, dir.path())), Some(0));
        assert_eq!(fs::read_to_string(&input).expect("what it read"), details);
        fs::read_to_string(&arguments).expect("its arguments")
    };
    let tame = run("{\"message\":\"well\"}\n");
    assert!(tame.starts_with("-l\nJavaScript\n-e\n") && tame.contains("displayNotification"), "{tame}");
    let wild = "{\"message\":\"'; doShellScript(\\\"id\\\") $(id) `id` \\\\\"}\n";
    assert_eq!(run(wild), tame);
}

#[test]
fn hooks_leave_what_needs_nobody_alone() {
    for name in ["webhook.sh", "notify-macos.sh"] {
        let (dir, script) = hook(name);
        for event in ["started", "ready", "exited", "stopped"] {
            // Neither an address nor osascript is there: whoever wants one, fails.
            assert_eq!(end_of(run_hook(&script, event, "{}\n", dir.path())), Some(0), "{name} {event}");
        }
    }
}
