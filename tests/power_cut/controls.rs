//! The file system against the plain rules, through the kernel: what must be kept is kept, the rest
//! is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::file_system::O_DSYNC;
use super::medium::Survivors;
use super::mount::{Mounted, mount_or_skip};

/// A sector-aligned block of memory inside a larger one, as `O_DIRECT` wants it.
fn aligned(buffer: &mut Vec<u8>, length: usize, fill: u8) -> &[u8] {
    const ALIGNMENT_BYTES: usize = 4096;
    buffer.clear();
    buffer.resize(length + ALIGNMENT_BYTES, fill);
    let start = buffer.as_ptr().align_offset(ALIGNMENT_BYTES);
    &buffer[start..start + length]
}

/// A file of `length` zeros that is wholly durable, name and all.
fn durable_file(mounted: &Mounted, name: &str, length: usize) {
    let mut file = File::create_new(mounted.path().join(name)).unwrap();
    file.write_all(&vec![0; length]).unwrap();
    file.sync_all().unwrap();
    sync_directory(mounted.path());
}

fn sync_directory(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

fn open_with(mounted: &Mounted, name: &str, flags: OFlags) -> File {
    let flags = flags.bits().cast_signed();
    let path = mounted.path().join(name);
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).unwrap()
}

fn content(mounted: &Mounted, name: &str) -> Vec<u8> {
    fs::read(mounted.path().join(name)).unwrap()
}

#[test]
fn a_synced_write_is_kept_and_an_unsynced_one_is_lost() {
    let Some(mounted) = mount_or_skip("synced and unsynced writes") else { return };
    let mut buffer = Vec::new();
    for (name, flags) in
        [("dsync", O_DSYNC), ("sync", OFlags::SYNC), ("direct_dsync", OFlags::DIRECT | O_DSYNC)]
    {
        durable_file(&mounted, name, 8192);
        let file = open_with(&mounted, name, flags);
        file.write_all_at(aligned(&mut buffer, 4096, 7), 4096).unwrap();
        drop(file);
        let plain = open_with(&mounted, name, OFlags::empty());
        plain.write_all_at(&[9; 512], 0).unwrap();
        assert_eq!(content(&mounted, name)[..512], [9; 512], "{name}: seen while there is power");
        mounted.power_cut(Survivors::Nothing, 1);
        let after = content(&mounted, name);
        assert_eq!(after[4096..], [7; 4096], "{name}: the write through {flags:?} is kept");
        assert_eq!(after[..4096], [0; 4096], "{name}: the unsynced write is lost");
    }
    let counts = mounted.medium.lock().counts();
    assert_eq!(counts.cuts, 3);
    assert!(counts.synced_writes >= 3, "the flags reach the medium: {counts:?}");
}

#[test]
fn direct_writes_alone_are_not_durable_and_must_be_aligned() {
    let Some(mounted) = mount_or_skip("direct writes") else { return };
    durable_file(&mounted, "direct", 4096);
    let mut buffer = Vec::new();
    let file = open_with(&mounted, "direct", OFlags::DIRECT);
    file.write_all_at(aligned(&mut buffer, 4096, 5), 0).unwrap();
    let refused = file.write_at(aligned(&mut buffer, 100, 5), 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    mounted.power_cut(Survivors::Nothing, 1);
    assert_eq!(content(&mounted, "direct"), [0; 4096]);
}

#[test]
fn every_kind_of_sync_covers_all_earlier_writes() {
    let Some(mounted) = mount_or_skip("fsync and fdatasync") else { return };
    for name in ["all", "data"] {
        durable_file(&mounted, name, 0);
        let file = open_with(&mounted, name, OFlags::empty());
        file.write_all_at(b"first", 0).unwrap();
        file.write_all_at(b"second", 100_000).unwrap();
        if name == "all" {
            file.sync_all().unwrap()
        } else {
            file.sync_data().unwrap()
        }
        file.write_all_at(b"third", 5).unwrap();
        mounted.power_cut(Survivors::Nothing, 1);
        let after = content(&mounted, name);
        assert_eq!(after.len(), 100_006, "{name}");
        assert_eq!((&after[..5], &after[5..10]), (&b"first"[..], &[0; 5][..]), "{name}");
        assert_eq!(&after[100_000..], b"second", "{name}");
    }
}

#[test]
fn closing_a_file_makes_nothing_durable() {
    let Some(mounted) = mount_or_skip("closing") else { return };
    durable_file(&mounted, "closed", 4096);
    let file = open_with(&mounted, "closed", OFlags::empty());
    file.write_all_at(&[3; 4096], 0).unwrap();
    drop(file);
    mounted.power_cut(Survivors::Nothing, 1);
    assert_eq!(content(&mounted, "closed"), [0; 4096]);
}

#[test]
fn names_live_as_long_as_their_directory_was_synced() {
    let Some(mounted) = mount_or_skip("names") else { return };
    let root = mounted.path();
    fs::create_dir_all(root.join("a/b")).unwrap();
    durable_file(&mounted, "kept", 10);
    let mut lost = File::create_new(root.join("a/lost")).unwrap();
    lost.write_all(b"content").unwrap();
    lost.sync_all().unwrap();
    let mut unsynced = File::create_new(root.join("a/b/empty")).unwrap();
    sync_directory(&root.join("a/b"));
    sync_directory(root);
    unsynced.write_all(b"content").unwrap();
    mounted.power_cut(Survivors::Nothing, 1);
    assert!(root.join("kept").exists());
    assert!(root.join("a").is_dir(), "its name stands in the root, which was synced");
    assert!(!root.join("a/lost").exists(), "an fsynced file without a durable name");
    assert!(!root.join("a/b").exists(), "the name of b stands in a, which was never synced");

    fs::create_dir(root.join("a/b")).unwrap();
    File::create_new(root.join("a/b/empty")).unwrap().write_all(b"content").unwrap();
    for directory in ["a/b", "a"] {
        sync_directory(&root.join(directory));
    }
    mounted.power_cut(Survivors::Nothing, 1);
    assert_eq!(content(&mounted, "a/b/empty"), b"", "a durable name, content never synced");
}

#[test]
fn renames_and_removals_come_back_unless_synced() {
    let Some(mounted) = mount_or_skip("renames and removals") else { return };
    let root = mounted.path();
    for name in ["one", "two", "three"] {
        durable_file(&mounted, name, name.len());
    }
    fs::rename(root.join("one"), root.join("two")).unwrap();
    fs::remove_file(root.join("three")).unwrap();
    assert!(!root.join("one").exists() && !root.join("three").exists());
    mounted.power_cut(Survivors::Nothing, 1);
    for name in ["one", "two", "three"] {
        assert_eq!(content(&mounted, name).len(), name.len(), "{name} is back");
    }
    fs::rename(root.join("three"), root.join("two")).unwrap();
    fs::remove_file(root.join("one")).unwrap();
    sync_directory(root);
    mounted.power_cut(Survivors::Nothing, 1);
    assert_eq!(content(&mounted, "two").len(), "three".len());
    assert!(!root.join("one").exists() && !root.join("three").exists());
}

#[test]
fn without_power_everything_fails_and_old_handles_stay_dead() {
    let Some(mounted) = mount_or_skip("no power") else { return };
    durable_file(&mounted, "file", 4096);
    let file = open_with(&mounted, "file", OFlags::empty());
    mounted.medium.lock().stop_after(1);
    file.write_all_at(b"passes", 0).unwrap();
    assert!(file.write_all_at(b"is in flight", 512).is_err());
    assert!(mounted.medium.lock().is_stopped());
    assert!(file.sync_all().is_err());
    assert!(file.read_at(&mut [0; 8], 0).is_err());
    assert!(fs::read_dir(mounted.path()).is_err() || fs::metadata(mounted.path()).is_err());
    mounted.power_cut(Survivors::Everything, 1);
    assert!(file.sync_all().is_err(), "a handle from before the cut");
    assert!(file.write_all_at(b"too late", 0).is_err(), "a handle from before the cut");
    let after = content(&mounted, "file");
    assert_eq!((&after[..6], &after[512..524]), (&b"passes"[..], &b"is in flight"[..]));
}

#[test]
fn what_a_dead_process_left_unsynced_is_seen_by_the_next_and_lost_by_a_cut() {
    let Some(mounted) = mount_or_skip("a dead process") else { return };
    durable_file(&mounted, "file", 512);
    let file = open_with(&mounted, "file", OFlags::empty());
    mounted.medium.lock().stop_after(1);
    file.write_all_at(&[1; 100], 0).unwrap();
    assert!(file.sync_all().is_err());
    drop(file);
    mounted.medium.lock().resume();
    assert_eq!(content(&mounted, "file")[..100], [1; 100]);
    mounted.power_cut(Survivors::Nothing, 1);
    assert_eq!(content(&mounted, "file"), [0; 512]);
}

#[test]
fn lengths_allocation_and_locks_work_as_programs_expect() {
    let Some(mounted) = mount_or_skip("lengths, allocation, locks") else { return };
    durable_file(&mounted, "file", 10);
    let file = open_with(&mounted, "file", OFlags::empty());
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 8192).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 8192);
    file.write_all_at(&[1; 8192], 0).unwrap();
    file.set_len(5000).unwrap();
    file.set_len(6000).unwrap();
    assert_eq!((content(&mounted, "file")[4999], content(&mounted, "file")[5000]), (1, 0));
    let second = open_with(&mounted, "file", OFlags::empty());
    file.try_lock().unwrap();
    assert!(second.try_lock().is_err(), "a second lock is refused");
    drop((file, second));
    mounted.power_cut(Survivors::Nothing, 1);
    assert_eq!(content(&mounted, "file").len(), 10);
    open_with(&mounted, "file", OFlags::empty()).try_lock().unwrap();
}
