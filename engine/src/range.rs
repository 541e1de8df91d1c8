//! Reading a range: memtables, Store and undo layers merged, from both ends, in pieces.
//!
//! A piece is a stretch of keys that is resolved at once, so that nothing is locked between two
//! items. The front and the back each hold a piece; what lies between them was not read yet. When
//! nothing does, each end goes on with what the other has left.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use mainstay_wal::Lsn;

use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::memtable::{KeyState, Side};
use crate::snapshot::Snapshot;
use crate::span::{self, Span};
use crate::state::{UndoLayer, View};
use crate::store::{Store, StoreIter};

/// Keys looked at for the first piece: few, since many ranges are read no further than that.
const FIRST_PIECE_KEYS: usize = 16;
/// Keys looked at for a piece in a long range.
const LAST_PIECE_KEYS: usize = 512;
/// A piece takes no more from the Store once it has this many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// The entries of a range in a [`Snapshot`], in order of keys, from both ends.
///
/// It keeps its snapshot alive. An error is an item, and the last one: [`Error::SnapshotTooOld`] if
/// the snapshot was given up meanwhile, or an error of the Store.
///
/// [`Error::SnapshotTooOld`]: crate::Error::SnapshotTooOld
#[derive(Debug)]
pub struct Range {
    snapshot: Snapshot,
    keyspace: KeyspaceId,
    /// What was not read yet.
    middle: Span,
    front: VecDeque<(Key, Value)>,
    back: VecDeque<(Key, Value)>,
    piece_keys: usize,
    /// Given out before the range ends.
    error: Option<crate::Error>,
    /// What the memtables have removed, newest memtable first. It does not change: all of it is in
    /// the past.
    removed: Option<Vec<Vec<Span>>>,
    source: Source,
}

/// Where the pieces of a range come from.
#[derive(Default)]
enum Source {
    /// Nothing was read yet.
    #[default]
    Unknown,
    /// No memtable has anything in what was not read yet: this reads the Store, which is all that
    /// is left to read, from where the last piece ended.
    Store(StoreIter),
    /// The memtables too.
    Merged,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Unknown => "Unknown",
            Source::Store(_) => "Store",
            Source::Merged => "Merged",
        })
    }
}

impl Range {
    pub(crate) fn new(snapshot: Snapshot, keyspace: KeyspaceId, within: Span) -> Range {
        Range {
            snapshot,
            keyspace,
            middle: within,
            front: VecDeque::new(),
            back: VecDeque::new(),
            piece_keys: FIRST_PIECE_KEYS,
            error: None,
            removed: None,
            source: Source::Unknown,
        }
    }

    /// A range that gives out nothing but an error.
    pub(crate) fn failed(snapshot: Snapshot, error: crate::Error) -> Range {
        let empty = Span { lower: Key::from(&[][..]), upper: Some(Key::from(&[][..])) };
        let mut range = Range::new(snapshot, KeyspaceId::CATALOG, empty);
        range.error = Some(error);
        range
    }

    /// Reads pieces until one has an entry or nothing is left.
    fn fill(&mut self, side: Side) -> Result<()> {
        while !self.middle.is_empty() {
            let piece = self.read(side)?;
            self.piece_keys = (self.piece_keys * 4).min(LAST_PIECE_KEYS);
            self.middle = piece.rest;
            let entries = piece.entries.into_iter();
            match side {
                Side::Front => self.front.extend(entries),
                Side::Back => entries.for_each(|entry| self.back.push_front(entry)),
            }
            if !(self.front.is_empty() && self.back.is_empty()) {
                break;
            }
        }
        Ok(())
    }

    fn read(&mut self, side: Side) -> Result<Piece> {
        let at = self.snapshot.lsn();
        let view = self.snapshot.view()?;
        let state = self.snapshot.state();
        if matches!(self.source, Source::Unknown) {
            self.source = choose_source(&**state.store(), &view, self.keyspace, &self.middle, at)?;
        }
        let removed = match &self.removed {
            // A finished checkpoint may have taken memtables out of the view.
            Some(removed) if removed.len() == view.memtables.len() => removed,
            _ => self.removed.insert(removed_spans(&view, self.keyspace, &self.middle, at)),
        };
        let sources = Sources { store: &**state.store(), view: &view, removed, at };
        let mut stretch = Stretch::new(self.keyspace, &self.middle, side, self.piece_keys);
        let layers = || state.layers_past(at);
        let piece = match &mut self.source {
            Source::Store(entries) => {
                let stored = sources.take_stored(&mut **entries, &mut stretch)?;
                let layers = layers();
                let merges = !layers.is_empty();
                let piece = sources.finish(stretch, Vec::new(), stored, layers);
                if merges {
                    // Where they end earlier, some of what was taken must be taken again.
                    self.source = Source::Merged;
                }
                piece
            }
            _ => sources.read(stretch, layers)?,
        };
        // Only now is it certain that no layer was gone when it was looked for.
        self.snapshot.check()?;
        Ok(piece)
    }

    fn next_from(&mut self, side: Side) -> Option<Result<(Key, Value)>> {
        let near_is_empty = match side {
            Side::Front => self.front.is_empty(),
            Side::Back => self.back.is_empty(),
        };
        let reads = near_is_empty && self.error.is_none() && !self.middle.is_empty();
        if reads && let Err(error) = self.fill_near(side) {
            self.error = Some(error);
        }
        if let Some(error) = self.error.take() {
            self.middle.upper = Some(self.middle.lower.clone());
            self.front.clear();
            self.back.clear();
            return Some(Err(error));
        }
        let entry = match side {
            Side::Front => self.front.pop_front().or_else(|| self.back.pop_front()),
            Side::Back => self.back.pop_back().or_else(|| self.front.pop_back()),
        };
        entry.map(Ok)
    }

    /// As [`Range::fill`], for an end that has nothing, whatever the other has.
    fn fill_near(&mut self, side: Side) -> Result<()> {
        let far = match side {
            Side::Front => std::mem::take(&mut self.back),
            Side::Back => std::mem::take(&mut self.front),
        };
        let filled = self.fill(side);
        match side {
            Side::Front => self.back = far,
            Side::Back => self.front = far,
        }
        filled
    }
}

impl Iterator for Range {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_from(Side::Front)
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_from(Side::Back)
    }
}

impl std::iter::FusedIterator for Range {}

/// The Store alone, where no memtable has anything.
///
/// A piece may then give out what was read ahead when an earlier one was read: no later checkpoint
/// brings anything that the range must see, and what it takes away it keeps in its layer first.
fn choose_source(
    store: &dyn Store,
    view: &View,
    keyspace: KeyspaceId,
    within: &Span,
    at: Lsn,
) -> Result<Source> {
    if view.memtables.iter().any(|memtable| memtable.concerns(keyspace, within, at)) {
        return Ok(Source::Merged);
    }
    let (lower, upper) = within.bounds();
    Ok(Source::Store(store.range(keyspace, lower, upper)?))
}

/// Every entry of a keyspace at the end of a view over a Store that nobody looks at with older
/// eyes.
pub(crate) fn newest_entries(
    store: &dyn Store,
    view: &View,
    keyspace: KeyspaceId,
) -> Result<Vec<(Key, Value)>> {
    let at = Lsn::MAX;
    let removed = removed_spans(view, keyspace, &Span::all(), at);
    let sources = Sources { store, view, removed: &removed, at };
    let mut entries = Vec::new();
    let mut rest = Span::all();
    while !rest.is_empty() {
        let stretch = Stretch::new(keyspace, &rest, Side::Front, LAST_PIECE_KEYS);
        let piece = sources.read(stretch, Vec::new)?;
        entries.extend(piece.entries);
        rest = piece.rest;
    }
    Ok(entries)
}

fn removed_spans(view: &View, keyspace: KeyspaceId, within: &Span, at: Lsn) -> Vec<Vec<Span>> {
    view.memtables.iter().map(|memtable| memtable.removed_spans(keyspace, within, at)).collect()
}

/// What a range is merged from.
struct Sources<'a> {
    store: &'a dyn Store,
    view: &'a View,
    /// For each memtable of the view.
    removed: &'a [Vec<Span>],
    at: Lsn,
}

/// A stretch of a range that was resolved.
struct Piece {
    /// In the direction of reading.
    entries: Vec<(Key, Value)>,
    /// What is left of the range.
    rest: Span,
}

impl Sources<'_> {
    /// Resolves the next stretch, looking at up to its limit of keys of each source.
    ///
    /// Every source that stops before the end narrows the stretch for those that follow. `layers`
    /// is called after the Store was read.
    fn read(
        &self,
        mut stretch: Stretch,
        layers: impl FnOnce() -> Vec<Arc<UndoLayer>>,
    ) -> Result<Piece> {
        let Stretch { keyspace, side, limit, .. } = stretch;
        let mut found: Vec<KeyState> = Vec::new();
        for (position, memtable) in self.view.memtables.iter().enumerate() {
            let chunk = memtable.chunk(keyspace, &stretch.span, self.at, side, limit);
            stretch.stop_at(chunk.stopped_at.as_ref());
            let seen = |entry: &KeyState| !self.is_removed(position, &entry.0);
            found.extend(chunk.entries.into_iter().filter(seen));
        }
        let stored = self.read_store(&mut stretch)?;
        Ok(self.finish(stretch, found, stored, layers()))
    }

    /// Makes a piece of what memtables and Store have.
    fn finish(
        &self,
        mut stretch: Stretch,
        mut found: Vec<KeyState>,
        stored: Vec<KeyState>,
        layers: Vec<Arc<UndoLayer>>,
    ) -> Piece {
        let Stretch { keyspace, side, limit, .. } = stretch;
        let there = |(key, value): KeyState| Some((key, value?));
        if found.is_empty() && layers.is_empty() {
            // Most ranges: all of it is in the Store, in order and within the stretch.
            let entries = stored.into_iter().filter_map(there).collect();
            return Piece { entries, rest: stretch.rest() };
        }
        let memtables = self.view.memtables.len();
        for layer in layers {
            let chunk = layer.chunk(keyspace, &stretch.span, side, limit);
            stretch.stop_at(chunk.stopped_at.as_ref());
            let seen = |entry: &KeyState| !self.is_removed(memtables, &entry.0);
            found.extend(chunk.entries.into_iter().filter(seen));
        }
        found.extend(stored);
        // Stable: of several entries of one key the first is that of the source that wins. The
        // sources are sorted, which the sort makes use of.
        match side {
            Side::Front => found.sort_by(|a, b| a.0.cmp(&b.0)),
            Side::Back => found.sort_by(|a, b| b.0.cmp(&a.0)),
        }
        found.dedup_by(|later, first| later.0 == first.0);
        found.retain(|(key, _)| stretch.span.contains(key));
        let entries = found.into_iter().filter_map(there).collect();
        Piece { entries, rest: stretch.rest() }
    }

    /// The Store's entries in the stretch that no memtable has removed. Those of removed ranges are
    /// stepped over, where a range reaches over the beginning of the stretch.
    fn read_store(&self, stretch: &mut Stretch) -> Result<Vec<KeyState>> {
        let mut span = stretch.span.clone();
        for removed in self.removed {
            step_over(&mut span, stretch.side, removed);
            if span.is_empty() {
                return Ok(Vec::new());
            }
        }
        let (lower, upper) = span.bounds();
        let mut entries = self.store.range(stretch.keyspace, lower, upper)?;
        self.take_stored(&mut *entries, stretch)
    }

    /// The next entries of the Store that no memtable has removed.
    fn take_stored(
        &self,
        entries: &mut dyn DoubleEndedIterator<Item = Result<(Key, Value)>>,
        stretch: &mut Stretch,
    ) -> Result<Vec<KeyState>> {
        let limit = stretch.limit;
        let mut found = Vec::with_capacity(limit.min(LAST_PIECE_KEYS));
        let mut bytes = 0;
        for looked_at in 1.. {
            let entry = match stretch.side {
                Side::Front => entries.next(),
                Side::Back => entries.next_back(),
            };
            let Some(entry) = entry else { break };
            let (key, value) = entry?;
            bytes += key.len() + value.len();
            if looked_at >= limit || bytes >= PIECE_BYTES {
                stretch.stop_at(Some(&key));
            }
            if !self.is_removed(self.removed.len(), &key) {
                found.push((key, Some(value)));
            }
            if looked_at >= limit || bytes >= PIECE_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// Whether one of the newest `memtables` has removed a range over the key.
    fn is_removed(&self, memtables: usize, key: &[u8]) -> bool {
        self.removed[..memtables].iter().any(|spans| span::covers(spans, key).is_some())
    }
}

/// Cuts a removed range off the side from which a span is read.
fn step_over(span: &mut Span, side: Side, removed: &[Span]) {
    match side {
        Side::Front => {
            if let Some(over) = span::covers(removed, &span.lower) {
                // To the end of the span, or past it: nothing is left then.
                span.lower = match over.upper.as_ref().or(span.upper.as_ref()) {
                    Some(upper) => upper.clone(),
                    None => return span.upper = Some(span.lower.clone()),
                };
            }
        }
        Side::Back => {
            let reaches = |over: &&Span| match (&over.upper, &span.upper) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(over), Some(upper)) => over >= upper,
            };
            // They are in order and apart from each other: only the lowest that reaches so far can
            // lie over the end.
            let lowest = removed.iter().rev().take_while(reaches).last();
            if let Some(over) = lowest.filter(|over| span.overlaps(over)) {
                span.upper = Some(over.lower.clone());
            }
        }
    }
}

/// The stretch that is being resolved.
struct Stretch {
    keyspace: KeyspaceId,
    whole: Span,
    span: Span,
    side: Side,
    /// How many keys of each source are looked at.
    limit: usize,
}

impl Stretch {
    /// A stretch that is the whole until a source stops it.
    fn new(keyspace: KeyspaceId, whole: &Span, side: Side, limit: usize) -> Stretch {
        Stretch { keyspace, whole: whole.clone(), span: whole.clone(), side, limit }
    }

    /// A source has looked no further than `key`.
    fn stop_at(&mut self, key: Option<&Key>) {
        match (key, self.side) {
            (None, _) => {}
            (Some(key), Side::Front) => self.span.upper = Some(span::after(key)),
            (Some(key), Side::Back) => self.span.lower = key.clone(),
        }
    }

    /// What of the whole lies behind the stretch.
    fn rest(self) -> Span {
        let whole = self.whole;
        match self.side {
            Side::Front => {
                let lower = self.span.upper.clone().or_else(|| whole.upper.clone());
                match lower {
                    Some(lower) => Span { lower, upper: whole.upper },
                    // Everything up to the last key there can be: an empty span.
                    None => Span { lower: whole.lower.clone(), upper: Some(whole.lower) },
                }
            }
            Side::Back => Span { lower: whole.lower, upper: Some(self.span.lower) },
        }
    }
}
