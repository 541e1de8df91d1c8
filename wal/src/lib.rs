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

mod codec;
pub mod disk;
mod error;
pub mod frame;
pub mod group;
pub mod history;
mod ids;
pub mod manifest;
pub mod scan;
pub mod segment;

pub use error::{Cause, Error, ErrorKind, Result};
pub use ids::{Chain, DatabaseId, Epoch, Incarnation, LogId, Lsn, Position, SegmentNumber};
