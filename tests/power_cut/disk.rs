//! The log's own way to files, [`FileDisk`], keeps its promises on a medium that takes every
//! liberty.

use std::fs;
use std::sync::Arc;

use mainstay_wal::disk::{AlignedBuffer, Disk, DiskFile, FileDisk, FileDiskOptions, Open};

use super::medium::Survivors;
use super::mount::{Mounted, mount_or_skip};

const BLOCK_BYTES: u64 = 4096;

fn open(mounted: &Mounted, direct: bool) -> Arc<dyn Disk> {
    let options = FileDiskOptions::default().direct(direct);
    Arc::new(FileDisk::open(mounted.path().join("above/data"), options).unwrap())
}

fn block(fill: u8) -> AlignedBuffer {
    let mut block = AlignedBuffer::with_capacity(BLOCK_BYTES as usize);
    block.extend_from_slice(&[fill; BLOCK_BYTES as usize]);
    block
}

fn read(file: &dyn DiskFile, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_BYTES as usize];
    let read = file.read_at(offset, &mut bytes).unwrap();
    bytes.truncate(read);
    bytes
}

#[test]
fn a_file_disk_meets_its_contract_here_too() {
    let Some(mounted) = mount_or_skip("contract of a disk") else { return };
    for direct in [true, false] {
        mainstay_wal::disk::conformance::check(&open(&mounted, direct)).unwrap();
    }
}

#[test]
fn what_a_file_disk_calls_synced_is_kept() {
    let Some(mounted) = mount_or_skip("synced writes of a disk") else { return };
    for direct in [true, false] {
        let disk = open(&mounted, direct);
        let file = disk.open("log/one", Open::CreateNew).unwrap();
        assert_eq!(file.is_direct(), direct);
        file.allocate(4 * BLOCK_BYTES).unwrap();
        file.sync().unwrap();
        disk.sync_directory("log").unwrap();
        file.write_and_sync_at(8 * BLOCK_BYTES, b"neither aligned nor whole").unwrap();
        file.write_at(0, &block(1)).unwrap();
        file.write_and_sync_at(BLOCK_BYTES, &block(2)).unwrap();
        file.write_and_sync_at(6 * BLOCK_BYTES, &block(3)).unwrap();
        file.write_at(4 * BLOCK_BYTES, &block(4)).unwrap();
        drop((file, disk));
        mounted.power_cut(Survivors::Nothing, 1);

        let disk = open(&mounted, direct);
        let file = disk.open("log/one", Open::Read).unwrap();
        assert_eq!(file.length().unwrap(), 8 * BLOCK_BYTES + 25, "direct: {direct}");
        assert_eq!(read(&*file, 8 * BLOCK_BYTES), b"neither aligned nor whole");
        // A direct write says nothing of earlier ones; the fallback syncs the file.
        let expected = [if direct { 0 } else { 1 }, 2, 0, 0, 0, 0, 3];
        for (number, fill) in (0..).zip(expected) {
            let is_right = read(&*file, number * BLOCK_BYTES) == *block(fill);
            assert!(is_right, "block {number} is all {fill}; direct: {direct}");
        }
        drop((file, disk));
        fs::remove_dir_all(mounted.path().join("above")).unwrap();
    }
}

#[test]
fn names_are_kept_once_their_directory_was_synced() {
    let Some(mounted) = mount_or_skip("names of a disk") else { return };
    let disk = open(&mounted, true);
    for name in ["log/kept", "log/moved", "log/replaced", "log/removed"] {
        disk.open(name, Open::CreateNew).unwrap().write_and_sync_at(0, name.as_bytes()).unwrap();
    }
    disk.rename("log/moved", "log/replaced").unwrap();
    disk.remove("log/removed").unwrap();
    disk.sync_directory("log").unwrap();
    disk.rename("log/kept", "log/lost").unwrap();
    disk.open("log/lost too", Open::CreateNew).unwrap().write_and_sync_at(0, b"x").unwrap();
    disk.open("new/directory/lost", Open::CreateNew).unwrap();
    drop(disk);
    mounted.power_cut(Survivors::Nothing, 1);
    let disk = open(&mounted, true);
    assert_eq!(disk.list("log").unwrap(), ["kept", "replaced"]);
    let replaced = disk.open("log/replaced", Open::Read).unwrap();
    assert_eq!(read(&*replaced, 0), b"log/moved");
    assert_eq!(disk.list("new/directory").unwrap(), [""; 0], "its own name is durable at once");
}

/// A user makes the directory, or an earlier process did and was killed before it could make the
/// name durable.
#[test]
fn a_directory_made_by_somebody_else_is_made_durable_too() {
    let Some(mounted) = mount_or_skip("directories found") else { return };
    for made in ["above/data", "above/data/log"] {
        fs::create_dir_all(mounted.path().join(made)).unwrap();
        let disk = open(&mounted, true);
        let file = disk.open("log/file", Open::CreateNew).unwrap();
        file.write_and_sync_at(0, b"acknowledged").unwrap();
        disk.sync_directory("log").unwrap();
        disk.sync_directory("").unwrap();
        drop((file, disk));
        mounted.power_cut(Survivors::Nothing, 1);
        let disk = open(&mounted, true);
        let file = disk.open("log/file", Open::Read);
        let file = file.unwrap_or_else(|error| panic!("{made} was there before: {error}"));
        assert_eq!(read(&*file, 0), b"acknowledged");
        drop((file, disk));
        fs::remove_dir_all(mounted.path().join("above")).unwrap();
    }
}
