//! Images that are sent, refused and installed.

use std::sync::Arc;

use mainstay_wal::disk::{Disk, Fault, SimDisk, Survivors};
use mainstay_wal::{Epoch, LogId, Lsn};

use super::{CLUSTER, default, identity, insert, open, options, primary, ship, value};
use crate::replicated::{ClusterId, ImageBuilder, ReplicaEngine};
use crate::{Batch, Error};

fn chunks(replica: &ReplicaEngine) -> Vec<Vec<u8>> {
    let mut stream = replica.image_stream().unwrap();
    std::iter::from_fn(|| stream.next_chunk().unwrap()).collect()
}

fn build(replica: &ReplicaEngine, chunks: &[Vec<u8>]) -> crate::Result<ImageBuilder> {
    let mut image = replica.begin_install()?;
    for chunk in chunks {
        image.take(chunk)?;
    }
    Ok(image)
}

fn hash(replica: &ReplicaEngine) -> u64 {
    replica.snapshot().state_hash().unwrap()
}

/// A primary with entries in the Store and in the log, all committed.
fn with_entries(seed: u64) -> ReplicaEngine {
    let one = primary(&SimDisk::new(seed), 1);
    one.create_keyspace("users").unwrap();
    for number in 0..50 {
        insert(&one, &format!("key {number}"), &"x".repeat(number * 10));
    }
    one.sync().unwrap();
    one.commit(Lsn::MAX).unwrap();
    one.checkpoint().unwrap();
    insert(&one, "key 7", "overwritten");
    one.sync().unwrap();
    one.commit(Lsn::MAX).unwrap();
    one
}

#[test]
fn an_image_is_consistent_though_writes_and_checkpoints_go_on_under_it() {
    let one = with_entries(1);
    let (users, _) = one.create_keyspace("users").unwrap();
    let mut stream = one.image_stream().unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next_chunk().unwrap() {
        chunks.push(chunk);
        if chunks.len() > 3 {
            continue;
        }
        let mut batch = Batch::new();
        batch.remove_prefix(&default(&one), "key 1");
        batch.insert(&users, format!("user {}", chunks.len()), "value");
        one.append(&batch).unwrap();
        one.sync().unwrap();
        one.commit(Lsn::MAX).unwrap();
        one.checkpoint().unwrap();
    }
    insert(&one, "not", "committed");
    let disk = SimDisk::new(2);
    let mut two = open(&disk);
    two.promise(Epoch(1), None).unwrap();
    let (before, old_default) = (two.snapshot(), default(&two));
    let image = build(&two, &chunks).unwrap();
    assert!(matches!(two.begin_install(), Err(Error::Busy { .. })), "one image at a time");
    let end = two.install(image).unwrap();
    assert_eq!(before.get(&old_default, "key 7").unwrap(), None);
    assert_eq!(value(&two, "key 7").as_deref(), Some("overwritten"));
    assert!(end.lsn.0 >= 53, "{end}");
    assert_eq!(two.visible_lsn(), end.lsn);
    assert_eq!(two.log().end_and_chain(), one.log().locate(end.lsn).unwrap());
    ship(&one, &two);
    for replica in [&one, &two] {
        replica.sync().unwrap();
        replica.commit(Lsn::MAX).unwrap();
    }
    assert_eq!(hash(&one), hash(&two));
    drop(before);
    let names = |disk: &SimDisk| -> Vec<String> {
        let names = disk.list("").unwrap();
        names.into_iter().filter(|name| name.starts_with("store-")).collect()
    };
    assert_eq!(names(&disk), ["store-1", "store-2"], "a snapshot still read the old one");
    let disk = disk.crash(Survivors::Nothing);
    let two = open(&disk);
    assert_eq!(names(&disk), ["store-2"]);
    assert_eq!(two.log().end_and_chain(), one.log().end_and_chain());
    two.commit(Lsn::MAX).unwrap();
    assert_eq!(hash(&one), hash(&two));
}

#[test]
fn a_damaged_or_mixed_up_image_is_refused_and_the_node_stays_as_it_was() {
    let one = with_entries(1);
    let chunks = chunks(&one);
    assert!(chunks.len() >= 4, "{} chunks", chunks.len());
    let mut two = open(&SimDisk::new(2));
    let refuse = |chunks: &[Vec<u8>]| match build(&two, chunks) {
        Err(Error::Backup { .. }) => {}
        other => panic!("{other:?}"),
    };
    for at in 0..chunks.len() {
        let mut flipped = chunks.clone();
        let bit = at * 7919 % (flipped[at].len() * 8);
        flipped[at][bit / 8] ^= 1 << (bit % 8);
        refuse(&flipped);
        let mut without = chunks.clone();
        without.remove(at);
        if at + 1 < chunks.len() {
            refuse(&without);
        }
        let mut cut = chunks.clone();
        cut[at].pop();
        refuse(&cut);
        let mut twice = chunks.clone();
        twice.insert(at, chunks[at].clone());
        refuse(&twice);
    }
    let other =
        ReplicaEngine::open(Arc::new(SimDisk::new(3)), None, options(), identity(3), ClusterId(78));
    assert!(matches!(build(&other.unwrap(), &chunks), Err(Error::Backup { .. })), "other cluster");

    let image = build(&two, &chunks[..chunks.len() - 1]).unwrap();
    assert!(!image.is_complete());
    assert!(matches!(two.install(image), Err(Error::Backup { .. })), "incomplete");
    let image = build(&two, &chunks).unwrap();
    assert!(matches!(two.install(image), Err(Error::Backup { .. })), "an epoch not promised");
    assert_eq!((two.log().end(), two.visible_lsn()), (LogId::ZERO, Lsn::ZERO));
    two.promise(Epoch(1), None).unwrap();
    let image = build(&two, &chunks).unwrap();
    two.install(image).unwrap();
    let again = build(&two, &chunks).unwrap();
    two.install(again).unwrap();
    assert_eq!(hash(&one), hash(&two));
}

/// A follower whose log went another way, behind what is committed.
fn diverged(disk: &SimDisk) -> ReplicaEngine {
    let two = primary(disk, 1);
    insert(&two, "old", "committed");
    two.sync().unwrap();
    two.commit(Lsn(1)).unwrap();
    two.checkpoint().unwrap();
    for number in 0..100 {
        insert(&two, &format!("lost {number}"), "never committed");
    }
    two.sync().unwrap();
    two.promise(Epoch(2), None).unwrap();
    two.step_down().unwrap();
    two
}

/// After a crash: the node is as it was, or it is the image.
fn check_crash(disk: &SimDisk, old: u64, new: u64, end: LogId, context: &str) -> bool {
    let two = open(disk);
    let found = hash(&two);
    let installed = two.log().first_lsn() > Lsn(1);
    if installed {
        assert_eq!((found, two.visible_lsn()), (new, end.lsn), "{context}");
        assert_eq!(two.log().end(), end, "{context}");
        assert_eq!(two.log().first_lsn(), end.lsn.next(), "{context}");
    } else {
        assert_eq!((found, two.visible_lsn()), (old, Lsn(1)), "{context}");
        assert_eq!(two.log().end(), LogId { epoch: Epoch(1), lsn: Lsn(101) }, "{context}");
    }
    let stores = disk.list("").unwrap().into_iter().filter(|name| name.starts_with("store-"));
    assert_eq!(stores.count(), 1, "{context}");
    // The node goes on.
    two.promise(Epoch(3), None).unwrap();
    two.begin_epoch(Epoch(3)).unwrap();
    insert(&two, "next", "record");
    two.sync().unwrap();
    two.commit(Lsn::MAX).unwrap();
    assert_eq!(value(&two, "next").as_deref(), Some("record"), "{context}");
    installed
}

#[test]
fn a_crash_anywhere_in_an_installation_leaves_the_old_state_or_the_new_one() {
    let one = with_entries(1);
    let chunks = chunks(&one);
    let end = one.log().end();
    let disk = SimDisk::new(2);
    let old = hash(&diverged(&disk));
    let disk = disk.crash(Survivors::Nothing);
    let install = |disk: &SimDisk| -> crate::Result<()> {
        let shared = Arc::new(disk.clone());
        let mut two = ReplicaEngine::open(shared, None, options(), identity(1), CLUSTER)?;
        let image = build(&two, &chunks)?;
        two.install(image)?;
        Ok(())
    };
    let whole = disk.fork();
    install(&whole).unwrap();
    let (mut before, mut after) = (0, 0);
    for at in 1..=whole.operations() {
        for survivors in Survivors::all(at) {
            let cut = disk.fork();
            cut.crash_at(at);
            // The crash may come when everything is closed, after all is done.
            drop(install(&cut));
            let context = format!("crash at operation {at}, {survivors:?}");
            let found = cut.crash(survivors);
            // And again while it recovers from that.
            let again = found.fork();
            again.crash_at(1 + at % 12);
            drop(ReplicaEngine::open(
                Arc::new(again.clone()),
                None,
                options(),
                identity(1),
                CLUSTER,
            ));
            let twice = again.crash(survivors);
            let installed = check_crash(&found, old, hash(&one), end, &context);
            let context = format!("{context}, twice");
            assert_eq!(check_crash(&twice, old, hash(&one), end, &context), installed, "{context}");
            *if installed { &mut after } else { &mut before } += 1;
        }
    }
    assert!(before > 50 && after > 20, "{before} with the old state, {after} with the new one");
}

#[test]
fn a_disk_that_fails_in_an_installation_leaves_the_old_state_or_the_new_one() {
    let one = with_entries(1);
    let chunks = chunks(&one);
    let end = one.log().end();
    let disk = SimDisk::new(2);
    let old = hash(&diverged(&disk));
    let disk = disk.crash(Survivors::Nothing);
    let whole = disk.fork();
    let mut two = open(&whole);
    let opened = whole.operations();
    let image = build(&two, &chunks).unwrap();
    two.install(image).unwrap();
    let all = whole.operations();
    drop(two);
    for at in opened + 1..=all {
        let failing = disk.fork();
        let mut two = open(&failing);
        failing.fail(Fault::at_operation(at));
        let installed = build(&two, &chunks).and_then(|image| two.install(image));
        if installed.is_err() {
            let refused = two.engine.check().is_err() || two.log().refusal().is_some();
            assert!(refused || hash(&two) == old, "operation {at}: {installed:?}");
        }
        drop(two);
        let context = format!("failure of operation {at}: {installed:?}");
        let is_new =
            check_crash(&failing.crash(Survivors::Nothing), old, hash(&one), end, &context);
        assert!(is_new || installed.is_err(), "{context}");
    }
}
