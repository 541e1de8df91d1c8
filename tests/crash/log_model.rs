//! What a log alone must hold, after a crash in the middle of anything.

use mainstay_wal::frame::{FrameHeader, payload_checksum};
use mainstay_wal::history::{EpochEntry, EpochHistory};
use mainstay_wal::{Bound, Chain, Log, LogId, Lsn};

/// A record that was appended.
#[derive(Clone, Debug)]
struct Record {
    id: LogId,
    payload: Vec<u8>,
    chain: Chain,
}

/// A log: what is before its first record, and its records.
#[derive(Clone, Debug)]
pub(crate) struct LogModel {
    before: (LogId, Chain),
    records: Vec<Record>,
    /// The epochs, from that of `before` on.
    epochs: EpochHistory,
}

impl LogModel {
    pub(crate) fn new() -> LogModel {
        let before = (LogId::ZERO, Chain::EMPTY);
        LogModel { before, records: Vec::new(), epochs: EpochHistory::new() }
    }

    /// A log that begins behind an image.
    pub(crate) fn behind(end: LogId, chain: Chain, epochs: EpochHistory) -> LogModel {
        LogModel { before: (end, chain), records: Vec::new(), epochs }
    }

    fn end(&self) -> (LogId, Chain) {
        self.records.last().map_or(self.before, |last| (last.id, last.chain))
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        self.end().0.lsn
    }

    pub(crate) fn push(&mut self, id: LogId, payload: &[u8]) {
        let (end, chain) = self.end();
        assert_eq!(id.lsn, end.lsn.next(), "records have no gaps");
        let header =
            FrameHeader::new(id.lsn, id.epoch, payload.len() as u32, payload_checksum(payload));
        self.epochs.observe(id.epoch, id.lsn, chain);
        self.records.push(Record { id, payload: payload.to_vec(), chain: chain.extend(&header) });
    }

    pub(crate) fn truncate(&mut self, last_kept: Lsn) {
        self.records.retain(|record| record.id.lsn <= last_kept);
        self.epochs.truncate_suffix(last_kept);
    }

    fn epoch_entry(&self, lsn: Lsn) -> Option<EpochEntry> {
        self.epochs.entry_at(lsn)
    }

    /// Whether this is what a log holds, from where it begins to where it ends; if not, why not.
    pub(crate) fn compare(&self, log: &Log) -> std::result::Result<(), String> {
        let (end, chain) = log.end_and_chain();
        let first = log.first_lsn();
        let before = self.before.0.lsn;
        if end.lsn < before || end.lsn > self.last_lsn() || first <= before {
            return Err(format!("{first} to {end}, expected {before} to {}", self.last_lsn()));
        }
        let mut kept = self.clone();
        kept.truncate(end.lsn);
        if kept.end() != (end, chain) {
            return Err(format!("it ends at {end} {chain}, expected {:?}", kept.end()));
        }
        let mut reader = log.reader(first, Bound::Appended).map_err(|error| error.to_string())?;
        for record in kept.records.iter().filter(|record| record.id.lsn >= first) {
            let read = reader.next_frame().map_err(|error| error.to_string())?;
            let Some(frame) = read else { return Err(format!("no record {}", record.id)) };
            if (frame.log_id(), frame.payload) != (record.id, &record.payload[..]) {
                return Err(format!("{} stands where {} was written", frame.log_id(), record.id));
            }
            if log.history().entry_at(record.id.lsn) != self.epoch_entry(record.id.lsn) {
                return Err(format!("another epoch history at {}", record.id));
            }
        }
        match reader.next_frame().map_err(|error| error.to_string())? {
            Some(frame) => Err(format!("{} behind the end", frame.log_id())),
            None => Ok(()),
        }
    }
}
