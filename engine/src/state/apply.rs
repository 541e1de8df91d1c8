//! Turning records into versions in the active memtable.

use std::collections::BTreeSet;
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
        let mut applying = self.applying.lock();
        let applied = self.last_applied_lsn();
        assert!(lsn > applied, "the record at {lsn} comes after that at {applied}");
        let removes_ranges = check(lsn, record)?;
        let view = self.glance();
        let mut writer = Writer {
            state: self,
            memtable: view.active(),
            lsn,
            changes: &mut applying,
            inserted: removes_ranges.then(BTreeSet::new),
        };
        for op in record::decode(lsn, record)? {
            writer.apply(op?);
        }
        writer.flush();
        self.applied.store(lsn.0, Ordering::Release);
        Ok(())
    }
}

/// Reads a record to its end, since nothing may be applied of one that is bad further on. Whether
/// it removes ranges.
fn check(lsn: Lsn, record: &[u8]) -> Result<bool> {
    let removes = |op: &RecordOp<'_>| {
        matches!(op, RecordOp::RemoveRange { .. } | RecordOp::DropKeyspace { .. })
    };
    record::decode(lsn, record)?
        .try_fold(false, |found, op| Ok(op.map(|op| removes(&op))? || found))
}

/// As [`check`]. Whether the record does nothing but insert and remove keys.
pub(super) fn is_points_only(lsn: Lsn, record: &[u8]) -> Result<bool> {
    let is_point =
        |op: &RecordOp<'_>| matches!(op, RecordOp::Insert { .. } | RecordOp::Remove { .. });
    record::decode(lsn, record)?.try_fold(true, |all, op| Ok(op.map(|op| is_point(&op))? && all))
}

/// Turns the changes of one record into versions.
struct Writer<'a> {
    state: &'a State,
    memtable: &'a Memtable,
    lsn: Lsn,
    changes: &'a mut Vec<Change>,
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
                let changes = &mut *self.changes;
                self.state.change_catalog(|catalog| catalog.create(keyspace, name, changes));
            }
            RecordOp::DropKeyspace { keyspace } => {
                self.remove_inserted(keyspace, &Span::all());
                let changes = &mut *self.changes;
                self.state.change_catalog(|catalog| catalog.drop_keyspace(keyspace, changes));
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
            self.state.recent.remember(self.lsn, self.changes);
        }
        self.memtable.write(self.lsn, self.changes, || self.state.forget_unseen());
    }
}
