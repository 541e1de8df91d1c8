//! Disks that fail, that are full, and that are damaged.

use mainstay_wal::disk::{Call, Effect, Fault, SimDisk, Survivors};

use super::*;

#[test]
fn a_disk_that_fails_gives_an_error_and_loses_nothing_durable() {
    let steps = workload();
    let disk = SimDisk::new(3);
    run(&disk, &steps).1.unwrap();
    let mut unnoticed = 0;
    for number in 1..=disk.operations() {
        for effect in [Effect::Nothing, Effect::Part, Effect::Whole] {
            let what = format!("operation {number} fails with effect {effect:?}");
            let disk = SimDisk::new(3);
            disk.record_operations();
            disk.fail(Fault::at_operation(number).effect(effect));
            let (outcome, result) = run(&disk, &steps);
            let Err(error) = result else {
                let failed = &disk.recorded()[usize::try_from(number).unwrap() - 1];
                assert_eq!(failed.call, Call::Remove, "{failed} failed, and nobody noticed");
                unnoticed += 1;
                continue;
            };
            assert!(matches!(error, Error::Store { damaged: false, .. }), "{what}: {error}");
            if !outcome.created {
                continue;
            }
            for survivors in policies(number, 2) {
                let disk = disk.crash(survivors);
                let store = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
                let given = outcome.given.len();
                outcome.clone().replay(&store, &pieces(&steps, given), &what).unwrap();
                check_whole(&open(&disk).unwrap(), &steps, given, &what);
            }
        }
    }
    // A file that is in the way of a new generation is removed first; mostly there is none.
    assert!(unnoticed < 50, "{unnoticed}");
}

#[test]
fn after_a_failed_sync_reads_go_on_and_writes_do_not() {
    let disk = SimDisk::new(4);
    let store = MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap();
    let insert = |key: &str| StoreOp::Insert {
        keyspace: DATA,
        key: Key::from(key),
        value: Value::from("value"),
    };
    store.apply(&[insert("a")], Lsn(1)).unwrap();
    disk.fail(Fault::next(Call::Sync));
    store.make_durable().unwrap_err();
    disk.clear_faults();
    assert_eq!(store.get(DATA, b"a").unwrap(), Some(Value::from("value")));
    store.make_durable().unwrap_err();
    store.apply(&[insert("b")], Lsn(2)).unwrap_err();
    assert_eq!(store.get(DATA, b"b").unwrap(), None);
}

#[test]
fn a_full_disk_is_an_error_and_writing_goes_on_once_there_is_space() {
    let disk = SimDisk::new(5);
    let store = MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap();
    let insert = |value: usize| StoreOp::Insert {
        keyspace: DATA,
        key: Key::from("key"),
        value: Value::from(vec![7; value]),
    };
    store.apply(&[insert(100)], Lsn(1)).unwrap();
    store.make_durable().unwrap();
    disk.set_capacity_bytes(Some(disk.used_bytes() + 1_000));
    store.apply(&[insert(10_000)], Lsn(2)).unwrap_err();
    assert_eq!(store.get(DATA, b"key").unwrap().unwrap().len(), 100);
    disk.set_capacity_bytes(None);
    store.apply(&[insert(10_000)], Lsn(2)).unwrap();
    store.make_durable().unwrap();
    let store = open(&disk.crash(Survivors::Nothing)).unwrap();
    assert_eq!(store.get(DATA, b"key").unwrap().unwrap().len(), 10_000);
}

#[test]
fn damage_to_any_byte_is_found() {
    let disk = SimDisk::new(7);
    let steps = &workload()[..3 + 1 + 3 + 1];
    let (outcome, store) = run(&disk, steps);
    let whole = content(&store.unwrap());
    let (mut found, mut harmless) = (0, 0);
    for name in disk.list(DIRECTORY).unwrap() {
        let name = format!("{DIRECTORY}/{name}");
        let length = disk.open(&name, Open::Read).unwrap().length().unwrap();
        let step = if name.contains("pieces") { 97 } else { 1 };
        for offset in (0..length).step_by(step) {
            let copy = disk.crash(Survivors::Everything);
            let file = copy.open(&name, Open::Write).unwrap();
            let mut byte = [0];
            file.read_at(offset, &mut byte).unwrap();
            file.write_at(offset, &[byte[0] ^ 0x10]).unwrap();
            match open(&copy) {
                Err(Error::Store { damaged: true, .. }) => found += 1,
                Err(error) => panic!("{name} at {offset}: {error}"),
                // The last durable point was hit: what it vouches for is read, and `applied` gives
                // it away.
                Ok(store) => {
                    assert!(content(&store) == whole, "{name} at {offset}: wrong content");
                    assert!(store.applied().unwrap() < Lsn(outcome.durable as u64));
                    harmless += 1;
                }
            }
        }
    }
    assert_eq!(harmless, 32, "bytes of the last durable point");
    assert!(found > 300, "{found}");
}

#[test]
fn a_disk_that_loses_whole_blocks_with_what_was_durable_in_them_is_found_out() {
    let steps = workload();
    let disk = SimDisk::new(11);
    run(&disk, &steps).1.unwrap();
    let (mut damaged, mut behind, mut whole) = (0, 0, 0);
    for crash_at in 5..=disk.operations() {
        let disk = SimDisk::new(11);
        disk.crash_at(crash_at);
        let (outcome, _) = run(&disk, &steps);
        if !outcome.created {
            continue;
        }
        for seed in 0..4 {
            match open(&disk.crash(Survivors::LoseBlocks { seed })) {
                Err(Error::Store { damaged: true, .. }) => damaged += 1,
                Err(error) => panic!("crash at operation {crash_at}: {error}"),
                Ok(store) if store.applied().unwrap() < outcome.durable_lsn => behind += 1,
                Ok(store) => {
                    outcome.check_subset(&store, &format!("crash at operation {crash_at}"));
                    whole += 1;
                }
            }
        }
    }
    assert!(damaged + behind > 50 && whole > 50, "{damaged} {behind} {whole}");
}

#[test]
fn golden_bytes_of_the_index() {
    let disk = SimDisk::new(12);
    let store = MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap();
    let remove = StoreOp::Remove { keyspace: DATA, key: Key::from("key") };
    store.apply(&[remove], Lsn(9)).unwrap();
    store.make_durable().unwrap();
    let index = disk.open("store/index-0000000000000001", Open::Read).unwrap();
    let mut bytes = [0; 160];
    let length = index.read_at(0, &mut bytes).unwrap();
    let slots: Vec<&[u8]> = bytes[..length].chunks(32).collect();
    let expected: [&[u8]; 4] = [
        b"MSTNMIDX\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\xf2.H`",
        b"\x02\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xda\x20\xeb%",
        b"\x01\0\0\0\x0c\0\0\0\x20\0\0\0\0\0\0\0\x9f\x87\xf8\xcd\0\0\0\0\0\0\0\0\xe1\xeb\\\xf2",
        b"\x02\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0q\xa9\x02\x18",
    ];
    assert_eq!(slots, expected);
}

#[test]
fn a_newer_version_is_refused_as_such() {
    let disk = SimDisk::new(8);
    drop(MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap());
    let file = disk.open("store/index-0000000000000001", Open::Write).unwrap();
    let mut header = [0; 32];
    file.read_at(0, &mut header).unwrap();
    header[8] = 2;
    let crc = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    file.write_at(0, &header).unwrap();
    let error = open(&disk).unwrap_err();
    let unsupported = matches!(
        error,
        Error::Log(mainstay_wal::Error::UnsupportedVersion { found: 2, supported: 1, .. })
    );
    assert!(unsupported, "{error}");
}
