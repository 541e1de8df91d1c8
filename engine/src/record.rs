//! The payload of a record in the log: which changes it makes. The layout is in
//! `docs/record-format.md`.
//!
//! Encoding appends to a buffer; decoding borrows from the bytes, checks every length before it is
//! used, and never panics, whatever the bytes are.

use std::ops::Bound;

use mainstay_wal::Lsn;

use crate::error::{Error, Result};
use crate::keyspace::{self, KeyspaceId};

/// The longest key, in bytes. The shortest has one.
pub const MAX_KEY_BYTES: usize = 65_536;
/// The longest record, in bytes: the limit of the log.
pub const MAX_RECORD_BYTES: usize = 32 << 20;

/// The first byte of every record.
const FORMAT: u8 = 1;

const INSERT: u8 = 1;
const REMOVE: u8 = 2;
const REMOVE_RANGE: u8 = 3;
const CREATE_KEYSPACE: u8 = 4;
const DROP_KEYSPACE: u8 = 5;

const INCLUDED: u8 = 1;
const EXCLUDED: u8 = 2;
const UNBOUNDED: u8 = 3;

/// One change of a record. Changes take effect in their order, all at the record's LSN.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RecordOp<'a> {
    /// Sets the value of a key.
    Insert {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key, of 1 to [`MAX_KEY_BYTES`] bytes.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Removes a key.
    Remove {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key, of 1 to [`MAX_KEY_BYTES`] bytes.
        key: &'a [u8],
    },
    /// Removes every key between two bounds.
    RemoveRange {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The lower bound; its key may be empty.
        lower: Bound<&'a [u8]>,
        /// The upper bound; its key may be empty.
        upper: Bound<&'a [u8]>,
    },
    /// Gives a name to a keyspace.
    CreateKeyspace {
        /// The keyspace's number, which no keyspace of this database had before.
        keyspace: KeyspaceId,
        /// Its name.
        name: &'a str,
    },
    /// Removes a keyspace, its name and everything in it.
    DropKeyspace {
        /// The keyspace.
        keyspace: KeyspaceId,
    },
}

impl RecordOp<'_> {
    /// The keyspace that is changed.
    #[must_use]
    pub fn keyspace(&self) -> KeyspaceId {
        match *self {
            RecordOp::Insert { keyspace, .. }
            | RecordOp::Remove { keyspace, .. }
            | RecordOp::RemoveRange { keyspace, .. }
            | RecordOp::CreateKeyspace { keyspace, .. }
            | RecordOp::DropKeyspace { keyspace } => keyspace,
        }
    }

    /// How many bytes [`append`] adds for this change.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let body = match self {
            RecordOp::Insert { key, value, .. } => 8 + key.len() + value.len(),
            RecordOp::Remove { key, .. } => 4 + key.len(),
            RecordOp::RemoveRange { lower, upper, .. } => {
                10 + bound_key(lower).len() + bound_key(upper).len()
            }
            RecordOp::CreateKeyspace { name, .. } => 4 + name.len(),
            RecordOp::DropKeyspace { .. } => 0,
        };
        5 + body
    }
}

/// Begins a record: the buffer must be empty. A record without changes is valid, and does nothing.
pub fn begin(record: &mut Vec<u8>) {
    assert!(record.is_empty(), "a record begins in {} bytes of something else", record.len());
    record.push(FORMAT);
}

/// Adds a change to a record that was [begun](begin).
///
/// The caller has checked the limits; a part longer than 4 GiB panics, since no record can hold it.
pub fn append(record: &mut Vec<u8>, op: &RecordOp<'_>) {
    record.reserve(op.encoded_bytes());
    match op {
        RecordOp::Insert { keyspace, key, value } => {
            append_head(record, INSERT, *keyspace);
            append_length(record, key.len());
            append_length(record, value.len());
            record.extend_from_slice(key);
            record.extend_from_slice(value);
        }
        RecordOp::Remove { keyspace, key } => {
            append_head(record, REMOVE, *keyspace);
            append_length(record, key.len());
            record.extend_from_slice(key);
        }
        RecordOp::RemoveRange { keyspace, lower, upper } => {
            append_head(record, REMOVE_RANGE, *keyspace);
            append_bound(record, lower);
            append_bound(record, upper);
        }
        RecordOp::CreateKeyspace { keyspace, name } => {
            append_head(record, CREATE_KEYSPACE, *keyspace);
            append_length(record, name.len());
            record.extend_from_slice(name.as_bytes());
        }
        RecordOp::DropKeyspace { keyspace } => append_head(record, DROP_KEYSPACE, *keyspace),
    }
}

/// A whole record that makes these changes.
#[must_use]
pub fn encode(ops: &[RecordOp<'_>]) -> Vec<u8> {
    let mut record = Vec::with_capacity(1 + ops.iter().map(RecordOp::encoded_bytes).sum::<usize>());
    begin(&mut record);
    for op in ops {
        append(&mut record, op);
    }
    record
}

fn append_head(record: &mut Vec<u8>, kind: u8, keyspace: KeyspaceId) {
    record.push(kind);
    record.extend_from_slice(&keyspace.0.to_le_bytes());
}

fn append_length(record: &mut Vec<u8>, length: usize) {
    let length32 = u32::try_from(length).unwrap_or(u32::MAX);
    assert!(length32 as usize == length, "a part of {length} bytes does not fit into a record");
    record.extend_from_slice(&length32.to_le_bytes());
}

fn append_bound(record: &mut Vec<u8>, bound: &Bound<&[u8]>) {
    record.push(match bound {
        Bound::Included(_) => INCLUDED,
        Bound::Excluded(_) => EXCLUDED,
        Bound::Unbounded => UNBOUNDED,
    });
    append_length(record, bound_key(bound).len());
    record.extend_from_slice(bound_key(bound));
}

fn bound_key<'a>(bound: &Bound<&'a [u8]>) -> &'a [u8] {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => key,
        Bound::Unbounded => &[],
    }
}

/// The changes of a record, in order: an iterator that borrows from its bytes.
///
/// The first thing that cannot be understood is an [`Error::BadRecord`], and the last item.
#[derive(Clone, Debug)]
pub struct RecordOps<'a> {
    lsn: Lsn,
    rest: &'a [u8],
}

/// Reads the changes of the record at `lsn`, which appears in errors only.
///
/// # Errors
/// [`Error::BadRecord`] when the record is empty or of a format that this program does not know.
pub fn decode(lsn: Lsn, record: &[u8]) -> Result<RecordOps<'_>> {
    match record.split_first() {
        Some((&FORMAT, rest)) => Ok(RecordOps { lsn, rest }),
        Some(_) => Err(Error::BadRecord { lsn, reason: "its format is not known" }),
        None => Err(Error::BadRecord { lsn, reason: "it is empty" }),
    }
}

impl<'a> Iterator for RecordOps<'a> {
    type Item = Result<RecordOp<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut reader = Reader { rest: self.rest };
        match reader.op() {
            Ok(op) => {
                self.rest = reader.rest;
                Some(Ok(op))
            }
            Err(reason) => {
                self.rest = &[];
                Some(Err(Error::BadRecord { lsn: self.lsn, reason }))
            }
        }
    }
}

impl std::iter::FusedIterator for RecordOps<'_> {}

/// Takes parts off the front of a record.
struct Reader<'a> {
    rest: &'a [u8],
}

type Fault = &'static str;

impl<'a> Reader<'a> {
    fn op(&mut self) -> std::result::Result<RecordOp<'a>, Fault> {
        let kind = self.byte()?;
        let keyspace = KeyspaceId(self.u32()?);
        if keyspace == KeyspaceId::CATALOG {
            return Err("a change of the catalog itself");
        }
        match kind {
            INSERT => {
                let key_bytes = self.key_length()?;
                let value_bytes = self.length()?;
                Ok(RecordOp::Insert {
                    keyspace,
                    key: self.take(key_bytes)?,
                    value: self.take(value_bytes)?,
                })
            }
            REMOVE => {
                let key_bytes = self.key_length()?;
                Ok(RecordOp::Remove { keyspace, key: self.take(key_bytes)? })
            }
            REMOVE_RANGE => {
                let lower = self.bound()?;
                Ok(RecordOp::RemoveRange { keyspace, lower, upper: self.bound()? })
            }
            CREATE_KEYSPACE => {
                let name_bytes = self.length()?;
                let name = std::str::from_utf8(self.take(name_bytes)?)
                    .map_err(|_| "the name of a keyspace is not UTF-8")?;
                if keyspace < KeyspaceId::FIRST_USER {
                    return Err("a new keyspace has a reserved number");
                }
                if keyspace::name_fault(name).is_some() || name == keyspace::DEFAULT_NAME {
                    return Err("a new keyspace has a name that it cannot have");
                }
                Ok(RecordOp::CreateKeyspace { keyspace, name })
            }
            DROP_KEYSPACE => Ok(RecordOp::DropKeyspace { keyspace }),
            _ => Err("a change of a kind that is not known"),
        }
    }

    fn bound(&mut self) -> std::result::Result<Bound<&'a [u8]>, Fault> {
        let kind = self.byte()?;
        let key_bytes = self.length()?;
        if key_bytes > MAX_KEY_BYTES {
            return Err("a bound is longer than any key");
        }
        let key = self.take(key_bytes)?;
        match kind {
            INCLUDED => Ok(Bound::Included(key)),
            EXCLUDED => Ok(Bound::Excluded(key)),
            UNBOUNDED if key.is_empty() => Ok(Bound::Unbounded),
            UNBOUNDED => Err("an open bound has a key"),
            _ => Err("a bound of a kind that is not known"),
        }
    }

    fn key_length(&mut self) -> std::result::Result<usize, Fault> {
        match self.length()? {
            0 => Err("a key is empty"),
            bytes if bytes > MAX_KEY_BYTES => Err("a key is longer than the limit"),
            bytes => Ok(bytes),
        }
    }

    fn length(&mut self) -> std::result::Result<usize, Fault> {
        usize::try_from(self.u32()?).map_err(|_| "a length does not fit")
    }

    fn u32(&mut self) -> std::result::Result<u32, Fault> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    fn byte(&mut self) -> std::result::Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, bytes: usize) -> std::result::Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
