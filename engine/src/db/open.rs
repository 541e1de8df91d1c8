//! Opening a database in a directory.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use mainstay_wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay_wal::{DatabaseId, Incarnation};

use super::{Db, Inner, Keyspace, Shared, background, now, pressure};
use crate::engine::{Engine, Identity};
use crate::error::Result;
use crate::keyspace::{DEFAULT_NAME, KeyspaceId};
use crate::options::Options;

impl Db {
    /// Opens the database in a directory with the default options, making it where there is none.
    ///
    /// Typed errors name the path and what is wrong with it; nothing is changed then.
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Options::new().open(path)
    }

    /// Opens a database for reading, without changing a byte of its directory.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<crate::ReadOnlyDb> {
        Options::new().open_read_only(path)
    }

    pub(crate) fn open_at(path: &Path, options: Options) -> Result<Db> {
        options.check()?;
        let disk_options = FileDiskOptions { direct: options.direct, create: options.create };
        let disk = FileDisk::open(path, disk_options).map_err(|error| {
            mainstay_wal::Error::io("open the directory", path.display().to_string(), error)
        })?;
        let started = now();
        let engine =
            Engine::open(Arc::new(disk), Some(path.to_path_buf()), options, random_identity())?;
        Db::start(engine, started)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Db> {
        let started = now();
        let engine = Engine::open(disk, None, options, random_identity())?;
        Db::start(engine, started)
    }

    /// Puts threads around an engine, where the options ask for them.
    pub(crate) fn start(engine: Engine, started: Instant) -> Result<Db> {
        let threads = engine.options.background;
        let default = engine.state().keyspace_ref(KeyspaceId::DEFAULT, DEFAULT_NAME);
        let shared = Arc::new(Shared {
            engine,
            pressure: pressure::Pressure::default(),
            background: background::Background::default(),
            closed: AtomicBool::new(false),
            opened_in: elapsed(started),
        });
        let weak = Arc::downgrade(&shared);
        let first = shared.engine.log.set_durable_listener(Box::new(move |durable| {
            if let Some(shared) = weak.upgrade() {
                shared.engine.advance(durable);
            }
        }));
        assert!(first, "the log of an engine has no other listener");
        let inner = Arc::new(Inner { shared });
        if threads {
            inner.engine.log.spawn_thread()?;
            background::spawn(&inner.shared)?;
            // Replay may have left more in memory than it moved.
            inner.background.checkpoint_if_needed(&inner.engine);
        }
        Ok(Db { default: Keyspace::new(inner.clone(), default), inner })
    }
}

/// Random numbers for a new database and for salts: the seeds that the standard library draws for
/// its maps.
#[expect(
    clippy::disallowed_methods,
    reason = "where randomness enters, for a database on a real disk"
)]
pub(crate) fn random_identity() -> Identity {
    let random = || RandomState::new().build_hasher().finish();
    Identity {
        database_id: DatabaseId(u128::from(random()) << 64 | u128::from(random())),
        incarnation: Incarnation(random()),
        salt_seed: random(),
    }
}

fn elapsed(since: Instant) -> Duration {
    now().duration_since(since)
}
