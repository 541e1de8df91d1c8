//! Turning records into versions in the active memtable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_wal::Lsn;

use super::State;
use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::memtable::{Change, Memtable};
use crate::record::{self, RecordOp};
use crate::span::Span;

/// How many changes enter a memtable under one lock.
const CHANGES_AT_ONCE: usize = 64;

impl State {
    /// Takes in the record at `lsn`. It is not visible yet.
    ///
    /// Records come in order; the caller sees to it that they do, and that it is called once at a
    /// time (a second caller waits).
    ///
    /// # Errors
    /// [`BadRecord`](crate::Error::BadRecord): nothing was changed, and `lsn` may be applied again
    /// with other bytes.
    pub fn apply(&self, lsn: Lsn, record: &[u8]) -> Result<()> {
        let applying = self.applying.lock();
        let applied = self.last_applied_lsn();
        assert!(lsn > applied, "the record at {lsn} comes after that at {applied}");
        let mut removes_ranges = false;
        for op in record::decode(lsn, record)? {
            let op = op?;
            removes_ranges |=
                matches!(op, RecordOp::RemoveRange { .. } | RecordOp::DropKeyspace { .. });
        }
        let memtable = Arc::clone(self.view().active());
        let mut writer = Writer {
            state: self,
            memtable: &memtable,
            lsn,
            changes: Vec::new(),
            inserted: removes_ranges.then(BTreeSet::new),
        };
        for op in record::decode(lsn, record)? {
            writer.apply(op?);
        }
        writer.flush();
        self.applied.store(lsn.0, Ordering::Release);
        drop(applying);
        Ok(())
    }
}

/// Turns the changes of one record into versions.
struct Writer<'a> {
    state: &'a State,
    memtable: &'a Memtable,
    lsn: Lsn,
    changes: Vec<Change>,
    /// The keys this record has inserted so far, if it removes ranges too: a range removes what
    /// stands before it in the record, but in a memtable a point wins over a range of the same
    /// LSN.
    inserted: Option<BTreeSet<(KeyspaceId, Key)>>,
}

impl Writer<'_> {
    fn apply(&mut self, op: RecordOp<'_>) {
        match op {
            RecordOp::Insert { keyspace, key, value } => {
                let key = Key::from(key);
                if let Some(inserted) = &mut self.inserted {
                    inserted.insert((keyspace, key.clone()));
                }
                self.push(Change::Point { keyspace, key, value: Some(Value::from(value)) });
            }
            RecordOp::Remove { keyspace, key } => {
                self.push(Change::Point { keyspace, key: Key::from(key), value: None });
            }
            RecordOp::RemoveRange { keyspace, lower, upper } => {
                let span = Span::between(lower, upper);
                if !span.is_empty() {
                    self.remove_inserted(keyspace, &span);
                    self.push(Change::Range { keyspace, span, drops_keyspace: false });
                }
            }
            RecordOp::CreateKeyspace { keyspace, name } => {
                self.state.catalog.write().create(keyspace, name, &mut self.changes);
            }
            RecordOp::DropKeyspace { keyspace } => {
                self.remove_inserted(keyspace, &Span::all());
                self.state.catalog.write().drop_keyspace(keyspace, &mut self.changes);
                self.push(Change::Range { keyspace, span: Span::all(), drops_keyspace: true });
            }
        }
    }

    fn remove_inserted(&mut self, keyspace: KeyspaceId, span: &Span) {
        let Some(inserted) = &mut self.inserted else { return };
        let from = (keyspace, span.lower.clone());
        let covered: Vec<_> = inserted
            .range(from..)
            .take_while(|(id, key)| *id == keyspace && span.contains(key))
            .cloned()
            .collect();
        for entry in &covered {
            inserted.remove(entry);
        }
        for (keyspace, key) in covered {
            self.push(Change::Point { keyspace, key, value: None });
        }
    }

    fn push(&mut self, change: Change) {
        self.changes.push(change);
        if self.changes.len() >= CHANGES_AT_ONCE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.state.recent.is_watched() {
            self.state.recent.remember(self.lsn, &self.changes);
        }
        self.memtable.write(self.lsn, &mut self.changes);
    }
}
