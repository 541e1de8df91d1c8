//! What the database must hold, worked out on a map.

use std::collections::BTreeMap;

use super::workload::{Edit, Op, Side, Workload};
use crate::escape::escape;

/// The contents of one writer: keyspace and key to value.
pub type State = BTreeMap<(Side, Vec<u8>), Vec<u8>>;

/// Executes a workload on a map.
#[derive(Clone, Debug)]
pub struct Witness {
    workload: Workload,
    state: State,
    next: u64,
}

impl Witness {
    /// Before the first operation.
    #[must_use]
    pub fn new(workload: Workload) -> Witness {
        Witness { workload, state: State::new(), next: 0 }
    }

    /// How many operations were executed: the index of the next one.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What the database must hold now.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Executes operations until `count` have been in all.
    pub fn advance_to(&mut self, count: u64) {
        while self.next < count {
            let op = self.workload.op(self.next);
            apply(&mut self.state, op);
            self.next += 1;
        }
    }

    /// Finds where the database stands after a crash: behind every operation that was acknowledged
    /// (`acked` of them in all) and at most `in_flight` more, with each operation wholly there
    /// or not at all. Goes there. The error says what differs from what was acknowledged.
    pub fn settle(&mut self, found: &State, acked: u64, in_flight: u64) -> Result<(), String> {
        self.advance_to(acked);
        let mut candidate = self.clone();
        for more in 0..=in_flight {
            candidate.advance_to(acked.max(self.next) + more);
            if candidate.state == *found {
                *self = candidate;
                return Ok(());
            }
        }
        Err(format!(
            "writer {}: {acked} operations were acknowledged; the contents are neither those nor with up to \
             {in_flight} operations more: {}",
            self.workload.writer,
            difference(&self.state, found)
        ))
    }
}

fn apply(state: &mut State, op: Op) {
    match op {
        Op::Insert(key, value) => {
            state.insert((Side::Left, key), value);
        }
        Op::Remove(key) => {
            state.remove(&(Side::Left, key));
        }
        Op::Batch(edits) => edits.into_iter().for_each(|edit| apply_edit(state, edit)),
        Op::Move { from, to, amount } => {
            let counter = |state: &State, side, key: &[u8]| -> i64 {
                let value = state.get(&(side, key.to_vec()));
                value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
            };
            let less = counter(state, Side::Left, &from) - amount;
            let more = counter(state, Side::Right, &to) + amount;
            state.insert((Side::Left, from), less.to_string().into_bytes());
            state.insert((Side::Right, to), more.to_string().into_bytes());
        }
        Op::Checkpoint | Op::Backup => {}
    }
}

fn apply_edit(state: &mut State, edit: Edit) {
    match edit {
        Edit::Insert(side, key, value) => {
            state.insert((side, key), value);
        }
        Edit::Remove(side, key) => {
            state.remove(&(side, key));
        }
        Edit::RemoveRange(side, from, to) => {
            let range = (side, from)..(side, to);
            let keys: Vec<_> = state.range(range).map(|(key, _)| key.clone()).collect();
            for key in keys {
                state.remove(&key);
            }
        }
    }
}

/// The first few keys in which two states differ, in words.
fn difference(expected: &State, found: &State) -> String {
    let show = |value: Option<&Vec<u8>>| match value {
        None => "nothing".to_owned(),
        Some(value) => escape(&value[..value.len().min(40)]),
    };
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing: Vec<_> =
        keys.into_iter().filter(|key| expected.get(key) != found.get(key)).collect();
    let mut text = format!("{} keys differ", differing.len());
    for key in differing.iter().take(4) {
        let (side, name) = key;
        text.push_str(&format!(
            "; {} {}: expected {}, found {}",
            side.name(),
            escape(name),
            show(expected.get(key)),
            show(found.get(key))
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::Mix;

    fn witness() -> Witness {
        Witness::new(Workload { seed: 3, writer: 0, mix: Mix::Batch })
    }

    #[test]
    fn the_state_after_what_was_acknowledged_or_a_little_more_is_right() {
        for there in 10..=12 {
            let mut truth = witness();
            truth.advance_to(there);
            let mut found = witness();
            assert_eq!(found.settle(truth.state(), 10, 2), Ok(()));
            assert_eq!(found.state(), truth.state());
            assert!((10..=there).contains(&found.next()));
        }
    }

    #[test]
    fn a_lost_an_invented_and_a_halved_operation_are_found() {
        for there in [9, 13] {
            let mut truth = witness();
            truth.advance_to(there);
            assert!(witness().settle(truth.state(), 10, 2).is_err(), "{there}");
        }
        let mut truth = witness();
        truth.advance_to(10);
        let mut halved = truth.state().clone();
        let last = halved.keys().next_back().cloned().unwrap();
        halved.remove(&last);
        let message = witness().settle(&halved, 10, 2).unwrap_err();
        assert!(message.contains("1 keys differ"), "{message}");
    }
}
