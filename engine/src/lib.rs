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

pub mod backup;
mod batch;
mod bytes;
mod db;
mod diff;
pub mod engine;
mod error;
mod keyspace;
mod memtable;
mod options;
mod range;
mod read_only;
mod rebuild;
pub mod record;
pub mod replicated;
mod snapshot;
mod span;
pub mod state;
mod stats;
pub mod store;
mod subscribe;
mod transaction;
mod verify;
mod visibility;

pub use mainstay_wal as wal;

pub use backup::{
    ArchiveReport, Archiver, BackupReport, RestoreOptions, RestoreReport, archive_directory,
    restore,
};
pub use batch::Batch;
pub use bytes::{Key, Value};
pub use db::{Committer, Db, Keyspace, Ticket};
pub use diff::{LogComparison, RecordIdentity, first_difference, first_difference_on};
pub use engine::{Engine, Identity, Recovery};
pub use error::{Error, ErrorKind, Result};
pub use keyspace::{AsKeyspace, KeyspaceId, KeyspaceRef, MAX_NAME_BYTES};
pub use options::{Durability, Options};
pub use range::Range;
pub use read_only::ReadOnlyDb;
pub use rebuild::{RebuildReport, rebuild_store, rebuild_store_on};
pub use replicated::{ClusterId, ReplicaEngine};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use store::{Store, StoreIter, StoreKind, StoreOp, StoreUsage};
pub use subscribe::{Change, ChangeOp, Subscription};
pub use transaction::{Commit, Transaction, TransactionRange};
pub use verify::{VerifyFault, VerifyReport, verify_directory, verify_disk};
