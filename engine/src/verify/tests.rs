use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_wal::Lsn;
use mainstay_wal::disk::{Disk, Open, SimDisk, read_exact_at};
use mainstay_wal::manifest::{FILE_NAME, SLOT_BYTES};
use mainstay_wal::scan::Verdict;

use super::{VerifyFault, VerifyReport, verify_directory, verify_disk};
use crate::store::MemoryStore;
use crate::{Batch, Db, Durability, Error, KeyspaceId, Options, Store, StoreKind, StoreOp};

fn options() -> Options {
    Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096).background(false)
}

fn open(disk: &SimDisk) -> Db {
    options().open_on(Arc::new(disk.clone())).unwrap()
}

fn verify(disk: &SimDisk) -> VerifyReport {
    verify_disk(Arc::new(disk.clone()), None).unwrap()
}

/// A closed database with a checkpoint in the middle.
fn closed() -> SimDisk {
    let disk = SimDisk::new(1);
    let db = open(&disk);
    let users = db.keyspace("users").unwrap();
    for number in 0..30u8 {
        let mut batch = Batch::new();
        batch.insert(&db, [number], [number; 40]).insert(&users, [number], b"user");
        db.write(batch).unwrap().wait().unwrap();
        if number == 20 {
            users.remove_range([3]..[9]).unwrap();
            db.checkpoint().unwrap();
        }
    }
    db.close().unwrap();
    disk
}

fn overwrite(disk: &SimDisk, name: &str, offset: u64, bytes: &[u8]) {
    disk.open(name, Open::Write).unwrap().write_at(offset, bytes).unwrap();
}

fn read(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, Open::Read).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    read_exact_at(&*file, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_sound_database_is_clean_open_and_closed() {
    let disk = closed();
    let before = disk.operations();
    let report = verify(&disk);
    assert!(report.is_clean(), "{:?}", report.faults);
    assert_eq!(report.verdict(), Verdict::Clean);
    assert_eq!(disk.operations(), before, "nothing was changed");
    assert_eq!(report.checkpoint_lsn, Lsn(23));
    assert_eq!((report.end.lsn, report.durable_lsn), (Lsn(32), Lsn(32)));
    assert_eq!(report.records, 32 - report.first_lsn.0 + 1);
    assert_eq!(report.store_kind, "memory");
    // Of the default keyspace 21, of users 15, and the catalog's two.
    assert_eq!(report.entries, 38);
    assert!(report.segments > 0 && report.groups > 0 && report.log_bytes > 0, "{report:?}");

    let db = open(&disk);
    let report = db.verify().unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
    assert_eq!((report.end.lsn, report.entries), (Lsn(32), 38));
    assert!(report.compared_keys > 15, "{report:?}");
}

#[test]
fn writers_and_checkpoints_meanwhile_are_no_fault() {
    let directory = tempfile::tempdir().unwrap();
    for store in StoreKind::built() {
        let path = directory.path().join(store.name());
        let options = Options::new().store(store).memory_bytes(1 << 20);
        let db = options.segment_bytes(1 << 16, 1 << 16).open(&path).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..2u64)
            .map(|thread| {
                let (db, done) = (db.clone(), done.clone());
                std::thread::spawn(move || {
                    let mut number = 0u32;
                    while !done.load(Ordering::Relaxed) {
                        let key = [thread.to_be_bytes(), u64::from(number % 5000).to_be_bytes()];
                        let durability = if number.is_multiple_of(16) {
                            Durability::Sync
                        } else {
                            Durability::Buffered
                        };
                        db.insert_with(key.concat(), number.to_be_bytes(), durability).unwrap();
                        number += 1;
                    }
                })
            })
            .collect();
        for round in 1..=5 {
            while db.visible_lsn() < Lsn(round * 2000) {
                std::thread::yield_now();
            }
            let report = db.verify().unwrap();
            assert!(report.is_clean(), "{:?}", report.faults);
            // How many keys were compared depends on how long the snapshot could be kept.
            assert!(report.records > 0 && report.first_lsn <= report.end.lsn, "{report:?}");
        }
        done.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let error = verify_directory(&path).unwrap_err();
        assert!(matches!(error, Error::Log(mainstay_wal::Error::Locked { .. })), "{error}");
        db.checkpoint().unwrap();
        db.insert("last", b"").unwrap();
        db.close().unwrap();
        let report = verify_directory(&path).unwrap();
        assert!(report.is_clean(), "{:?}", report.faults);
        assert!(report.records > 0 && report.entries > 0, "{report:?}");
    }
}

#[test]
fn a_wrong_or_missing_or_unwanted_key_in_the_store_is_found() {
    let disk = closed();
    let all = verify(&disk).compared_keys;
    let store = MemoryStore::open(Arc::new(disk.clone()), "store-1").unwrap();
    let keyspace = KeyspaceId::DEFAULT;
    let users = KeyspaceId::FIRST_USER;
    let ops = [
        StoreOp::Insert { keyspace, key: b"\x14".into(), value: b"wrong".into() },
        StoreOp::Remove { keyspace: users, key: b"\x14".into() },
    ];
    store.apply(&ops, Lsn::ZERO).unwrap();
    store.make_durable().unwrap();
    drop(store);
    let check = |report: &VerifyReport| {
        let found: Vec<_> = report
            .faults
            .iter()
            .map(|fault| match fault {
                VerifyFault::Mismatch { keyspace, key, .. } => (*keyspace, key[..].to_vec()),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(found, [(keyspace, vec![0x14]), (users, vec![0x14])]);
        assert_eq!(report.verdict(), Verdict::Corrupt);
    };
    let report = verify(&disk);
    check(&report);
    assert_eq!(report.compared_keys, all);
    check(&open(&disk).verify().unwrap());
}

#[test]
fn each_slot_of_the_manifest_counts_and_the_log_is_read_without_any() {
    let sound = verify(&closed());
    for (slots, verdict) in [(vec![0], Verdict::TornTail), (vec![1], Verdict::TornTail)] {
        let disk = closed();
        for slot in slots {
            overwrite(&disk, FILE_NAME, (slot * SLOT_BYTES + 100) as u64, b"damage");
        }
        let report = verify(&disk);
        assert_eq!((report.faults.len(), report.verdict()), (1, verdict), "{:?}", report.faults);
        assert_eq!(report.entries, sound.entries);
        open(&disk).close().unwrap();
        assert!(verify(&disk).is_clean(), "opening repairs it");
    }
    let disk = closed();
    for slot in [0, 1] {
        overwrite(&disk, FILE_NAME, (slot * SLOT_BYTES + 100) as u64, b"damage");
    }
    let report = verify(&disk);
    assert_eq!((report.faults.len(), report.verdict()), (2, Verdict::Corrupt));
    assert_eq!((report.records, report.end), (sound.records, sound.end));
    disk.remove(FILE_NAME).unwrap();
    let report = verify(&disk);
    assert_eq!((report.faults.len(), report.records), (1, sound.records));
    let empty = verify_disk(Arc::new(SimDisk::new(9)), None).unwrap_err();
    assert!(matches!(empty, Error::Log(mainstay_wal::Error::NotADatabase { .. })), "{empty}");
}

#[test]
fn a_record_that_makes_no_sense_is_found_behind_good_checksums() {
    let disk = SimDisk::new(3);
    let db = open(&disk);
    db.insert("a", b"1").unwrap();
    db.inner().engine.log().append(b"\x07 no record").unwrap();
    db.inner().engine.log().close().unwrap();
    drop(db);
    let report = verify(&disk);
    let [VerifyFault::Record { lsn: Lsn(2), .. }] = report.faults[..] else {
        panic!("{:?}", report.faults)
    };
}

#[test]
fn all_faults_are_reported_with_their_places() {
    let disk = closed();
    let db = open(&disk);
    (0..40u8).for_each(|number| assert!(db.insert([number], [9; 100]).is_ok()));
    db.close().unwrap();
    let names = disk.list("log").unwrap();
    assert!(names.len() >= 2, "{names:?}");
    for name in &names[..2] {
        // In the first frame, behind segment header and group header.
        overwrite(&disk, &format!("log/{name}"), 512 + 64 + 40, b"\xff\xfe\xfd");
    }
    overwrite(&disk, FILE_NAME, 200, b"x");
    let report = verify(&disk);
    let log: Vec<_> = report
        .faults
        .iter()
        .filter_map(|fault| match fault {
            VerifyFault::Log(fault) => Some(fault.position().offset),
            _ => None,
        })
        .collect();
    assert!(log.len() >= 2 && log.iter().all(|offset| *offset > 0), "{:?}", report.faults);
    assert!(report.faults.len() >= 3, "{:?}", report.faults);
    assert!(report.records > 0, "what can be read is read");
}

#[test]
fn a_flipped_byte_anywhere_is_reported_or_harmless() {
    let disk = closed();
    let content = |db: &Db| -> Vec<_> {
        let names = db.keyspaces();
        let all = names.iter().flat_map(|name| db.keyspace(name).unwrap().iter().unwrap());
        all.map(|entry| entry.unwrap()).collect()
    };
    let sound = content(&open(&disk.fork()));
    let mut files = vec![FILE_NAME.to_owned()];
    for directory in ["log", "store-1"] {
        let names = disk.list(directory).unwrap();
        files.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
    }
    let (mut reported, mut harmless) = (0, 0);
    for name in files {
        for (offset, byte) in read(&disk, &name).iter().enumerate().step_by(3) {
            let damaged = disk.fork();
            overwrite(&damaged, &name, offset as u64, &[byte ^ (1 << (offset % 8))]);
            if verify(&damaged).is_clean() {
                assert_eq!(content(&open(&damaged)), sound, "{name} {offset}");
                harmless += 1;
            } else {
                reported += 1;
            }
        }
    }
    assert!(reported > 500, "{reported} reported, {harmless} harmless");
}
