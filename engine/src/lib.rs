//! The key-value engine of mainstay.

mod bytes;
mod error;
mod keyspace;
pub mod store;

pub use bytes::{Key, Value};
pub use error::{Error, ErrorKind, Result};
pub use keyspace::KeyspaceId;
pub use store::{Store, StoreIter, StoreOp, StoreUsage};
