//! Building an image's state beside the own one, and putting it in its place.

use std::sync::Arc;

use mainstay_wal::frame::{Frame, Frames};
use mainstay_wal::history::{EpochEntry, EpochHistory};
use mainstay_wal::{Chain, Epoch, LogId, Lsn};

use super::image::{self, Begin, Chunk, End, Fields, bad_image};
use super::{ClusterId, ReplicaEngine, Role};
use crate::bytes::{Key, Value};
use crate::engine::next_directory;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::record::MAX_KEY_BYTES;
use crate::state::{State, StateOptions};
use crate::store::{self, Store, StoreOp, StorePlace, StoreSource, WatchedStore};

/// Operations of one step of a checkpoint into the new Store.
const OPS_PER_STEP: usize = 1000;

/// A state that is built from the chunks of an image, beside that of the node. Dropped before it is
/// [installed](ReplicaEngine::install) it leaves a directory, which the next one, or the next
/// opening, removes.
#[derive(Debug)]
pub struct ImageBuilder {
    cluster: ClusterId,
    directory: String,
    store: Arc<WatchedStore>,
    state_options: StateOptions,
    next_chunk: u64,
    entries: u64,
    records: u64,
    /// The last entry's place: entries come in order.
    last_entry: Option<(KeyspaceId, Key)>,
    stage: Stage,
    /// Tells the node that an image is being built.
    _building: Arc<()>,
}

#[derive(Debug)]
enum Stage {
    Begin,
    Entries(Begin),
    /// Frames are applied over the entries.
    Log {
        state: Arc<State>,
        last: LogId,
        chain: Chain,
    },
    Complete(Complete),
    Failed,
}

/// An image that is whole and durable.
#[derive(Clone, Debug)]
struct Complete {
    end: LogId,
    chain: Chain,
    history: EpochHistory,
    epoch: EpochEntry,
}

impl ImageBuilder {
    /// Takes in the next chunk. After the last one the state is complete and durable.
    ///
    /// [`Error::Backup`] if a chunk is damaged, out of order, of another cluster, or if the image
    /// does not fit together; other errors are the new Store's. After an error begin another
    /// one; the node is as it was.
    pub fn take(&mut self, chunk: &[u8]) -> Result<()> {
        // An error leaves it failed.
        let stage = std::mem::replace(&mut self.stage, Stage::Failed);
        let opened = image::open(chunk, self.next_chunk)?;
        self.stage = self.go_on(stage, opened)?;
        self.next_chunk += 1;
        Ok(())
    }

    /// Whether the last chunk was taken in.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete(_))
    }

    fn go_on(&mut self, stage: Stage, chunk: Chunk<'_>) -> Result<Stage> {
        match (stage, chunk) {
            (Stage::Begin, Chunk::Begin(begin)) => {
                if begin.cluster != self.cluster {
                    return Err(bad_image(format!("it is of cluster {}", begin.cluster)));
                }
                Ok(Stage::Entries(begin))
            }
            (Stage::Entries(begin), Chunk::Entries { keyspace, entries }) => {
                self.take_entries(keyspace, entries)?;
                Ok(Stage::Entries(begin))
            }
            (Stage::Entries(begin), chunk @ (Chunk::Frames(_) | Chunk::End(_))) => {
                let Begin { start, chain, .. } = begin;
                // Pieces without an LSN are seen from here on.
                self.store.make_durable()?;
                let state = State::open(self.store.clone(), start.lsn, self.state_options)?;
                let stage = Stage::Log { state: Arc::new(state), last: start, chain };
                self.go_on(stage, chunk)
            }
            (Stage::Log { state, mut last, mut chain }, Chunk::Frames(frames)) => {
                for frame in Frames::new(frames) {
                    let frame = frame.map_err(|error| bad_image(error.to_string()))?;
                    self.take_frame(&state, last, &frame)?;
                    (last, chain) = (frame.log_id(), chain.extend(&frame.header));
                }
                Ok(Stage::Log { state, last, chain })
            }
            (Stage::Log { state, last, chain }, Chunk::End(end)) => {
                self.complete(&state, last, chain, end).map(Stage::Complete)
            }
            (Stage::Failed, _) => Err(bad_image("an earlier chunk of it was refused")),
            _ => Err(bad_image(format!("chunk {} is out of place", self.next_chunk))),
        }
    }

    fn take_entries(&mut self, keyspace: KeyspaceId, entries: &[u8]) -> Result<()> {
        let mut fields = Fields(entries);
        let mut ops = Vec::new();
        while !fields.0.is_empty() {
            let mut entry = || {
                let (key, value) = (fields.u32()? as usize, fields.u32()? as usize);
                Some((fields.bytes(key)?, fields.bytes(value)?))
            };
            let Some((key, value)) = entry() else { return Err(bad_image("an entry is cut off")) };
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                return Err(bad_image(format!("a key of {} bytes", key.len())));
            }
            let place = (keyspace, Key::from(key));
            if self.last_entry.as_ref().is_some_and(|last| *last >= place) {
                return Err(bad_image("entries are out of order"));
            }
            ops.push(StoreOp::Insert { keyspace, key: place.1.clone(), value: Value::from(value) });
            self.last_entry = Some(place);
        }
        self.entries += ops.len() as u64;
        self.store.apply(&ops, Lsn::ZERO)
    }

    fn take_frame(&mut self, state: &Arc<State>, last: LogId, frame: &Frame<'_>) -> Result<()> {
        let id = frame.log_id();
        if id.lsn != last.lsn.next() || id.epoch < last.epoch {
            return Err(bad_image(format!("record {id} follows record {last}")));
        }
        state.apply(id.lsn, frame.payload)?;
        self.records += 1;
        if state.wants_freeze() {
            flush(state)?;
        }
        Ok(())
    }

    /// Checks the image as a whole, and makes the Store complete and durable.
    fn complete(
        &self,
        state: &Arc<State>,
        last: LogId,
        chain: Chain,
        found: End,
    ) -> Result<Complete> {
        let End { end, history, .. } = found;
        if end == LogId::ZERO {
            return Err(bad_image("there is nothing in it: its log is empty"));
        }
        if (end, found.chain) != (last, chain) {
            return Err(bad_image(format!(
                "it ends at {end} with chain {}, its log at {last} with chain {chain}",
                found.chain
            )));
        }
        if (found.entries, found.records) != (self.entries, self.records) {
            return Err(bad_image("entries or records of it are missing"));
        }
        let epoch = match history.entry_at(end.lsn) {
            Some(entry) if entry.epoch == end.epoch => entry,
            _ => return Err(bad_image(format!("its epochs do not lead to {end}"))),
        };
        flush(state)?;
        self.store.apply(&[], end.lsn)?;
        self.store.make_durable()?;
        Ok(Complete { end, chain, history, epoch })
    }
}

/// Moves everything applied into the Store.
fn flush(state: &Arc<State>) -> Result<()> {
    state.set_visible(state.last_applied_lsn());
    state.freeze();
    while let Some(mut job) = state.begin_checkpoint() {
        while !job.step(OPS_PER_STEP)? {}
        state.finish_checkpoint(job);
    }
    Ok(())
}

impl ReplicaEngine {
    /// Begins to build the state of an image beside the own one, which goes on as it is.
    ///
    /// [`Error::Busy`] if another image is being built. Other errors are the new Store's; the node
    /// is as it was.
    pub fn begin_install(&self) -> Result<ImageBuilder> {
        let mut building = self.building.lock();
        if building.upgrade().is_some() {
            return Err(Error::Busy { what: "another image is being installed" });
        }
        self.engine.check()?;
        let engine = &self.engine;
        let manifest = engine.manifest();
        let directory = next_directory(&manifest.store_directory);
        store::destroy(&*engine.disk, &directory)?;
        let place =
            StorePlace { disk: &engine.disk, root: engine.root.as_deref(), directory: &directory };
        let cache_bytes = engine.options.store_cache_bytes;
        let source =
            StoreSource::of(&manifest, engine.disk.describe(), engine.options.store.as_ref())?;
        let store = source.open(place, cache_bytes, true)?;
        let store = Arc::new(WatchedStore::new(store, &directory));
        let guard = Arc::new(());
        *building = Arc::downgrade(&guard);
        Ok(ImageBuilder {
            cluster: ClusterId(manifest.cluster_id),
            directory,
            store,
            state_options: engine.options.state_options(),
            next_chunk: 0,
            entries: 0,
            records: 0,
            last_entry: None,
            stage: Stage::Begin,
            _building: guard,
        })
    }

    /// Puts a complete image into the place of the own state, and begins the log anew behind it.
    /// Gives the image's end, which is committed, visible and checkpointed from then on.
    ///
    /// Panics at the primary. [`Error::Backup`] if the image is not complete, ends below what is
    /// committed here, or is of an epoch that was not promised: the node is as it was. After
    /// any other error the node refuses every write and must be opened anew, and then has the
    /// old state or the new one.
    ///
    /// Snapshots taken before go on showing what they showed; handles of keyspaces must be made
    /// anew. Readers of the log are of no use afterwards.
    pub fn install(&mut self, image: ImageBuilder) -> Result<LogId> {
        let role = *self.role.get_mut();
        assert_eq!(role, Role::Follower, "an image is installed at a follower");
        self.engine.check()?;
        let ImageBuilder { directory, store, state_options, stage, .. } = image;
        let Stage::Complete(complete) = stage else {
            return Err(bad_image("it is not complete"));
        };
        let (end, commit_lsn) = (complete.end, self.commit_lsn());
        if end.lsn < commit_lsn {
            return Err(bad_image(format!("it ends at {end}, below the commit LSN {commit_lsn}")));
        }
        let promised: Epoch = self.manifest().promised_epoch;
        if end.epoch > promised {
            return Err(bad_image(format!(
                "it ends at {end}, but only epoch {promised} is promised"
            )));
        }
        let state = Arc::new(State::open(store.clone(), end.lsn, state_options)?);
        // A checkpoint that is being made was of the old state.
        *self.engine.checkpoint.get_mut() = Default::default();
        let replaced = self.manifest().store_directory;
        let switched = self.switch(&directory, &complete);
        switched.map_err(|error| self.engine.fail(error))?;
        store.watch(&self.engine.health);
        drop(std::mem::replace(&mut self.engine.state, state));
        let old = std::mem::replace(&mut self.engine.store, store);
        // If a snapshot still reads it, the next opening removes it.
        if Arc::strong_count(&old) == 1 {
            drop(old);
            if let Err(error) = store::destroy(&*self.engine.disk, &replaced) {
                // The next opening removes this one too.
                tracing::warn!(%error, "the Store that an image replaced cannot be removed");
            }
        }
        Ok(end)
    }

    /// The steps whose order the [module](super) explains.
    fn switch(&self, directory: &str, complete: &Complete) -> Result<()> {
        let Complete { end, chain, history, epoch } = complete;
        let disk = &*self.engine.disk;
        disk.sync_directory("")
            .map_err(|error| mainstay_wal::Error::io("sync", disk.describe(), error))?;
        self.engine.write_manifest(|manifest| {
            directory.clone_into(&mut manifest.store_directory);
            manifest.store_damaged = false;
            manifest.checkpoint = *end;
            manifest.checkpoint_chain = *chain;
            manifest.reset = Some(*epoch);
        })?;
        self.log().reset(*end, *chain, history)?;
        self.engine.write_manifest(|manifest| manifest.reset = None)
    }
}
