//! The key-value engine of mainstay.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::cast_possible_truncation,
        reason = "tests run threads, measure, and count in small numbers"
    )
)]

mod batch;
mod bytes;
mod error;
mod keyspace;
mod memtable;
mod range;
pub mod record;
mod snapshot;
mod span;
pub mod state;
pub mod store;

pub use batch::Batch;
pub use bytes::{Key, Value};
pub use error::{Error, ErrorKind, Result};
pub use keyspace::{AsKeyspace, KeyspaceId, KeyspaceRef, MAX_NAME_BYTES};
pub use range::Range;
pub use snapshot::Snapshot;
pub use store::{Store, StoreIter, StoreOp, StoreUsage};
