mod crash;
mod failure;
mod model;

use std::sync::Arc;

use super::*;
use crate::disk::conformance;

fn create(disk: &SimDisk, name: &str) -> Arc<dyn DiskFile> {
    disk.open(name, Open::CreateNew).unwrap()
}

/// A file that is on the disk with its name.
fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    disk.write_file(name, bytes).unwrap();
    disk.open(name, Open::Write).unwrap()
}

fn kind<T: fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn it_conforms() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    conformance::check(&disk).unwrap();
    assert_eq!(sim.used_bytes(), 0);
    sim.sync_directory("").unwrap();
    let state = sim.state();
    assert_eq!((state.names.pending.len(), state.files.len()), (0, 0), "nothing is kept for ever");
}

#[test]
fn operations_and_reads_are_counted_apart() {
    let disk = SimDisk::new(1);
    disk.record_operations();
    let file = create(&disk, "log/a"); // 1
    file.write_at(7, b"abc").unwrap(); // 2
    file.write_and_sync_at(0, b"abcd").unwrap(); // 3
    file.allocate(100).unwrap(); // 4
    file.sync().unwrap(); // 5
    disk.sync_directory("log").unwrap(); // 6
    disk.rename("log/a", "b").unwrap(); // 7
    disk.remove("b").unwrap(); // 8
    assert!(disk.remove("b").is_err());
    assert_eq!((disk.operations(), disk.reads()), (8, 0));

    disk.write_file("c", b"123").unwrap();
    let reader = disk.open("c", Open::Create).unwrap(); // 1
    reader.read_at(0, &mut [0; 10]).unwrap(); // 2
    reader.length().unwrap(); // 3
    disk.list("").unwrap(); // 4
    disk.open("missing", Open::Read).unwrap_err(); // 5
    drop(disk.lock().unwrap());
    let stats = disk.stats();
    assert_eq!((stats.operations, stats.reads, stats.syncs), (8, 5, 3));
    assert_eq!((stats.bytes_written, stats.bytes_read), (7, 3));
    let told: Vec<String> = disk.recorded().iter().map(Operation::to_string).collect();
    assert_eq!(told[0], "     1 create         \"log/a\"");
    assert_eq!(told[2], "     3 write-and-sync \"log/a\" at 0, 4 bytes");
    assert_eq!(told[3], "     4 allocate       \"log/a\" to 100 bytes");
    assert_eq!((told.len(), disk.recorded()[6].call), (8, Call::Rename));
}

#[test]
fn a_fork_keeps_what_is_pending_and_goes_its_own_way() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"durable");
    file.write_at(0, b"pending").unwrap();
    disk.fail(Fault::next(Call::Write).for_good());
    let _lock = disk.lock().unwrap();
    let fork = disk.fork();
    assert_eq!(fork.stats(), SimStats::default());
    fork.lock().unwrap();
    let other = fork.open("a", Open::Write).unwrap();
    other.write_at(7, b" more").unwrap();
    assert_eq!(fork.read_file("a").unwrap(), b"pending more");
    assert_eq!(disk.read_file("a").unwrap(), b"pending");
    assert_eq!(fork.crash(Survivors::Nothing).read_file("a").unwrap(), b"durable");
    file.sync().unwrap();
    assert_eq!(fork.crash(Survivors::Nothing).read_file("a").unwrap(), b"durable");
    assert_eq!(disk.crash(Survivors::Nothing).read_file("a").unwrap(), b"pending");
}

#[test]
fn the_lock_belongs_to_one_owner_of_one_disk() {
    let disk = SimDisk::new(1);
    let lock = disk.clone().lock().unwrap();
    assert_eq!(kind(disk.lock()), io::ErrorKind::WouldBlock);
    disk.crash(Survivors::Everything).lock().unwrap();
    drop(lock);
    disk.lock().unwrap();
}

#[test]
fn a_full_disk_refuses_and_has_room_again_after_a_removal() {
    let disk = SimDisk::new(1);
    disk.set_capacity_bytes(Some(10_000));
    let file = create(&disk, "a");
    file.allocate(6000).unwrap();
    let other = create(&disk, "b");
    other.write_at(0, &[1; 4000]).unwrap();
    let full = io::ErrorKind::StorageFull;
    assert_eq!(kind(other.write_at(4000, b"x")), full);
    assert_eq!(kind(other.write_and_sync_at(3999, b"xy")), full);
    assert_eq!(kind(other.allocate(4001)), full);
    file.write_and_sync_at(0, &[2; 6000]).unwrap();
    assert_eq!(disk.files(), [("a".to_owned(), 6000), ("b".to_owned(), 4000)]);
    assert_eq!(kind(file.write_at(u64::MAX, b"x")), io::ErrorKind::FileTooLarge);

    disk.remove("a").unwrap();
    assert_eq!(kind(other.allocate(4001)), full, "the file is open still");
    drop(file);
    assert_eq!(disk.used_bytes(), 4000);
    other.allocate(10_000).unwrap();
    assert_eq!(
        kind(disk.crash(Survivors::Everything).open("c", Open::Create).unwrap().allocate(1)),
        full
    );
}

#[test]
fn flipping_a_bit_changes_what_is_read_now_and_after_a_crash() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[0; 3]);
    disk.flip_bit("a", 1, 7).unwrap();
    assert_eq!(disk.read_file("a").unwrap(), [0, 0x80, 0]);
    file.write_at(3, &[0; 3]).unwrap();
    disk.flip_bit("a", 2, 0).unwrap();
    disk.flip_bit("a", 4, 1).unwrap();
    assert_eq!(disk.read_file("a").unwrap(), [0, 0x80, 1, 0, 2, 0]);
    assert_eq!(disk.crash(Survivors::Nothing).read_file("a").unwrap(), [0, 0x80, 1]);
    assert_eq!(kind(disk.flip_bit("a", 6, 0)), io::ErrorKind::InvalidInput);
    assert_eq!(kind(disk.flip_bit("a", 0, 8)), io::ErrorKind::InvalidInput);
    assert_eq!(kind(disk.flip_bit("b", 0, 0)), io::ErrorKind::NotFound);
}

#[test]
fn a_directory_of_the_file_system_can_be_copied_in_and_out() {
    let root = tempfile::tempdir().unwrap();
    let disk = SimDisk::new(1);
    disk.write_file("log/deep/a", &[7; 5000]).unwrap();
    disk.write_file("manifest", b"abc").unwrap();
    disk.sync_directory("empty").unwrap();
    disk.copy_to_directory(root.path()).unwrap();
    std::fs::write(root.path().join("LOCK"), b"").unwrap();
    let copy = SimDisk::new(2);
    copy.copy_from_directory(root.path()).unwrap();
    assert_eq!(copy.files(), disk.files());
    let found = copy.crash(Survivors::Nothing);
    assert_eq!(found.list("").unwrap(), ["empty", "log", "manifest"]);
    assert_eq!(found.read_file("log/deep/a").unwrap(), [7; 5000]);
}
