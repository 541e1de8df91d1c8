//! Words that do not stand in this repository: unfinished work, empty names, other people's words
//! for our concepts, and where or by whom something was made.

use super::source::{mask, words};
use super::tree::Tree;

/// Marks of unfinished work, as words, in code and prose. They are cut in two here so that they do
/// not stand here.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Names of modules and files that say nothing.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "manager", "helper", "helpers", "misc", "stuff"];

/// Parts of identifiers, each with what to say instead.
const IDENTIFIERS: &[(&str, &str)] = &[
    ("term", "epoch"),
    ("ballot", "epoch"),
    ("journal", "log or segment"),
    ("seqno", "lsn"),
    ("savepoint", "batch or snapshot"),
    ("watermark", "one of the five *_lsn"),
    ("master", "primary"),
    ("slave", "follower"),
    ("manager", "what it does"),
    ("helper", "what it does"),
];

/// Identifiers of crates that we use, each with the one file that calls it: their words are theirs.
const FOREIGN: &[(&str, &str)] = &[("get_highest_persisted_seqno", "engine/src/store/lsm/open.rs")];

/// Looked for in everything, whatever the case.
const WORKPLACE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("crates", ".io"),
    concat!("cla", "ude"),
    concat!("anthro", "pic"),
    concat!("chat", "gpt"),
    concat!("language ", "model"),
    concat!("sub-", "agent"),
];

pub(crate) fn banned(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in &tree.files {
        if path == "Cargo.lock" || path.ends_with("/Cargo.lock") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            complaints.extend(in_line(line).map(|what| format!("{path}:{}: {what}", number + 1)));
        }
        complaints.extend(in_path(path));
        if path.ends_with(".rs") {
            complaints.extend(in_code(path, &mask(text).code));
        }
    }
    complaints
}

fn in_line(line: &str) -> Option<String> {
    let mark = words(line).find(|(_, word)| MARKS.contains(word));
    if let Some((_, mark)) = mark {
        return Some(format!("{mark}: do it, or say in the documents that it is not done"));
    }
    let lower = line.to_lowercase();
    if let Some(word) = WORKPLACE.iter().find(|word| lower.contains(*word)) {
        return Some(format!("{word:?} is about how this was made"));
    }
    let numbered = lower.split("issue ").skip(1).any(|rest| {
        rest.trim_start_matches(['#', '(']).starts_with(|char: char| char.is_ascii_digit())
    });
    numbered.then(|| "refers to an issue: say what matters here".to_owned())
}

fn in_path(path: &str) -> Option<String> {
    let mut parts = path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let empty = parts.find(|part| EMPTY_NAMES.contains(part))?;
    Some(format!("{path}: {empty:?} says nothing about what is inside"))
}

fn in_code(path: &str, code: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut previous = "";
    for (start, word) in words(code) {
        let line = code[..start].matches('\n').count() + 1;
        let mut say = |what: String| complaints.push(format!("{path}:{line}: {what}"));
        let foreign = FOREIGN.contains(&(word, path));
        for part in parts(word).iter().filter(|_| !foreign) {
            if let Some((_, better)) = IDENTIFIERS.iter().find(|(bad, _)| *bad == part) {
                say(format!("{word}: say {better}"));
            }
        }
        if previous == "fn" && word.starts_with("get_") && takes_only_self(&code[start..]) {
            say(format!("{word}: a reader is named after what it gives, without `get_`"));
        }
        if previous == "mod" && EMPTY_NAMES.contains(&word) {
            say(format!("{word}: says nothing about what is inside"));
        }
        previous = word;
    }
    complaints
}

/// Whether the function that starts here is a reader of its own state: `get` with more to say is a
/// verb.
fn takes_only_self(function: &str) -> bool {
    let inside = function.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    inside.is_some_and(|(parameters, _)| parameters.trim().ends_with("self"))
}

/// The words inside an identifier, in lower case.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for char in identifier.chars() {
        let starts_new = char == '_' || (char.is_uppercase() && was_lower);
        if starts_new {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (char != '_', parts.last_mut()) {
            part.extend(char.to_lowercase());
        }
        was_lower = char.is_lowercase();
    }
    parts
}

#[test]
fn banned_words_are_found() {
    let todo = format!("// {}: later\n", MARKS[0]);
    let path = format!("see {}main\n", WORKPLACE[0]);
    let tree = Tree::with(&[
        ("a.rs", &todo),
        (
            "b.rs",
            "fn get_x(&self) {} fn get_at(&self, x: u8) {}\nlet currentTerm = 1; // the term is fine in prose\n",
        ),
        ("c.rs", "let s = \"journal\"; let terminal = determine();\nstruct NodeManager;"),
        ("d.md", &path),
        ("e.md", concat!("an issue of taste\nwhy: iss", "ue #12\n")),
        ("wal/util/x.rs", "mod helper {}\n"),
        (FOREIGN[0].1, &format!("tree.{0}(); let my_{0} = 1;", FOREIGN[0].0)),
        ("f.rs", &format!("tree.{}();", FOREIGN[0].0)),
    ]);
    let expected = [
        format!("a.rs:1: {}: do it, or say in the documents that it is not done", MARKS[0]),
        "b.rs:1: get_x: a reader is named after what it gives, without `get_`".to_owned(),
        "b.rs:2: currentTerm: say epoch".to_owned(),
        "c.rs:2: NodeManager: say what it does".to_owned(),
        format!("d.md:1: {:?} is about how this was made", WORKPLACE[0]),
        "e.md:2: refers to an issue: say what matters here".to_owned(),
        format!("{}:1: my_{}: say lsn", FOREIGN[0].1, FOREIGN[0].0),
        format!("f.rs:1: {}: say lsn", FOREIGN[0].0),
        "wal/util/x.rs: \"util\" says nothing about what is inside".to_owned(),
        "wal/util/x.rs:1: helper: say what it does".to_owned(),
        "wal/util/x.rs:1: helper: says nothing about what is inside".to_owned(),
    ];
    assert_eq!(banned(&tree), expected);
}
