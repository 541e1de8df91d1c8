//! Where keys are materialised: the contract of a [`Store`], and the stores that come with
//! mainstay.
//!
//! The log is the truth and a Store is a cache of it: it is filled by checkpoints, never
//! acknowledges a write, and can be thrown away and rebuilt.

mod chunked;
pub mod conformance;
#[cfg(any(feature = "sled", feature = "lsm"))]
mod directory;
mod kind;
#[cfg(feature = "lsm")]
mod lsm;
mod memory;
#[cfg(feature = "sled")]
mod sled;
mod source;
pub mod testing;
#[cfg(any(feature = "sled", feature = "lsm"))]
mod wall;
mod watched;

use std::fmt;
use std::ops::Bound;

use mainstay_wal::Lsn;

use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;

#[cfg(feature = "lsm")]
pub use self::lsm::{LsmOptions, LsmStore};
#[cfg(feature = "sled")]
pub use self::sled::{SledOptions, SledStore};
pub use kind::{StoreKind, StorePlace, destroy, open_store, open_store_read_only};
pub use memory::MemoryStore;
pub use source::StoreAccess;
pub(crate) use source::StoreSource;
pub(crate) use watched::WatchedStore;

/// One change that a checkpoint asks of a Store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Sets the value of a key.
    Insert {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
    },
    /// Removes a key; one that is missing is no error.
    Remove {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key.
        key: Key,
    },
    /// Removes every key between the bounds.
    RemoveRange {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The lower bound.
        lower: Bound<Key>,
        /// The upper bound.
        upper: Bound<Key>,
    },
    /// Removes a keyspace and everything in it; one that is missing is no error.
    DropKeyspace {
        /// The keyspace.
        keyspace: KeyspaceId,
    },
}

/// An iterator over entries of a Store, from both ends. It owns what it needs.
///
/// It need not be a snapshot: entries changed while it runs may be seen before or after the change.
/// Entries that are not changed are seen exactly once, in key order.
pub type StoreIter = Box<dyn DoubleEndedIterator<Item = Result<(Key, Value)>> + Send>;

/// An ordered map of keys to values in keyspaces, filled by checkpoints.
///
/// # Contract
///
/// - [`apply`](Store::apply) is called by one thread at a time; [`get`](Store::get) and
///   [`range`](Store::range) by any number of threads meanwhile. Operations of one call are sorted
///   by keyspace and key, range removals and keyspace drops before the points that they would
///   cover.
/// - What was applied is visible to reads when an `apply` with an LSN returns, or
///   [`make_durable`](Store::make_durable); pieces without one may be gathered until then. It
///   survives a power cut once `make_durable` has returned, and not necessarily before. After a
///   crash the Store holds its last durable state plus any subset of what was applied later: operations
///   are absolute, so applying them again from the checkpoint on gives the right state.
/// - Errors are typed and leave the Store usable for reads or say that it is damaged; no call
///   panics. When `apply` fails, any part of its operations may have been applied.
/// - [`applied`](Store::applied) is at least what it was when the Store was last made durable. A
///   Store that knows less lost something.
///
/// [`conformance::check`] runs these rules against any implementation, but for those about crashes.
pub trait Store: fmt::Debug + Send + Sync {
    /// Which Store this is: `sled`, `lsm`, `memory`. Written to the manifest; a database remembers it.
    fn kind(&self) -> &'static str;
    /// The value of a key.
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>>;
    /// The entries between two bounds. Bounds that cross give an empty iterator.
    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter>;
    /// Applies operations and remembers `up_to` as the LSN up to which the Store is at least
    /// complete ([`Lsn::ZERO`] leaves it as it is: more pieces of the same checkpoint follow).
    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()>;
    /// Makes everything applied so far survive a power cut.
    fn make_durable(&self) -> Result<()>;
    /// The highest `up_to` given to [`Store::apply`] that this Store still knows.
    fn applied(&self) -> Result<Lsn>;
    /// What the Store uses.
    fn usage(&self) -> Result<StoreUsage>;
}

/// What a Store uses.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes on the disk.
    pub disk_bytes: u64,
    /// Bytes of memory that the Store takes for itself (its cache), as far as it can tell.
    pub memory_bytes: u64,
}

/// An error of a Store whose content is as it should be.
fn failed(kind: &'static str, operation: &'static str, reason: impl fmt::Display) -> Error {
    Error::Store { kind, operation, reason: reason.to_string().into(), damaged: false }
}

/// An error of a Store whose content is damaged, so that it must be rebuilt.
pub(crate) fn damaged(
    kind: &'static str,
    operation: &'static str,
    reason: impl fmt::Display,
) -> Error {
    Error::Store { kind, operation, reason: reason.to_string().into(), damaged: true }
}
