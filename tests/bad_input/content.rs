//! What a directory holds, to be compared: names, times, sizes and a hash of the bytes.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    modified: SystemTime,
    /// Length and hash of a file; none of a directory.
    bytes: Option<(u64, u64)>,
}

/// Everything in a directory, and itself.
pub(crate) fn content(directory: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    add(directory, &mut found);
    found
}

fn add(path: &Path, found: &mut BTreeMap<PathBuf, Entry>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mut bytes = None;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            add(&entry.unwrap().path(), found);
        }
    } else {
        let mut hasher = DefaultHasher::new();
        fs::read(path).unwrap().hash(&mut hasher);
        bytes = Some((metadata.len(), hasher.finish()));
    }
    found.insert(path.to_owned(), Entry { modified: metadata.modified().unwrap(), bytes });
}

/// Runs something after which every byte, name and time in a directory is as it was.
#[track_caller]
pub(crate) fn unchanged<T>(directory: &Path, run: impl FnOnce() -> T) -> T {
    let before = content(directory);
    let done = run();
    let after = content(directory);
    for (path, entry) in &before {
        assert_eq!(after.get(path), Some(entry), "{} changed", path.display());
    }
    let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(new.is_empty(), "{new:?} appeared");
    done
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
