//! Documents are found from the front page, their links lead somewhere, and what is promised is
//! tested.

use std::collections::BTreeSet;
use std::path::Path;

use super::source::{functions, mask};
use super::tree::Tree;

/// From one of these every document must be linked.
const FRONT_PAGES: &[&str] = &["README.md", "ARCHITECTURE.md"];
/// The part of the README whose points name their tests.
const PROMISES: &str = "what it promises";

/// The places of the repository that a page links to, without the part after `#`.
fn targets(page: &str, text: &str) -> Vec<String> {
    let base = page.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut targets = Vec::new();
    for piece in text.split("](").skip(1) {
        let target = piece.split([')', ' ', '#']).next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
        for part in target.trim_end_matches('/').split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        targets.push(parts.join("/"));
    }
    targets
}

pub(crate) fn links(tree: &Tree) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut complaints = Vec::new();
    let mut linked = BTreeSet::new();
    for (page, text) in tree.with_ending(".md") {
        for target in targets(page, text) {
            let is_there = tree.files.keys().any(|path| {
                path.strip_prefix(&target)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if !is_there && !root.join(&target).exists() {
                complaints.push(format!("{page}: nothing is at {target}"));
            }
            if FRONT_PAGES.contains(&page) {
                linked.insert(target);
            }
        }
    }
    for (page, _) in tree.with_ending(".md").filter(|(page, _)| page.starts_with("docs/")) {
        if !linked.contains(page) {
            complaints.push(format!("{page}: linked from neither {}", FRONT_PAGES.join(" nor ")));
        }
    }
    complaints
}

/// The points of the README's list or table of promises.
fn points(readme: &str) -> Vec<&str> {
    let mut inside = false;
    let mut points = Vec::new();
    for line in readme.lines() {
        if line.starts_with('#') {
            inside = line.trim_start_matches('#').trim().to_lowercase() == PROMISES;
        } else if inside && (line.starts_with("- ") || line.starts_with("| ")) {
            points.push(line);
        }
    }
    // A table starts with its heading and a rule.
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| -");
    let head = points.iter().position(is_row);
    let rows = points
        .iter()
        .enumerate()
        .filter(|(index, line)| line.starts_with("- ") || (is_row(line) && Some(*index) != head));
    rows.map(|(_, line)| *line).collect()
}

/// Every point names a test as `path/to/file.rs::name`, and it exists there.
pub(crate) fn promises(tree: &Tree) -> Vec<String> {
    let Some(readme) = tree.files.get("README.md") else {
        return vec!["README.md is missing".to_owned()];
    };
    let points = points(readme);
    if points.is_empty() {
        return vec![format!("README.md: no points under a heading {PROMISES:?}")];
    }
    let mut complaints = Vec::new();
    for point in points {
        let quoted = point.split('`').skip(1).step_by(2);
        let named: Vec<(&str, &str)> = quoted.filter_map(|code| code.split_once(".rs::")).collect();
        if named.is_empty() {
            complaints.push(format!("README.md: names no test as `file.rs::name`: {point}"));
        }
        for (file, name) in named {
            let path = format!("{file}.rs");
            let exists = tree.files.get(&path).is_some_and(|text| is_test(text, name));
            if !exists {
                complaints.push(format!("README.md: {path} has no test {name}"));
            }
        }
    }
    complaints
}

fn is_test(text: &str, name: &str) -> bool {
    let code = mask(text).code;
    let lines: Vec<&str> = code.lines().collect();
    functions(&code).iter().any(|function| {
        let above = lines[..function.line - 1].iter().rev();
        let mut attributes = above.map(|line| line.trim()).take_while(|line| line.starts_with('#'));
        function.name == name && attributes.any(|attribute| attribute == "#[test]")
    }) || (code.contains("proptest!") && text.contains(&format!("fn {name}(")))
}

#[test]
fn unlinked_documents_and_dead_links_are_found() {
    let tree = Tree::with(&[
        ("README.md", "[a](docs/a.md#part) [web](https://x) [gone](docs/gone.md) [d](docs/)"),
        ("ARCHITECTURE.md", "[c](./docs/c.md)"),
        ("docs/a.md", "[up](../README.md) [b](b.md) [x](nowhere.md)"),
        ("docs/b.md", ""),
        ("docs/c.md", ""),
    ]);
    let expected = [
        "README.md: nothing is at docs/gone.md",
        "docs/a.md: nothing is at docs/nowhere.md",
        "docs/b.md: linked from neither README.md nor ARCHITECTURE.md",
    ];
    assert_eq!(links(&tree), expected);
}

#[test]
fn promises_without_a_test_are_found() {
    let readme = "# x\n- not one\n## What it promises\n\n- a: `t.rs::real`\n- b: `t.rs::absent`\n- c\n\
                  | promise | test |\n| --- | --- |\n| d | `gone.rs::real` |\n| e | `t.rs::plain` |\n\
                  ## Next\n- f\n";
    let test = "#[test]\nfn real() {}\n\nfn plain() {}\n";
    let expected = [
        "README.md: t.rs has no test absent",
        "README.md: names no test as `file.rs::name`: - c",
        "README.md: gone.rs has no test real",
        "README.md: t.rs has no test plain",
    ];
    assert_eq!(promises(&Tree::with(&[("README.md", readme), ("t.rs", test)])), expected);
    assert_eq!(promises(&Tree::default()).len(), 1);
    assert_eq!(promises(&Tree::with(&[("README.md", "# x\n")])).len(), 1);
}
