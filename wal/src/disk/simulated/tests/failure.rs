//! Operations that fail.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_fault_hits_the_call_with_its_number_once_or_for_good() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "a");
    disk.fail(Fault::at_operation(disk.operations() + 2).kind(io::ErrorKind::TimedOut));
    file.write_at(0, b"1").unwrap();
    assert_eq!(kind(file.write_at(1, b"2")), io::ErrorKind::TimedOut);
    file.write_at(1, b"3").unwrap();
    assert_eq!(disk.read_file("a").unwrap(), b"13");

    disk.fail(Fault::at_operation(disk.operations() + 1).for_good());
    file.read_at(0, &mut [0]).unwrap();
    for _ in 0..3 {
        assert_eq!(kind(file.write_and_sync_at(0, b"4")), io::ErrorKind::Other);
        assert_eq!(kind(file.allocate(100)), io::ErrorKind::Other);
        assert_eq!(kind(disk.open("b", Open::Create)), io::ErrorKind::Other);
        assert_eq!(kind(disk.rename("a", "c")), io::ErrorKind::Other);
        assert_eq!(kind(disk.remove("a")), io::ErrorKind::Other);
        assert_eq!(kind(disk.sync_directory("d")), io::ErrorKind::Other);
    }
    assert_eq!(disk.files(), [("a".to_owned(), 2)]);
    assert_eq!(disk.list("").unwrap(), ["a"]);
    disk.clear_faults();
    file.write_at(0, b"5").unwrap();
}

#[test]
fn a_fault_can_be_for_reads_for_one_kind_of_call_or_for_some_names() {
    let disk = SimDisk::new(1);
    disk.write_file("log/a", b"abc").unwrap();
    disk.write_file("b", b"abc").unwrap();
    disk.fail(Fault::at_read(2).kind(io::ErrorKind::InvalidData));
    let file = disk.open("log/a", Open::Write).unwrap();
    file.write_at(0, b"x").unwrap();
    assert_eq!(kind(file.read_at(0, &mut [0; 3])), io::ErrorKind::InvalidData);
    assert_eq!(file.read_at(0, &mut [0; 3]).unwrap(), 3);

    disk.fail(Fault::next(Call::Sync).below("log/").for_good());
    let other = disk.open("b", Open::Write).unwrap();
    other.write_at(0, b"y").unwrap();
    other.sync().unwrap();
    file.write_at(0, b"y").unwrap();
    let error = file.sync().unwrap_err();
    assert_eq!(error.to_string(), "simulated failure of sync on \"log/a\"");
    assert!(!SimDisk::is_crash(&error));
    assert!(file.sync().is_err());
    disk.fail(Fault::next(Call::List));
    assert!(disk.list("").is_err());
    disk.list("").unwrap();
}

#[test]
fn after_a_failed_sync_the_bytes_are_seen_but_no_later_sync_writes_them() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[0; 4]);
    file.write_at(0, &[1, 1]).unwrap();
    disk.fail(Fault::next(Call::Sync));
    assert!(file.sync().is_err());
    file.write_at(3, &[3]).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read_file("a").unwrap(), [1, 1, 0, 3]);
    for survivors in Survivors::all(1) {
        assert_eq!(disk.crash(survivors).read_file("a").unwrap(), [0, 0, 0, 3]);
    }
    // A new process sees the cache still, until it is dropped.
    let process = disk.fork();
    assert_eq!(process.read_file("a").unwrap(), [1, 1, 0, 3]);
    process.open("a", Open::Write).unwrap().write_at(2, &[2]).unwrap();
    process.forget_failed_writes();
    assert_eq!(process.read_file("a").unwrap(), [0, 0, 2, 3]);
    assert_eq!(process.crash(Survivors::Nothing).read_file("a").unwrap(), [0, 0, 0, 3]);

    file.write_at(0, &[1]).unwrap();
    file.sync().unwrap();
    file.write_and_sync_at(1, &[4]).unwrap();
    assert_eq!(disk.crash(Survivors::Nothing).read_file("a").unwrap(), [1, 4, 0, 3]);
    assert_eq!(disk.read_file("a").unwrap(), [1, 4, 0, 3]);
}

#[test]
fn a_sync_that_fails_in_part_makes_some_sectors_durable() {
    let mut states = BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "a", &[0; 1024]);
        disk.fail(Fault::next(Call::Sync).effect(Effect::Part));
        disk.fail(Fault::next(Call::WriteAndSync).effect(Effect::Part));
        file.write_at(0, &[1; 1024]).unwrap();
        assert!(file.sync().is_err());
        assert_eq!(disk.read_file("a").unwrap(), [1; 1024]);
        let found = |disk: &SimDisk| disk.crash(Survivors::Everything).read_file("a").unwrap();
        let synced = found(&disk);
        assert!(file.write_and_sync_at(0, &[2; 1024]).is_err());
        assert_eq!(disk.read_file("a").unwrap(), [2; 1024]);
        let written = found(&disk);
        states.insert((synced[0], synced[512], written[0] == 2, written[512] == 2));
        assert_eq!((synced[0], synced[512]), (synced[511], synced[1023]));
    }
    assert_eq!(states.len(), 16, "{states:?}");
}

#[test]
fn how_much_of_a_failed_write_happens_can_be_chosen() {
    let mut lengths = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "a", b"");
        disk.fail(Fault::next(Call::Write).effect(Effect::Part));
        assert!(file.write_at(0, &[1; 3]).is_err());
        lengths.insert(disk.read_file("a").unwrap().len());
        assert_eq!(disk.crash(Survivors::Nothing).read_file("a").unwrap(), b"");
    }
    assert_eq!(lengths, BTreeSet::from([0, 1, 2, 3]));

    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"");
    disk.fail(Fault::next(Call::WriteAndSync).effect(Effect::Whole));
    assert!(file.write_and_sync_at(0, b"abc").is_err());
    assert_eq!(disk.crash(Survivors::Nothing).read_file("a").unwrap(), b"abc");
    disk.fail(Fault::next(Call::WriteAndSync));
    assert!(file.write_and_sync_at(0, b"xyz").is_err());
    assert_eq!(disk.read_file("a").unwrap(), b"abc");
    disk.fail(Fault::next(Call::Write).effect(Effect::Whole));
    assert!(file.write_at(0, b"xyz").is_err());
    disk.fail(Fault::next(Call::Sync).effect(Effect::Whole));
    assert!(file.sync().is_err());
    assert_eq!(disk.crash(Survivors::Nothing).read_file("a").unwrap(), b"xyz");
}

#[test]
fn a_failed_change_of_names_may_have_happened() {
    for effect in [Effect::Part, Effect::Whole] {
        let disk = SimDisk::new(1);
        disk.fail(Fault::next(Call::Create).effect(effect));
        assert!(disk.open("d/a", Open::CreateNew).is_err());
        assert_eq!(disk.list("d").unwrap(), ["a"]);
        disk.fail(Fault::next(Call::Rename).effect(effect));
        assert!(disk.rename("d/a", "d/b").is_err());
        assert_eq!(disk.list("d").unwrap(), ["b"]);
        disk.fail(Fault::next(Call::SyncDirectory).effect(Effect::Whole));
        assert!(disk.sync_directory("d").is_err());
        assert_eq!(disk.crash(Survivors::Nothing).list("d").unwrap(), ["b"]);
        disk.fail(Fault::next(Call::Remove).effect(effect));
        assert!(disk.remove("d").is_err());
        assert_eq!(disk.list("").unwrap(), [""; 0]);
    }
    let disk = SimDisk::new(1);
    disk.fail(Fault::next(Call::Create));
    assert!(disk.open("d/a", Open::CreateNew).is_err());
    assert_eq!(disk.list("").unwrap(), [""; 0]);
    assert_eq!(disk.state().files.len(), 0);
}
