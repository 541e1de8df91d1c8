//! What the nodes must agree with: plain maps and lists.

use std::collections::BTreeMap;

use mainstay_wal::{Chain, LogId, Lsn};

use crate::KeyspaceId;
use crate::record::{self, RecordOp};
use crate::snapshot::Snapshot;
use crate::span::Span;

/// The content of a database: names of keyspaces, and entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    names: BTreeMap<String, KeyspaceId>,
    entries: BTreeMap<(KeyspaceId, Vec<u8>), Brief>,
}

/// A value's length and first byte: all that tells the values of the tests apart.
type Brief = (usize, Option<u8>);

fn brief(value: &[u8]) -> Brief {
    (value.len(), value.first().copied())
}

impl Content {
    fn apply(&mut self, lsn: Lsn, payload: &[u8]) {
        for op in record::decode(lsn, payload).unwrap() {
            match op.unwrap() {
                RecordOp::Insert { keyspace, key, value } => {
                    self.entries.insert((keyspace, key.to_vec()), brief(value));
                }
                RecordOp::Remove { keyspace, key } => {
                    self.entries.remove(&(keyspace, key.to_vec()));
                }
                RecordOp::RemoveRange { keyspace, lower, upper } => {
                    let span = Span::between(lower, upper);
                    self.entries.retain(|(id, key), _| *id != keyspace || !span.contains(key));
                }
                RecordOp::CreateKeyspace { keyspace, name } => {
                    self.names.insert(name.to_owned(), keyspace);
                }
                RecordOp::DropKeyspace { keyspace } => {
                    self.names.retain(|_, id| *id != keyspace);
                    self.entries.retain(|(id, _), _| *id != keyspace);
                }
            }
        }
    }

    /// What a snapshot shows.
    pub(super) fn of(snapshot: &Snapshot) -> Content {
        let mut content = Content::default();
        for (name, id) in snapshot.keyspaces().unwrap() {
            for entry in snapshot.range_in(id, Span::all()) {
                let (key, value) = entry.unwrap();
                content.entries.insert((id, key.to_vec()), brief(&value));
            }
            if id != KeyspaceId::DEFAULT {
                content.names.insert(name, id);
            }
        }
        content
    }
}

/// Everything that was ever appended, and what of it is committed.
#[derive(Debug, Default)]
pub(super) struct Model {
    records: BTreeMap<LogId, Vec<u8>>,
    chains: BTreeMap<LogId, Chain>,
    committed: Vec<LogId>,
    /// After each committed record; the first stands before all of them.
    contents: Vec<Content>,
}

impl Model {
    pub(super) fn new() -> Model {
        Model { contents: vec![Content::default()], ..Model::default() }
    }

    /// A record that a primary appended: nobody has used its identity before.
    pub(super) fn appended(&mut self, id: LogId, payload: &[u8]) {
        let before = self.records.insert(id, payload.to_vec());
        assert_eq!(before, None, "record {id} was appended before");
    }

    /// A record as it stands in somebody's log, with the chain up to it.
    pub(super) fn check_record(&mut self, id: LogId, payload: &[u8], chain: Chain) {
        assert_eq!(self.records.get(&id).map(Vec::as_slice), Some(payload), "record {id}");
        self.check_chain(id, chain);
    }

    pub(super) fn check_chain(&mut self, id: LogId, chain: Chain) {
        if id != LogId::ZERO {
            assert_eq!(*self.chains.entry(id).or_insert(chain), chain, "chain at {id}");
        }
    }

    pub(super) fn committed_lsn(&self) -> Lsn {
        Lsn(self.committed.len() as u64)
    }

    /// The committed record with this number.
    pub(super) fn committed_at(&self, lsn: Lsn) -> LogId {
        match lsn {
            Lsn::ZERO => LogId::ZERO,
            Lsn(number) => self.committed[number as usize - 1],
        }
    }

    pub(super) fn commit(&mut self, id: LogId) {
        assert_eq!(id.lsn, self.committed_lsn().next(), "commit of {id}");
        let mut content = self.contents.last().unwrap().clone();
        content.apply(id.lsn, &self.records[&id]);
        self.contents.push(content);
        self.committed.push(id);
    }

    /// What there is at a committed record.
    pub(super) fn content(&self, at: Lsn) -> &Content {
        &self.contents[at.0 as usize]
    }
}
