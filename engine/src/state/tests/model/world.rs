//! A state and the maps it is compared with.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;

use super::KEYSPACES;
use super::actions::{Action, Op};
use crate::bytes::{Key, Value};
use crate::error::Error;
use crate::keyspace::KeyspaceId;
use crate::range::Range;
use crate::record::{self, RecordOp};
use crate::snapshot::Snapshot;
use crate::span::Span;
use crate::state::tests::store::LooseStore;
use crate::state::{CheckpointJob, State, StateOptions};

type Entries = BTreeMap<(KeyspaceId, Vec<u8>), Vec<u8>>;

struct OpenRange {
    range: Range,
    expected: VecDeque<(Vec<u8>, Vec<u8>)>,
    failed: bool,
}

pub(super) struct World {
    state: Arc<State>,
    store: Arc<LooseStore>,
    options: StateOptions,
    /// Whether snapshots may be given up.
    may_expire: bool,
    /// What there is after each record; the first stands before all records.
    history: Vec<Entries>,
    /// The records since the last checkpoint that was finished.
    records: Vec<(Lsn, Vec<u8>)>,
    base: Lsn,
    snapshots: Vec<Snapshot>,
    ranges: Vec<OpenRange>,
    job: Option<CheckpointJob>,
    names: BTreeMap<String, KeyspaceId>,
    /// How often a snapshot said that it was given up.
    pub(super) expired: usize,
}

fn slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

impl World {
    pub(super) fn new(snapshot_bytes: usize) -> World {
        let store = Arc::new(LooseStore::default());
        let options = StateOptions { memtable_bytes: 1 << 20, snapshot_bytes };
        let state = State::open(Arc::<LooseStore>::clone(&store), Lsn::ZERO, options).unwrap();
        World {
            state: Arc::new(state),
            store,
            options,
            may_expire: snapshot_bytes < usize::MAX,
            history: vec![Entries::new()],
            records: Vec::new(),
            base: Lsn::ZERO,
            snapshots: Vec::new(),
            ranges: Vec::new(),
            job: None,
            names: BTreeMap::new(),
            expired: 0,
        }
    }

    fn last(&self) -> Lsn {
        Lsn(self.history.len() as u64 - 1)
    }

    fn entries(&self, at: Lsn) -> &Entries {
        &self.history[at.0 as usize]
    }

    fn expected(&self, at: Lsn, keyspace: KeyspaceId, span: &Span) -> VecDeque<(Vec<u8>, Vec<u8>)> {
        let of_span =
            self.entries(at).iter().filter(|((id, key), _)| *id == keyspace && span.contains(key));
        of_span.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    fn write(&mut self, ops: &[Op]) {
        let lsn = self.last().next();
        let mut after = self.entries(self.last()).clone();
        let mut record = Vec::new();
        record::begin(&mut record);
        for op in ops {
            match op {
                Op::Insert(k, key, number) => {
                    let keyspace = KEYSPACES[*k];
                    let value = format!("{number}@{lsn}").into_bytes();
                    record::append(&mut record, &RecordOp::Insert { keyspace, key, value: &value });
                    after.insert((keyspace, key.clone()), value);
                }
                Op::Remove(k, key) => {
                    let keyspace = KEYSPACES[*k];
                    record::append(&mut record, &RecordOp::Remove { keyspace, key });
                    after.remove(&(keyspace, key.clone()));
                }
                Op::RemoveRange(k, lower, upper) => {
                    let keyspace = KEYSPACES[*k];
                    let (lower, upper) = (slice(lower), slice(upper));
                    record::append(&mut record, &RecordOp::RemoveRange { keyspace, lower, upper });
                    let span = Span::between(lower, upper);
                    after.retain(|(id, key), _| *id != keyspace || !span.contains(key));
                }
                Op::Drop(k) => {
                    let keyspace = KEYSPACES[*k];
                    record::append(&mut record, &RecordOp::DropKeyspace { keyspace });
                    after.retain(|(id, _), _| *id != keyspace);
                    after.retain(|(id, _), value| {
                        *id != KeyspaceId::CATALOG
                            || **value != keyspace.0.to_le_bytes()
                            || value.len() != 4
                    });
                    self.names.retain(|_, id| *id != keyspace);
                }
                Op::Create(number) => {
                    let keyspace = KEYSPACES[1 + usize::from(number % 2)];
                    if self.names.values().any(|id| *id == keyspace) {
                        continue;
                    }
                    let name = format!("name{}", number % 8);
                    if self.names.contains_key(&name) {
                        continue;
                    }
                    record::append(
                        &mut record,
                        &RecordOp::CreateKeyspace { keyspace, name: &name },
                    );
                    self.names.insert(name.clone(), keyspace);
                    let id = keyspace.0.to_le_bytes().to_vec();
                    after.insert((KeyspaceId::CATALOG, name.into_bytes()), id);
                }
            }
        }
        self.state.apply(lsn, &record).unwrap();
        self.history.push(after);
        self.records.push((lsn, record));
    }

    /// Removes the entry of the catalog that the model does not follow.
    fn without_counter(entry: &(Key, Value)) -> bool {
        entry.0.as_bytes() != b"mainstay.highest_keyspace"
    }

    fn too_old<T>(&mut self, result: crate::Result<T>, at: Lsn) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Error::SnapshotTooOld { lsn }) if self.may_expire => {
                assert_eq!(lsn, at);
                self.expired += 1;
                None
            }
            Err(error) => panic!("snapshot at {at}: {error}"),
        }
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Write(ops) => self.write(ops),
            Action::Fill(k, byte, count) => {
                let key = |n: u16| [&[*byte][..], &n.to_be_bytes()].concat();
                let ops: Vec<_> = (0..*count).map(|n| Op::Insert(*k, key(n), n)).collect();
                self.write(&ops);
            }
            Action::Show(part) => {
                let visible = self.state.visible_lsn().0;
                let hidden = self.last().0 - visible;
                self.state.set_visible(Lsn(visible + hidden * u64::from(*part) / 255));
            }
            Action::Snapshot => self.snapshots.push(self.state.snapshot()),
            Action::SnapshotAt(back) => {
                let at = Lsn(self.state.visible_lsn().0.saturating_sub(u64::from(*back) / 8));
                match self.state.snapshot_at(at) {
                    Ok(snapshot) => {
                        assert_eq!(snapshot.lsn(), at);
                        self.snapshots.push(snapshot);
                    }
                    Err(Error::SnapshotTooOld { .. }) => {
                        let running = self.job.as_ref().map_or(self.base, |job| job.end());
                        // A checkpoint that was given up may have changed the Store too.
                        let known_from = self.state.floor().max(self.state.forgotten());
                        assert!(at < running.max(known_from), "{at} refused");
                    }
                    Err(error) => panic!("snapshot at {at}: {error}"),
                }
            }
            Action::Forget(number) => {
                if !self.snapshots.is_empty() {
                    self.snapshots.swap_remove(number % self.snapshots.len());
                }
            }
            Action::Freeze => {
                let empty = self.state.last_applied_lsn() == self.state.view().active().start();
                assert_eq!(self.state.freeze(), !empty);
            }
            Action::Begin => {
                if self.job.is_none() {
                    self.job = self.state.begin_checkpoint();
                } else {
                    assert!(self.state.begin_checkpoint().is_none());
                }
            }
            Action::Step(max_ops) => {
                if let Some(job) = self.job.as_mut().filter(|job| !job.is_done()) {
                    let done = job.step(usize::from(*max_ops)).unwrap();
                    assert_eq!(done, job.is_done());
                }
            }
            Action::Finish => self.finish(),
            Action::GiveUp => self.job = None,
            Action::Truncate(back) => self.truncate(*back),
            Action::Reopen => self.reopen(),
            read => self.read(read),
        }
    }

    fn read(&mut self, action: &Action) {
        match action {
            Action::Get(number, k, key) => {
                let Some(snapshot) = pick(&self.snapshots, *number).cloned() else { return };
                let found = snapshot.get_in(KEYSPACES[*k], key);
                let Some(found) = self.too_old(found, snapshot.lsn()) else { return };
                let expected = self.entries(snapshot.lsn()).get(&(KEYSPACES[*k], key.clone()));
                assert_eq!(found.as_deref(), expected.map(Vec::as_slice), "at {}", snapshot.lsn());
            }
            Action::GetNow(k, key) => {
                let place = (KEYSPACES[*k], key.clone());
                let now = self.state.get_visible(place.0, key).unwrap();
                let visible = self.entries(self.state.visible_lsn()).get(&place);
                assert_eq!(now.as_deref(), visible.map(Vec::as_slice));
                let (lsn, newest) = self.state.newest(place.0, key).unwrap();
                let expected = self.entries(self.last()).get(&place);
                assert_eq!(newest.as_deref(), expected.map(Vec::as_slice));
                assert_eq!(self.entries(lsn).get(&place), expected, "since {lsn}");
            }
            Action::Open(number, k, lower, upper) => {
                let Some(snapshot) = pick(&self.snapshots, *number) else { return };
                let span = Span::between(slice(lower), slice(upper));
                let expected = self.expected(snapshot.lsn(), KEYSPACES[*k], &span);
                let range = snapshot.range_in(KEYSPACES[*k], span);
                self.ranges.push(OpenRange { range, expected, failed: false });
            }
            Action::Read(number, sides) => self.read_range(*number, sides),
            Action::ReadAll(number, back) => {
                if let Some(range) = pick(&self.ranges, *number) {
                    let all = vec![*back; range.expected.len() + 1];
                    self.read_range(*number, &all);
                    self.ranges.swap_remove(number % self.ranges.len());
                }
            }
            Action::ChangedSince(k, lower, upper, back) => {
                let span = Span::between(slice(lower), slice(upper));
                let since = Lsn(self.last().0.saturating_sub(u64::from(*back) / 8));
                self.changed_since(KEYSPACES[*k], &span, since);
            }
            Action::Hash(number) => {
                let Some(snapshot) = pick(&self.snapshots, *number).cloned() else { return };
                let hash = snapshot.state_hash();
                let Some(hash) = self.too_old(hash, snapshot.lsn()) else { return };
                assert_eq!(hash, snapshot.state_hash().unwrap());
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn read_range(&mut self, number: usize, sides: &[bool]) {
        if self.ranges.is_empty() {
            return;
        }
        let number = number % self.ranges.len();
        let open = &mut self.ranges[number];
        for back in sides {
            let item = if *back { open.range.next_back() } else { open.range.next() };
            if let Some(Err(error)) = item {
                assert!(self.may_expire, "{error}");
                assert!(matches!(error, Error::SnapshotTooOld { .. }), "{error}");
                assert!(!open.failed, "a second error");
                open.failed = true;
                open.expected.clear();
                self.expired += 1;
                continue;
            }
            let item = item.map(|item| item.unwrap());
            let expected = if *back { open.expected.pop_back() } else { open.expected.pop_front() };
            let item = item.map(|(key, value)| (key.to_vec(), value.to_vec()));
            assert_eq!(item, expected, "{:?}", open.range);
        }
    }

    fn changed_since(&self, keyspace: KeyspaceId, span: &Span, since: Lsn) {
        let found = match self.state.changed_in(keyspace, span, since) {
            Err(Error::TransactionTooOld { began }) => {
                assert_eq!(began, since);
                return assert!(since < self.state.oldest_base());
            }
            found => found.unwrap(),
        };
        let content = |lsn: u64| self.expected(Lsn(lsn), keyspace, span);
        let changed = (since.0..self.last().0).rev().find(|lsn| content(*lsn) != content(lsn + 1));
        // A write that changes nothing counts as well, so that only one direction can be checked.
        match (found, changed) {
            (None, Some(lsn)) => panic!("the change after {lsn} was missed"),
            (Some(found), changed) => {
                assert!(found > since && found <= self.last(), "{found}");
                assert!(changed.is_none_or(|lsn| found.0 > lsn), "{found}, not {changed:?}");
            }
            (None, None) => {}
        }
    }

    fn finish(&mut self) {
        let Some(mut job) = self.job.take() else { return };
        while !job.step(7).unwrap() {}
        let end = job.end();
        self.state.finish_checkpoint(job);
        assert_eq!(self.state.oldest_base(), end);
        self.base = end;
        self.records.retain(|(lsn, _)| *lsn > end);
        let stored: Entries = self
            .store
            .content()
            .into_iter()
            .filter(|((_, key), value)| Self::without_counter(&(key.clone(), value.clone())))
            .map(|((id, key), value)| ((id, key.to_vec()), value.to_vec()))
            .collect();
        assert_eq!(&stored, self.entries(end), "the Store after the checkpoint up to {end}");
        if self.may_expire {
            let pinned = self.state.pinned_bytes();
            assert!(pinned <= self.options.snapshot_bytes, "{pinned} bytes are pinned");
        }
    }

    fn truncate(&mut self, back: u8) {
        let oldest = self.state.visible_lsn().0;
        let lsn = Lsn(self.last().0.saturating_sub(u64::from(back) / 16).max(oldest));
        self.state.truncate_after(lsn).unwrap();
        assert_eq!(self.state.last_applied_lsn(), lsn);
        self.history.truncate(lsn.0 as usize + 1);
        self.records.retain(|(at, _)| *at <= lsn);
        self.read_names();
    }

    /// What a crash leaves: the Store with whatever was applied, and the records since the last
    /// checkpoint.
    fn reopen(&mut self) {
        self.job = None;
        self.ranges.clear();
        self.snapshots.clear();
        let store = Arc::<LooseStore>::clone(&self.store);
        self.state = Arc::new(State::open(store, self.base, self.options).unwrap());
        for (lsn, record) in &self.records {
            self.state.apply(*lsn, record).unwrap();
        }
        self.state.set_visible(self.last());
        self.read_names();
    }

    fn read_names(&mut self) {
        let all = Span::all();
        let entries = self.expected(self.last(), KeyspaceId::CATALOG, &all);
        let id = |value: Vec<u8>| KeyspaceId(u32::from_le_bytes(value.try_into().unwrap()));
        self.names = entries
            .into_iter()
            .map(|(name, value)| (String::from_utf8(name).unwrap(), id(value)))
            .collect();
    }

    pub(super) fn check_all(&mut self) {
        let mut named: Vec<_> = self.names.iter().map(|(name, id)| (name.clone(), *id)).collect();
        named.push(("default".to_string(), KeyspaceId::DEFAULT));
        named.sort();
        assert_eq!(self.state.keyspaces(), named);
        for snapshot in self.snapshots.clone() {
            for keyspace in KEYSPACES {
                let expected = self.expected(snapshot.lsn(), keyspace, &Span::all());
                let found: crate::Result<Vec<_>> =
                    snapshot.range_in(keyspace, Span::all()).collect();
                let Some(found) = self.too_old(found, snapshot.lsn()) else { continue };
                let found: VecDeque<_> =
                    found.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
                assert_eq!(found, expected, "keyspace {keyspace} at {}", snapshot.lsn());
            }
        }
        self.snapshots.clear();
        self.ranges.clear();
        assert_eq!(self.state.snapshot_count(), 0);
        assert_eq!(self.state.pinned_bytes(), 0, "bytes pinned without a snapshot");
    }
}

fn pick<T>(from: &[T], number: usize) -> Option<&T> {
    (!from.is_empty()).then(|| &from[number % from.len()])
}
