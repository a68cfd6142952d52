//! Who uses whom: the `use` lines of a crate's files, as a graph.
//!
//! A path means the file of its longest part that is a module. `mod x;` uses nothing, nor does what stands in tests.
//! Asked of the graph: does any file reach itself, and does any reach for a floor that is not below its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// From the top. What is on one floor may use each other, but for the pure rooms.
const FLOORS: [&[&str]; 6] = [
    &["main"],
    &["commands"],
    &["supervise"],
    &["config", "lock", "state_dir", "cli"],
    &["policy", "http"],
    &["error", "time", "print"],
];
/// These use neither the platform nor each other.
const PURE: [&str; 2] = ["policy", "http"];
const PLATFORM: &str = "platform";

/// What each file uses. Files are named by their paths from the crate's `src`; the platform is one, without uses.
pub(crate) type Uses = BTreeMap<String, BTreeSet<String>>;

/// `files`: path from `src`, and code without tests, comments and literals. `name`: of the crate, to its own binary.
pub(crate) fn uses(name: &str, files: &[(String, String)]) -> Uses {
    // The root of the crate is its library, if it has one.
    let modules: BTreeMap<Vec<String>, &str> =
        files.iter().filter(|(path, _)| path != "main.rs").map(|(path, _)| (module_of(path), path.as_str())).collect();
    let used_by = |path: &str, code: &str| -> BTreeSet<String> {
        let found = use_lines(&module_of(path), code).into_iter().filter(|used| path != "lib.rs" || !used.is_exported);
        let targets = found.filter_map(|used| target(name, &used, &modules));
        targets.filter(|target| target != path).collect()
    };
    files.iter().map(|(path, code)| (path.clone(), used_by(path, code))).collect()
}

fn module_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// One path that is used, and the module that says so.
struct Used {
    by: Vec<String>,
    path: String,
    is_exported: bool,
}

fn use_lines(module: &[String], code: &str) -> Vec<Used> {
    let mut found = Vec::new();
    let mut inline = None;
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let (visibility, item) = split_visibility(line.trim_start());
        if !line.starts_with([' ', '}']) {
            inline = item.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {"));
        }
        let Some(rest) = item.strip_prefix("use ") else { continue };
        let mut tree = rest.to_owned();
        while !tree.contains(';') {
            let Some(next) = lines.next() else { break };
            tree.push_str(next.trim_start());
        }
        let by = module.iter().cloned().chain(inline.map(str::to_owned)).collect::<Vec<_>>();
        let used = |path| Used { by: by.clone(), path, is_exported: visibility == "pub" };
        found.extend(branches(tree.trim_end_matches(';')).into_iter().map(used));
    }
    found
}

fn split_visibility(item: &str) -> (&str, &str) {
    let Some(rest) = item.strip_prefix("pub") else { return ("", item) };
    let end = if rest.starts_with('(') { rest.find(')').map_or(0, |at| at + 1) } else { 0 };
    let (visibility, item) = item.split_at("pub".len() + end);
    item.strip_prefix(' ').map_or(("", item), |item| (visibility, item))
}

/// `a::{b, c::{d, self}}` as `a::b`, `a::c::d` and `a::c`.
fn branches(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((stem, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.push(&rest[start..at]);
                start = at + 1;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    let named = found.into_iter().filter(|branch| !branch.trim().is_empty());
    named.flat_map(|branch| branches(&format!("{stem}{}", branch.trim()))).collect()
}

/// The file that a path leads to; none outside of this crate and the platform.
fn target(name: &str, used: &Used, modules: &BTreeMap<Vec<String>, &str>) -> Option<String> {
    let mut parts: Vec<&str> = used.path.split("::").collect();
    let mut base = used.by.clone();
    if parts[0] == PLATFORM {
        return Some(PLATFORM.to_owned());
    }
    let child: Vec<String> = base.iter().cloned().chain([parts[0].to_owned()]).collect();
    match parts[0] {
        "self" => {}
        "super" => {
            while parts.first() == Some(&"super") {
                parts.remove(0);
                base.pop();
            }
        }
        first if first == "crate" || first == name => base.clear(),
        _ if modules.contains_key(&child) => {}
        _ => return None,
    }
    let rest = parts.into_iter().filter(|part| !["crate", "self", name].contains(part));
    let path: Vec<String> = base.into_iter().chain(rest.map(str::to_owned)).collect();
    (0..=path.len()).rev().find_map(|length| modules.get(&path[..length])).map(|&file| file.to_owned())
}

/// Each circle once, as `a.rs → b.rs → a.rs`, beginning with the name that sorts first.
pub(crate) fn circles(uses: &Uses) -> BTreeSet<String> {
    let shortest = uses.keys().filter_map(|file| way(uses, file, file));
    let turned = shortest.map(|mut circle| {
        circle.pop();
        let first = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
        circle.rotate_left(first);
        circle.push(circle[0]);
        circle.join(" → ")
    });
    turned.collect()
}

/// The shortest way along uses, both ends included.
fn way<'a>(uses: &'a Uses, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::new();
    let mut ways = VecDeque::from([vec![from]]);
    while let Some(way) = ways.pop_front() {
        for next in uses.get(*way.last()?).into_iter().flatten() {
            let longer: Vec<&str> = way.iter().copied().chain([next.as_str()]).collect();
            if next == to {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// Each use that goes up, sideways out of a pure room, or from there to the platform.
pub(crate) fn broken_floors(uses: &Uses) -> Vec<String> {
    let pairs = uses.iter().flat_map(|(file, used)| used.iter().map(move |used| (file, used)));
    pairs.filter(|(file, used)| !may_use(file, used)).map(|(file, used)| format!("{file} → {used}")).collect()
}

fn may_use(file: &str, used: &str) -> bool {
    let (from, to) = (room(file), room(used));
    if PURE.contains(&from) && PURE.contains(&to) {
        return from == to;
    }
    if to == PLATFORM {
        return !PURE.contains(&from);
    }
    // A room without a floor is used by nobody, and uses nothing, until it is given one.
    let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    matches!((floor(from), floor(to)), (Some(from), Some(to)) if from <= to)
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}
