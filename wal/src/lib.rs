//! The write-ahead log of mainstay.

pub mod disk;
mod error;
mod ids;

pub use error::{Cause, Error, ErrorKind, Result};
pub use ids::{Chain, DatabaseId, Epoch, Incarnation, LogId, Lsn, Position, SegmentNumber};
