//! Source files that no crate reaches: never compiled, never tested, and still read by people.

use std::collections::BTreeSet;

use super::source::{mask, modules};
use super::tree::{Table, Tree, tables};

pub(crate) fn unreachable(tree: &Tree) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut pending: Vec<(String, bool)> =
        roots(tree).into_iter().map(|root| (root, true)).collect();
    let mut complaints = Vec::new();
    while let Some((path, is_root)) = pending.pop() {
        let Some(text) = tree.files.get(&path) else { continue };
        if !reached.insert(path.clone()) {
            continue;
        }
        let (directory, file) = path.rsplit_once('/').unwrap_or(("", &path));
        let stem = file.trim_end_matches(".rs");
        let below = if is_root || stem == "mod" {
            directory.to_owned()
        } else {
            format!("{directory}/{stem}")
        };
        let code = mask(text).code;
        for module in modules(&code) {
            let places = [format!("{below}/{module}.rs"), format!("{below}/{module}/mod.rs")];
            let found = places.into_iter().find(|place| tree.files.contains_key(place));
            match found.or_else(|| stated_path(text, module, directory)) {
                Some(place) => pending.push((place, false)),
                None => complaints.push(format!("{path}: module {module} has no file")),
            }
        }
    }
    let dead = tree.rust().filter(|(path, _)| !reached.contains(*path));
    complaints.extend(dead.map(|(path, _)| format!("{path}: no crate reaches it")));
    complaints
}

/// The place that a `#[path]` above the declaration of `module` gives.
fn stated_path(text: &str, module: &str, directory: &str) -> Option<String> {
    let declaration = format!("mod {module};");
    let before = text.lines().zip(text.lines().skip(1));
    let (stated, _) = before.into_iter().find(|(_, line)| line.trim().ends_with(&declaration))?;
    let path = stated.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]")?;
    resolved(directory, path)
}

/// A path that begins in `directory`, from the top of the tree.
fn resolved(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// The file of a target that stands in a manifest: at the path that is given there, or at the usual
/// one.
fn stated_root(table: &Table) -> Option<String> {
    let directory = match table.heading {
        "bin" => "src/bin",
        "test" => "tests",
        "bench" => "benches",
        "example" => "examples",
        _ => return table.value("path").map(str::to_owned),
    };
    let usual = || Some(format!("{directory}/{}.rs", table.value("name")?));
    table.value("path").map(str::to_owned).or_else(usual)
}

/// The files that cargo compiles by itself: those named in a manifest, and those at its usual
/// places.
fn roots(tree: &Tree) -> Vec<String> {
    let mut roots = Vec::new();
    for (manifest, text) in tree.with_ending("Cargo.toml") {
        let base = manifest.trim_end_matches("Cargo.toml");
        let tables = tables(text);
        let stated = tables.iter().filter_map(stated_root);
        roots.extend(stated.filter_map(|path| resolved(base, &path)));
        roots.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(|path| format!("{base}{path}")));
        let package = tables.iter().find(|table| table.heading == "package");
        let finds = |key: &str| package.is_some_and(|package| package.value(key) != Some("false"));
        let places = [
            ("src/bin/", finds("autobins")),
            ("examples/", finds("autoexamples")),
            ("tests/", finds("autotests")),
            ("benches/", finds("autobenches")),
        ];
        for (place, _) in places.iter().filter(|(_, finds)| *finds) {
            let place = format!("{base}{place}");
            let below =
                tree.rust().filter_map(|(path, _)| Some((path, path.strip_prefix(&place)?)));
            let own = below.filter(|(_, rest)| !rest.contains('/') || rest.ends_with("/main.rs"));
            roots.extend(own.map(|(path, _)| path.to_owned()));
        }
    }
    roots
}

#[test]
fn dead_files_and_missing_modules_are_found() {
    let tree = Tree::with(&[
        (
            "Cargo.toml",
            "[package]\nautotests = false\nautobenches = false\n[[test]]\npath = \"tests/named/main.rs\"\n\
             [[bench]]\nname = \"speed\"\n",
        ),
        ("benches/speed.rs", ""),
        ("tests/named/main.rs", "mod part;\n#[path = \"../shared.rs\"]\nmod shared;\n"),
        ("tests/named/part.rs", ""),
        ("tests/shared.rs", ""),
        ("tests/forgotten.rs", ""),
        ("src/lib.rs", "mod a;\nmod b;\n// mod dead;\nconst C: &str = \"mod dead;\";\n"),
        ("src/a.rs", "mod inner;"),
        ("src/a/inner.rs", ""),
        ("src/b/mod.rs", "mod missing;"),
        ("src/dead.rs", ""),
        ("examples/hello.rs", ""),
    ]);
    let expected = [
        "src/b/mod.rs: module missing has no file",
        "src/dead.rs: no crate reaches it",
        "tests/forgotten.rs: no crate reaches it",
    ];
    assert_eq!(unreachable(&tree), expected);
}
