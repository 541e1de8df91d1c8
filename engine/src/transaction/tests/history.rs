//! A checker of histories that knows nothing of how transactions work.
//!
//! It draws the graph of who must come before whom: a writer before the next writer of the same
//! key, a writer before whoever read what it wrote, a reader before whoever overwrote what it read.
//! Reading a range reads every key in it, absent ones too. The history can be put in a row if and
//! only if the graph has no cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A key; keys are numbers here.
pub(super) type Number = u64;
/// A transaction of a history: its place in the list.
pub(super) type Id = usize;

/// A range with what was found in it.
pub(super) type Scan = (Range<Number>, Vec<(Number, u64)>);

/// What one committed transaction did. Every value is written once in a history, and names its
/// writer.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// Where its writes stand in the order of all; also for those that only read, for whom it is
    /// of no matter.
    pub(super) position: u64,
    /// Everything up to here was seen.
    pub(super) snapshot: u64,
    /// Keys with the values found.
    pub(super) gets: Vec<(Number, Option<u64>)>,
    /// Ranges with what was found in them.
    pub(super) scans: Vec<Scan>,
    /// Values, or removals.
    pub(super) writes: BTreeMap<Number, Option<u64>>,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Somebody read what was not there at its snapshot.
    WrongRead { reader: Id, key: Number },
    /// These cannot be put in a row: each comes before the next, and the last before the first.
    Cycle(Vec<Id>),
}

/// Checks a history.
pub(super) fn check(history: &[Done]) -> Result<(), Fault> {
    let mut versions: BTreeMap<Number, Vec<Id>> = BTreeMap::new();
    for (id, done) in history.iter().enumerate() {
        done.writes.keys().for_each(|key| versions.entry(*key).or_default().push(id));
    }
    versions.values_mut().for_each(|ids| ids.sort_by_key(|id| history[*id].position));
    let mut edges: Vec<BTreeSet<Id>> = vec![BTreeSet::new(); history.len()];
    for ids in versions.values() {
        ids.windows(2).for_each(|pair| edges[pair[0]].extend([pair[1]]));
    }
    for (reader, done) in history.iter().enumerate() {
        for (key, value) in reads_of(done, &versions) {
            let none = Vec::new();
            let ids = versions.get(&key).unwrap_or(&none);
            let seen = ids.partition_point(|id| history[*id].position <= done.snapshot);
            let writer = seen.checked_sub(1).map(|last| ids[last]);
            if writer.and_then(|id| history[id].writes[&key]) != value {
                return Err(Fault::WrongRead { reader, key });
            }
            edges[writer.unwrap_or(reader)].insert(reader);
            edges[reader].extend(ids.get(seen));
        }
    }
    edges.iter_mut().enumerate().for_each(|(id, others)| others.retain(|other| *other != id));
    find_cycle(&edges).map_or(Ok(()), |cycle| Err(Fault::Cycle(cycle)))
}

fn reads_of(done: &Done, versions: &BTreeMap<Number, Vec<Id>>) -> Vec<(Number, Option<u64>)> {
    let mut reads = done.gets.clone();
    for (range, found) in &done.scans {
        let found: BTreeMap<_, _> = found.iter().copied().collect();
        let known = versions.range(range.clone()).map(|(key, _)| *key);
        let keys: BTreeSet<_> = known.chain(found.keys().copied()).collect();
        reads.extend(keys.into_iter().map(|key| (key, found.get(&key).copied())));
    }
    reads
}

fn find_cycle(edges: &[BTreeSet<Id>]) -> Option<Vec<Id>> {
    #[derive(Copy, Clone, PartialEq)]
    enum Mark {
        New,
        Open,
        Closed,
    }
    let mut marks = vec![Mark::New; edges.len()];
    for start in 0..edges.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, edges[start].iter())];
        while let Some((id, rest)) = path.last_mut() {
            let id = *id;
            match rest.next() {
                None => {
                    marks[id] = Mark::Closed;
                    path.pop();
                }
                Some(next) if marks[*next] == Mark::New => {
                    marks[*next] = Mark::Open;
                    path.push((*next, edges[*next].iter()));
                }
                Some(next) if marks[*next] == Mark::Open => {
                    let ids: Vec<_> = path.iter().map(|(id, _)| *id).collect();
                    return Some(ids.into_iter().skip_while(|id| id != next).collect());
                }
                Some(_) => {}
            }
        }
    }
    None
}

fn wrote(position: u64, snapshot: u64, writes: &[(Number, Option<u64>)]) -> Done {
    Done { position, snapshot, writes: writes.iter().copied().collect(), ..Done::default() }
}

#[test]
fn a_planted_lost_update_is_found() {
    let mut one = wrote(2, 1, &[(7, Some(20))]);
    one.gets = vec![(7, Some(10))];
    let mut two = wrote(3, 1, &[(7, Some(30))]);
    two.gets = vec![(7, Some(10))];
    let history = [wrote(1, 0, &[(7, Some(10))]), one, two];
    assert_eq!(check(&history), Err(Fault::Cycle(vec![1, 2])));
}

#[test]
fn a_planted_write_skew_is_found() {
    let both = vec![(1, Some(10)), (2, Some(11))];
    let mut one = wrote(2, 1, &[(1, None)]);
    one.gets = both.clone();
    let mut two = wrote(3, 1, &[(2, None)]);
    two.gets = both;
    let history = [wrote(1, 0, &[(1, Some(10)), (2, Some(11))]), one, two];
    assert_eq!(check(&history), Err(Fault::Cycle(vec![1, 2])));
}

#[test]
fn a_planted_phantom_is_found() {
    let mut one = wrote(1, 0, &[(3, Some(10))]);
    one.scans = vec![(0..9, vec![])];
    let mut two = wrote(2, 0, &[(4, Some(20))]);
    two.scans = vec![(0..9, vec![])];
    assert_eq!(check(&[one, two]), Err(Fault::Cycle(vec![0, 1])));
}

#[test]
fn a_reader_that_closes_a_cycle_is_found() {
    // Two writers that could be put in either order, and a reader that saw the second but not the
    // first.
    let mut slow = wrote(3, 1, &[(1, Some(30))]);
    slow.gets = vec![(2, Some(11))];
    let mut reader = wrote(9, 2, &[]);
    reader.gets = vec![(1, Some(10)), (2, Some(20))];
    let first = wrote(1, 0, &[(1, Some(10)), (2, Some(11))]);
    let history = [first, wrote(2, 1, &[(2, Some(20))]), slow, reader];
    assert!(matches!(check(&history), Err(Fault::Cycle(_))));
}

#[test]
fn a_read_of_something_that_was_not_there_is_found() {
    let mut reader = wrote(2, 0, &[]);
    reader.gets = vec![(1, Some(10))];
    let history = [wrote(1, 0, &[(1, Some(10))]), reader];
    assert_eq!(check(&history), Err(Fault::WrongRead { reader: 1, key: 1 }));
}

#[test]
fn a_good_history_passes() {
    let mut one = wrote(2, 1, &[(2, Some(20))]);
    one.gets = vec![(1, Some(10))];
    let mut two = wrote(3, 2, &[(1, Some(30))]);
    two.scans = vec![(0..9, vec![(1, 10), (2, 20)])];
    let mut reader = wrote(0, 2, &[]);
    reader.gets = vec![(1, Some(10)), (2, Some(20)), (3, None)];
    assert_eq!(check(&[wrote(1, 0, &[(1, Some(10))]), one, two, reader]), Ok(()));
}
