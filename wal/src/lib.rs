//! The write-ahead log of mainstay.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::cast_possible_truncation,
        reason = "tests run threads, measure, and count in small numbers"
    )
)]

pub mod disk;
mod error;
mod ids;

pub use error::{Cause, Error, ErrorKind, Result};
pub use ids::{Chain, DatabaseId, Epoch, Incarnation, LogId, Lsn, Position, SegmentNumber};
