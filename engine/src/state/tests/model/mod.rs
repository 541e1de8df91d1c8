//! Random work on a state and on plain maps, one for each LSN: whatever a snapshot gives out must
//! be in the map of its LSN, whatever was written, frozen, moved into the Store, given up or
//! replayed meanwhile.

mod actions;
mod world;

use proptest::prelude::*;

use crate::keyspace::KeyspaceId;
use actions::{Action, action};
use world::World;

/// The keyspaces of the test, which numbers them by their places here.
const KEYSPACES: [KeyspaceId; 4] =
    [KeyspaceId::DEFAULT, KeyspaceId(16), KeyspaceId(17), KeyspaceId::SESSIONS];

fn run(actions: &[Action], snapshot_bytes: usize) -> usize {
    let mut world = World::new(snapshot_bytes);
    for action in actions {
        world.act(action);
    }
    world.check_all();
    world.expired
}

/// More with the environment variable `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(1500), max_shrink_iters: 50_000, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn snapshots_show_exactly_what_there_was(actions in prop::collection::vec(action(), 1..120)) {
        run(&actions, usize::MAX);
    }

    #[test]
    fn a_snapshot_that_is_given_up_says_so(
        actions in prop::collection::vec(action(), 1..120),
        snapshot_bytes in 0..4096usize,
    ) {
        run(&actions, snapshot_bytes);
    }
}
