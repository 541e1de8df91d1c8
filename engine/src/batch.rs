//! Several changes that are made together or not at all.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeBounds};

use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::{AsKeyspace, KeyspaceId, KeyspaceRef};
use crate::record::{self, MAX_KEY_BYTES, MAX_RECORD_BYTES, RecordOp};
use crate::span;

/// Several changes, over any keyspaces of one database: one record, applied whole or not at all.
///
/// Changes take effect in their order. What was asked for with [`require`](Batch::require) is
/// judged against the state before the batch, wherever it stands among the changes.
///
/// Sizes are checked as changes are added. A change that is too large is not added, and the batch
/// remembers it: writing the batch answers with that error, and applies nothing.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The record as it will stand in the log.
    record: Vec<u8>,
    operations: usize,
    /// Changes and requirements added so far, those refused included.
    calls: usize,
    preconditions: Vec<Precondition>,
    keyspaces: Keyspaces,
    largest_value_bytes: usize,
    refused: Option<Error>,
}

/// The keyspaces that a batch touches. Most batches stay in one: that takes no memory of its own.
#[derive(Clone, Debug, Default)]
struct Keyspaces {
    first: Option<KeyspaceRef>,
    others: BTreeSet<KeyspaceRef>,
}

impl Keyspaces {
    fn add(&mut self, keyspace: &KeyspaceRef) {
        match &self.first {
            Some(first) if first == keyspace => {}
            Some(_) if self.others.contains(keyspace) => {}
            Some(_) => {
                self.others.insert(keyspace.clone());
            }
            None => self.first = Some(keyspace.clone()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &KeyspaceRef> {
        self.first.iter().chain(&self.others)
    }
}

/// What must hold before a batch for it to be applied.
#[derive(Clone, Debug)]
pub(crate) struct Precondition {
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key: Key,
    /// `None`: the key must be absent.
    pub(crate) expected: Option<Value>,
    /// Which call of the batch it was, for [`Error::PreconditionFailed`].
    pub(crate) position: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Batch::new()
    }
}

impl Batch {
    /// A batch without changes.
    #[must_use]
    pub fn new() -> Batch {
        Batch::with_capacity(0)
    }

    /// A batch without changes, with room for `bytes` of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Batch {
        let mut record = Vec::with_capacity(bytes.clamp(1, MAX_RECORD_BYTES));
        record::begin(&mut record);
        Batch {
            record,
            operations: 0,
            calls: 0,
            preconditions: Vec::new(),
            keyspaces: Keyspaces::default(),
            largest_value_bytes: 0,
            refused: None,
        }
    }

    /// Sets the value of a key.
    #[doc(alias = "put")]
    pub fn insert(
        &mut self,
        keyspace: &impl AsKeyspace,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> &mut Self {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.largest_value_bytes = self.largest_value_bytes.max(value.len());
        let id = keyspace.as_keyspace().id();
        let fault = key_fault(key);
        self.add(keyspace, &RecordOp::Insert { keyspace: id, key, value }, fault)
    }

    /// Removes a key; one that is missing is no error.
    #[doc(alias = "delete")]
    pub fn remove(&mut self, keyspace: &impl AsKeyspace, key: impl AsRef<[u8]>) -> &mut Self {
        let key = key.as_ref();
        let id = keyspace.as_keyspace().id();
        self.add(keyspace, &RecordOp::Remove { keyspace: id, key }, key_fault(key))
    }

    /// Removes every key between two bounds. Bounds that cross remove nothing.
    pub fn remove_range<K, R>(&mut self, keyspace: &impl AsKeyspace, bounds: R) -> &mut Self
    where
        K: AsRef<[u8]>,
        R: RangeBounds<K>,
    {
        let (lower, upper) = span::slices(&bounds);
        let fault = bound_fault(lower).or_else(|| bound_fault(upper));
        let id = keyspace.as_keyspace().id();
        self.add(keyspace, &RecordOp::RemoveRange { keyspace: id, lower, upper }, fault)
    }

    /// Removes every key that begins with `prefix`.
    pub fn remove_prefix(
        &mut self,
        keyspace: &impl AsKeyspace,
        prefix: impl AsRef<[u8]>,
    ) -> &mut Self {
        let span = span::Span::prefix(prefix.as_ref());
        self.remove_range::<&[u8], _>(keyspace, span.bounds())
    }

    /// Applies the batch only if the key has this value before it (`None`: only if it is absent).
    /// Otherwise writing the batch answers [`Error::PreconditionFailed`].
    pub fn require(
        &mut self,
        keyspace: &impl AsKeyspace,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
    ) -> &mut Self {
        let key = key.as_ref();
        self.calls += 1;
        if let Some(error) = key_fault(key) {
            self.refuse(error);
            return self;
        }
        self.keyspaces.add(keyspace.as_keyspace());
        self.preconditions.push(Precondition {
            keyspace: keyspace.as_keyspace().id(),
            key: Key::from(key),
            expected: expected.map(Value::from),
            position: self.calls - 1,
        });
        self
    }

    /// As [`Batch::require`] with `None`.
    pub fn require_absent(
        &mut self,
        keyspace: &impl AsKeyspace,
        key: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.require(keyspace, key, None)
    }

    /// How many changes were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations
    }

    /// Whether there are no changes. Such a batch can be written: what it requires is checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// Bytes of the record that the batch becomes. The log allows
    /// [`MAX_RECORD_BYTES`](crate::record::MAX_RECORD_BYTES).
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.record.len()
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        *self = Batch { record, ..Batch::new() };
        record::begin(&mut self.record);
    }

    fn add(
        &mut self,
        keyspace: &impl AsKeyspace,
        op: &RecordOp<'_>,
        fault: Option<Error>,
    ) -> &mut Self {
        self.calls += 1;
        let bytes = self.record.len() + op.encoded_bytes();
        let too_large = (bytes > MAX_RECORD_BYTES).then_some(Error::TooLarge {
            what: "batch",
            bytes: bytes as u64,
            limit_bytes: MAX_RECORD_BYTES as u64,
        });
        match fault.or(too_large) {
            Some(error) => self.refuse(error),
            None => {
                self.keyspaces.add(keyspace.as_keyspace());
                record::append(&mut self.record, op);
                self.operations += 1;
            }
        }
        self
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    /// Whether the batch can be written to this database: the first error that was remembered, or a
    /// value over `max_value_bytes`, or a keyspace of another database or one that `exists` does
    /// not know.
    pub(crate) fn check(
        &self,
        max_value_bytes: usize,
        database: u64,
        exists: impl Fn(KeyspaceId) -> bool,
    ) -> Result<()> {
        if self.largest_value_bytes > max_value_bytes {
            return Err(Error::TooLarge {
                what: "value",
                bytes: self.largest_value_bytes as u64,
                limit_bytes: max_value_bytes as u64,
            });
        }
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        match self.keyspaces.iter().find(|it| it.database() != database || !exists(it.id())) {
            Some(keyspace) => Err(keyspace.missing()),
            None => Ok(()),
        }
    }

    /// The record, as it goes into the log.
    pub(crate) fn record(&self) -> &[u8] {
        &self.record
    }

    pub(crate) fn preconditions(&self) -> &[Precondition] {
        &self.preconditions
    }
}

/// Refuses a key that is empty or too long.
pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    key_fault(key).map_or(Ok(()), Err)
}

/// Refuses bounds that are too long.
pub(crate) fn check_bounds(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Result<()> {
    bound_fault(lower).or_else(|| bound_fault(upper)).map_or(Ok(()), Err)
}

fn key_fault(key: &[u8]) -> Option<Error> {
    let bytes = key.len();
    let fits = (1..=MAX_KEY_BYTES).contains(&bytes);
    (!fits).then_some(Error::KeySize { bytes, limit_bytes: MAX_KEY_BYTES })
}

fn bound_fault(bound: Bound<&[u8]>) -> Option<Error> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) if key.len() > MAX_KEY_BYTES => {
            Some(Error::KeySize { bytes: key.len(), limit_bytes: MAX_KEY_BYTES })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
