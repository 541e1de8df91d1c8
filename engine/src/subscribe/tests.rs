use std::sync::Arc;
use std::time::Duration;

use mainstay_wal::disk::{Fault, SimDisk, Survivors};
use mainstay_wal::{Epoch, Lsn};

use super::{Change, ChangeOp};
use crate::keyspace::{AsKeyspace, KeyspaceId};
use crate::{Batch, Db, Durability, Error, Options};

const LONG: Duration = Duration::from_secs(60);

fn open(disk: &SimDisk, background: bool) -> Db {
    let options = Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096);
    options.background(background).open_on(Arc::new(disk.clone())).unwrap()
}

fn insert(keyspace: KeyspaceId, key: &str, value: &str) -> ChangeOp {
    ChangeOp::Insert { keyspace, key: key.into(), value: value.into() }
}

fn closed(error: &Error) -> bool {
    matches!(error, Error::Log(mainstay_wal::Error::Closed))
}

#[test]
fn every_write_comes_once_in_order_with_its_changes() {
    let db = open(&SimDisk::new(1), false);
    let users = db.keyspace("users").unwrap();
    let id = users.as_keyspace().id();
    let mut batch = Batch::new();
    batch.insert(&users, "ada", b"1815").remove(&db, "x").remove_prefix(&users, "al");
    db.write(batch).unwrap().wait().unwrap();
    db.drop_keyspace("users").unwrap();

    let mut feed = db.subscribe(Lsn::ZERO).unwrap();
    let created = feed.try_next().unwrap().unwrap();
    assert_eq!((created.lsn, created.epoch), (Lsn(1), Epoch::FIRST));
    assert_eq!(created.ops, [ChangeOp::CreateKeyspace { keyspace: id, name: "users".to_owned() }]);
    let ops = feed.try_next().unwrap().unwrap().ops;
    assert_eq!(ops[0], insert(id, "ada", "1815"));
    assert_eq!(ops[1], ChangeOp::Remove { keyspace: KeyspaceId::DEFAULT, key: "x".into() });
    assert!(matches!(&ops[2], ChangeOp::RemoveRange { keyspace, .. } if *keyspace == id));
    let dropped = feed.try_next().unwrap().unwrap();
    assert_eq!(dropped.ops, [ChangeOp::DropKeyspace { keyspace: id }]);
    assert_eq!(feed.try_next().unwrap(), None);
    assert_eq!(feed.next_lsn(), Lsn(4));
    db.insert("late", b"").unwrap();
    assert_eq!(feed.try_next().unwrap().unwrap().lsn, Lsn(4));
}

#[test]
fn a_filter_leaves_what_it_names_and_still_moves_on() {
    let db = open(&SimDisk::new(2), false);
    let users = db.keyspace("users").unwrap();
    let other = db.keyspace("other").unwrap();
    let (users_id, other_id) = (users.as_keyspace().id(), other.as_keyspace().id());
    let start = db.visible_lsn();
    let mut batch = Batch::new();
    batch.insert(&users, "alan", b"1").insert(&users, "ben", b"2").insert(&db, "alan", b"3");
    db.write(batch).unwrap().wait().unwrap();
    db.insert("nothing", b"of it").unwrap();
    users.remove_range("a".."am").unwrap();
    users.remove_range("b"..).unwrap();
    other.insert("z", b"4").unwrap();

    let feed = db.subscribe(start).unwrap().prefix(&users, "al").keyspace(&other);
    let changes: Vec<Change> = {
        let mut feed = feed;
        let found = std::iter::from_fn(|| feed.try_next().unwrap()).collect();
        assert_eq!(feed.next_lsn(), db.visible_lsn().next());
        found
    };
    let lsns: Vec<u64> = changes.iter().map(|change| change.lsn.0 - start.0).collect();
    assert_eq!(lsns, [1, 3, 5]);
    assert_eq!(changes[0].ops, [insert(users_id, "alan", "1")]);
    assert!(matches!(changes[1].ops[..], [ChangeOp::RemoveRange { .. }]));
    assert_eq!(changes[2].ops, [insert(other_id, "z", "4")]);

    let stranger = open(&SimDisk::new(3), false);
    let mut refused = db.subscribe(start).unwrap().keyspace(&stranger);
    let error = refused.try_next().unwrap_err();
    assert!(matches!(error, Error::NoSuchKeyspace { .. }), "{error}");
}

#[test]
fn a_buffered_write_is_given_out_only_once_a_crash_cannot_take_it_back() {
    let disk = SimDisk::new(4);
    let db = open(&disk, false);
    let mut feed = db.subscribe(Lsn::ZERO).unwrap();
    db.insert_with("a", b"1", Durability::Buffered).unwrap();
    assert_eq!(db.visible_lsn(), Lsn(1));
    assert_eq!(feed.try_next().unwrap(), None, "it is not durable");
    let lost = open(&disk.crash(Survivors::Nothing), false);
    assert_eq!(lost.get("a").unwrap(), None, "and indeed a crash takes it back");
    db.sync().unwrap();
    assert_eq!(feed.try_next().unwrap().unwrap().lsn, Lsn(1));
}

#[test]
fn a_truncated_log_is_said_and_a_hold_prevents_it() {
    let db = open(&SimDisk::new(5), false);
    let mut without = db.subscribe(Lsn::ZERO).unwrap();
    let held = db.subscribe(Lsn::ZERO).unwrap().hold().unwrap();
    let write = |count: u32| {
        for number in 0..count {
            db.insert_with(number.to_be_bytes(), [1; 200], Durability::Buffered).unwrap();
        }
        db.checkpoint().unwrap();
    };
    write(300);
    assert_eq!(db.inner().engine.log.first_lsn(), Lsn(1), "the hold keeps it");
    let mut held = held;
    for lsn in 1..=250 {
        assert_eq!(held.try_next().unwrap().unwrap().lsn, Lsn(lsn));
    }
    write(300);
    let first = db.inner().engine.log.first_lsn();
    assert!(first > Lsn(1) && first <= Lsn(251), "{first}");
    assert_eq!(held.try_next().unwrap().unwrap().lsn, Lsn(251));
    drop(held);
    write(1);
    let is_truncated =
        |error: &Error| matches!(error, Error::Log(mainstay_wal::Error::LogTruncated { .. }));
    assert!(is_truncated(&without.try_next().unwrap_err()));
    assert!(is_truncated(&db.subscribe(Lsn::ZERO).unwrap_err()));
    let last = without.next();
    assert!(last.is_some_and(|last| is_truncated(&last.unwrap_err())));
    assert!(without.next().is_none());
    let snapshot = db.snapshot();
    let mut feed = db.subscribe(snapshot.lsn()).unwrap();
    db.insert("next", b"").unwrap();
    assert_eq!(feed.try_next().unwrap().unwrap().lsn, snapshot.lsn().next());
}

#[test]
fn waiting_subscribers_get_everything_from_threads_that_write() {
    const THREADS: u64 = 3;
    const WRITES: u64 = 300;
    let db = open(&SimDisk::new(6), true);
    let feeds: Vec<_> = (0..2)
        .map(|_| {
            let feed = db.subscribe(Lsn::ZERO).unwrap().hold().unwrap();
            std::thread::spawn(move || feed.map(|change| change.unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let writers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let db = db.clone();
            std::thread::spawn(move || {
                for number in 0..WRITES {
                    let durability =
                        if number % 3 == 0 { Durability::Buffered } else { Durability::Sync };
                    let key = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    db.insert_with(key, [9; 50], durability).unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    db.close().unwrap();
    for feed in feeds {
        let changes = feed.join().unwrap();
        let lsns: Vec<u64> = changes.iter().map(|change| change.lsn.0).collect();
        assert_eq!(lsns, (1..=THREADS * WRITES).collect::<Vec<_>>());
    }
}

#[test]
fn each_write_wakes_who_waits_for_it() {
    let db = open(&SimDisk::new(7), true);
    let (send, receive) = std::sync::mpsc::channel();
    let mut feed = db.subscribe(Lsn::ZERO).unwrap();
    let follower = std::thread::spawn(move || {
        while let Ok(Some(change)) = feed.next_timeout(LONG) {
            send.send(change.lsn).unwrap();
        }
    });
    for lsn in 1..=500 {
        db.insert("key", [0]).unwrap();
        // Without a wake-up this would wait for a second each time.
        assert_eq!(receive.recv_timeout(LONG).unwrap(), Lsn(lsn));
    }
    db.close().unwrap();
    follower.join().unwrap();
}

#[test]
fn a_closed_or_dropped_database_ends_it_after_the_last_write() {
    let disk = SimDisk::new(8);
    for by_drop in [false, true] {
        let db = open(&disk, false);
        let mut feed = db.subscribe(db.visible_lsn()).unwrap();
        assert_eq!(feed.next_timeout(Duration::ZERO).unwrap(), None);
        db.insert_with("a", b"1", Durability::Buffered).unwrap();
        if by_drop {
            drop(db);
        } else {
            db.close().unwrap();
        }
        assert!(feed.next_timeout(LONG).unwrap().is_some());
        assert!(closed(&feed.next_timeout(LONG).unwrap_err()));
        assert!(closed(&feed.try_next().unwrap_err()));
        assert!(feed.next().is_none());
        // The directory is free although the subscription is still there.
        open(&disk, false).close().unwrap();
    }
}

#[test]
fn a_failed_disk_is_told_after_everything_durable() {
    let disk = SimDisk::new(9);
    let db = open(&disk, false);
    let mut feed = db.subscribe(Lsn::ZERO).unwrap();
    db.insert("kept", b"1").unwrap();
    disk.fail(Fault::at_operation(disk.operations() + 1).for_good());
    db.insert("unknown", b"2").unwrap_err();
    assert_eq!(feed.next_timeout(LONG).unwrap().unwrap().lsn, Lsn(1));
    let error = feed.next_timeout(LONG).unwrap_err();
    assert!(matches!(error, Error::Log(mainstay_wal::Error::Poisoned { .. })), "{error}");
}
