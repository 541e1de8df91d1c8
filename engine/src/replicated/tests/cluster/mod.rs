//! Three nodes, played by hand: whatever is appended, shipped, committed, truncated, crashed and installed, in whatever
//! order, the same record is the same bytes everywhere, what is committed is never lost, and nobody sees anything else.
//!
//! The world does what a protocol would: it asks a majority for a promise, lets only a node be primary whose log is as
//! complete as theirs, finds the common point, and counts as committed what a majority has durable in the primary's
//! own epoch.

mod model;
mod world;

use mainstay_wal::disk::Survivors;
use proptest::prelude::*;

use world::World;

/// A change of a batch: keyspace, key, and what is done with it.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Insert(usize, u8, u16),
    Remove(usize, u8),
    RemoveRange(usize, u8, u8),
}

/// One thing that happens. Numbers pick among what is there.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// A majority promises a new epoch, and the node becomes primary if its log allows that.
    Elect(usize),
    /// A node promises a higher epoch, and nobody becomes primary.
    Promise(usize),
    Write(usize, Vec<Change>),
    CreateKeyspace(usize, usize),
    DropKeyspace(usize, usize),
    /// Writes one group of a log.
    WriteGroup(usize),
    Sync(usize),
    /// A node begins to follow a primary: by truncating its log, or by an image.
    Connect(usize, usize),
    /// Sends so many runs of frames to a follower.
    Ship(usize, usize),
    /// The primary counts what is durable.
    Commit(usize),
    /// A follower is told what is committed.
    Tell(usize),
    Checkpoint(usize),
    CheckpointStep(usize),
    /// Sends so many chunks of an image.
    Chunks(usize, usize),
    Crash(usize, Survivors),
    /// The power goes so many operations later.
    CrashIn(usize, u64, Survivors),
    Close(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let keyspace = 0..4usize;
    prop_oneof![
        8 => (keyspace.clone(), any::<u8>(), 0..900u16)
            .prop_map(|(keyspace, key, bytes)| Change::Insert(keyspace, key % 24, bytes)),
        2 => (keyspace.clone(), any::<u8>()).prop_map(|(keyspace, key)| Change::Remove(keyspace, key % 24)),
        1 => (keyspace, any::<u8>(), any::<u8>())
            .prop_map(|(keyspace, from, to)| Change::RemoveRange(keyspace, from % 24, to % 24)),
    ]
}

fn survivors() -> impl Strategy<Value = Survivors> {
    (0..4usize, any::<u64>()).prop_map(|(policy, seed)| Survivors::all(seed)[policy])
}

fn action() -> impl Strategy<Value = Action> {
    let node = 0..3usize;
    prop_oneof![
        6 => node.clone().prop_map(Action::Elect),
        1 => node.clone().prop_map(Action::Promise),
        24 => (node.clone(), prop::collection::vec(change(), 0..6))
            .prop_map(|(node, changes)| Action::Write(node, changes)),
        1 => (node.clone(), 1..4usize).prop_map(|(node, name)| Action::CreateKeyspace(node, name)),
        1 => (node.clone(), 1..4usize).prop_map(|(node, name)| Action::DropKeyspace(node, name)),
        8 => node.clone().prop_map(Action::WriteGroup),
        8 => node.clone().prop_map(Action::Sync),
        12 => (node.clone(), node.clone()).prop_map(|(node, to)| Action::Connect(node, to)),
        16 => (node.clone(), 1..5usize).prop_map(|(node, runs)| Action::Ship(node, runs)),
        12 => node.clone().prop_map(Action::Commit),
        8 => node.clone().prop_map(Action::Tell),
        4 => node.clone().prop_map(Action::Checkpoint),
        4 => node.clone().prop_map(Action::CheckpointStep),
        10 => (node.clone(), 1..5usize).prop_map(|(node, chunks)| Action::Chunks(node, chunks)),
        3 => (node.clone(), survivors()).prop_map(|(node, left)| Action::Crash(node, left)),
        3 => (node.clone(), 1..30u64, survivors())
            .prop_map(|(node, later, left)| Action::CrashIn(node, later, left)),
        1 => node.prop_map(Action::Close),
    ]
}

/// Writes enough for segments to be let go of, in a majority that works.
fn busy(primary: usize, follower: usize) -> Vec<Action> {
    let mut actions = vec![Action::Elect(primary), Action::Connect(follower, primary)];
    for key in 0..12 {
        actions.push(Action::Write(primary, vec![Change::Insert(0, key, 700)]));
    }
    actions.extend([Action::Ship(follower, 100), Action::Sync(primary), Action::Sync(follower)]);
    actions.extend([Action::Commit(primary), Action::Tell(follower)]);
    actions.extend([Action::Checkpoint(primary), Action::Checkpoint(follower)]);
    actions
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let one = prop_oneof![
        40 => action().prop_map(|action| vec![action]),
        1 => (0..3usize, 1..3usize).prop_map(|(one, next)| busy(one, (one + next) % 3)),
    ];
    prop::collection::vec(one, 1..160).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn three_nodes_never_disagree_and_lose_nothing_that_was_committed(actions in actions()) {
        let mut world = World::new();
        for action in actions {
            world.act(&action);
            world.check();
        }
        world.heal();
    }
}

/// What the property relies on happening is seen to happen.
#[test]
fn away_and_back_goes_by_log_and_by_image() {
    let mut world = World::new();
    let play = |world: &mut World, actions: &[Action]| {
        for action in actions {
            world.act(action);
            world.check();
        }
    };
    play(&mut world, &busy(0, 1));
    assert_eq!(world.committed(), 13);
    // Node 2 was away: the log of the others begins behind what it has.
    play(&mut world, &[Action::Connect(2, 0), Action::Chunks(2, 100)]);
    assert_eq!((world.images(), world.truncations()), (1, 0));
    // Node 0 goes another way than the other two.
    play(&mut world, &[Action::Connect(1, 0), Action::Write(0, vec![Change::Insert(0, 1, 5)])]);
    play(&mut world, &[Action::Sync(0), Action::Elect(1), Action::Connect(2, 1)]);
    play(&mut world, &[Action::Ship(2, 9), Action::Sync(1), Action::Sync(2), Action::Commit(1)]);
    assert_eq!(world.committed(), 14);
    play(&mut world, &[Action::Connect(0, 1)]);
    assert_eq!((world.images(), world.truncations()), (1, 1));
    world.heal();
}
