//! Which epoch every record of a log was written in.

use crate::codec::{u32_at, u64_at};
use crate::ids::{Chain, Epoch, Lsn};

/// The beginning of one epoch in a log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first record.
    pub start_lsn: Lsn,
    /// The chain over everything before `start_lsn`.
    pub chain_at_start: Chain,
}

/// The epochs of a log, oldest first.
///
/// Invariants:
/// - epochs and start LSNs both increase strictly, and neither is zero;
/// - an epoch that begins with LSN 1 has the empty chain in front.
///
/// Where the log was cut at the front, the first entry is the one that holds the first record left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory {
    entries: Vec<EpochEntry>,
}

const COUNT_BYTES: usize = 4;
const ENTRY_BYTES: usize = 24;

impl EpochHistory {
    /// The history of an empty log.
    #[must_use]
    pub fn new() -> EpochHistory {
        EpochHistory::default()
    }

    /// Adds an epoch, which must be above all that are there, and begin behind them.
    pub fn push(&mut self, entry: EpochEntry) {
        let result = self.try_push(entry);
        assert!(result.is_ok(), "{entry:?} behind {:?}: {result:?}", self.last());
    }

    /// Adds an epoch that comes from a disk or a peer. Nothing is changed on an error.
    pub fn try_push(&mut self, entry: EpochEntry) -> Result<(), EpochHistoryError> {
        match fault_behind(self.last(), &entry) {
            Some(fault) => Err(EpochHistoryError::Entry { entry, fault }),
            None => {
                self.entries.push(entry);
                Ok(())
            }
        }
    }

    /// Takes note of a record: adds an entry if it begins an epoch. The record's epoch must not be
    /// below the last one.
    pub fn observe(&mut self, epoch: Epoch, lsn: Lsn, chain_before: Chain) {
        match self.last() {
            Some(last) if last.epoch == epoch => {
                assert!(lsn >= last.start_lsn, "record {lsn} lies before {last:?}");
            }
            _ => self.push(EpochEntry { epoch, start_lsn: lsn, chain_at_start: chain_before }),
        }
    }

    /// The newest epoch; `None` in an empty log.
    #[must_use]
    pub fn last(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The entry of the epoch in which record `lsn` was, or would be, written; `None` if that lies
    /// before everything known. The history does not know where the log ends.
    #[must_use]
    pub fn entry_at(&self, lsn: Lsn) -> Option<EpochEntry> {
        let behind = self.entries.partition_point(|entry| entry.start_lsn <= lsn);
        behind.checked_sub(1).map(|at| self.entries[at])
    }

    /// The epoch of [`EpochHistory::entry_at`].
    #[must_use]
    pub fn epoch_of(&self, lsn: Lsn) -> Option<Epoch> {
        self.entry_at(lsn).map(|entry| entry.epoch)
    }

    /// Forgets the epochs that begin behind `last_kept`.
    pub fn truncate_suffix(&mut self, last_kept: Lsn) {
        self.entries.retain(|entry| entry.start_lsn <= last_kept);
    }

    /// Forgets the epochs that end before `first_kept`. The one that holds `first_kept` stays as it
    /// is.
    pub fn truncate_prefix(&mut self, first_kept: Lsn) {
        let behind = self.entries.partition_point(|entry| entry.start_lsn <= first_kept);
        self.entries.drain(..behind.saturating_sub(1));
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The last record up to which two logs are the same: this one, which ends at `own_end`, and
    /// another.
    ///
    /// [`Lsn::ZERO`] if they are both known from LSN 1 on and share no record. `None` if nothing in
    /// common is known, because one of them begins behind what the other has: the other needs
    /// an image.
    ///
    /// The last equal entry decides: up to it the logs are the same, as its chain says; from there
    /// on both hold what one primary wrote in one order, each until its next epoch or its end.
    #[must_use]
    pub fn common_point(&self, own_end: Lsn, other: &EpochHistory, other_end: Lsn) -> Option<Lsn> {
        let equal = self.entries.iter().rev().find_map(|entry| {
            let at = other.entries.binary_search_by_key(&entry.epoch, |entry| entry.epoch).ok()?;
            (other.entries[at] == *entry).then_some(entry)
        });
        match equal {
            Some(entry) => {
                let own = self.end_of(entry.epoch, own_end);
                Some(own.min(other.end_of(entry.epoch, other_end)))
            }
            None => {
                (self.is_complete(own_end) && other.is_complete(other_end)).then_some(Lsn::ZERO)
            }
        }
    }

    /// The last record of `epoch`, or the end of the log if no later epoch begins before it.
    fn end_of(&self, epoch: Epoch, end: Lsn) -> Lsn {
        let next = self.entries.partition_point(|entry| entry.epoch <= epoch);
        self.entries.get(next).map_or(end, |entry| entry.start_lsn.previous().min(end))
    }

    /// Whether this history of a log that ends at `end` reaches back to LSN 1.
    fn is_complete(&self, end: Lsn) -> bool {
        self.entries.first().map_or(end == Lsn::ZERO, |entry| entry.start_lsn == Lsn(1))
    }

    /// The bytes of this history, as they stand in an image: a count and 24 bytes an entry. Whoever
    /// holds them adds a checksum.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = self.entries.len();
        assert!(u32::try_from(count).is_ok(), "{count} epochs in one history");
        let mut bytes = Vec::with_capacity(COUNT_BYTES + count * ENTRY_BYTES);
        #[expect(clippy::cast_possible_truncation, reason = "the assertion above")]
        bytes.extend_from_slice(&(count as u32).to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.epoch.0.to_le_bytes());
            bytes.extend_from_slice(&entry.start_lsn.0.to_le_bytes());
            bytes.extend_from_slice(&entry.chain_at_start.0.to_le_bytes());
        }
        bytes
    }

    /// Reads a history that fills `bytes` exactly.
    pub fn decode(bytes: &[u8]) -> Result<EpochHistory, EpochHistoryError> {
        if bytes.len() < COUNT_BYTES {
            return Err(EpochHistoryError::Length { count: 0, found_bytes: bytes.len() as u64 });
        }
        let count = u32_at(bytes, 0);
        let entries = &bytes[COUNT_BYTES..];
        if entries.len() as u64 != u64::from(count) * ENTRY_BYTES as u64 {
            return Err(EpochHistoryError::Length { count, found_bytes: bytes.len() as u64 });
        }
        let mut history = EpochHistory::new();
        for raw in entries.chunks_exact(ENTRY_BYTES) {
            let entry = EpochEntry {
                epoch: Epoch(u64_at(raw, 0)),
                start_lsn: Lsn(u64_at(raw, 8)),
                chain_at_start: Chain(u64_at(raw, 16)),
            };
            history.try_push(entry)?;
        }
        Ok(history)
    }
}

/// Why `entry` cannot stand behind `last`.
fn fault_behind(last: Option<EpochEntry>, entry: &EpochEntry) -> Option<&'static str> {
    if entry.epoch == Epoch::ZERO || entry.start_lsn == Lsn::ZERO {
        return Some("epoch or LSN is zero");
    }
    if entry.start_lsn == Lsn(1) && entry.chain_at_start != Chain::EMPTY {
        return Some("LSN 1 does not follow the empty chain");
    }
    let last = last?;
    if entry.epoch <= last.epoch {
        return Some("the epoch does not increase");
    }
    (entry.start_lsn <= last.start_lsn).then_some("the start does not increase")
}

/// Why bytes are not an epoch history.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochHistoryError {
    /// The number of bytes is not that of `count` entries.
    #[error("{found_bytes} bytes do not hold a history of {count} epochs")]
    Length {
        /// How many entries the bytes say they hold.
        count: u32,
        /// How many bytes there are.
        found_bytes: u64,
    },
    /// An entry breaks the order.
    #[error("epoch {} at LSN {}: {fault}", entry.epoch, entry.start_lsn)]
    Entry {
        /// The entry.
        entry: EpochEntry,
        /// What is wrong with it.
        fault: &'static str,
    },
}

#[cfg(test)]
mod tests;
