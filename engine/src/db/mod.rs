//! The database as programs use it: the engine with threads around it.

mod background;
mod keyspace;
mod open;
mod pressure;
mod ticket;
mod transact;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_wal::Lsn;

use crate::batch::Batch;
use crate::engine::{Engine, Recovery};
use crate::error::Result;
use crate::options::Durability;
use crate::snapshot::Snapshot;
use crate::stats::Stats;

pub use keyspace::Keyspace;
pub(crate) use open::random_identity;
pub use ticket::Ticket;
pub use transact::Committer;

/// An open database.
///
/// Cheap to clone; all clones are the same database, and any number of threads may use them.
/// Dropping the last clone closes it, but cannot report an error: [`Db::close`] can.
///
/// The calls for single keys work on the keyspace `default`; [`Db::keyspace`] gives others, with
/// the same calls.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
    default: Keyspace,
}

/// What handles of the database share. The threads hold only what is behind it, and for as long as
/// they work: so the last handle that is dropped waits for them, and the directory is free then.
pub(crate) struct Inner {
    shared: Arc<Shared>,
}

impl std::ops::Deref for Inner {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pressure: pressure::Pressure,
    background: background::Background,
    closed: AtomicBool,
    opened_in: std::time::Duration,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("disk", &self.inner.engine.disk.describe()).finish()
    }
}

/// The calls for keys in the keyspace `default`.
impl std::ops::Deref for Db {
    type Target = Keyspace;

    fn deref(&self) -> &Keyspace {
        &self.default
    }
}

impl Db {
    /// The keyspace with this name; made, durably, if there is none.
    ///
    /// Names have 1 to 255 bytes and do not begin with `mainstay.`.
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        let id = self.inner.engine.keyspace(name)?;
        Ok(Keyspace::new(self.inner.clone(), id))
    }

    /// The keyspace `default`, which is always there.
    #[must_use]
    pub fn default_keyspace(&self) -> &Keyspace {
        &self.default
    }

    /// The names of all keyspaces, in order.
    #[must_use]
    pub fn keyspaces(&self) -> Vec<String> {
        self.inner.engine.state().keyspaces().into_iter().map(|(name, _)| name).collect()
    }

    /// Drops a keyspace with everything in it, durably. False if there is none of this name. The
    /// keyspace `default` cannot be dropped.
    pub fn drop_keyspace(&self, name: &str) -> Result<bool> {
        self.inner.engine.drop_keyspace(name)
    }

    /// Writes a batch: all of it or nothing, with the default durability. Does not wait: the ticket
    /// does.
    ///
    /// Errors come before anything was applied.
    /// [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) names what was found
    /// instead.
    pub fn write(&self, batch: Batch) -> Result<Ticket> {
        self.write_with(batch, self.inner.engine.options.durability)
    }

    /// As [`Db::write`], with a durability of its own.
    pub fn write_with(&self, batch: Batch, durability: Durability) -> Result<Ticket> {
        let lsn = self.inner.write(&batch, durability)?;
        if durability == Durability::Sync {
            self.inner.engine.log.request_sync();
        }
        Ok(Ticket::new(self.inner.clone(), lsn, durability))
    }

    /// Makes every write so far durable, those with [`Durability::Buffered`] too.
    pub fn sync(&self) -> Result<()> {
        let end = self.inner.engine.log.end();
        self.inner.engine.wait(end.lsn)
    }

    /// A view of the database as it is now, which later writes do not change.
    ///
    /// It costs memory while it lives, within a bound: past it, reads of the oldest snapshots
    /// answer [`Error::SnapshotTooOld`](crate::Error::SnapshotTooOld).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.engine.state().snapshot()
    }

    /// The newest write that is visible.
    #[must_use]
    pub fn visible_lsn(&self) -> Lsn {
        self.inner.engine.visible_lsn()
    }

    /// Moves everything written so far into the Store and lets go of the log below. Gives the LSN
    /// up to which the Store is complete.
    ///
    /// Happens by itself when memory fills; useful before a long pause, so that the next start is
    /// quick.
    pub fn checkpoint(&self) -> Result<Lsn> {
        let done = self.inner.engine.checkpoint();
        self.inner.pressure.relieve();
        done
    }

    /// What opening the database found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        self.inner.engine.recovery()
    }

    /// Figures about the database at present and since it was opened.
    pub fn stats(&self) -> Result<Stats> {
        Stats::collect(&self.inner.engine, self.inner.opened_in)
    }

    /// Bytes of all files of the database.
    pub fn size_on_disk(&self) -> Result<u64> {
        let engine = &self.inner.engine;
        Ok(engine.log.stats().disk_bytes + engine.store().usage()?.disk_bytes)
    }

    /// Makes everything durable and ends the database's threads. Other clones refuse writes from
    /// then on.
    ///
    /// An error means that the log or the Store failed, now or before; what was acknowledged as
    /// durable is.
    pub fn close(self) -> Result<()> {
        self.inner.close()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Shared {
    /// Waits where memory is short, then writes.
    fn write(&self, batch: &Batch, durability: Durability) -> Result<Lsn> {
        self.write_if(batch, durability, &mut || Ok(()))
    }

    /// As [`Inner::write`], if a check under the append lock says yes.
    fn write_if(
        &self,
        batch: &Batch,
        durability: Durability,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Lsn> {
        let _passing = self.pressure.admit(&self.engine, batch)?;
        let lsn = self.engine.write_if(batch, durability, check)?;
        self.background.checkpoint_if_needed(&self.engine);
        Ok(lsn)
    }

    /// Writes, and waits as the durability says.
    pub(crate) fn write_and_wait(&self, batch: &Batch, durability: Durability) -> Result<Lsn> {
        let lsn = self.write(batch, durability)?;
        self.engine.acknowledge(lsn, durability)?;
        Ok(lsn)
    }

    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.pressure.release();
        self.background.stop();
        let closed = self.engine.close();
        self.engine.advance(self.engine.log.durable_lsn());
        self.engine.shown.close();
        self.engine.check()?;
        closed
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "outside of the core: it measures, and slows writers"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the database was dropped and could not be closed cleanly");
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
