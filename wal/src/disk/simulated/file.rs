//! One file of the simulated disk: what is durable, what a reader sees, and the changes between the two.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::content::{Content, PAGE_BYTES};
use super::random::Generator;

/// A write tears only between sectors.
pub(super) const SECTOR_BYTES: u64 = 512;

/// What a file is on the disk and in the page cache above it.
///
/// # Invariants
///
/// - `current` is `None` if and only if readers see what is durable: nothing is pending, and no failed sync left
///   bytes in the page cache that are not on the disk.
/// - `pending` is in issue order.
#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    durable: Content,
    current: Option<Content>,
    pending: Vec<Pending>,
    /// A sync failed: the cache holds bytes that no later sync will write.
    diverged: bool,
    pub(super) handles: u32,
}

/// A change that no sync has made durable yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The place among all pending changes of the disk.
    pub(super) sequence: u64,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]>, part: Range<usize> },
    Grow(u64),
    Shrink(u64),
}

/// The sectors that a range touches, each as the part of the range within.
fn sectors_of(offset: u64, part: &Range<usize>) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut at = part.start;
    let (base, end) = (offset - part.start as u64, part.end);
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let sector = (base + at as u64) / SECTOR_BYTES;
        let next = ((sector + 1) * SECTOR_BYTES - base).min(end as u64) as usize;
        let piece = at..next;
        at = next;
        Some((sector, piece))
    })
}

impl Pending {
    /// How many steps a prefix can cut this change into.
    pub(super) fn steps(&self) -> u64 {
        match &self.change {
            Change::Write { offset, part, .. } => sectors_of(*offset, part).count() as u64,
            Change::Grow(_) | Change::Shrink(_) => 1,
        }
    }

    /// Applies the first so many steps.
    pub(super) fn apply(&self, steps: u64, content: &mut Content) {
        if steps == 0 {
            return;
        }
        match &self.change {
            Change::Write { offset, bytes, part } => {
                let sectors =
                    sectors_of(*offset, part).take(usize::try_from(steps).unwrap_or(usize::MAX));
                let end = sectors.last().map_or(part.start, |(_, piece)| piece.end);
                content.write(*offset, &bytes[part.start..end]);
            }
            Change::Grow(length) => content.grow_to(*length),
            Change::Shrink(length) => content.set_length(*length),
        }
    }

    /// The pieces of this change that lie outside a range whose newer bytes have become durable.
    fn without(self, cut: &Range<u64>) -> impl Iterator<Item = Pending> {
        let mut pieces: [Option<Pending>; 2] = [None, None];
        match &self.change {
            Change::Write { offset, bytes, part } => {
                let end = offset + part.len() as u64;
                let piece = |from: u64, to: u64| {
                    (from < to).then(|| {
                        let start = part.start + (from - offset) as usize;
                        let part = start..start + (to - from) as usize;
                        let change = Change::Write { offset: from, bytes: bytes.clone(), part };
                        Pending { sequence: self.sequence, change }
                    })
                };
                pieces = [piece(*offset, end.min(cut.start)), piece((*offset).max(cut.end), end)];
            }
            Change::Grow(_) | Change::Shrink(_) => pieces[0] = Some(self),
        }
        pieces.into_iter().flatten()
    }
}

impl FileState {
    pub(super) fn with_content(content: Content) -> FileState {
        FileState { durable: content, ..FileState::default() }
    }

    /// What a reader sees.
    pub(super) fn seen(&self) -> &Content {
        self.current.as_ref().unwrap_or(&self.durable)
    }

    pub(super) fn durable(&self) -> &Content {
        &self.durable
    }

    pub(super) fn pending(&self) -> &[Pending] {
        &self.pending
    }

    pub(super) fn write(&mut self, sequence: u64, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.current.get_or_insert_with(|| self.durable.clone()).write(offset, bytes);
        let change = Change::Write { offset, bytes: Arc::from(bytes), part: 0..bytes.len() };
        self.pending.push(Pending { sequence, change });
    }

    pub(super) fn set_length(&mut self, sequence: u64, length: u64) {
        let seen = self.seen().length();
        if length == seen {
            return;
        }
        self.current.get_or_insert_with(|| self.durable.clone()).set_length(length);
        let change = if length > seen { Change::Grow(length) } else { Change::Shrink(length) };
        self.pending.push(Pending { sequence, change });
    }

    /// Writes bytes that are durable at once, and nothing else but a pending cut: that the file system orders
    /// before later bytes, together with what was written before it.
    pub(super) fn write_durable(&mut self, offset: u64, bytes: &[u8]) {
        let is_cut = |pending: &Pending| matches!(pending.change, Change::Shrink(_));
        if let Some(last) = self.pending.iter().rposition(is_cut) {
            for pending in self.pending.drain(..=last) {
                pending.apply(u64::MAX, &mut self.durable);
            }
        }
        self.durable.write(offset, bytes);
        if let Some(current) = &mut self.current {
            current.write(offset, bytes);
            // An older write that survives a crash must not undo this one.
            let range = offset..offset + bytes.len() as u64;
            let older = std::mem::take(&mut self.pending);
            self.pending = older.into_iter().flat_map(|pending| pending.without(&range)).collect();
            self.settle();
        }
    }

    /// Makes everything durable that was written since the last sync. What a failed sync left stays in the cache only.
    pub(super) fn sync(&mut self) {
        if self.diverged {
            for pending in self.pending.drain(..) {
                pending.apply(u64::MAX, &mut self.durable);
            }
        } else if let Some(current) = self.current.take() {
            self.durable = current;
            self.pending.clear();
        }
    }

    /// A sync that fails: of what is pending, nothing or any sectors become durable, and all of it is taken for
    /// written. It can still be read, and no later sync will write it.
    pub(super) fn fail_sync(&mut self, survivors: Option<&mut Generator>) {
        if let Some(random) = survivors {
            self.durable = self.some_sectors(random, false);
        }
        self.diverged |= !self.pending.is_empty();
        self.pending.clear();
    }

    /// Drops from the cache what a failed sync left there; what is pending stays.
    pub(super) fn forget_failed(&mut self) {
        if self.diverged {
            let mut current = self.durable.clone();
            for pending in &self.pending {
                pending.apply(u64::MAX, &mut current);
            }
            self.current = Some(current);
            self.diverged = false;
            self.settle();
        }
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        if offset < self.durable.length() {
            self.durable.flip_bit(offset, bit);
        }
        if let Some(current) = &mut self.current {
            current.flip_bit(offset, bit);
        }
    }

    /// What the disk holds if each pending sector was written or not, as chance has it. A sector shows what the
    /// cache held at some moment. With `lose_blocks`, a block in which a write was lost may be all zeros.
    pub(super) fn some_sectors(&self, random: &mut Generator, lose_blocks: bool) -> Content {
        let mut versions = BTreeMap::<u64, u64>::new();
        for pending in &self.pending {
            if let Change::Write { offset, part, .. } = &pending.change {
                for (sector, _) in sectors_of(*offset, part) {
                    *versions.entry(sector).or_default() += 1;
                }
            }
        }
        let mut lost_blocks = Vec::new();
        for (sector, versions) in &mut versions {
            let kept = random.up_to(*versions);
            if kept < *versions {
                lost_blocks.push(sector * SECTOR_BYTES / PAGE_BYTES);
            }
            *versions = kept;
        }
        let mut content = self.durable.clone();
        for pending in &self.pending {
            let grows = random.coin();
            match &pending.change {
                Change::Write { offset, bytes, part } => {
                    if grows {
                        content.grow_to(offset + part.len() as u64);
                    }
                    for (sector, piece) in sectors_of(*offset, part) {
                        let left = versions.get_mut(&sector).filter(|left| **left > 0);
                        let Some(left) = left else { continue };
                        *left -= 1;
                        write_within(
                            &mut content,
                            offset + (piece.start - part.start) as u64,
                            &bytes[piece],
                        );
                    }
                }
                Change::Grow(_) | Change::Shrink(_) if grows => pending.apply(1, &mut content),
                Change::Grow(_) | Change::Shrink(_) => {}
            }
        }
        if lose_blocks {
            lost_blocks.dedup();
            for block in lost_blocks {
                if random.coin() {
                    write_within(&mut content, block * PAGE_BYTES, &[0; PAGE_BYTES as usize]);
                }
            }
        }
        content
    }

    fn settle(&mut self) {
        if self.pending.is_empty() && !self.diverged {
            self.current = None;
        }
    }
}

/// Writes what lies within the file: a sector past a length that was lost is lost with it.
fn write_within(content: &mut Content, offset: u64, bytes: &[u8]) {
    let left = content.length().saturating_sub(offset);
    let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    content.write(offset, &bytes[..count]);
}
