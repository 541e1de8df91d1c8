//! Directories that are missing, somebody else's, of a newer version, in use, or no directories at all.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

use mainstay::wal::Error as Log;
use mainstay::{Db, Error, Options, StoreKind};

use crate::content::unchanged;
use crate::{is_whole, people, says, small, stores};

/// Neither opens, and both say why; nothing is changed in `within`.
#[track_caller]
fn both_refuse(within: &Path, path: &Path, options: &Options) -> [Error; 2] {
    unchanged(within, || {
        [options.clone().open(path).unwrap_err(), options.clone().open_read_only(path).unwrap_err()]
    })
}

#[test]
fn a_missing_directory_is_not_made_where_that_is_not_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    for error in both_refuse(directory.path(), &path, &Options::new().create(false)) {
        let Error::Log(Log::Io { source, .. }) = &error else { panic!("{error}") };
        assert_eq!(source.kind(), ErrorKind::NotFound);
        says(&error, &[path.to_str().unwrap(), "check the path"]);
    }
    let error = unchanged(directory.path(), || Db::open_read_only(&path).unwrap_err());
    says(&error, &[path.to_str().unwrap(), "check the path"]);
    let db = Db::open(&path).unwrap();
    db.insert("made", "with those above").unwrap();
}

#[test]
fn an_empty_directory_is_no_database_where_none_is_to_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for error in both_refuse(path, path, &Options::new().create(false)) {
        assert!(matches!(error, Error::Log(Log::NotADatabase { .. })), "{error}");
        says(&error, &[path.to_str().unwrap(), "manifest", "give the directory of a database"]);
    }
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("thesis.txt"), "years of work").unwrap();
    fs::create_dir(path.join("pictures")).unwrap();
    fs::write(path.join("pictures/one.jpg"), "a cat").unwrap();
    let [error, reading] = both_refuse(path, path, &Options::new());
    assert!(matches!(error, Error::Log(Log::NotADatabase { .. })), "{error}");
    says(&error, &[path.to_str().unwrap(), "pictures", "give an empty directory"]);
    assert!(matches!(reading, Error::Log(Log::NotADatabase { .. })), "{reading}");
    says(&reading, &[path.to_str().unwrap(), "give the directory of a database"]);
}

#[test]
fn a_manifest_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for bytes in ["Manifest-Version: 1.0".into(), "M".repeat(10_000), String::new()] {
        fs::write(path.join("manifest"), bytes).unwrap();
        for error in both_refuse(path, path, &Options::new()) {
            assert!(matches!(error, Error::Log(Log::NotADatabase { .. })), "{error}");
            says(&error, &[path.to_str().unwrap(), "manifest", "give the directory"]);
        }
    }
}

/// Puts a version into a header, with the checksum that it then has.
fn put_version(path: &Path, offset: usize, crc_at: usize, version: u32) {
    let mut bytes = fs::read(path).unwrap();
    let header = &mut bytes[offset..offset + crc_at + 4];
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&header[..crc_at]);
    header[crc_at..].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let newer = 7;
    for store in stores() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        people(path, store);
        let manifest = path.join("manifest");
        let ours = fs::read(&manifest).unwrap();
        // The newer program may have been cut off after one slot.
        for slots in [vec![0], vec![4096], vec![0, 4096]] {
            fs::write(&manifest, &ours).unwrap();
            for slot in slots {
                put_version(&manifest, slot, 4092, newer);
            }
            refused_for_its_version(path, &manifest, newer);
        }
        fs::write(&manifest, &ours).unwrap();
        let segment = fs::read_dir(path.join("log")).unwrap().map(|entry| entry.unwrap().path());
        let segment = segment.min().unwrap();
        put_version(&segment, 0, 104, newer);
        refused_for_its_version(path, &segment, newer);
        put_version(&segment, 0, 104, 1);
        is_whole(path);
    }
}

#[track_caller]
fn refused_for_its_version(path: &Path, file: &Path, newer: u32) {
    for error in both_refuse(path, path, &Options::new()) {
        assert!(
            matches!(error, Error::Log(Log::UnsupportedVersion { found, .. }) if found == newer),
            "{error}"
        );
        says(&error, &[file.to_str().unwrap(), "version 7", "up to 1", "newer program"]);
    }
}

#[test]
fn a_file_where_a_directory_should_be_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    for path in [file.clone(), file.join("data")] {
        for error in both_refuse(directory.path(), &path, &Options::new()) {
            let Error::Log(Log::Io { source, .. }) = &error else { panic!("{error}") };
            assert_eq!(source.kind(), ErrorKind::NotADirectory, "{error}");
            says(&error, &[path.to_str().unwrap(), "give a directory"]);
        }
    }
}

#[test]
fn a_file_in_the_place_of_the_log_is_refused_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    people(path, StoreKind::Memory);
    let (log, aside) = (path.join("log"), path.join("aside"));
    fs::rename(&log, &aside).unwrap();
    fs::write(&log, "not a log").unwrap();
    for error in both_refuse(path, path, &Options::new()) {
        says(&error, &[log.to_str().unwrap(), "give a directory"]);
    }
    fs::remove_file(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    is_whole(path);
}

#[test]
fn another_store_than_the_database_has_is_refused() {
    for store in stores() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        people(path, store);
        for other in [StoreKind::Memory, StoreKind::Sled] {
            if other == store {
                continue;
            }
            for error in both_refuse(path, path, &Options::new().store(other)) {
                assert!(matches!(error, Error::OtherStore { .. }), "{error}");
                says(&error, &[path.to_str().unwrap(), other.name(), "open it with", store.name()]);
            }
        }
        let own = Options::new().own_store("mine", |_, _| panic!("it is not opened"));
        for error in both_refuse(path, path, &own) {
            says(&error, &["mine", store.name()]);
        }
        is_whole(path);
    }
}

#[test]
fn a_directory_that_another_handle_has_open_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for store in stores() {
        let path = path.join(store.name());
        people(&path, store);
        let db = Options::new().background(false).open(&path).unwrap();
        for error in both_refuse(&path, &path, &Options::new()) {
            assert!(matches!(error, Error::Log(Log::Locked { .. })), "{error}");
            says(&error, &[path.to_str().unwrap(), "close it there first"]);
        }
        db.insert("still", "writable").unwrap();
        db.close().unwrap();
    }
    // Readers share; a writer waits until they are gone.
    let path = path.join(StoreKind::Memory.name());
    let readers = [Db::open_read_only(&path).unwrap(), Db::open_read_only(&path).unwrap()];
    let error = unchanged(&path, || Db::open(&path).unwrap_err());
    says(&error, &[path.to_str().unwrap(), "close it there first"]);
    drop(readers);
    is_whole(&path);
}

const HELD: &str = "MAINSTAY_TEST_HELD_DIRECTORY";

/// Has a database open until its standard input ends. Another test starts it as a process of its own.
#[test]
#[ignore = "started by a_directory_that_another_process_has_open_is_refused"]
fn hold_a_directory() {
    let Some(path) = std::env::var_os(HELD) else { return };
    let _db = small(StoreKind::Memory).background(false).open(path).unwrap();
    println!("HELD");
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn a_directory_that_another_process_has_open_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    people(path, StoreKind::Memory);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "directories::hold_a_directory", "--ignored", "--nocapture"])
        .env(HELD, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("HELD")), "the child ended");
    for error in both_refuse(path, path, &Options::new()) {
        assert!(matches!(error, Error::Log(Log::Locked { .. })), "{error}");
        says(&error, &[path.to_str().unwrap(), "another process", "close it there first"]);
    }
    drop(child.stdin.take());
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    is_whole(path);
}
