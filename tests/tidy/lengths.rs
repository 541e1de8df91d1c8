//! Files and functions stay short. What is longer today stands in a list, and may only shrink.

use std::collections::BTreeMap;

use super::source::{functions, lines_of_code, mask};
use super::tree::Tree;

/// What was longer than it should be when it was written down: `path lines` or `path::function
/// lines`.
pub(crate) const LIST: &str = include_str!("long.txt");

const FILE_LINES: usize = 400;
const FILE_LINES_MAX: usize = 800;
const INLINE_TEST_LINES: usize = 200;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 120;
/// An entry of the list that is more than this above the truth must be lowered.
const SLACK_LINES: usize = 20;

/// The length of everything that is too long, by the name it has in the list, with its limit.
fn lengths(tree: &Tree) -> BTreeMap<String, (usize, usize)> {
    let mut long = BTreeMap::new();
    for (path, text) in tree.rust() {
        let code = mask(text).code;
        let (lines, tests) = lines_of_code(&code);
        if lines > FILE_LINES {
            long.insert(path.to_owned(), (lines, FILE_LINES));
        }
        if tests > INLINE_TEST_LINES {
            long.insert(format!("{path}::tests"), (tests, INLINE_TEST_LINES));
        }
        for function in functions(&code) {
            if function.lines > FUNCTION_LINES {
                let name = format!("{path}::{}", function.name);
                let entry = long.entry(name).or_insert((0, FUNCTION_LINES));
                entry.0 = entry.0.max(function.lines);
            }
        }
    }
    long
}

pub(crate) fn long(tree: &Tree, list: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut listed: BTreeMap<&str, usize> = lines
        .map(|line| line.rsplit_once(' ').expect("a name and a number"))
        .map(|(name, lines)| (name, lines.parse().expect("a number of lines")))
        .collect();
    for (name, (lines, limit)) in lengths(tree) {
        let allowed = listed.remove(name.as_str());
        if lines > FILE_LINES_MAX && limit == FILE_LINES {
            complaints.push(format!("{name}: {lines} lines of code, {FILE_LINES_MAX} at most"));
        } else if lines > allowed.unwrap_or(limit) {
            let limit = allowed.unwrap_or(limit);
            complaints.push(format!("{name}: {lines} lines of code, {limit} at most"));
        } else if allowed.is_some_and(|allowed| lines + SLACK_LINES < allowed) {
            complaints.push(format!("tests/tidy/long.txt: {name} has shrunk to {lines}: note it"));
        }
    }
    complaints.extend(
        listed.keys().map(|name| format!("tests/tidy/long.txt: {name} is short or gone: drop it")),
    );
    for (path, text) in tree.rust() {
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS {
                complaints.push(format!("{path}:{}: over {COLUMNS} columns", number + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
fn file_of(functions: usize, lines: usize) -> String {
    let body = "    work();\n".repeat(lines - 2);
    (0..functions).map(|number| format!("fn f{number}() {{\n{body}}}\n")).collect()
}

#[test]
fn long_files_and_functions_are_found() {
    let long_function = file_of(1, 71);
    let long_file = file_of(41, 10);
    let hopeless = file_of(81, 10);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", file_of(21, 10));
    let wide = format!("// {}\n", "w".repeat(118));
    let tree = Tree::with(&[
        ("a.rs", &long_function),
        ("b.rs", &long_file),
        ("c.rs", &hopeless),
        ("d.rs", &tests),
        ("e.rs", &wide),
        ("f.rs", &file_of(40, 10)),
    ]);
    let expected = [
        "a.rs::f0: 71 lines of code, 70 at most",
        "b.rs: 410 lines of code, 400 at most",
        "c.rs: 810 lines of code, 800 at most",
        "d.rs::tests: 212 lines of code, 200 at most",
        "e.rs:1: over 120 columns",
    ];
    assert_eq!(long(&tree, "c.rs 900\n"), expected);
}

#[test]
fn the_list_may_only_shrink() {
    let (function, file) = (file_of(1, 80), file_of(50, 10));
    let tree = Tree::with(&[("a.rs", &function), ("b.rs", &file)]);
    assert_eq!(long(&tree, "a.rs::f0 80\nb.rs 505\n"), [""; 0]);
    let expected = [
        "a.rs::f0: 80 lines of code, 79 at most",
        "tests/tidy/long.txt: b.rs has shrunk to 500: note it",
        "tests/tidy/long.txt: gone.rs is short or gone: drop it",
    ];
    assert_eq!(long(&tree, "a.rs::f0 79\nb.rs 600\ngone.rs 500\n"), expected);
}
