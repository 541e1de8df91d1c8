//! The engine of a replicated node: appending and committing apart.
//!
//! It is the same log and the same [`State`] as a database on one node has. What differs is who
//! decides that a record is committed: there it is when it is durable, here a protocol says so.
//!
//! - The primary [appends](ReplicaEngine::append) batches. Their versions enter the memtable at
//!   once, so that later batches are judged against them, and nobody sees them yet.
//! - A follower [appends frames](ReplicaEngine::append_frames) of the primary, byte for byte. They
//!   stand in its log and nowhere else.
//! - [Committing](ReplicaEngine::commit) applies what is not applied yet, and shows everything up
//!   to min(commit, durable). A [checkpoint](ReplicaEngine::checkpoint_step) goes as far, and no
//!   further.
//! - [Truncating](ReplicaEngine::truncate) drops what was never committed.
//! - [`ReplicaEngine::image_stream`] sends the whole state while writes go on, and
//!   [`ReplicaEngine::install`] puts such an image into the place of the own state.
//!
//! There is no thread and no clock here: whoever drives the node writes the log's groups, and calls
//! [`ReplicaEngine::advance`] after that.
//!
//! # A crash while an image is installed
//!
//! The image is built into a new directory and made durable. Then one write of the manifest names
//! that directory, the image's end as the checkpoint, and that the log must begin anew behind it.
//! This write is the moment at which the new state takes the place of the old one: before it the
//! new directory is a leftover, which the next opening removes. After it the log is reset, the
//! manifest is cleared of the reset, and the old Store is removed. Where a crash comes in between,
//! [`Log::open`] finds the reset in the manifest and makes up for it before it reads anything, and
//! the next opening removes the old Store. Nothing is appended before the reset is done.
//!
//! # Not done
//!
//! - An image has no state hash of its own; chain and checksums are what its receiver checks.
//! - A node whose Store is damaged, and whose log does not reach back far enough to rebuild it,
//!   cannot be opened to be given an image: it must be wiped, and come back as a new one.

mod frames;
mod image;
mod install;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use mainstay_wal::disk::Disk;
use mainstay_wal::manifest::Manifest;
use mainstay_wal::{Bound, Dropped, Epoch, Log, LogId, Lsn};
use parking_lot::Mutex;

use crate::batch::Batch;
use crate::engine::{CheckpointStep, Engine, Identity, Recovery, Refusal, is_store_directory};
use crate::error::{Error, ErrorKind, Result};
use crate::keyspace::{self, KeyspaceRef};
use crate::options::{Durability, Options};
use crate::record::{self, RecordOp};
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::store;

pub use image::{ImageStream, MAX_CHUNK_BYTES};
pub use install::ImageBuilder;

/// Which cluster a node belongs to. Drawn when the cluster is made.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What became of a batch at the primary.
#[derive(Clone, Debug)]
pub enum Appended {
    /// It is in the log, and not durable or committed yet.
    At(LogId),
    /// It was refused, and nothing was appended. Tell nobody before `depends_on` is committed: the
    /// refusal would show what may still be taken back.
    Refused {
        /// Why.
        why: Error,
        /// The record that refused it; [`Lsn::ZERO`] if none did.
        depends_on: Lsn,
    },
}

/// Whether everything in the log is applied.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Role {
    /// Applied is what is committed. Frames come from somebody else.
    Follower,
    /// Everything is applied, and batches are appended here.
    Primary,
}

/// The engine of a replicated node. See the [module](self).
///
/// Invariants: visible <= min(commit, durable); checkpoint <= min(commit, durable); a follower has
/// applied nothing past min(commit, durable), a primary everything in its log.
///
/// Locks, in the order in which they are taken: `role`, then those of the [`Engine`].
#[derive(Debug)]
pub struct ReplicaEngine {
    engine: Engine,
    role: Mutex<Role>,
    /// The image that is being built, if one is.
    building: Mutex<Weak<()>>,
}

impl ReplicaEngine {
    /// Opens a node's directory, or makes it. The node is a follower: being primary does not
    /// outlive the process.
    ///
    /// Recovery applies up to the highest commit LSN that the checkpoint and the log's groups tell,
    /// and keeps the rest of the log unapplied. `root` is the disk's directory in the file
    /// system, if it is one.
    ///
    /// [`Error::OtherCluster`] if the directory was never replicated (see
    /// [`ReplicaEngine::convert`]) or belongs to another cluster; nothing is changed then.
    /// Other errors as of [`Engine::open`].
    pub fn open(
        disk: Arc<dyn Disk>,
        root: Option<PathBuf>,
        options: Options,
        identity: Identity,
        cluster: ClusterId,
    ) -> Result<ReplicaEngine> {
        let engine = Engine::open_as(disk, root, options, identity, Some(cluster))?;
        let (role, building) = (Mutex::new(Role::Follower), Mutex::default());
        let replica = ReplicaEngine { engine, role, building };
        replica.remove_leftovers()?;
        Ok(replica)
    }

    /// Makes the directory of a database on one node that of a node of a cluster. From then on only
    /// a node can open it.
    ///
    /// Everything in it counts as committed: it was acknowledged. On an error the directory is
    /// still that of one node, or already converted; opening tells.
    pub fn convert(
        disk: Arc<dyn Disk>,
        root: Option<PathBuf>,
        options: Options,
        identity: Identity,
        cluster: ClusterId,
    ) -> Result<()> {
        let engine = Engine::open(disk, root, options.create(false), identity)?;
        // The checkpoint says that it is committed: a single node's log does not.
        engine.checkpoint()?;
        engine.write_manifest(|manifest| {
            manifest.replicated = true;
            manifest.cluster_id = cluster.0;
        })?;
        engine.close()
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        self.engine.recovery()
    }

    /// The log, for reading and shipping it, for writing its groups, and for its ends. Appending
    /// and truncating go through this engine.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.engine.log()
    }

    /// The state. An installed image is another one.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        self.engine.state()
    }

    /// What is visible now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.engine.state().snapshot()
    }

    /// What the manifest says: cluster, incarnation, promised epoch and vote among others.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        self.engine.manifest()
    }

    /// Up to where readers see.
    #[must_use]
    pub fn visible_lsn(&self) -> Lsn {
        self.engine.visible_lsn()
    }

    /// What is known to be committed.
    #[must_use]
    pub fn commit_lsn(&self) -> Lsn {
        self.log().commit_lsn()
    }

    /// Up to where the Store is complete and durable.
    #[must_use]
    pub fn checkpoint_lsn(&self) -> Lsn {
        self.engine.checkpoint_lsn()
    }

    /// Whether batches can be appended here.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        *self.role.lock() == Role::Primary
    }

    /// Promises to take no part in an epoch below `epoch`, with a vote in it or without. Durable
    /// when it returns.
    ///
    /// [`StaleEpoch`](mainstay_wal::Error::StaleEpoch) if a higher epoch was promised, or another
    /// vote given in this one; nothing is changed then. If the manifest cannot be written,
    /// whether the promise holds shows when the node is opened again: it must be, since the
    /// manifest takes no further write.
    pub fn promise(&self, epoch: Epoch, vote: Option<u64>) -> Result<()> {
        let _role = self.role.lock();
        let Manifest { promised_epoch: last, vote: given, .. } = self.manifest();
        if epoch < last || (epoch == last && given.is_some() && vote != given) {
            return Err(mainstay_wal::Error::StaleEpoch { epoch, last }.into());
        }
        if (epoch, vote) == (last, given) {
            return Ok(());
        }
        self.engine.write_manifest(|manifest| {
            manifest.promised_epoch = epoch;
            manifest.vote = vote;
        })
    }

    /// Becomes primary: applies everything in the log, and gives `epoch` to what is appended from
    /// now on.
    ///
    /// The epoch must have been [promised](ReplicaEngine::promise), or this panics.
    /// [`StaleEpoch`](mainstay_wal::Error::StaleEpoch) if a higher one was, or stands in the log.
    /// On an error the node is the follower that it was.
    pub fn begin_epoch(&self, epoch: Epoch) -> Result<()> {
        let mut role = self.role.lock();
        let last = self.manifest().promised_epoch;
        assert!(epoch <= last, "epoch {epoch} begins, but {last} is the highest that was promised");
        if epoch < last {
            return Err(mainstay_wal::Error::StaleEpoch { epoch, last }.into());
        }
        self.engine.check()?;
        let begun = self.apply(Bound::Appended).and_then(|()| Ok(self.log().begin_epoch(epoch)?));
        match begun {
            Ok(()) => *role = Role::Primary,
            Err(_) if *role == Role::Follower => self.take_back()?,
            Err(_) => {}
        }
        begun
    }

    /// Ceases to be primary: takes back the versions that are not committed. Their records stay in
    /// the log, until somebody commits or [truncates](ReplicaEngine::truncate) them. Does
    /// nothing at a follower.
    ///
    /// An error is the Store's; the node must be opened anew then.
    pub fn step_down(&self) -> Result<()> {
        let mut role = self.role.lock();
        if *role == Role::Primary {
            self.take_back()?;
            *role = Role::Follower;
        }
        Ok(())
    }

    /// Appends a batch at the primary. It is neither durable nor visible when this returns.
    ///
    /// Panics at a follower. On an error nothing was appended.
    pub fn append(&self, batch: &Batch) -> Result<Appended> {
        let role = self.role.lock();
        assert_eq!(*role, Role::Primary, "batches are appended at the primary");
        self.engine.check()?;
        let appended = {
            let _append = self.engine.append.lock();
            self.engine.judge_and_append(batch, Durability::Sync, &mut || Ok(()))
        };
        match appended {
            Ok(lsn) => Ok(Appended::At(LogId { epoch: self.log().end().epoch, lsn })),
            Err(Refusal::After(depends_on, why)) => Ok(Appended::Refused { why, depends_on }),
            // The keyspace may have been dropped by what is not committed.
            Err(Refusal::Now(why @ Error::NoSuchKeyspace { .. })) => {
                Ok(Appended::Refused { why, depends_on: self.state().last_applied_lsn() })
            }
            Err(Refusal::Now(why)) if why.kind() == ErrorKind::Input => {
                Ok(Appended::Refused { why, depends_on: Lsn::ZERO })
            }
            Err(Refusal::Now(why)) => Err(why),
        }
    }

    /// Appends the creation of a keyspace at the primary. Batches may use it at once. If there is
    /// one with this name, nothing is appended; the record given is then the end of the log.
    ///
    /// Panics at a follower. On an error nothing was appended.
    pub fn create_keyspace(&self, name: &str) -> Result<(KeyspaceRef, LogId)> {
        keyspace::check_name(name)?;
        let role = self.role.lock();
        assert_eq!(*role, Role::Primary, "keyspaces are made at the primary");
        self.engine.check()?;
        let state = self.state();
        let id = match state.keyspace_id(name) {
            Some(id) => id,
            None => {
                let id = state.allocate_keyspace_id()?;
                let op = RecordOp::CreateKeyspace { keyspace: id, name };
                self.append_record(&op)?;
                id
            }
        };
        Ok((state.keyspace_ref(id, name), self.log().end()))
    }

    /// Appends the removal of a keyspace at the primary. `None` if there is none with this name.
    ///
    /// Panics at a follower. On an error nothing was appended.
    pub fn drop_keyspace(&self, name: &str) -> Result<Option<LogId>> {
        keyspace::check_droppable(name)?;
        let role = self.role.lock();
        assert_eq!(*role, Role::Primary, "keyspaces are dropped at the primary");
        self.engine.check()?;
        let Some(keyspace) = self.state().keyspace_id(name) else { return Ok(None) };
        self.append_record(&RecordOp::DropKeyspace { keyspace })?;
        Ok(Some(self.log().end()))
    }

    fn append_record(&self, op: &RecordOp<'_>) -> Result<Lsn> {
        let _append = self.engine.append.lock();
        self.engine.append_record(&record::encode(std::slice::from_ref(op)), Durability::Sync)
    }

    /// Appends the primary's frames at a follower, behind `previous`, which must be the end of the
    /// log. Into the log alone: they are applied once they are committed.
    ///
    /// Panics at the primary. Errors as of [`Log::append_frames`];
    /// [`BadFrames`](mainstay_wal::Error::BadFrames) also for an epoch that was not
    /// [promised](ReplicaEngine::promise), with nothing appended.
    pub fn append_frames(&self, previous: LogId, frames: &[u8]) -> Result<LogId> {
        let role = self.role.lock();
        assert_eq!(*role, Role::Follower, "frames are appended at a follower");
        self.engine.check()?;
        let promised = self.manifest().promised_epoch;
        if let Some(epoch) = frames::last_epoch(frames)
            && epoch > promised
        {
            let reason = format!("epoch {epoch} was not promised, {promised} was");
            return Err(mainstay_wal::Error::BadFrames { reason }.into());
        }
        Ok(self.log().append_frames(previous, frames)?)
    }

    /// Notes that everything up to `up_to` is committed, as far as the log goes, and then does as
    /// [`ReplicaEngine::advance`]. Never moves back.
    ///
    /// The caller knows that the own log is that of the cluster up to there.
    pub fn commit(&self, up_to: Lsn) -> Result<Lsn> {
        self.log().set_commit_lsn(up_to);
        self.advance()
    }

    /// Applies and shows what is committed and durable; gives up to where that is. To be called
    /// whenever groups of the log became durable.
    ///
    /// On an error a record of the log cannot be applied or read; what is visible stays as it is.
    pub fn advance(&self) -> Result<Lsn> {
        let role = self.role.lock();
        if *role == Role::Follower {
            self.apply(Bound::Committed)?;
        }
        self.engine.show();
        Ok(self.visible_lsn())
    }

    /// Applies the log up to a bound. The role is locked.
    fn apply(&self, bound: Bound) -> Result<()> {
        let (log, state) = (self.log(), self.state());
        let mut reader = log.reader(state.last_applied_lsn().next(), bound)?;
        while let Some(frame) = reader.next_frame()? {
            state.apply(frame.header.lsn, frame.payload)?;
            if state.wants_freeze() {
                state.freeze();
            }
        }
        Ok(())
    }

    /// Takes back every version that is not visible. The role is locked.
    fn take_back(&self) -> Result<()> {
        // No checkpoint shows anything meanwhile.
        let _checkpoint = self.engine.checkpoint.lock();
        self.engine.show();
        let state = self.state();
        let taken = state.truncate_after(state.visible_lsn());
        taken.map_err(|error| self.engine.fail(error))
    }

    /// Drops every record past `last_kept` from a follower's log, durably. What is dropped is saved
    /// to a file, and reported.
    ///
    /// [`NotContiguous`](mainstay_wal::Error::NotContiguous) if any of it is committed; nothing is
    /// changed then. Other errors as of [`Log::truncate_suffix`]. Panics at the primary. No
    /// group of the log may be in flight on the calling thread: this waits for it. Readers that
    /// have read past `last_kept` are of no use afterwards.
    pub fn truncate(&self, last_kept: Lsn) -> Result<Dropped> {
        let role = self.role.lock();
        assert_eq!(*role, Role::Follower, "the log of a follower is truncated");
        let applied = self.state().last_applied_lsn();
        let commit_lsn = self.commit_lsn();
        assert!(applied <= commit_lsn, "a follower has applied {applied} of {commit_lsn}");
        Ok(self.log().truncate_suffix(last_kept)?)
    }

    /// Does one bounded piece of a checkpoint, as [`Engine::checkpoint_step`] does, never past
    /// min(commit, durable).
    pub fn checkpoint_step(&self) -> Result<CheckpointStep> {
        self.engine.checkpoint_step()
    }

    /// Moves what is committed and applied into the Store, as [`Engine::checkpoint`] does. Gives up
    /// to where.
    ///
    /// At a primary with uncommitted records it goes as far as whole frozen memtables are
    /// committed.
    pub fn checkpoint(&self) -> Result<Lsn> {
        self.engine.checkpoint()
    }

    /// Makes the whole log durable, and then does as [`ReplicaEngine::advance`].
    pub fn sync(&self) -> Result<Lsn> {
        self.log().sync()?;
        self.advance()
    }

    /// Makes everything durable and refuses every later write, as [`Log::close`] does.
    pub fn close(&self) -> Result<()> {
        self.engine.close()
    }

    /// Removes the Stores that are not this node's: of images that were not installed, and of what
    /// an image replaced.
    fn remove_leftovers(&self) -> Result<()> {
        let disk = &*self.engine.disk;
        let names = disk
            .list("")
            .map_err(|error| mainstay_wal::Error::io("list", disk.describe(), error))?;
        let ours = self.manifest().store_directory;
        for name in names.iter().filter(|name| is_store_directory(name) && **name != ours) {
            store::destroy(disk, name)?;
        }
        Ok(())
    }
}
