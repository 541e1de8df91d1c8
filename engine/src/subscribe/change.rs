//! What a subscription gives out.

use std::ops::Bound;

use mainstay_wal::{Epoch, Lsn};

use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::record::RecordOp;

/// One committed write, as a [`Subscription`](super::Subscription) gives it out.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The write's place in the log. Keep it, once the change is dealt with, to resume behind it.
    pub lsn: Lsn,
    /// The epoch in which it was written. It rises when a database is restored or a cluster has a
    /// new primary.
    pub epoch: Epoch,
    /// What the write changed, in order; only what the subscription asks for.
    pub ops: Vec<ChangeOp>,
}

/// One thing that a write changed. Keyspaces are given by number:
/// [`AsKeyspace::as_keyspace`](crate::AsKeyspace::as_keyspace) tells that of a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOp {
    /// A key got a value.
    Insert {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key.
        key: Key,
        /// Its value from then on.
        value: Value,
    },
    /// A key was removed; it may have been missing.
    Remove {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key.
        key: Key,
    },
    /// Every key between two bounds was removed.
    RemoveRange {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The lower bound.
        lower: Bound<Key>,
        /// The upper bound.
        upper: Bound<Key>,
    },
    /// A keyspace was made.
    CreateKeyspace {
        /// Its number.
        keyspace: KeyspaceId,
        /// Its name.
        name: String,
    },
    /// A keyspace was dropped, with everything in it.
    DropKeyspace {
        /// Its number.
        keyspace: KeyspaceId,
    },
}

impl ChangeOp {
    /// The keyspace that was changed.
    #[must_use]
    pub fn keyspace(&self) -> KeyspaceId {
        match self {
            ChangeOp::Insert { keyspace, .. }
            | ChangeOp::Remove { keyspace, .. }
            | ChangeOp::RemoveRange { keyspace, .. }
            | ChangeOp::CreateKeyspace { keyspace, .. }
            | ChangeOp::DropKeyspace { keyspace } => *keyspace,
        }
    }
}

impl From<RecordOp<'_>> for ChangeOp {
    fn from(op: RecordOp<'_>) -> ChangeOp {
        match op {
            RecordOp::Insert { keyspace, key, value } => {
                ChangeOp::Insert { keyspace, key: Key::from(key), value: Value::from(value) }
            }
            RecordOp::Remove { keyspace, key } => {
                ChangeOp::Remove { keyspace, key: Key::from(key) }
            }
            RecordOp::RemoveRange { keyspace, lower, upper } => ChangeOp::RemoveRange {
                keyspace,
                lower: lower.map(Key::from),
                upper: upper.map(Key::from),
            },
            RecordOp::CreateKeyspace { keyspace, name } => {
                ChangeOp::CreateKeyspace { keyspace, name: name.to_owned() }
            }
            RecordOp::DropKeyspace { keyspace } => ChangeOp::DropKeyspace { keyspace },
        }
    }
}
