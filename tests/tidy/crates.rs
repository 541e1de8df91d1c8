//! Which crate may use which, ours and others.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::tree::{Table, Tree, tables};

/// Every crate from outside, with its reason where we chose it ourselves.
pub(crate) const LIST: &str = include_str!("crates.txt");

/// What each of our crates may use of the others, in any of its dependency tables.
const EDGES: &[(&str, &[&str])] = &[
    ("mainstay-wal", &[]),
    ("mainstay-transport", &[]),
    ("mainstay-engine", &["mainstay-wal"]),
    ("mainstay-replication", &["mainstay-engine", "mainstay-transport"]),
    (
        "mainstay-simulator",
        &["mainstay-engine", "mainstay-replication", "mainstay-transport", "mainstay-wal"],
    ),
    (
        "mainstay",
        &[
            // Only for tests: Cargo refuses a cycle of anything else.
            "mainstay-cli",
            "mainstay-engine",
            "mainstay-replication",
            "mainstay-simulator",
            "mainstay-transport",
            "mainstay-wal",
        ],
    ),
    ("mainstay-cli", &["mainstay", "mainstay-simulator"]),
    // Other stores beside it, with the command's workloads.
    ("mainstay-peers", &["mainstay", "mainstay-cli"]),
    // The fuzz targets reach the decoders where they are, and nothing reaches them.
    ("mainstay-fuzz", &["mainstay", "mainstay-cli", "mainstay-engine", "mainstay-wal"]),
];

/// The names of the dependencies of a manifest, of all kinds and for all targets.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for table in tables(manifest) {
        let heading = table.heading.rsplit('.').next().unwrap_or_default();
        let is_list = heading.ends_with("dependencies");
        if is_list && table.heading != "workspace.dependencies" {
            let keys = table.lines.iter().map(|(key, _)| key.split('.').next().unwrap_or(key));
            names.extend(keys.map(|key| key.trim_matches('"').to_owned()));
        } else if let Some((_, name)) = table.heading.rsplit_once("dependencies.") {
            names.insert(name.to_owned());
        }
    }
    names
}

/// Our packages: name, path of the manifest, dependencies.
fn packages(tree: &Tree) -> Vec<(String, String, BTreeSet<String>)> {
    let mut packages = Vec::new();
    for (path, text) in tree.with_ending("Cargo.toml") {
        let name = tables(text).iter().find(|table| table.heading == "package").and_then(|table| {
            let name = table.value("name")?;
            Some(name.to_owned())
        });
        packages.extend(name.map(|name| (name, path.to_owned(), dependencies(text))));
    }
    packages
}

pub(crate) fn edges(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, path, dependencies) in packages(tree) {
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!("{path}: {name} has no place among the crates yet"));
            continue;
        };
        let ours = dependencies.iter().filter(|dependency| dependency.starts_with("mainstay"));
        for dependency in ours.filter(|dependency| !allowed.contains(&dependency.as_str())) {
            complaints.push(format!("{path}: {name} must not use {dependency}"));
        }
    }
    complaints
}

/// The list by name: a reason, or nothing for what only comes with others.
fn listed(list: &str) -> BTreeMap<&str, &str> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect()
}

pub(crate) fn outside(tree: &Tree, list: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let listed = listed(list);
    let lock = tree.files.get("Cargo.lock").map_or("", String::as_str);
    let locked = tables(lock);
    let is_outside = |table: &&Table| {
        table.heading == "package"
            && !table.value("name").is_some_and(|name| name.starts_with("mainstay"))
    };
    let mut found = BTreeSet::new();
    for package in locked.iter().filter(is_outside) {
        let name = package.value("name").unwrap_or_default();
        let source = package.value("source").unwrap_or("this tree");
        if !source.starts_with("registry+") {
            complaints.push(format!("Cargo.lock: {name} comes from {source}"));
        }
        if !listed.contains_key(name) && found.insert(name) {
            complaints.push(format!("tests/tidy/crates.txt: {name} is missing"));
        }
        found.insert(name);
    }
    let mut chosen = BTreeSet::new();
    for (_, path, dependencies) in packages(tree) {
        // Packages outside the workspace have lock files of their own.
        let is_apart = path.starts_with("fuzz/") || path.starts_with("benches/peers/");
        for name in dependencies.into_iter().filter(|name| !name.starts_with("mainstay")) {
            if !is_apart && listed.get(name.as_str()).is_none_or(|reason| reason.is_empty()) {
                complaints.push(format!("tests/tidy/crates.txt: {name} needs a reason ({path})"));
            }
            chosen.insert(name);
        }
    }
    for (name, reason) in listed {
        if !found.contains(name) {
            complaints.push(format!("tests/tidy/crates.txt: {name} is not used any more"));
        } else if !reason.is_empty() && !chosen.contains(name) {
            complaints.push(format!("tests/tidy/crates.txt: {name} only comes with others now"));
        }
    }
    complaints
}

/// What cargo knows about all packages of this build.
pub(crate) fn metadata() -> String {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--offline"];
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        command.args(["--filter-platform", &host]); // what is only used elsewhere need not be there
    }
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// Complains of each `rust_version` in cargo's metadata that is above the workspace's own.
pub(crate) fn compilers(tree: &Tree, metadata: &str) -> Vec<String> {
    let manifest = tree.files.get("Cargo.toml").map_or("", String::as_str);
    let ours = tables(manifest).iter().find_map(|table| table.value("rust-version"));
    let Some(ours) = ours.and_then(version) else {
        return vec!["Cargo.toml: the workspace states no rust-version".to_owned()];
    };
    let mut complaints = BTreeSet::new();
    for stated in metadata.split("\"rust_version\":\"").skip(1) {
        let stated = stated.split('"').next().unwrap_or_default();
        if version(stated).is_none_or(|stated| stated > ours) {
            complaints.insert(format!("a dependency needs Rust {stated}: see cargo metadata"));
        }
    }
    complaints.into_iter().collect()
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[test]
fn a_wrong_edge_is_found() {
    let tree = Tree::with(&[
        ("wal/Cargo.toml", "[package]\nname = \"mainstay-wal\"\n[dev-dependencies]\nmainstay = 1"),
        ("cli/Cargo.toml", "[package]\nname = \"mainstay-cli\"\n[dependencies]\nmainstay = 1"),
        ("new/Cargo.toml", "[package]\nname = \"mainstay-new\""),
        (
            "engine/Cargo.toml",
            "[package]\nname = \"mainstay-engine\"\n[target.'cfg(unix)'.dependencies]\n\
             mainstay-wal.workspace = true\nmainstay-transport.workspace = true",
        ),
    ]);
    let expected = [
        "engine/Cargo.toml: mainstay-engine must not use mainstay-transport",
        "new/Cargo.toml: mainstay-new has no place among the crates yet",
        "wal/Cargo.toml: mainstay-wal must not use mainstay",
    ];
    assert_eq!(edges(&tree), expected);
}

#[test]
fn an_unlisted_an_unreasoned_and_a_stale_crate_are_found() {
    let lock = "[[package]]\nname = \"new\"\nsource = \"registry+x\"\n\n\
                [[package]]\nname = \"chosen\"\nsource = \"git+x\"\n\n\
                [[package]]\nname = \"below\"\nsource = \"registry+x\"\n\n\
                [[package]]\nname = \"mainstay-wal\"\n";
    let manifest = "[package]\nname = \"mainstay-wal\"\n[dependencies]\nchosen = \"1\"\n";
    let tree = Tree::with(&[("Cargo.lock", lock), ("wal/Cargo.toml", manifest)]);
    let expected = [
        "tests/tidy/crates.txt: new is missing",
        "Cargo.lock: chosen comes from git+x",
        "tests/tidy/crates.txt: chosen needs a reason (wal/Cargo.toml)",
        "tests/tidy/crates.txt: below only comes with others now",
        "tests/tidy/crates.txt: old is not used any more",
    ];
    assert_eq!(outside(&tree, "# comment\nchosen\nbelow: a reason\nold\n"), expected);
}

#[test]
fn a_newer_compiler_is_found() {
    let tree = Tree::with(&[("Cargo.toml", "[workspace.package]\nrust-version = \"1.90\"\n")]);
    let metadata = r#"{"rust_version":"1.90.0"},{"rust_version":null},{"rust_version":"1.91"}"#;
    assert_eq!(compilers(&tree, metadata), ["a dependency needs Rust 1.91: see cargo metadata"]);
    assert_eq!(compilers(&Tree::default(), "").len(), 1);
}
