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

mod bytes;
mod error;
mod keyspace;
pub mod store;

pub use bytes::{Key, Value};
pub use error::{Error, ErrorKind, Result};
pub use keyspace::KeyspaceId;
pub use store::{Store, StoreIter, StoreOp, StoreUsage};
