//! The knobs of a database.

use std::path::Path;
use std::sync::Arc;

use mainstay_wal::LogOptions;
use mainstay_wal::disk::Disk;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::state::StateOptions;
use crate::store::{Store, StoreAccess, StoreKind, StorePlace, StoreSource};

/// What an acknowledged write survives.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged means on the disk: the write survives a power cut.
    #[default]
    Sync,
    /// Acknowledged means in the log's buffer, which goes to the disk after 10 ms, or earlier. A
    /// crash may lose the newest writes, a second's worth at most; never one in the middle, and
    /// never a part of a batch.
    Buffered,
}

/// How a database is opened. By-value setters; the defaults suit a program on a local SSD.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) store: Option<StoreSource>,
    pub(crate) memory_bytes: usize,
    pub(crate) store_cache_bytes: u64,
    pub(crate) max_value_bytes: usize,
    pub(crate) durability: Durability,
    pub(crate) first_segment_bytes: u64,
    pub(crate) max_segment_bytes: u64,
    pub(crate) direct: bool,
    pub(crate) create: bool,
    pub(crate) background: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            store: None,
            memory_bytes: 256 << 20,
            store_cache_bytes: 64 << 20,
            max_value_bytes: 16 << 20,
            durability: Durability::Sync,
            first_segment_bytes: 1 << 20,
            max_segment_bytes: 64 << 20,
            direct: true,
            create: true,
            background: true,
        }
    }
}

/// The smallest budget of memory with which a database works well.
const MIN_MEMORY_BYTES: usize = 1 << 20;

/// sled refuses to work with hardly any.
const MIN_STORE_CACHE_BYTES: u64 = 64 << 10;

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Options {
        Options::default()
    }

    /// Which Store keeps what is checkpointed. Default: what the database was made with; for a
    /// new one `sled`, or `lsm` in a program that is built without `sled`.
    #[must_use]
    pub fn store(mut self, store: StoreKind) -> Options {
        self.store = Some(StoreSource::Kind(store));
        self
    }

    /// Puts a Store of the program's own below the database, in place of those that come with
    /// mainstay.
    ///
    /// `kind` is its name, which the manifest remembers: a database made with it is opened with it
    /// ever after. `open` is called whenever the database needs its Store, which must keep the
    /// contract of [`Store`]: [`conformance`](crate::store::conformance) checks that. Repairing,
    /// verifying and restoring a directory know only the Stores that come with mainstay.
    #[must_use]
    pub fn own_store(
        mut self,
        kind: &'static str,
        open: impl Fn(StorePlace<'_>, StoreAccess) -> Result<Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Options {
        self.store = Some(StoreSource::Own { kind, open: Arc::new(open) });
        self
    }

    /// Memory for writes that are not in the Store yet, for the log's buffers and for old
    /// snapshots, all together. Default 256 MiB, at least 1 MiB. Less makes checkpoints more
    /// frequent and writers wait earlier; more makes recovery longer. The Store's own memory
    /// comes on top, and the batches that writers hold.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Options {
        self.memory_bytes = bytes;
        self
    }

    /// The cache that the Store may use. Default 64 MiB, at least 64 KiB.
    #[must_use]
    pub fn store_cache_bytes(mut self, bytes: u64) -> Options {
        self.store_cache_bytes = bytes;
        self
    }

    /// The largest value. Default 16 MiB, at most 31 MiB.
    #[must_use]
    pub fn max_value_bytes(mut self, bytes: usize) -> Options {
        self.max_value_bytes = bytes;
        self
    }

    /// The durability of writes that do not ask for one. Default [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Sizes of the log's segments: the first one's, and that at which they stop doubling. Default
    /// 1 MiB and 64 MiB; powers of two from 4 KiB to 1 GiB.
    #[must_use]
    pub fn segment_bytes(mut self, first: u64, max: u64) -> Options {
        self.first_segment_bytes = first;
        self.max_segment_bytes = max;
        self
    }

    /// Whether the log bypasses the page cache where it can. Default true.
    #[must_use]
    pub fn direct(mut self, direct: bool) -> Options {
        self.direct = direct;
        self
    }

    /// Whether to make a database where there is none. Default true.
    #[must_use]
    pub fn create(mut self, create: bool) -> Options {
        self.create = create;
        self
    }

    /// Whether threads of the database's own write tickets, prepare segments and make checkpoints.
    /// Default true; without them the caller does, with [`Db::checkpoint`] and by waiting.
    #[must_use]
    pub fn background(mut self, background: bool) -> Options {
        self.background = background;
        self
    }

    /// Opens the database in a directory, making it where there is none.
    ///
    /// Typed errors name the path and what is wrong with it; nothing is changed then.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Db> {
        Db::open_at(path.as_ref(), self)
    }

    /// Opens a database for reading, without changing a byte of its directory.
    pub fn open_read_only(self, path: impl AsRef<Path>) -> Result<crate::ReadOnlyDb> {
        crate::ReadOnlyDb::open_at(path.as_ref(), self)
    }

    /// Opens a database on any disk, a simulated one above all. Stores that need a directory of the
    /// file system cannot be used; the default is [`StoreKind::Memory`].
    pub fn open_on(self, disk: Arc<dyn Disk>) -> Result<Db> {
        Db::open_on(disk, self)
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |option, reason: String| Err(Error::Option { option, reason });
        if self.memory_bytes < MIN_MEMORY_BYTES {
            let reason = format!("{} is too little: at least 1048576 (1 MiB)", self.memory_bytes);
            return refuse("memory_bytes", reason);
        }
        if self.store_cache_bytes < MIN_STORE_CACHE_BYTES {
            let reason =
                format!("{} is too little: at least 65536 (64 KiB)", self.store_cache_bytes);
            return refuse("store_cache_bytes", reason);
        }
        if let Some(store) = &self.store {
            store.check()?;
        }
        if self.max_value_bytes > 31 << 20 {
            let reason = format!("{} is too much: at most 32505856 (31 MiB)", self.max_value_bytes);
            return refuse("max_value_bytes", reason);
        }
        let (first, max) = (self.first_segment_bytes, self.max_segment_bytes);
        let sizes = 4096..=1 << 30;
        if !(first.is_power_of_two() && max.is_power_of_two()) {
            return refuse("segment_bytes", format!("{first} and {max} must be powers of two"));
        }
        if !(sizes.contains(&first) && sizes.contains(&max) && first <= max) {
            let reason = format!(
                "{first} and {max} must lie between 4 KiB and 1 GiB, the first not above the other"
            );
            return refuse("segment_bytes", reason);
        }
        Ok(())
    }

    /// The share of the budget that the log's buffers get, and how they use it.
    pub(crate) fn log_options(&self, salt_seed: u64) -> LogOptions {
        let max_pending_bytes = (self.memory_bytes / 16).min(32 << 20);
        LogOptions {
            // Every segment has at least two blocks.
            block_bytes: if self.first_segment_bytes < 2 * 4096 { 512 } else { 4096 },
            first_segment_bytes: self.first_segment_bytes,
            max_segment_bytes: self.max_segment_bytes,
            max_group_bytes: (max_pending_bytes / 4).clamp(4096, 1 << 20),
            max_pending_bytes,
            recent_bytes: self.memory_bytes / 64,
            salt_seed,
            ..LogOptions::default()
        }
    }

    /// How much memory the state may take.
    pub(crate) fn state_options(&self) -> StateOptions {
        StateOptions {
            memtable_bytes: self.memtables_bytes() / 4,
            snapshot_bytes: self.snapshot_bytes(),
        }
    }

    /// The share of the budget that memtables get.
    pub(crate) fn memtables_bytes(&self) -> usize {
        self.memory_bytes / 4 * 3
    }

    /// The share of the budget that old snapshots may pin.
    pub(crate) fn snapshot_bytes(&self) -> usize {
        self.memory_bytes / 8
    }
}
