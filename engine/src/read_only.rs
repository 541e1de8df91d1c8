//! Reading a database without changing a byte of its directory.

use std::path::Path;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, FileDisk};
use mainstay_wal::manifest::ManifestFile;
use mainstay_wal::{Bound, Log};

use crate::error::{Error, Result};
use crate::keyspace::KeyspaceRef;
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::state::{Replay, State, StateOptions};
use crate::store::{StorePlace, StoreSource};

/// A database opened for reading alone. No byte of its directory is changed, and nothing is written
/// beside it.
///
/// It shows the database as it was when it was opened: everything in the log, replayed into memory.
#[derive(Debug)]
pub struct ReadOnlyDb {
    state: Arc<State>,
    log: Log,
}

impl ReadOnlyDb {
    pub(crate) fn open_at(path: &Path, options: Options) -> Result<ReadOnlyDb> {
        options.check()?;
        let disk = FileDisk::open_read_only(path).map_err(|error| {
            mainstay_wal::Error::io("open the directory", path.display().to_string(), error)
        })?;
        ReadOnlyDb::open_on(Arc::new(disk), Some(path), options)
    }

    /// As [`Options::open_read_only`], on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        root: Option<&Path>,
        options: Options,
    ) -> Result<ReadOnlyDb> {
        options.check()?;
        let lock = crate::engine::lock(&*disk)?;
        let manifest = ManifestFile::open_read_only(&*disk)?;
        if manifest.replicated {
            return Err(Error::Replicated { directory: disk.describe() });
        }
        let source = StoreSource::of(&manifest, disk.describe(), options.store.as_ref())?;
        let place = StorePlace { disk: &disk, root, directory: &manifest.store_directory };
        let store = source.open_read_only(place, options.store_cache_bytes, None)?;
        let log_options = options.log_options(0);
        let (log, _) = Log::open_read_only(disk.clone(), log_options, &manifest, Some(lock))?;
        let base = manifest.checkpoint.lsn;
        let state_options =
            StateOptions { memtable_bytes: usize::MAX, snapshot_bytes: options.snapshot_bytes() };
        let state = Arc::new(State::open(store, base, state_options)?);
        let mut reader = log.reader(base.next(), Bound::Durable)?;
        let mut replay = Replay::default();
        while let Some(frame) = reader.next_frame()? {
            state.replay(&mut replay, frame.header.lsn, frame.payload)?;
        }
        state.settle(&mut replay);
        state.set_visible(state.last_applied_lsn());
        Ok(ReadOnlyDb { state, log })
    }

    /// The keyspace with this name. [`Error::NoSuchKeyspace`] if there is none.
    pub fn keyspace(&self, name: &str) -> Result<KeyspaceRef> {
        match self.state.keyspace_id(name) {
            Some(id) => Ok(self.state.keyspace_ref(id, name)),
            None => Err(Error::NoSuchKeyspace { name: name.to_owned() }),
        }
    }

    /// The names of all keyspaces, in order.
    #[must_use]
    pub fn keyspaces(&self) -> Vec<String> {
        self.state.keyspaces().into_iter().map(|(name, _)| name).collect()
    }

    /// The content of the database.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.state.snapshot()
    }

    /// The log, to be read.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}
