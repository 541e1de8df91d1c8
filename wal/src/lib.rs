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
mod commit;
mod core;
pub mod disk;
mod error;
pub mod frame;
pub mod group;
pub mod history;
mod ids;
mod install;
mod live;
mod log;
pub mod manifest;
mod options;
mod prepare;
mod read_ahead;
mod reader;
mod recovery;
pub mod scan;
pub mod segment;
mod stats;
mod sync;
mod vacant;

pub use core::GroupWrite;
pub use error::{Cause, Error, ErrorKind, Result};
pub use ids::{Chain, DatabaseId, Epoch, Incarnation, LogId, Lsn, Position, SegmentNumber};
pub use log::append::Ticket;
pub use log::{Dropped, DurableListener, Hold, Log};
pub use options::LogOptions;
pub use reader::{Bound, Reader, Run};
pub use recovery::{LogRecovery, OpenedLog, TailCut};
pub use stats::LogStats;
