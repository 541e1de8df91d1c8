//! Iterating over something that changes meanwhile, a chunk at a time, without holding its lock.

use std::collections::VecDeque;
use std::ops::Bound;

use crate::bytes::{Key, Value};
use crate::error::Result;

/// The first chunk is small, for those who want the first entry only; each one after it is twice as
/// large.
const FIRST_CHUNK: usize = 4;
const LARGEST_CHUNK: usize = 128;

/// Where a [`ChunkedRange`] gets its entries. Bounds given to it never cross.
pub(super) trait ChunkSource: Send {
    /// The first entries between the bounds, at most `limit`, smallest key first.
    fn ascending(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>>;

    /// The last entries between the bounds, at most `limit`, largest key first.
    fn descending(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>>;
}

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

    fn fetch(&mut self, ascending: bool) -> Result<()> {
        let Some((lower, upper)) = self.unread.take() else { return Ok(()) };
        let (low, high) = (lower.as_ref().map(Key::as_bytes), upper.as_ref().map(Key::as_bytes));
        let limit = self.limit;
        let chunk = if ascending {
            self.source.ascending(low, high, limit)?
        } else {
            self.source.descending(low, high, limit)?
        };
        self.limit = (limit * 2).min(LARGEST_CHUNK);
        let Some((last, _)) = chunk.last() else { return Ok(()) };
        let rest = if ascending {
            (Bound::Excluded(last.clone()), upper)
        } else {
            (lower, Bound::Excluded(last.clone()))
        };
        let cross =
            bounds_cross(rest.0.as_ref().map(Key::as_bytes), rest.1.as_ref().map(Key::as_bytes));
        self.unread = (!cross).then_some(rest);
        if ascending {
            self.front.extend(chunk)
        } else {
            self.back.extend(chunk)
        }
        Ok(())
    }
}

impl<S: ChunkSource> Iterator for ChunkedRange<S> {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.front.is_empty()
            && let Err(error) = self.fetch(true)
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
            && let Err(error) = self.fetch(false)
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
