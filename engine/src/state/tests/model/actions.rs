//! What can happen to a state.

use std::ops::Bound;

use proptest::prelude::*;

use super::KEYSPACES;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Insert(usize, Vec<u8>, u16),
    Remove(usize, Vec<u8>),
    RemoveRange(usize, Bound<Vec<u8>>, Bound<Vec<u8>>),
    Drop(usize),
    Create(u8),
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Write(Vec<Op>),
    Fill(usize, u8, u16),
    Show(u8),
    Snapshot,
    SnapshotAt(u8),
    Forget(usize),
    Get(usize, usize, Vec<u8>),
    GetNow(usize, Vec<u8>),
    Open(usize, usize, Bound<Vec<u8>>, Bound<Vec<u8>>),
    Read(usize, Vec<bool>),
    ReadAll(usize, bool),
    ChangedSince(usize, Bound<Vec<u8>>, Bound<Vec<u8>>, u8),
    Freeze,
    Begin,
    Step(u8),
    Finish,
    GiveUp,
    Truncate(u8),
    Reopen,
    Hash(usize),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(b'm'), Just(254), Just(255)];
    prop::collection::vec(byte, 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        3 => key().prop_map(Bound::Included),
        3 => key().prop_map(Bound::Excluded),
        1 => Just(Bound::Unbounded),
        1 => Just(Bound::Included(Vec::new())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let ks = 0..KEYSPACES.len();
    prop_oneof![
        12 => (ks.clone(), key(), any::<u16>()).prop_map(|(k, key, v)| Op::Insert(k, key, v)),
        5 => (ks.clone(), key()).prop_map(|(k, key)| Op::Remove(k, key)),
        3 => (ks.clone(), bound(), bound()).prop_map(|(k, l, u)| Op::RemoveRange(k, l, u)),
        1 => (1..3usize).prop_map(Op::Drop),
        1 => any::<u8>().prop_map(Op::Create),
    ]
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let ks = 0..KEYSPACES.len();
    prop_oneof![
        20 => prop::collection::vec(op(), 0..8).prop_map(Action::Write),
        2 => (ks.clone(), any::<u8>(), 1..600u16).prop_map(|(k, b, n)| Action::Fill(k, b, n)),
        12 => any::<u8>().prop_map(Action::Show),
        8 => Just(Action::Snapshot),
        3 => any::<u8>().prop_map(Action::SnapshotAt),
        4 => any::<usize>().prop_map(Action::Forget),
        10 => (any::<usize>(), ks.clone(), key()).prop_map(|(s, k, key)| Action::Get(s, k, key)),
        4 => (ks.clone(), key()).prop_map(|(k, key)| Action::GetNow(k, key)),
        10 => (any::<usize>(), ks.clone(), bound(), bound())
            .prop_map(|(s, k, l, u)| Action::Open(s, k, l, u)),
        16 => (any::<usize>(), prop::collection::vec(any::<bool>(), 1..24))
            .prop_map(|(r, sides)| Action::Read(r, sides)),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(r, back)| Action::ReadAll(r, back)),
        4 => (ks, bound(), bound(), any::<u8>())
            .prop_map(|(k, l, u, s)| Action::ChangedSince(k, l, u, s)),
        6 => Just(Action::Freeze),
        6 => Just(Action::Begin),
        20 => (1..40u8).prop_map(Action::Step),
        6 => Just(Action::Finish),
        1 => Just(Action::GiveUp),
        2 => any::<u8>().prop_map(Action::Truncate),
        1 => Just(Action::Reopen),
        2 => any::<usize>().prop_map(Action::Hash),
    ]
}
