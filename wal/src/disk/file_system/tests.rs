use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::disk::{AlignedBuffer, conformance, read_exact_at};

/// On the disk and not in memory: some file systems in memory know no writes past the page cache.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(root: &Path, direct: bool) -> FileDisk {
    FileDisk::open(root, FileDiskOptions::default().direct(direct)).unwrap()
}

#[test]
fn it_conforms_past_the_page_cache_and_through_it() {
    for direct in [true, false] {
        let root = directory();
        let disk: Arc<dyn Disk> = Arc::new(open(root.path(), direct));
        conformance::check(&disk).unwrap_or_else(|error| panic!("direct {direct}: {error}"));
    }
}

#[test]
fn synced_writes_are_seen_by_another_process_view_of_the_file() {
    let root = directory();
    let disk = open(root.path(), true);
    let file = disk.open("a", Open::CreateNew).unwrap();
    assert!(!open(root.path(), false).open("a", Open::Write).unwrap().is_direct());
    let mut buffer = AlignedBuffer::with_capacity(8192);
    buffer.resize(8192);
    buffer.fill(3);
    file.write_and_sync_at(0, &buffer).unwrap();
    buffer.fill(4);
    file.write_and_sync_at(4096, &buffer).unwrap();
    // Neither aligned in memory nor in length, so through the page cache.
    file.write_and_sync_at(12280, &[5; 20]).unwrap();
    let bytes = fs::read(root.path().join("a")).unwrap();
    let expected = [vec![3; 4096], vec![4; 8184], vec![5; 20]].concat();
    assert!(bytes == expected, "{} bytes", bytes.len());
}

#[test]
fn a_file_keeps_its_handle_when_it_is_renamed_and_its_name_taken() {
    let root = directory();
    let disk = open(root.path(), true);
    let file = disk.open("next.tmp", Open::CreateNew).unwrap();
    disk.rename("next.tmp", "one").unwrap();
    let other = disk.open("next.tmp", Open::CreateNew).unwrap();
    let mut buffer = AlignedBuffer::default();
    buffer.resize(4096);
    buffer.fill(1);
    file.write_and_sync_at(0, &buffer).unwrap();
    assert_eq!(other.length().unwrap(), 0);
    assert_eq!(fs::read(root.path().join("one")).unwrap(), [1; 4096]);
}

#[test]
fn opening_says_what_is_wrong_with_the_directory() {
    let root = directory();
    let missing = root.path().join("x/y");
    let not_made = FileDiskOptions::default().create(false);
    let kind = |result: io::Result<FileDisk>| result.unwrap_err().kind();
    assert_eq!(kind(FileDisk::open(&missing, not_made)), io::ErrorKind::NotFound);
    assert_eq!(kind(FileDisk::open_read_only(&missing)), io::ErrorKind::NotFound);
    assert!(!missing.exists());
    FileDisk::open(&missing, FileDiskOptions::default()).unwrap();
    FileDisk::open(&missing, not_made).unwrap();

    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    for options in [FileDiskOptions::default(), not_made] {
        assert_eq!(kind(FileDisk::open(&file, options)), io::ErrorKind::NotADirectory);
    }
    assert_eq!(kind(FileDisk::open_read_only(&file)), io::ErrorKind::NotADirectory);
    let below = file.join("below");
    assert_eq!(
        kind(FileDisk::open(&below, FileDiskOptions::default())),
        io::ErrorKind::NotADirectory
    );
}

#[test]
fn reading_only_changes_nothing_and_makes_no_lock_file() {
    let root = directory();
    fs::create_dir(root.path().join("log")).unwrap();
    fs::write(root.path().join("log/a"), b"abc").unwrap();
    let disk = FileDisk::open_read_only(root.path()).unwrap();
    let lock = disk.lock().unwrap();
    let refused = io::ErrorKind::ReadOnlyFilesystem;
    for open in [Open::Write, Open::Create, Open::CreateNew] {
        assert_eq!(disk.open("log/a", open).unwrap_err().kind(), refused);
        assert_eq!(disk.open("log/b", open).unwrap_err().kind(), refused);
    }
    assert_eq!(disk.rename("log/a", "b").unwrap_err().kind(), refused);
    assert_eq!(disk.remove("log").unwrap_err().kind(), refused);
    assert_eq!(disk.sync_directory("new").unwrap_err().kind(), refused);
    let file = disk.open("log/a", Open::Read).unwrap();
    let mut bytes = [0; 3];
    read_exact_at(&*file, 0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"abc");
    drop(lock);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.path().join("log")).unwrap().count(), 1);
}

#[test]
fn one_writer_or_many_readers_have_the_lock() {
    let root = directory();
    let writer = open(root.path(), true);
    let reader = FileDisk::open_read_only(root.path()).unwrap();
    let kind = |disk: &FileDisk| disk.lock().unwrap_err().kind();

    let held = writer.lock().unwrap();
    assert_eq!(kind(&open(root.path(), true)), io::ErrorKind::WouldBlock);
    assert_eq!(kind(&reader), io::ErrorKind::WouldBlock);
    drop(held);
    let first = reader.lock().unwrap();
    let second = FileDisk::open_read_only(root.path()).unwrap().lock().unwrap();
    assert_eq!(kind(&writer), io::ErrorKind::WouldBlock);
    drop((first, second));
    writer.lock().unwrap();
    assert_eq!(writer.list("").unwrap(), Vec::<String>::new());
}

/// Linux has a file that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_file_system_is_said_to_be_full() {
    for direct in [true, false] {
        let disk = FileDisk::open("/dev", FileDiskOptions::default().direct(direct)).unwrap();
        let file = disk.open("full", Open::Write).unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(file.write_at(0, b"x")), io::ErrorKind::StorageFull);
        let mut buffer = AlignedBuffer::default();
        buffer.resize(4096);
        assert_eq!(kind(file.write_and_sync_at(0, &buffer)), io::ErrorKind::StorageFull);
    }
}
