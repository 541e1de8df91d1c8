//! Moving a frozen memtable into the Store, step by step.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mainstay_wal::Lsn;

use super::State;
use super::registry::Released;
use super::undo::UndoLayer;
use crate::bytes::Key;
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::memtable::{Memtable, Removed};
use crate::span::{self, Span};
use crate::store::StoreOp;

/// A checkpoint that is being made. Dropped before it is finished it is given up; the next one
/// does the same work again.
#[derive(Debug)]
#[must_use]
pub struct CheckpointJob {
    state: Arc<State>,
    memtable: Arc<Memtable>,
    end: Lsn,
    /// There if snapshots older than `end` were alive at the beginning. None can come later.
    layer: Option<Arc<UndoLayer>>,
    /// Bytes kept in the layer since the bound was last looked at.
    unchecked_bytes: usize,
    /// The keyspaces that are left, last one first.
    keyspaces: Vec<KeyspaceId>,
    /// The keys of the memtable, and how many of them were looked at.
    keys: usize,
    looked_at_keys: usize,
    stage: Stage,
}

/// The bound on what old snapshots pin is looked at whenever so much was added.
const CHECKED_BYTES: usize = 64 << 10;

#[derive(Debug)]
enum Stage {
    /// Before the next keyspace.
    Between,
    /// Removals of a keyspace: the spans left, last one first.
    Removals {
        keyspace: KeyspaceId,
        drops: bool,
        spans: Vec<Span>,
    },
    /// Points of a keyspace that are left.
    Points {
        keyspace: KeyspaceId,
        rest: Span,
    },
    Done,
}

impl State {
    /// Begins to move the oldest frozen memtable into the Store. `None` if there is none, if its
    /// end is not visible yet, or while another checkpoint is being made.
    ///
    /// The log must be durable up to [`CheckpointJob::end`] before the first
    /// [step](CheckpointJob::step).
    pub fn begin_checkpoint(self: &Arc<Self>) -> Option<CheckpointJob> {
        let mut registry = self.registry.lock();
        let memtable = Arc::clone(self.view().oldest_frozen()?);
        let end = memtable.end();
        if registry.checkpoint.is_some() || end > self.visible_lsn() {
            return None;
        }
        registry.checkpoint = Some(end);
        self.floor.fetch_max(end.0, Ordering::AcqRel);
        let layer = registry.oldest().filter(|oldest| *oldest < end).map(|_| self.layer_of(end));
        let mut keyspaces = memtable.keyspaces();
        keyspaces.reverse();
        let state = Arc::clone(self);
        Some(CheckpointJob {
            state,
            keys: memtable.key_count(),
            looked_at_keys: 0,
            memtable,
            end,
            layer,
            unchecked_bytes: 0,
            keyspaces,
            stage: Stage::Between,
        })
    }

    /// The undo layer of the checkpoint up to `end`: that of an attempt that was given up, or a new
    /// one.
    fn layer_of(&self, end: Lsn) -> Arc<UndoLayer> {
        let mut layers = self.layers.write();
        match layers.last() {
            Some(last) if last.end() == end => Arc::clone(last),
            last => {
                let before = last.map_or(Lsn::ZERO, |last| last.end());
                assert!(before < end, "a layer up to {end} comes after that up to {before}");
                let layer = Arc::new(UndoLayer::new(end));
                layers.push(Arc::clone(&layer));
                layer
            }
        }
    }

    /// Lets go of the memtable that `job` has moved: the Store is complete up to
    /// [`CheckpointJob::end`], and that is what [`State::oldest_base`] says from now on.
    ///
    /// Comes after the Store was made durable and the manifest names the LSN. Panics if steps are
    /// left.
    pub fn finish_checkpoint(&self, job: CheckpointJob) {
        assert!(job.is_done(), "the checkpoint up to {} is finished in the middle", job.end);
        let mut registry = self.registry.lock();
        let old = self.view();
        self.set_view(old.without(job.end));
        registry.checkpoint = None;
        let (start, bytes) = (job.memtable.start(), job.memtable.bytes());
        let released = registry.retire(start, job.end, bytes, &self.layers);
        drop(registry);
        drop(released);
    }
}

impl CheckpointJob {
    /// The LSN up to which the Store is complete when the job is done.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// Whether every step is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Bytes of the memtable that is moved.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memtable.bytes()
    }

    /// Bytes of the memtable that are in the Store already, about.
    #[must_use]
    pub fn moved_bytes(&self) -> usize {
        self.memtable.bytes() / self.keys.max(1) * self.looked_at_keys.min(self.keys)
    }

    /// Applies up to `max_ops` operations to the Store, and perhaps looks at as many of its entries
    /// before. `true` when nothing is left.
    ///
    /// # Errors
    /// Those of the Store. The job cannot go on then; a new one does everything again, which is
    /// harmless.
    pub fn step(&mut self, max_ops: usize) -> Result<bool> {
        let max_ops = max_ops.max(1);
        let mut ops = Vec::new();
        let mut looked_at = 0;
        while ops.len() + looked_at < max_ops && !self.is_done() {
            match std::mem::replace(&mut self.stage, Stage::Between) {
                Stage::Done => self.stage = Stage::Done,
                Stage::Between => self.next_keyspace(),
                Stage::Removals { keyspace, drops, spans } => {
                    let limit = max_ops - ops.len() - looked_at;
                    looked_at += self.remove(keyspace, drops, spans, limit, &mut ops)?;
                }
                Stage::Points { keyspace, rest } => {
                    let limit = max_ops - ops.len() - looked_at;
                    self.set_points(keyspace, rest, limit, &mut ops)?;
                }
            }
        }
        let up_to = if self.is_done() { self.end } else { Lsn::ZERO };
        if self.is_done() || !ops.is_empty() {
            self.state.store.apply(&ops, up_to)?;
        }
        Ok(self.is_done())
    }

    fn next_keyspace(&mut self) {
        let Some(keyspace) = self.keyspaces.pop() else {
            self.stage = Stage::Done;
            return;
        };
        let (drops, mut spans) = match self.memtable.removed(keyspace) {
            Removed::Keyspace => (true, vec![Span::all()]),
            Removed::Ranges(spans) => (false, spans),
        };
        spans.reverse();
        self.stage = Stage::Removals { keyspace, drops, spans };
    }

    /// Removes the next span, or keeps another piece of what stands in it for old snapshots.
    /// Returns how many entries of the Store it looked at.
    fn remove(
        &mut self,
        keyspace: KeyspaceId,
        drops: bool,
        mut spans: Vec<Span>,
        limit: usize,
        ops: &mut Vec<StoreOp>,
    ) -> Result<usize> {
        let Some(whole) = spans.pop() else {
            self.stage = Stage::Points { keyspace, rest: Span::all() };
            return Ok(0);
        };
        let (looked_at, kept_up_to) = self.keep_span(keyspace, &whole, limit)?;
        if let Some(last) = kept_up_to {
            // The removal itself waits until everything in it is kept; kept pieces can go before
            // the rest.
            let upper = span::after(&last);
            let rest = Span { lower: upper.clone(), upper: whole.upper };
            let piece = Span { lower: whole.lower, upper: Some(upper) };
            if !drops {
                ops.push(remove_range(keyspace, piece));
            }
            spans.push(rest);
        } else if drops {
            ops.push(StoreOp::DropKeyspace { keyspace });
        } else {
            ops.push(remove_range(keyspace, whole));
        }
        self.stage = Stage::Removals { keyspace, drops, spans };
        Ok(looked_at)
    }

    /// Keeps up to `limit` of the Store's entries in a span. Returns how many it looked at, and the
    /// last of them if there may be more.
    fn keep_span(
        &mut self,
        keyspace: KeyspaceId,
        span: &Span,
        limit: usize,
    ) -> Result<(usize, Option<Key>)> {
        if self.needed_layer().is_none() {
            return Ok((0, None));
        }
        let (lower, upper) = span.bounds();
        let mut looked_at = 0;
        for entry in self.state.clone().store.range(keyspace, lower, upper)? {
            // Nobody may need it any more: the snapshot was dropped or given up.
            let Some(layer) = self.needed_layer().cloned() else { break };
            let (key, value) = entry?;
            self.unchecked_bytes += layer.keep(keyspace, key.clone(), Some(value));
            self.keep_bound(CHECKED_BYTES);
            looked_at += 1;
            if looked_at >= limit {
                self.keep_bound(1);
                return Ok((looked_at, Some(key)));
            }
        }
        self.keep_bound(1);
        Ok((looked_at, None))
    }

    /// Sets the next points.
    fn set_points(
        &mut self,
        keyspace: KeyspaceId,
        mut rest: Span,
        limit: usize,
        ops: &mut Vec<StoreOp>,
    ) -> Result<()> {
        let chunk = self.memtable.points(keyspace, &rest, limit);
        self.looked_at_keys += chunk.entries.len();
        let oldest = self.state.oldest_snapshot().unwrap_or(Lsn::MAX);
        for point in chunk.entries {
            // Snapshots from the first version on find the key in the memtable that they hold.
            if point.first_lsn > oldest {
                self.keep_point(keyspace, &point.key)?;
            }
            ops.push(match point.value {
                Some(value) => StoreOp::Insert { keyspace, key: point.key, value },
                None => StoreOp::Remove { keyspace, key: point.key },
            });
        }
        self.keep_bound(1);
        self.stage = match chunk.stopped_at {
            Some(key) => {
                rest.lower = span::after(&key);
                Stage::Points { keyspace, rest }
            }
            None => Stage::Between,
        };
        Ok(())
    }

    /// Keeps what the Store has for a key.
    fn keep_point(&mut self, keyspace: KeyspaceId, key: &Key) -> Result<()> {
        if let Some(layer) = self.needed_layer().cloned()
            && !layer.contains(keyspace, key)
        {
            let before = self.state.store.get(keyspace, key)?;
            self.unchecked_bytes += layer.keep(keyspace, key.clone(), before);
            self.keep_bound(CHECKED_BYTES);
        }
        Ok(())
    }

    /// The layer to keep values in, as long as somebody needs it.
    fn needed_layer(&self) -> Option<&Arc<UndoLayer>> {
        let layer = self.layer.as_ref()?;
        self.state.oldest_snapshot().filter(|oldest| *oldest < self.end).map(|_| layer)
    }

    /// Keeps within the bound on what old snapshots pin, once `from_bytes` were added.
    fn keep_bound(&mut self, from_bytes: usize) {
        if self.unchecked_bytes < from_bytes {
            return;
        }
        self.unchecked_bytes = 0;
        let mut released = Released::default();
        self.state.registry.lock().keep_bound(&self.state.layers, &mut released);
        drop(released);
    }
}

impl Drop for CheckpointJob {
    fn drop(&mut self) {
        let mut registry = self.state.registry.lock();
        if registry.checkpoint == Some(self.end) {
            registry.checkpoint = None;
        }
    }
}

fn remove_range(keyspace: KeyspaceId, span: Span) -> StoreOp {
    let (lower, upper) = span.bounds();
    StoreOp::RemoveRange { keyspace, lower: lower.map(Key::from), upper: upper.map(Key::from) }
}
