use std::collections::BTreeMap;
use std::time::SystemTime;

use mainstay::{Options, StoreKind};

use super::*;

/// Everything in a directory: bytes, and when files and directories were last changed.
fn content(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let metadata = fs::metadata(dir).expect("metadata");
    let modified = metadata.modified().expect("a time");
    if !metadata.is_dir() {
        let bytes = fs::read(dir).expect("read");
        return BTreeMap::from([(dir.to_owned(), (modified, Some(bytes)))]);
    }
    let mut found = BTreeMap::from([(dir.to_owned(), (modified, None))]);
    for entry in fs::read_dir(dir).expect("list") {
        found.extend(content(&entry.expect("entry").path()));
    }
    found
}

fn with_two_databases(store: StoreKind) -> Scratch {
    let scratch = Scratch::new();
    for (name, last) in [("data", "1906"), ("other", "1907")] {
        let db = Options::new().store(store).open(scratch.path(name)).expect("open");
        db.insert("ada", "1815").expect("insert");
        db.checkpoint().expect("checkpoint");
        db.insert("alan", "1912").expect("insert");
        db.insert("grace", last).expect("insert");
        db.close().expect("close");
    }
    scratch
}

#[test]
fn commands_that_read_change_nothing_of_the_directory() {
    let commands: &[&[&str]] = &[
        &["get", "data", "ada"],
        &["scan", "data"],
        &["scan", "data", "--reverse", "--limit", "1"],
        &["export", "data"],
        &["keyspaces", "data"],
        &["inspect", "data"],
        &["inspect", "data", "--json"],
        &["wal", "dump", "data"],
        &["wal", "stats", "data"],
        &["wal", "verify", "data"],
        &["wal", "archive", "data", "archive"],
        &["store", "verify", "data"],
        &["diff", "data", "data"],
    ];
    for store in [StoreKind::Sled, StoreKind::Memory] {
        let scratch = with_two_databases(store);
        let dir = scratch.path("data");
        let before = content(&dir);
        for command in commands {
            scratch.run(command).ends(0);
            assert!(content(&dir) == before, "{command:?} changed a database over {store}");
        }
        // Where the answer is no, or an error.
        for (command, code) in [
            (["get", "data", "nobody"], 1),
            (["diff", "data", "other"], 1),
            (["get", "data", ""], 64),
        ] {
            let run = scratch.run(&command);
            assert_eq!(run.code, code, "{run:?}");
            assert!(content(&dir) == before, "{command:?} changed a database over {store}");
        }
    }
}
