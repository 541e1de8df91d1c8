//! The text files of the repository, by path.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What has one of these endings is text that the rules read.
const ENDINGS: &[&str] = &["rs", "md", "toml", "lock"];

/// Paths are relative to the root, with `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
}

impl Tree {
    pub(crate) fn of_repository() -> Tree {
        let mut tree = Tree::default();
        tree.add(Path::new(env!("CARGO_MANIFEST_DIR")), "");
        let found = tree.files.len();
        assert!(tree.files.contains_key("Cargo.toml") && found > 10, "{found} files found");
        tree
    }

    /// A made-up tree.
    pub(crate) fn with(files: &[(&str, &str)]) -> Tree {
        let owned = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Tree { files: owned.collect() }
    }

    fn add(&mut self, root: &Path, below: &str) {
        for entry in fs::read_dir(root.join(below)).expect("a directory of the repository") {
            let entry = entry.expect("an entry of a directory");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let kind = entry.file_type().expect("a file type");
            if kind.is_dir() {
                // What is built, recorded by git, or found by a fuzzer is not written by us.
                if !["target", ".git", "corpus", "artifacts", "coverage"].contains(&name.as_str()) {
                    self.add(root, &path);
                }
            } else if kind.is_file() && is_text(&path) {
                let text = fs::read_to_string(entry.path());
                self.files.insert(path.clone(), text.unwrap_or_else(|e| panic!("{path}: {e}")));
            }
        }
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_ending(".rs")
    }

    pub(crate) fn with_ending(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.ends_with(ending))
    }
}

fn is_text(path: &str) -> bool {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    ENDINGS.contains(&ending) || (path.starts_with(".ci/") && !path[4..].contains('/'))
}

/// A table of a `Cargo.toml` or `Cargo.lock`: its heading, and its lines `key = value`.
#[derive(Debug, Default)]
pub(crate) struct Table<'a> {
    pub(crate) heading: &'a str,
    pub(crate) lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Table<'a> {
    pub(crate) fn value(&self, wanted: &str) -> Option<&'a str> {
        let line = self.lines.iter().find(|(key, _)| *key == wanted);
        line.map(|(_, value)| value.trim_matches('"'))
    }
}

/// The tables of a manifest in the plain form that ours have: one key a line.
pub(crate) fn tables(manifest: &str) -> Vec<Table<'_>> {
    let mut tables = vec![Table::default()];
    for line in manifest.lines() {
        if line.starts_with('[') {
            let heading = line.trim_matches(['[', ']']);
            tables.push(Table { heading, lines: Vec::new() });
        } else if let (Some((key, value)), Some(table)) = (line.split_once('='), tables.last_mut())
            && !line.starts_with(['#', ' '])
        {
            table.lines.push((key.trim(), value.trim()));
        }
    }
    tables
}
