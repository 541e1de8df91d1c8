use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use mainstay_wal::disk::{SimDisk, Survivors};

use crate::{Batch, Db, Durability, Error, Options, StoreKind};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn reopen(disk: &SimDisk) -> Db {
    Options::new().background(false).open_on(Arc::new(disk.clone())).unwrap()
}

#[test]
fn what_is_written_is_read_and_is_there_after_reopening() {
    for store in StoreKind::built() {
        let directory = directory();
        let db = Options::new().store(store).open(directory.path()).unwrap();
        db.insert("ada", b"1815").unwrap();
        db.insert("alan", "1912").unwrap();
        let users = db.keyspace("users").unwrap();
        let mut batch = Batch::new();
        batch.insert(&users, "grace", b"1906").remove(&db, "alan");
        db.write(batch).unwrap().wait().unwrap();
        assert_eq!(db.get("ada").unwrap().unwrap(), b"1815");
        assert_eq!(db.get("alan").unwrap(), None);
        db.checkpoint().unwrap();
        users.insert_with("edsger", b"1930", Durability::Buffered).unwrap();
        assert_eq!(users.iter().unwrap().count(), 2);
        db.close().unwrap();
        drop(users);

        let db = Options::new().open(directory.path()).unwrap();
        assert!(db.recovery().log.clean, "{:?}", db.recovery());
        assert_eq!(db.recovery().replayed_records, 1);
        let users = db.keyspace("users").unwrap();
        let names: Vec<_> = users.iter().unwrap().map(|entry| entry.unwrap().0).collect();
        assert_eq!(names, [b"edsger".as_slice(), b"grace"]);
        assert_eq!(db.get("ada").unwrap().unwrap(), b"1815");
        assert_eq!(db.keyspaces(), ["default", "users"]);
        let stats = db.stats().unwrap();
        assert_eq!(stats.store, store.name());
        assert_eq!(stats.log.commit_lsn, stats.log.durable_lsn, "a node alone");
        assert!(stats.checkpoint_lsn <= stats.log.commit_lsn, "{stats:?}");
    }
}

#[test]
fn a_database_that_was_dropped_can_be_opened_again_at_once() {
    let directory = directory();
    let options = Options::new().memory_bytes(1 << 20);
    for round in 0..20u32 {
        let db = options.clone().open(directory.path()).unwrap();
        for number in 0..5000u32 {
            let key = (number * 20 + round).to_be_bytes();
            db.insert_with(key, [7; 100], Durability::Buffered).unwrap();
        }
        // In the middle of a checkpoint, most likely.
        drop(db);
    }
}

#[test]
fn a_second_opener_is_told_who_has_the_directory() {
    let directory = directory();
    let db = Db::open(directory.path()).unwrap();
    let error = Db::open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Log(mainstay_wal::Error::Locked { .. })), "{error}");
    drop(db);
    Db::open(directory.path()).unwrap();
}

#[test]
fn checkpoints_free_memory_and_log_and_lose_nothing() {
    let disk = SimDisk::new(1);
    let options = Options::new().memory_bytes(1 << 20).segment_bytes(64 << 10, 64 << 10);
    let db = options.open_on(Arc::new(disk.clone())).unwrap();
    for number in 0..20_000u32 {
        let value = [number as u8; 100];
        db.insert_with(number.to_be_bytes(), value, Durability::Buffered).unwrap();
    }
    db.sync().unwrap();
    let stats = db.stats().unwrap();
    assert!(stats.checkpoints > 0, "{stats:?}");
    assert!(stats.memtable_bytes < 1 << 20, "{stats:?}");
    let disk = disk.crash(Survivors::Nothing);
    let db = reopen(&disk);
    assert_eq!(db.iter().unwrap().count(), 20_000);
    for number in 0..20_000u32 {
        assert_eq!(db.get(number.to_be_bytes()).unwrap().unwrap()[..], [number as u8; 100]);
    }
    db.checkpoint().unwrap();
    assert!(db.inner().engine.log.first_lsn().0 > 10_000);
}

#[test]
fn compare_and_swap_and_fetch_update_are_atomic_between_threads() {
    let directory = directory();
    let db = Db::open(directory.path()).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let db = db.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    db.fetch_update("count", |value| {
                        let count = value.map_or(0, |value| value[0]);
                        Some(vec![count + 1])
                    })
                    .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(db.get("count").unwrap().unwrap(), &[200]);
    let refused = db.compare_and_swap("count", Some(b"x"), None).unwrap_err();
    assert!(matches!(refused, Error::PreconditionFailed { found: Some(_), .. }));
}

#[test]
fn estimates_of_length_are_exact_when_small_and_near_when_spread_evenly() {
    let db = reopen(&SimDisk::new(2));
    assert_eq!(db.approximate_len().unwrap(), 0);
    for number in 0..30_000u32 {
        db.insert_with(number.to_be_bytes(), b"", Durability::Buffered).unwrap();
        if number == 6_999 {
            assert_eq!(db.approximate_len().unwrap(), 7_000);
        }
    }
    let estimate = db.approximate_len().unwrap();
    assert!((25_000..35_000).contains(&estimate), "{estimate}");
}

#[test]
fn queues_hand_out_each_entry_once() {
    let db = reopen(&SimDisk::new(3));
    for name in ["b", "a", "c"] {
        db.insert(name, name).unwrap();
    }
    assert_eq!(db.pop_first().unwrap().unwrap().0, b"a");
    assert_eq!(db.pop_last().unwrap().unwrap().0, b"c");
    assert_eq!(db.pop_first().unwrap().unwrap().0, b"b");
    assert_eq!(db.pop_first().unwrap(), None);
}

#[test]
fn a_read_only_database_shows_everything_and_changes_nothing() {
    let directory = directory();
    let db = Db::open(directory.path()).unwrap();
    for number in 0..100u32 {
        db.insert(number.to_be_bytes(), b"value").unwrap();
    }
    db.checkpoint().unwrap();
    db.insert("last", b"in the log").unwrap();
    db.close().unwrap();
    let db = Db::open_read_only(directory.path()).unwrap();
    let keyspace = db.keyspace("default").unwrap();
    assert_eq!(db.snapshot().iter(&keyspace).count(), 101);
    assert_eq!(db.snapshot().get(&keyspace, "last").unwrap().unwrap(), b"in the log");
}

#[test]
fn transactions_move_money_without_losing_any() {
    let db = reopen(&SimDisk::new(4));
    for account in 0..10u8 {
        db.insert([account], 100u64.to_le_bytes()).unwrap();
    }
    let threads: Vec<_> = (0..4u64)
        .map(|thread| {
            let db = db.clone();
            std::thread::spawn(move || {
                for round in 0..50u64 {
                    let (from, to) = ((round * 7 + thread) % 10, (round * 3 + thread * 5) % 10);
                    db.transact(|tx| {
                        let read =
                            |value: crate::Value| u64::from_le_bytes(value[..].try_into().unwrap());
                        let one = read(tx.get(&db, [from as u8])?.unwrap());
                        if from != to && one > 0 {
                            let other = read(tx.get(&db, [to as u8])?.unwrap());
                            tx.insert(&db, [from as u8], (one - 1).to_le_bytes())?;
                            tx.insert(&db, [to as u8], (other + 1).to_le_bytes())?;
                        }
                        Ok(())
                    })
                    .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let sum: u64 = db
        .iter()
        .unwrap()
        .map(|entry| u64::from_le_bytes(entry.unwrap().1[..].try_into().unwrap()))
        .sum();
    assert_eq!(sum, 1000);
}

#[test]
fn who_writes_buffered_behind_a_synced_write_in_flight_sees_the_own_write() {
    let disk = SimDisk::new(1);
    let db = reopen(&disk);
    let write = |key: &str, durability| {
        let mut batch = Batch::new();
        batch.insert(&db, key, "value");
        db.write_with(batch, durability).unwrap()
    };
    // Nobody writes the log but who waits.
    let synced = write("a", Durability::Sync);
    assert!(!synced.is_done() && !db.contains_key("a").unwrap());
    db.insert_with("b", "value", Durability::Buffered).unwrap();
    assert!(db.contains_key("a").unwrap() && db.contains_key("b").unwrap());

    let synced = write("c", Durability::Sync);
    let mut buffered = write("d", Durability::Buffered);
    assert!(!buffered.is_done(), "it stands behind one that is not durable");
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut buffered).poll(&mut context).is_pending());
    synced.wait().unwrap();
    assert!(buffered.is_done());
    assert!(Pin::new(&mut buffered).poll(&mut context).is_ready());
    assert!(db.contains_key("d").unwrap());
    let _synced = write("e", Durability::Sync);
    write("f", Durability::Buffered).wait().unwrap();
    assert!(db.contains_key("f").unwrap());
    // With nothing in flight before it, it waits for nothing.
    let syncs = db.stats().unwrap().log.syncs;
    assert!(write("g", Durability::Buffered).is_done() && db.contains_key("g").unwrap());
    assert_eq!(db.stats().unwrap().log.syncs, syncs);
}
