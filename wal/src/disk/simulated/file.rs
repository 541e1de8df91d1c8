//! One file of the simulated disk: what is durable, what a reader sees, and the changes between the
//! two.

#![allow(clippy::cast_possible_truncation, reason = "it lies within a page or a slice")]

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
/// - `current` is `None` if and only if readers see what is durable: nothing is pending, and no
///   failed sync left bytes in the page cache that are not on the disk.
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
    Write { offset: u64, bytes: Arc<[u8]> },
    Grow(u64),
    Shrink(u64),
}

/// The sectors that a write touches, each with the part of its bytes that lies within.
fn sectors_of(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut at = 0;
    let count = bytes.len();
    std::iter::from_fn(move || {
        if at >= count {
            return None;
        }
        let sector = (offset + at as u64) / SECTOR_BYTES;
        let next = ((sector + 1) * SECTOR_BYTES - offset).min(count as u64) as usize;
        let piece = at..next;
        at = next;
        Some((sector, piece))
    })
}

impl Pending {
    /// How many steps a prefix can cut this change into.
    pub(super) fn steps(&self) -> u64 {
        match &self.change {
            Change::Write { offset, bytes } => sectors_of(*offset, bytes).count() as u64,
            Change::Grow(_) | Change::Shrink(_) => 1,
        }
    }

    /// Applies the first so many steps.
    pub(super) fn apply(&self, steps: u64, content: &mut Content) {
        if steps == 0 {
            return;
        }
        match &self.change {
            Change::Write { offset, bytes } => {
                let count = usize::try_from(steps).unwrap_or(usize::MAX);
                let last = sectors_of(*offset, bytes).take(count).last();
                content.write(*offset, &bytes[..last.map_or(0, |(_, piece)| piece.end)]);
            }
            Change::Grow(length) => content.grow_to(*length),
            Change::Shrink(length) => content.set_length(*length),
        }
    }

    /// The length that it makes the file grow to; 0 for a cut.
    fn end(&self) -> u64 {
        match &self.change {
            Change::Write { offset, bytes } => offset + bytes.len() as u64,
            Change::Grow(length) => *length,
            Change::Shrink(_) => 0,
        }
    }

    /// Writes those sectors that still have a version to show, and counts it off.
    fn apply_versions(&self, versions: &mut BTreeMap<u64, u64>, content: &mut Content) {
        let Change::Write { offset, bytes } = &self.change else { return };
        for (sector, piece) in sectors_of(*offset, bytes) {
            if let Some(left) = versions.get_mut(&sector).filter(|left| **left > 0) {
                *left -= 1;
                write_within(content, offset + piece.start as u64, &bytes[piece]);
            }
        }
    }

    /// Puts newer bytes that became durable into an older write, which must not undo them if it
    /// survives a crash. Says whether anything of the older is left. It is not split: its sectors
    /// stay whole.
    fn overwrite(&mut self, new_offset: u64, new: &[u8]) -> bool {
        let Change::Write { offset, bytes } = &mut self.change else { return true };
        let (from, to) = (*offset, *offset + bytes.len() as u64);
        let new_end = new_offset + new.len() as u64;
        if new_offset <= from && to <= new_end {
            return false;
        }
        let (start, end) = (from.max(new_offset), to.min(new_end));
        if start < end {
            let piece = &new[(start - new_offset) as usize..(end - new_offset) as usize];
            Arc::make_mut(bytes)[(start - from) as usize..(end - from) as usize]
                .copy_from_slice(piece);
        }
        true
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
        let change = Change::Write { offset, bytes: Arc::from(bytes) };
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

    /// Writes bytes that are durable at once, and nothing else but a pending cut: that the file
    /// system orders before later bytes, together with what was written before it.
    pub(super) fn write_durable(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let is_cut = |pending: &Pending| matches!(pending.change, Change::Shrink(_));
        if let Some(last) = self.pending.iter().rposition(is_cut) {
            for pending in self.pending.drain(..=last) {
                pending.apply(u64::MAX, &mut self.durable);
            }
        }
        self.durable.write(offset, bytes);
        if let Some(current) = &mut self.current {
            current.write(offset, bytes);
            self.pending.retain_mut(|older| older.overwrite(offset, bytes));
            self.settle();
        }
    }

    /// Makes everything durable that was written since the last sync. What a failed sync left stays
    /// in the cache only.
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

    /// A sync that fails: of what is pending, nothing or any sectors become durable, and all of it
    /// is taken for written. It can still be read, and no later sync will write it.
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

    /// What the disk holds if each pending sector was written or not, as chance has it. A sector
    /// shows what the cache held at some moment. With `lose_blocks`, a block in which a write was
    /// lost may be all zeros.
    pub(super) fn some_sectors(&self, random: &mut Generator, lose_blocks: bool) -> Content {
        let mut versions = self.versions_of_sectors();
        let mut lost_blocks = Vec::new();
        for (sector, versions) in &mut versions {
            let kept = random.up_to(*versions);
            if kept < *versions {
                lost_blocks.push(sector * SECTOR_BYTES / PAGE_BYTES);
            }
            *versions = kept;
        }
        let lengths_kept: Vec<bool> = self.pending.iter().map(|_| random.coin()).collect();
        let mut content = self.durable.clone();
        let mut rest: Vec<(&Pending, bool)> = self.pending.iter().zip(lengths_kept).collect();
        while !rest.is_empty() {
            let is_cut = |pending: &Pending| matches!(pending.change, Change::Shrink(_));
            let cut = rest.iter().position(|(pending, kept)| *kept && is_cut(pending));
            let behind = rest.split_off(cut.map_or(rest.len(), |cut| cut + 1));
            // The length first: a sector must not be torn by a length that grows later.
            for (pending, _) in rest.iter().filter(|(_, kept)| *kept) {
                content.grow_to(pending.end());
            }
            for (pending, _) in &rest {
                pending.apply_versions(&mut versions, &mut content);
            }
            if let Some((cut, _)) = cut.and_then(|cut| rest.get(cut)) {
                cut.apply(1, &mut content);
            }
            rest = behind;
        }
        lost_blocks.dedup();
        for block in lost_blocks.into_iter().filter(|_| lose_blocks) {
            if random.coin() {
                write_within(&mut content, block * PAGE_BYTES, &[0; PAGE_BYTES as usize]);
            }
        }
        content
    }

    /// How many pending writes touch each sector.
    fn versions_of_sectors(&self) -> BTreeMap<u64, u64> {
        let mut versions = BTreeMap::new();
        for pending in &self.pending {
            if let Change::Write { offset, bytes } = &pending.change {
                for (sector, _) in sectors_of(*offset, bytes) {
                    *versions.entry(sector).or_default() += 1;
                }
            }
        }
        versions
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
