//! A file on the medium: what reads return, what is durable, and the changes between the two.

use std::collections::BTreeMap;
use std::ops::Range;

use oorandom::Rand64;

/// The unit that a write tears in.
pub(crate) const SECTOR_BYTES: usize = 512;

/// One thing that happened to a file since it was last synced as a whole.
#[derive(Debug)]
pub(crate) struct Change {
    /// Order over the whole medium.
    pub(crate) sequence: u64,
    /// Written with `O_DSYNC`: survives whatever the policy.
    durable: bool,
    what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Write {
        start: usize,
        bytes: Vec<u8>,
    },
    /// The length was set; when it shrank, what stood behind it became zeros.
    Length {
        from: usize,
        to: usize,
    },
}

impl What {
    /// The bytes that this changed.
    fn range(&self) -> Range<usize> {
        match self {
            What::Write { start, bytes } => *start..start + bytes.len(),
            What::Length { from, to } => *to..(*from).max(*to),
        }
    }

    /// The length of a file of `length` bytes after this.
    fn length_after(&self, length: usize) -> usize {
        match self {
            What::Write { start, bytes } => length.max(start + bytes.len()),
            What::Length { to, .. } => *to,
        }
    }

    /// Changes `content` within `window` only, growing it if needed.
    fn apply_within(&self, content: &mut Vec<u8>, window: Range<usize>) {
        let range = self.range();
        let (start, end) = (range.start.max(window.start), range.end.min(window.end));
        if start >= end {
            return;
        }
        match self {
            What::Write { start: first, bytes } => {
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(&bytes[start - first..end - first]);
            }
            What::Length { .. } => {
                let end = end.min(content.len());
                if start < end {
                    content[start..end].fill(0);
                }
            }
        }
    }

    fn apply(&self, content: &mut Vec<u8>) {
        let length = self.length_after(content.len());
        self.apply_within(content, 0..usize::MAX);
        content.resize(length, 0);
    }
}

#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) seen: Vec<u8>,
    durable: Vec<u8>,
    pub(crate) changes: Vec<Change>,
}

impl File {
    pub(crate) fn holding(content: Vec<u8>) -> File {
        File { seen: content.clone(), durable: content, changes: Vec::new() }
    }

    pub(crate) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.what.apply(&mut self.durable);
        }
    }

    pub(crate) fn change(&mut self, sequence: u64, durable: bool, what: What) {
        what.apply(&mut self.seen);
        if durable && self.changes.is_empty() {
            what.apply(&mut self.durable);
        } else {
            self.changes.push(Change { sequence, durable, what });
        }
    }

    /// What is left when of the unsynced changes those before `limit` survive, and of the one at
    /// `limit` the first `torn_sectors` sectors.
    pub(crate) fn surviving_prefix(&self, limit: u64, torn_sectors: usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.changes {
            if change.durable || change.sequence < limit {
                change.what.apply(&mut content);
            } else if change.sequence == limit {
                let start = change.what.range().start;
                let end = (start / SECTOR_BYTES + torn_sectors) * SECTOR_BYTES;
                change.what.apply_within(&mut content, 0..end);
            }
        }
        content
    }

    /// What is left when every sector was written out at some moment of its own, or never. Within a
    /// sector the changes keep their order, because a cache holds one state of a sector at a
    /// time. The changes of length keep their order too, and where a shrinking survives, so do
    /// the zeros behind it.
    pub(crate) fn surviving_sectors(&self, random: &mut Rand64) -> Vec<u8> {
        let all: Vec<usize> = (0..self.changes.len()).collect();
        let kept_lengths = Self::kept(&all, random, |index| self.changes[index].durable);
        let is_certain = |index: usize| {
            let change = &self.changes[index];
            change.durable || (matches!(change.what, What::Length { .. }) && index < kept_lengths)
        };
        let mut touched: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut length = self.durable.len();
        for (index, change) in self.changes.iter().enumerate() {
            if index < kept_lengths {
                length = change.what.length_after(length);
            } else if matches!(change.what, What::Length { .. }) {
                continue;
            }
            let range = change.what.range();
            for sector in range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES) {
                touched.entry(sector).or_default().push(index);
            }
        }
        let mut content = self.durable.clone();
        for (sector, indexes) in touched {
            let kept = Self::kept(&indexes, random, is_certain);
            let window = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
            for &index in &indexes[..kept] {
                self.changes[index].what.apply_within(&mut content, window.clone());
            }
        }
        content.resize(length, 0);
        content
    }

    /// How many of the changes at `indexes` survive: any number, but at least up to the last
    /// certain one.
    fn kept(indexes: &[usize], random: &mut Rand64, is_certain: impl Fn(usize) -> bool) -> usize {
        let least = indexes.iter().rposition(|&index| is_certain(index));
        let least = least.map_or(0, |position| position + 1);
        least + below(random, indexes.len() - least + 1)
    }
}

/// A number below `limit`, which is not zero.
pub(crate) fn below(random: &mut Rand64, limit: usize) -> usize {
    to_index(random.rand_range(0..limit as u64))
}

/// A length or an offset in memory.
pub(crate) fn to_index(number: u64) -> usize {
    usize::try_from(number).unwrap_or_else(|_| panic!("{number} does not fit into memory"))
}
