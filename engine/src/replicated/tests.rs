//! One engine, or two by hand. Images are in `images`, the property over a whole cluster in
//! `cluster`.

mod cluster;
mod images;

use std::sync::Arc;

use mainstay_wal::disk::{SimDisk, Survivors};
use mainstay_wal::{Bound, DatabaseId, Epoch, Incarnation, LogId, Lsn};

use super::{Appended, ClusterId, ReplicaEngine};
use crate::engine::Identity;
use crate::{Batch, Engine, Error, KeyspaceId, KeyspaceRef, Options};

pub(super) const CLUSTER: ClusterId = ClusterId(77);

fn identity(seed: u64) -> Identity {
    let (database_id, incarnation) = (DatabaseId(seed.into()), Incarnation(seed));
    Identity { database_id, incarnation, salt_seed: seed }
}

fn options() -> Options {
    Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096).background(false)
}

fn open(disk: &SimDisk) -> ReplicaEngine {
    ReplicaEngine::open(Arc::new(disk.clone()), None, options(), identity(1), CLUSTER).unwrap()
}

fn primary(disk: &SimDisk, epoch: u64) -> ReplicaEngine {
    let replica = open(disk);
    replica.promise(Epoch(epoch), None).unwrap();
    replica.begin_epoch(Epoch(epoch)).unwrap();
    replica
}

fn default(replica: &ReplicaEngine) -> KeyspaceRef {
    replica.state().keyspace_ref(KeyspaceId::DEFAULT, "default")
}

fn insert(replica: &ReplicaEngine, key: &str, value: &str) -> LogId {
    let mut batch = Batch::new();
    batch.insert(&default(replica), key, value);
    match replica.append(&batch).unwrap() {
        Appended::At(id) => id,
        refused @ Appended::Refused { .. } => panic!("{refused:?}"),
    }
}

fn value(replica: &ReplicaEngine, key: &str) -> Option<String> {
    let value = replica.snapshot().get(&default(replica), key).unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

/// Ships everything that the follower lacks.
fn ship(from: &ReplicaEngine, to: &ReplicaEngine) {
    let previous = to.log().end();
    let mut reader = from.log().reader(previous.lsn.next(), Bound::Appended).unwrap();
    let mut previous = previous;
    while let Some(run) = reader.read_run().unwrap() {
        previous = to.append_frames(previous, run.frames()).unwrap();
    }
}

#[test]
fn nothing_is_visible_before_it_is_durable_and_committed() {
    let (one, two) = (primary(&SimDisk::new(1), 1), open(&SimDisk::new(2)));
    two.promise(Epoch(1), Some(1)).unwrap();
    let id = insert(&one, "ada", "1815");
    assert_eq!(value(&one, "ada"), None);
    assert_eq!(one.commit(id.lsn).unwrap(), Lsn::ZERO, "committed by others, and not durable here");
    assert_eq!(one.sync().unwrap(), id.lsn);
    assert_eq!(value(&one, "ada").as_deref(), Some("1815"));

    ship(&one, &two);
    assert_eq!(two.log().end_and_chain(), one.log().end_and_chain());
    assert_eq!(two.sync().unwrap(), Lsn::ZERO);
    assert_eq!(value(&two, "ada"), None);
    assert_eq!(two.commit(Lsn(99)).unwrap(), id.lsn);
    assert_eq!(value(&two, "ada").as_deref(), Some("1815"));
}

#[test]
fn preconditions_are_judged_against_what_is_appended_and_say_what_they_depend_on() {
    let one = primary(&SimDisk::new(1), 1);
    let id = insert(&one, "ada", "1815");
    let mut batch = Batch::new();
    batch.require_absent(&default(&one), "ada");
    match one.append(&batch).unwrap() {
        Appended::Refused { why: Error::PreconditionFailed { .. }, depends_on } => {
            assert_eq!(depends_on, id.lsn);
        }
        other => panic!("{other:?}"),
    }
    let (users, created) = one.create_keyspace("users").unwrap();
    assert_eq!(created.lsn, Lsn(2));
    let dropped = one.drop_keyspace("users").unwrap();
    assert_eq!(dropped.map(|id| id.lsn), Some(Lsn(3)));
    let mut batch = Batch::new();
    batch.insert(&users, "alan", "1912");
    match one.append(&batch).unwrap() {
        Appended::Refused { why: Error::NoSuchKeyspace { .. }, depends_on } => {
            assert_eq!(depends_on, Lsn(3));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(one.log().end().lsn, Lsn(3));
}

#[test]
fn a_primary_that_steps_down_takes_back_what_is_not_committed() {
    let (one, two) = (primary(&SimDisk::new(1), 1), open(&SimDisk::new(2)));
    let kept = insert(&one, "key", "kept");
    two.promise(Epoch(1), None).unwrap();
    ship(&one, &two);
    insert(&one, "key", "lost");
    insert(&one, "other", "lost");
    one.sync().unwrap();
    one.commit(kept.lsn).unwrap();

    two.promise(Epoch(2), Some(2)).unwrap();
    two.begin_epoch(Epoch(2)).unwrap();
    insert(&two, "other", "new");
    two.sync().unwrap();
    two.commit(Lsn(2)).unwrap();

    one.promise(Epoch(2), Some(2)).unwrap();
    one.step_down().unwrap();
    assert!(matches!(one.truncate(Lsn::ZERO), Err(Error::Log(_))), "committed records stay");
    let history = two.log().history();
    let own = one.log().history();
    let common = history.common_point(two.log().end().lsn, &own, one.log().end().lsn);
    assert_eq!(common, Some(kept.lsn));
    let dropped = one.truncate(kept.lsn).unwrap();
    assert_eq!((dropped.first_lsn, dropped.last.lsn), (Lsn(2), Lsn(3)));
    ship(&two, &one);
    one.sync().unwrap();
    one.commit(Lsn(2)).unwrap();
    assert_eq!(value(&one, "key").as_deref(), Some("kept"));
    assert_eq!(value(&one, "other").as_deref(), Some("new"));
    assert_eq!(
        one.snapshot().state_hash().unwrap(),
        two.snapshot().state_hash().unwrap(),
        "state hashes"
    );
}

#[test]
fn what_is_not_known_to_be_committed_waits_in_the_log_after_a_restart() {
    let disk = SimDisk::new(1);
    let one = primary(&disk, 3);
    insert(&one, "first", "1");
    one.sync().unwrap();
    one.commit(Lsn(1)).unwrap();
    insert(&one, "second", "2");
    one.sync().unwrap();
    assert_eq!(one.checkpoint().unwrap(), Lsn::ZERO, "the memtable ends past the commit LSN");
    let disk = disk.crash(Survivors::Nothing);
    let one = open(&disk);
    assert!(!one.is_primary());
    assert_eq!((one.log().end().lsn, one.visible_lsn()), (Lsn(2), Lsn(1)));
    assert_eq!(one.manifest().promised_epoch, Epoch(3));
    assert_eq!(value(&one, "second"), None);
    one.commit(Lsn(2)).unwrap();
    assert_eq!(value(&one, "second").as_deref(), Some("2"));
    assert_eq!(one.checkpoint().unwrap(), Lsn(2));
}

#[test]
fn promises_are_kept_across_restarts_and_never_go_back() {
    let disk = SimDisk::new(1);
    let one = open(&disk);
    one.promise(Epoch(4), None).unwrap();
    one.promise(Epoch(4), Some(2)).unwrap();
    one.promise(Epoch(4), Some(2)).unwrap();
    for (epoch, vote) in [(4, Some(3)), (4, None), (3, Some(2))] {
        let refused = one.promise(Epoch(epoch), vote).unwrap_err();
        assert!(matches!(refused, Error::Log(mainstay_wal::Error::StaleEpoch { .. })), "{refused}");
    }
    let one = open(&disk.crash(Survivors::Nothing));
    assert_eq!((one.manifest().promised_epoch, one.manifest().vote), (Epoch(4), Some(2)));
    assert!(one.begin_epoch(Epoch(3)).is_err());

    let two = primary(&SimDisk::new(2), 5);
    insert(&two, "key", "of an epoch that was not promised");
    let run = two.log().reader(Lsn(1), Bound::Appended).unwrap().read_run().unwrap().unwrap();
    let refused = one.append_frames(LogId::ZERO, run.frames()).unwrap_err();
    assert!(matches!(refused, Error::Log(mainstay_wal::Error::BadFrames { .. })), "{refused}");
    assert_eq!(one.log().end(), LogId::ZERO);
}

#[test]
fn a_directory_is_of_one_node_or_of_a_cluster_and_is_converted_on_request() {
    let disk = SimDisk::new(1);
    let shared = || Arc::new(disk.clone());
    let db = options().open_on(shared()).unwrap();
    db.insert("ada", "1815").unwrap();
    db.close().unwrap();
    let refused = ReplicaEngine::open(shared(), None, options(), identity(1), CLUSTER).unwrap_err();
    assert!(matches!(refused, Error::OtherCluster { .. }), "{refused}");

    ReplicaEngine::convert(shared(), None, options(), identity(1), CLUSTER).unwrap();
    let operations = disk.operations();
    let refused = Engine::open(shared(), None, options(), identity(1)).unwrap_err();
    assert!(matches!(refused, Error::Replicated { .. }), "{refused}");
    let other = ClusterId(78);
    let refused = ReplicaEngine::open(shared(), None, options(), identity(1), other).unwrap_err();
    assert!(matches!(refused, Error::OtherCluster { .. }), "{refused}");
    assert_eq!(disk.operations(), operations, "a refused opening changes nothing");
    let one = open(&disk);
    assert_eq!(value(&one, "ada").as_deref(), Some("1815"));
    assert_eq!(one.commit_lsn(), Lsn(1));
}

#[test]
fn a_checkpoint_lets_go_of_the_log_and_a_hold_keeps_it() {
    let one = primary(&SimDisk::new(1), 1);
    for number in 0..50 {
        insert(&one, &format!("key {number}"), &"x".repeat(300));
    }
    one.sync().unwrap();
    one.commit(Lsn::MAX).unwrap();
    let hold = one.log().hold(Lsn(1)).unwrap();
    assert_eq!(one.checkpoint().unwrap(), Lsn(50));
    assert_eq!(one.log().first_lsn(), Lsn(1));
    drop(hold);
    insert(&one, "one", "more");
    one.sync().unwrap();
    one.commit(Lsn::MAX).unwrap();
    assert_eq!(one.checkpoint().unwrap(), Lsn(51));
    assert!(one.log().first_lsn() > Lsn(20), "{}", one.log().first_lsn());
}

#[test]
fn a_crash_in_a_checkpoint_shows_nothing_past_what_is_known_to_be_committed() {
    for steps in 0..8 {
        let disk = SimDisk::new(1);
        let one = primary(&disk, 1);
        insert(&one, "zeroth", "0");
        one.sync().unwrap();
        one.commit(Lsn(1)).unwrap();
        one.checkpoint().unwrap();
        insert(&one, "first", "1");
        insert(&one, "second", "2");
        one.sync().unwrap();
        // No group of the log tells of this.
        one.commit(Lsn(3)).unwrap();
        one.state().freeze();
        for _ in 0..steps {
            one.checkpoint_step().unwrap();
        }
        // The Store may have everything by now.
        let one = open(&disk.crash(Survivors::Everything));
        let seen = (value(&one, "first"), value(&one, "second"));
        let expected = match one.visible_lsn() {
            Lsn(1) => (None, None),
            Lsn(3) => (Some("1".to_owned()), Some("2".to_owned())),
            other => panic!("visible up to {other} after {steps} steps"),
        };
        assert_eq!(seen, expected, "after {steps} steps");
    }
}
