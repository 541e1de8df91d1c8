//! Logs to be scanned.

use super::*;

/// Writes a log as the log core does, but straight onto a simulated disk.
pub(super) struct Builder {
    pub(super) disk: SimDisk,
    pub(super) segment: SegmentHeader,
    pub(super) file: Vec<u8>,
    offset: usize,
    pub(super) end: LogId,
    pub(super) chain: Chain,
    pub(super) history: EpochHistory,
    pub(super) records: BTreeMap<Lsn, (Epoch, Vec<u8>)>,
    /// All records, those that were truncated too.
    pub(super) written: Vec<(Lsn, (Epoch, Vec<u8>))>,
    /// Where each group begins, with its header.
    pub(super) groups: Vec<(Position, GroupHeader)>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        let segment = SegmentHeader {
            database_id: DATABASE,
            number: SegmentNumber(0),
            size_bytes: 4096,
            block_bytes: 512,
            origin: true,
            salt: 77,
            first_lsn: Lsn(1),
            epoch: Epoch::ZERO,
            epoch_start_lsn: Lsn::ZERO,
            epoch_chain: Chain::EMPTY,
            chain_before: Chain::EMPTY,
        };
        let mut builder = Builder {
            disk: SimDisk::new(1),
            segment,
            file: Vec::new(),
            offset: 0,
            end: LogId::ZERO,
            chain: Chain::EMPTY,
            history: EpochHistory::new(),
            records: BTreeMap::new(),
            written: Vec::new(),
            groups: Vec::new(),
        };
        builder.rotate(true);
        builder
    }

    /// Begins the next segment behind the records that are there.
    pub(super) fn rotate(&mut self, origin: bool) {
        let epoch = self.history.last();
        self.segment = SegmentHeader {
            number: self.segment.number.next(),
            origin,
            salt: self.segment.salt.wrapping_mul(31) + 1,
            first_lsn: self.end.lsn.next(),
            epoch: epoch.map_or(Epoch::ZERO, |entry| entry.epoch),
            epoch_start_lsn: epoch.map_or(Lsn::ZERO, |entry| entry.start_lsn),
            epoch_chain: epoch.map_or(Chain::EMPTY, |entry| entry.chain_at_start),
            chain_before: self.chain,
            ..self.segment
        };
        self.file = self.segment.encode();
        self.offset = self.file.len();
        self.file.resize(4096, 0);
        self.save();
    }

    /// Adds a group of records with these epochs and says how long it was.
    pub(super) fn group(&mut self, epochs: &[u64]) -> usize {
        let mut frames = Vec::new();
        let (first_lsn, chain_before, durable) = (self.end.lsn.next(), self.chain, self.end.lsn);
        for epoch in epochs {
            let lsn = self.end.lsn.next();
            let payload = format!("record {lsn} of epoch {epoch}").into_bytes();
            let header = encode_frame(&mut frames, lsn, Epoch(*epoch), &payload);
            self.history.observe(Epoch(*epoch), lsn, self.chain);
            self.end = header.log_id();
            self.chain = self.chain.extend(&header);
            self.written.push((lsn, (Epoch(*epoch), payload.clone())));
            self.records.insert(lsn, (Epoch(*epoch), payload));
        }
        let header = GroupHeader {
            count: epochs.len() as u32,
            first_lsn,
            byte_length: frames.len() as u32,
            durable_upto: durable,
            commit_lsn: durable,
            chain_before,
            chain_after: self.chain,
        };
        self.groups.push((self.position(), header));
        let bytes = [&header.encode(self.segment.salt)[..], &frames].concat();
        self.file[self.offset..self.offset + bytes.len()].copy_from_slice(&bytes);
        self.offset += bytes.len();
        self.save();
        bytes.len()
    }

    /// Drops the records behind `last_kept`, by a new segment.
    pub(super) fn truncate(&mut self, last_kept: u64) {
        let scan = whole(&self.disk);
        let mut kept = Chain::EMPTY;
        for (_, frames) in scan.1.range(..=Lsn(last_kept)) {
            kept = kept.extend(&Frame::decode(frames).unwrap().header);
        }
        self.records.retain(|lsn, _| lsn.0 <= last_kept);
        self.history.truncate_suffix(Lsn(last_kept));
        let epoch = self.history.epoch_of(Lsn(last_kept)).unwrap_or_default();
        self.end = LogId { epoch, lsn: Lsn(last_kept) };
        self.chain = kept;
        self.rotate(false);
    }

    pub(super) fn position(&self) -> Position {
        Position { segment: self.segment.number, offset: self.offset as u64 }
    }

    pub(super) fn name(&self) -> String {
        segment::file_name(self.segment.number)
    }

    pub(super) fn save(&self) {
        self.disk.write_file(&self.name(), &self.file).unwrap();
    }

    /// A log of three segments, several epochs, and a truncation inside a group.
    pub(super) fn example() -> Builder {
        let mut builder = Builder::new();
        builder.group(&[1, 1, 1]);
        builder.group(&[1, 2, 2, 4]);
        builder.rotate(false);
        builder.group(&[4, 4]);
        builder.group(&[5, 5, 5, 5, 5, 5]);
        builder.truncate(11);
        builder.group(&[5]);
        builder.group(&[]);
        builder.group(&[6, 6]);
        builder
    }
}
