//! An embeddable, durable key-value engine on a write-ahead log of its own.
//!
//! ```
//! # fn main() -> mainstay::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("data");
//! use mainstay::{Batch, Db};
//!
//! let db = Db::open(&path)?;
//! db.insert("ada", b"1815")?; // on the disk when it returns
//!
//! let users = db.keyspace("users")?;
//! let mut batch = Batch::new(); // all of it or nothing
//! batch.insert(&users, "alan", b"1912").remove(&db, "ada");
//! db.write(batch)?.wait()?;
//!
//! let snapshot = db.snapshot(); // reads repeat
//! for entry in snapshot.prefix(&users, "al") {
//!     let (key, value) = entry?;
//!     println!("{key:?} {value:?}");
//! }
//! db.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What an acknowledgement means
//!
//! By default a write that returns `Ok` survives a power cut: [`Durability::Sync`]. Writers that
//! arrive together share one sync of the disk. [`Durability::Buffered`] acknowledges from memory; a
//! crash may lose the newest writes, never one in the middle and never a part of a batch. Nobody
//! reads a write that a crash could take back, unless it was written `Buffered`.
//!
//! An error says whether anything was applied: [`Error::is_indeterminate`] is true where only
//! reopening the database can tell, and for every other error of a write, nothing was.
//!
//! # Where to find what
//!
//! - [`Db`] opens a database and hands out [`Keyspace`]s, which have the calls for keys;
//!   [`Options`] has the knobs.
//! - [`Batch`] writes several keys at once; [`Transaction`] also reads, and [`Db::transact`] runs
//!   it again on a conflict; [`Ticket`] is a write that was not waited for, and a [`Future`].
//! - [`Snapshot`] is a view that later writes do not change; [`ReadOnlyDb`] reads a directory
//!   without changing it.
//! - [`Db::stats`] counts, [`Db::recovery`] tells what opening found.
//! - [`wal`] is the log below, which can be used alone; [`engine`] is the engine without threads,
//!   which can be stepped, and [`wal::disk::SimDisk`] the disk on which its crashes are tested.
//! - [`Store`] is where checkpoints put what is in memory, and [`StoreKind`] chooses one.

pub use mainstay_engine::*;
pub use mainstay_wal as wal;
pub use mainstay_wal::{Chain, Epoch, LogId, Lsn};
