//! Iterating over something that changes meanwhile, a chunk at a time, without holding its lock.

use std::collections::VecDeque;
use std::ops::Bound;

use crate::bytes::{Key, Value};
use crate::error::Result;

/// The first chunk is small, for those who want the first entries only; each one after it is twice
/// as large.
const FIRST_CHUNK: usize = 16;
const LARGEST_CHUNK: usize = 128;

/// The end of a range from which entries are taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The smallest key first.
    Front,
    /// The largest key first.
    Back,
}

/// Where a [`ChunkedRange`] gets its entries. Bounds given to it never cross.
pub(super) trait ChunkSource: Send {
    /// The entries at one end of what lies between the bounds, at most `limit`.
    fn chunk(&self, bounds: Bounds<'_>, from: End, limit: usize) -> Result<Vec<(Key, Value)>>;
}

/// The lower and the upper bound.
pub(super) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// An iterator from both ends over a [`ChunkSource`].
///
/// # Invariants
///
/// - `front` holds entries in key order, all of them below what is between the bounds; `back` in
///   reverse order, all above.
/// - After an error nothing more comes.
pub(super) struct ChunkedRange<S> {
    source: S,
    /// What was not fetched yet; `None` when nothing can be left.
    unread: Option<(Bound<Key>, Bound<Key>)>,
    front: VecDeque<(Key, Value)>,
    back: VecDeque<(Key, Value)>,
    limit: usize,
}

impl<S: ChunkSource> ChunkedRange<S> {
    pub(super) fn new(source: S, lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> ChunkedRange<S> {
        let unread =
            (!bounds_cross(lower, upper)).then(|| (lower.map(Key::from), upper.map(Key::from)));
        let (front, back) = (VecDeque::new(), VecDeque::new());
        ChunkedRange { source, unread, front, back, limit: FIRST_CHUNK }
    }

    fn fetch(&mut self, from: End) -> Result<()> {
        let Some((lower, upper)) = self.unread.take() else { return Ok(()) };
        let (low, high) = (lower.as_ref().map(Key::as_bytes), upper.as_ref().map(Key::as_bytes));
        let limit = self.limit;
        let chunk = self.source.chunk((low, high), from, limit)?;
        self.limit = (limit * 2).min(LARGEST_CHUNK);
        let Some((last, _)) = chunk.last() else { return Ok(()) };
        let rest = match from {
            End::Front => (Bound::Excluded(last.clone()), upper),
            End::Back => (lower, Bound::Excluded(last.clone())),
        };
        let cross =
            bounds_cross(rest.0.as_ref().map(Key::as_bytes), rest.1.as_ref().map(Key::as_bytes));
        self.unread = (!cross).then_some(rest);
        match from {
            End::Front => self.front.extend(chunk),
            End::Back => self.back.extend(chunk),
        }
        Ok(())
    }
}

impl<S: ChunkSource> Iterator for ChunkedRange<S> {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.front.is_empty()
            && let Err(error) = self.fetch(End::Front)
        {
            self.back.clear();
            return Some(Err(error));
        }
        self.front.pop_front().or_else(|| self.back.pop_back()).map(Ok)
    }
}

impl<S: ChunkSource> DoubleEndedIterator for ChunkedRange<S> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.back.is_empty()
            && let Err(error) = self.fetch(End::Back)
        {
            self.front.clear();
            return Some(Err(error));
        }
        self.back.pop_front().or_else(|| self.front.pop_back()).map(Ok)
    }
}

/// Whether no key at all can lie between two bounds.
pub(super) fn bounds_cross(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> bool {
    match (lower, upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (Bound::Included(lower), Bound::Excluded(upper))
        | (Bound::Excluded(lower), Bound::Included(upper) | Bound::Excluded(upper)) => {
            lower >= upper
        }
    }
}
