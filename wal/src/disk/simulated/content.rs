//! The bytes of one file, in pages that copies share until one of them writes.

#![allow(clippy::cast_possible_truncation, reason = "it lies within a page or a slice")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub(super) const PAGE_BYTES: u64 = 4096;
const PAGE: usize = PAGE_BYTES as usize;

type Page = [u8; PAGE];

/// A run of pages. Two levels keep the first write after a copy cheap in large files too.
#[derive(Clone, Debug)]
struct Chunk([Option<Arc<Page>>; CHUNK_PAGES as usize]);

const CHUNK_PAGES: u64 = 64;

impl Default for Chunk {
    fn default() -> Chunk {
        Chunk([const { None }; CHUNK_PAGES as usize])
    }
}

/// What a file holds.
///
/// # Invariants
///
/// - A page that is missing is all zeros.
/// - Every byte of a page at or past `length` is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    length: u64,
    chunks: Arc<BTreeMap<u64, Arc<Chunk>>>,
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.length.saturating_sub(offset);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let mut done = 0;
        for (page, range) in pages_of(offset, count) {
            let target = &mut buffer[done..done + range.len()];
            done += range.len();
            match self.page(page) {
                Some(bytes) => target.copy_from_slice(&bytes[range]),
                None => target.fill(0),
            }
        }
        count
    }

    /// Writes, and grows the file if needed.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.length = self.length.max(offset + bytes.len() as u64);
        let mut done = 0;
        for (page, range) in pages_of(offset, bytes.len()) {
            let piece = &bytes[done..done + range.len()];
            done += range.len();
            if is_zero(piece) {
                // Zeros cost no memory: segments are prepared with many of them.
                if self.page(page).is_some() {
                    let old = self.page_mut(page);
                    if range.len() == PAGE {
                        *old = None;
                    } else if let Some(old) = old {
                        Arc::make_mut(old)[range].fill(0);
                    }
                }
            } else if range.len() == PAGE {
                let mut whole = [0; PAGE];
                whole.copy_from_slice(piece);
                *self.page_mut(page) = Some(Arc::new(whole));
            } else {
                let old = self.page_mut(page).get_or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(old)[range].copy_from_slice(piece);
            }
        }
    }

    /// Cuts the file, or grows it with zeros.
    pub(super) fn set_length(&mut self, length: u64) {
        if length < self.length {
            let kept = (length % PAGE_BYTES) as usize;
            let last = length / PAGE_BYTES;
            if kept > 0
                && self.page(last).is_some()
                && let Some(last) = self.page_mut(last)
            {
                Arc::make_mut(last)[kept..].fill(0);
            }
            let pages = length.div_ceil(PAGE_BYTES);
            let chunks = Arc::make_mut(&mut self.chunks);
            chunks.split_off(&pages.div_ceil(CHUNK_PAGES));
            if let Some(last) = chunks.get_mut(&(pages / CHUNK_PAGES)) {
                Arc::make_mut(last).0[(pages % CHUNK_PAGES) as usize..].fill(None);
            }
        }
        self.length = length;
    }

    /// Grows the file with zeros if it is shorter.
    pub(super) fn grow_to(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    /// Turns one bit over. The place must lie in the file.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        assert!(offset < self.length, "byte {offset} of a file of {} bytes", self.length);
        let page = self.page_mut(offset / PAGE_BYTES).get_or_insert_with(|| Arc::new([0; PAGE]));
        Arc::make_mut(page)[(offset % PAGE_BYTES) as usize] ^= 1 << bit;
    }

    fn page(&self, page: u64) -> Option<&Arc<Page>> {
        self.chunks.get(&(page / CHUNK_PAGES))?.0[(page % CHUNK_PAGES) as usize].as_ref()
    }

    fn page_mut(&mut self, page: u64) -> &mut Option<Arc<Page>> {
        let chunk = Arc::make_mut(&mut self.chunks).entry(page / CHUNK_PAGES).or_default();
        &mut Arc::make_mut(chunk).0[(page % CHUNK_PAGES) as usize]
    }
}

/// The pages that a range touches, each with the part of it that lies within.
fn pages_of(offset: u64, count: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut at = offset;
    let end = offset + count as u64;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let page = at / PAGE_BYTES;
        let from = (at % PAGE_BYTES) as usize;
        let to = (end - page * PAGE_BYTES).min(PAGE_BYTES) as usize;
        at = (page + 1) * PAGE_BYTES;
        Some((page, from..to))
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    // In pieces that the compiler turns into wide comparisons, ending at the first that is not
    // zero.
    bytes.chunks(256).all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_many_chunks_are_cut_and_copied_like_those_of_a_vector() {
        let mut content = Content::default();
        let mut model = Vec::new();
        let chunk = (CHUNK_PAGES * PAGE_BYTES) as usize;
        for length in [3 * chunk + 5, chunk, 2 * chunk + PAGE, chunk + 3 * PAGE, 0, chunk + 1] {
            model.resize(length, 0);
            content.set_length(length as u64);
            let copy = content.clone();
            let before = model.clone();
            for at in (0..length).step_by(1000) {
                content.write(at as u64, &[at as u8 | 1]);
                model[at] = at as u8 | 1;
            }
            for (content, model) in [(&content, &model), (&copy, &before)] {
                let mut bytes = vec![9; length];
                assert_eq!(content.read(0, &mut bytes), length);
                assert!(bytes == *model, "{length}");
            }
        }
    }

    #[test]
    fn zeros_take_no_pages_and_cut_bytes_do_not_come_back() {
        let mut content = Content::default();
        content.write(0, &[0; 100_000]);
        assert_eq!((content.length(), content.chunks.len()), (100_000, 0));
        content.write(4000, &[7; 200]);
        let copy = content.clone();
        content.set_length(4050);
        content.set_length(5000);
        let mut bytes = [1; 300];
        assert_eq!(content.read(3950, &mut bytes), 300);
        assert_eq!(bytes[..50], [0; 50]);
        assert_eq!(bytes[50..100], [7; 50]);
        assert_eq!(bytes[100..], [0; 200]);
        assert_eq!(copy.read(4150, &mut bytes), 300);
        assert_eq!((bytes[0], bytes[49], bytes[50]), (7, 7, 0));
        assert_eq!(content.read(4990, &mut bytes), 10);
        assert_eq!(content.read(6000, &mut bytes), 0);
    }
}
