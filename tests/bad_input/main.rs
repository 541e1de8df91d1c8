//! What cannot work is refused: by a typed error that names it and the remedy, with nothing changed and nothing lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    reason = "a test stops on the first surprise, and starts processes"
)]

mod content;
mod directories;
#[cfg(target_os = "linux")]
mod full_disk;
mod limits;
#[cfg(target_os = "linux")]
mod mount;
mod names;
#[cfg(target_os = "linux")]
mod permissions;
mod read_only;

use std::io::Write;

use mainstay::{Db, Error, Options, StoreKind};

/// The Stores that this build has.
fn stores() -> Vec<StoreKind> {
    if cfg!(feature = "sled") {
        vec![StoreKind::Memory, StoreKind::Sled]
    } else {
        vec![StoreKind::Memory]
    }
}

/// A database that is cheap to make, with two entries.
fn people(directory: &std::path::Path, store: StoreKind) {
    let db = small(store).open(directory).unwrap();
    db.insert("ada", "1815").unwrap();
    db.checkpoint().unwrap();
    db.insert("alan", "1912").unwrap();
    db.close().unwrap();
}

/// All is there, and can be written.
#[track_caller]
fn is_whole(directory: &std::path::Path) {
    let db = Db::open(directory).unwrap();
    assert_eq!(db.get("ada").unwrap().unwrap(), b"1815");
    assert_eq!(db.get("alan").unwrap().unwrap(), b"1912");
    db.insert("ada", "1815").unwrap();
    db.close().unwrap();
}

fn small(store: StoreKind) -> Options {
    Options::new().store(store).segment_bytes(64 << 10, 64 << 10).store_cache_bytes(1 << 20)
}

/// The error's text has all these parts: what it is about, and what to do.
#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// Writes a line that the test harness does not capture, in one piece.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}
