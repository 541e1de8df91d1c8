//! Walks a whole log and judges it.

use super::cursor::{Behind, GroupCursor, GroupFault, ScannedGroup, Stop};
use super::segments::{SegmentExtent, SegmentScan};
use super::{Checksums, Fault, Verdict};
use crate::disk::{Disk, Open, read_exact_at};
use crate::error::{Error, Result};
use crate::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::history::{EpochEntry, EpochHistory};
use crate::ids::{Chain, Epoch, LogId, Lsn, Position};
use crate::manifest::Manifest;
use crate::segment;

/// What to look at, and what is known already.
#[derive(Copy, Clone, Debug, Default)]
pub struct ScanOptions {
    /// The Store's checkpoint, as the manifest has it. The log was durable up to there, must hold
    /// that record, and may not begin behind the next; if nothing is checkpointed, not behind LSN
    /// 1. `None` if there is no manifest to tell.
    pub checkpoint: Option<Checkpointed>,
    /// Every record up to here was durable, as the manifest has it. [`Lsn::ZERO`]: that is unknown.
    pub durable: Lsn,
    /// Segments that end before this record are checked by their headers only. [`Lsn::ZERO`]: none
    /// is.
    pub skip_below: Lsn,
    /// Go on behind damage, and show what can be read: also records that a damaged segment had cut
    /// off, because nothing tells that any more. Otherwise the scan ends with the first fault.
    pub keep_going: bool,
}

impl ScanOptions {
    /// What a manifest knows of the log beside it.
    #[must_use]
    pub fn of(manifest: &Manifest) -> ScanOptions {
        let (log_id, chain) = (manifest.checkpoint, manifest.checkpoint_chain);
        let checkpoint = Some(Checkpointed { log_id, chain });
        let durable = manifest.committed.max(log_id.lsn);
        ScanOptions { checkpoint, durable, ..ScanOptions::default() }
    }
}

/// A record that the log is known to hold.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// The record.
    pub log_id: LogId,
    /// The chain with it.
    pub chain: Chain,
}

/// What a log turned out to be.
///
/// Invariants: `durable_upto` lies at or before `end`; the groups in `tail` are those that hold
/// records between the two, all in the last segment.
#[derive(Clone, Debug, Default)]
pub struct LogScan {
    /// The first record of the log, or the one that will be.
    pub first_lsn: Lsn,
    /// The last whole record.
    pub end: LogId,
    /// The chain with it.
    pub end_chain: Chain,
    /// Where the next group would go.
    pub end_position: Position,
    /// Every record up to here is proven to be durable: by a later group or segment, or by the
    /// checkpoint.
    pub durable_upto: Lsn,
    /// The highest commit LSN that a group knew.
    pub commit_lsn: Lsn,
    /// The epochs, from the one that holds `first_lsn`, or the record before it, on.
    pub history: EpochHistory,
    /// The groups with records that nothing proves to be durable, with their headers.
    pub tail: Vec<(Position, GroupHeader)>,
    /// How many groups were read.
    pub groups: u64,
    /// How many records were read.
    pub records: u64,
    /// How many bytes of frames were read.
    pub frame_bytes: u64,
    /// What is wrong, in the order in which it was found.
    pub faults: Vec<Fault>,
}

impl LogScan {
    /// The worst of all faults.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.faults.iter().map(Fault::verdict).max().unwrap_or_default()
    }

    /// The error that opening the log gives: that of the first fault that is not a torn tail.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.faults.iter().find_map(Fault::error)
    }

    /// Reads the groups of [`LogScan::tail`] once more, for whoever writes them anew; `None` if
    /// there are none.
    pub fn read_tail(&self, disk: &dyn Disk) -> Result<Option<Tail>> {
        let Some((first, header)) = self.tail.first() else {
            return Ok(None);
        };
        let mut tail = Tail {
            first_lsn: header.first_lsn,
            chain_before: header.chain_before,
            frames: Vec::new(),
        };
        let name = segment::file_name(first.segment);
        let file = disk
            .open(&name, Open::Read)
            .map_err(|error| Error::io("open", name.as_str(), error))?;
        for (position, header) in &self.tail {
            let length = header.byte_length as usize;
            let mut frames = vec![0; length];
            read_exact_at(&*file, position.offset + GROUP_HEADER_BYTES as u64, &mut frames)
                .map_err(|error| Error::io("read", name.as_str(), error))?;
            header.check_body(Epoch::ZERO, &frames).map_err(|error| Error::Corrupt {
                file: name.clone(),
                segment: Some(position.segment),
                offset: position.offset,
                lsn: error.lsn,
                reason: format!("it was whole when it was read first: {error}"),
            })?;
            tail.frames.append(&mut frames);
        }
        Ok(Some(tail))
    }
}

/// Records that nothing proves to be durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The first of them.
    pub first_lsn: Lsn,
    /// The chain before it.
    pub chain_before: Chain,
    /// Their frames, byte for byte.
    pub frames: Vec<u8>,
}

/// Reads a log from its first segment to its end, gives each whole group to `visit`, and judges it
/// all.
///
/// What is wrong with the log goes into [`LogScan::faults`]. Errors: only those that `visit`
/// returns, which end the scan.
pub fn scan_log(
    disk: &dyn Disk,
    segments: &SegmentScan,
    options: ScanOptions,
    visit: &mut dyn FnMut(&SegmentExtent, &ScannedGroup<'_>) -> Result<()>,
) -> Result<LogScan> {
    let mut walk = Walk {
        disk,
        options,
        extents: segments.extents(),
        scan: LogScan { faults: segments.faults().collect(), ..LogScan::default() },
        visit,
    };
    walk.begin();
    for at in 0..walk.extents.len() {
        if !walk.may_go_on() {
            break;
        }
        walk.segment(at)?;
    }
    Ok(walk.scan)
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    options: ScanOptions,
    extents: Vec<SegmentExtent>,
    scan: LogScan,
    visit: &'a mut dyn FnMut(&SegmentExtent, &ScannedGroup<'_>) -> Result<()>,
}

impl Walk<'_> {
    fn may_go_on(&self) -> bool {
        self.options.keep_going || self.scan.faults.is_empty()
    }

    fn begin(&mut self) {
        let (Some(first), Some(last)) = (self.extents.first(), self.extents.last()) else {
            let reason = "no segment is in use".to_owned();
            self.corrupt(Position::default(), Lsn(1), reason, None);
            return;
        };
        let (first, last) = (first.header, last.header);
        self.scan.first_lsn = first.first_lsn;
        // The last segment's header was written when everything before it was durable.
        self.scan.durable_upto = last.first_lsn.previous().max(self.options.durable);
        if let Some(Checkpointed { log_id, .. }) = self.options.checkpoint {
            self.scan.durable_upto = self.scan.durable_upto.max(log_id.lsn);
            if first.first_lsn > log_id.lsn.next() {
                let position = Position { segment: first.number, offset: 0 };
                let reason = format!("the log begins behind it, with LSN {}", first.first_lsn);
                self.corrupt(position, log_id.lsn.next(), reason, None);
            }
        }
    }

    /// Reads one segment, or goes by its header and the next one's.
    fn segment(&mut self, at: usize) -> Result<()> {
        let extent = self.extents[at];
        self.enter(&extent);
        if self.goes_by_headers(at) {
            return Ok(());
        }
        let mut cursor = match GroupCursor::open(self.disk, extent) {
            Ok(cursor) => cursor,
            Err(error) => {
                let position = Position { segment: extent.header.number, offset: 0 };
                self.scan.faults.push(Fault::Unreadable { position, error });
                return Ok(());
            }
        };
        loop {
            while let Some(group) = cursor.next() {
                self.group(&extent, &group)?;
            }
            self.scan.end_position = cursor.position();
            let Some(stop) = cursor.stop().cloned() else { break };
            let is_corrupt = match self.judge(&extent, &mut cursor, stop) {
                Ok(is_corrupt) => is_corrupt,
                Err(error) => {
                    let position = cursor.position();
                    self.scan.faults.push(Fault::Unreadable { position, error });
                    break;
                }
            };
            if !is_corrupt || !self.options.keep_going {
                break;
            }
            // Only to show what is left: the records between are lost.
            let expected = cursor.last().lsn.next();
            let wanted = |header: &GroupHeader| header.first_lsn > expected && header.count > 0;
            match cursor.look_behind(wanted) {
                Ok(Behind { group: Some((offset, header)), .. }) => cursor.skip_to(offset, &header),
                _ => break,
            }
        }
        Ok(())
    }

    /// Takes over what a segment's header says, if it agrees with the records before it.
    fn enter(&mut self, extent: &SegmentExtent) {
        let header = &extent.header;
        let position = Position { segment: header.number, offset: 0 };
        let before = LogId { epoch: header.epoch, lsn: header.first_lsn.previous() };
        if header.epoch > Epoch::ZERO {
            let entry = EpochEntry {
                epoch: header.epoch,
                start_lsn: header.epoch_start_lsn,
                chain_at_start: header.epoch_chain,
            };
            let known = self.scan.history.last();
            if known != Some(entry)
                && (known.is_some_and(|known| known.epoch >= entry.epoch)
                    || self.scan.history.try_push(entry).is_err())
            {
                let reason = format!("its epoch {} does not continue {known:?}", entry.epoch);
                self.corrupt(position, header.first_lsn, reason, None);
            }
        }
        self.scan.end = before;
        self.scan.end_chain = header.chain_before;
        self.scan.end_position = Position { segment: header.number, offset: header.body_offset() };
        if let Some(checkpoint) = self.options.checkpoint
            && checkpoint.log_id.lsn == before.lsn
            && (checkpoint.log_id != before || checkpoint.chain != header.chain_before)
        {
            let reason = format!("the record before is not {}", checkpoint.log_id);
            self.corrupt(position, before.lsn, reason, None);
        }
    }

    /// Whether nothing needs to be read of this segment but its header.
    fn goes_by_headers(&self, at: usize) -> bool {
        let (Some(next), extent) = (self.extents.get(at + 1), &self.extents[at]) else {
            return false;
        };
        // Where more than one epoch may begin in it, only its frames know.
        let epochs = next.header.epoch.0.saturating_sub(extent.header.epoch.0);
        next.header.first_lsn <= self.options.skip_below && epochs <= 1
    }

    fn group(&mut self, extent: &SegmentExtent, group: &ScannedGroup<'_>) -> Result<()> {
        self.check_checkpoint(group);
        let ScannedGroup { position, header, contents, frames } = group;
        for entry in &contents.epoch_starts {
            let known = self.scan.history.last();
            // Behind damage the epoch before is not known, and may turn up a second time.
            if known.is_some_and(|known| known.epoch >= entry.epoch) {
                continue;
            }
            if self.scan.history.try_push(*entry).is_err() {
                let reason = format!("epoch {} does not continue {known:?}", entry.epoch);
                self.corrupt(*position, entry.start_lsn, reason, None);
            }
        }
        let scan = &mut self.scan;
        scan.groups += 1;
        scan.records += group.records();
        scan.frame_bytes += frames.len() as u64;
        scan.end = contents.last;
        scan.end_chain = contents.chain_after;
        scan.commit_lsn = scan.commit_lsn.max(header.commit_lsn);
        scan.durable_upto = scan.durable_upto.max(header.durable_upto);
        if contents.last.lsn > scan.durable_upto && header.count > 0 {
            scan.tail.push((*position, *header));
        }
        let durable = scan.durable_upto;
        scan.tail.retain(|(_, header)| header.last_lsn() > durable);
        (self.visit)(extent, group)
    }

    /// The group that holds the checkpointed record must hold that very record.
    fn check_checkpoint(&mut self, group: &ScannedGroup<'_>) {
        let Some(Checkpointed { log_id, chain }) = self.options.checkpoint else { return };
        let ScannedGroup { header, contents, .. } = group;
        if header.count == 0 || !(header.first_lsn..=contents.last.lsn).contains(&log_id.lsn) {
            return;
        }
        let kept = header.check_kept(self.scan.end.epoch, group.frames, log_id.lsn, chain);
        if !kept.is_ok_and(|kept| kept.last.epoch == log_id.epoch) {
            let reason = format!("the record is not {log_id} of the checkpoint");
            self.corrupt(group.position, log_id.lsn, reason, None);
        }
    }

    /// Tells a torn tail from damage, once a segment yields no more groups. Gives whether it is
    /// damage.
    fn judge(
        &mut self,
        extent: &SegmentExtent,
        cursor: &mut GroupCursor,
        stop: Stop,
    ) -> Result<bool> {
        let position = cursor.position();
        let lsn = cursor.last().lsn.next();
        let fault = match stop {
            Stop::Complete => return Ok(false),
            Stop::Unreadable(error) => return Err(error),
            Stop::Blank => None,
            Stop::Bad(fault) => Some(fault),
        };
        let mut bytes = 0;
        let mut proof = self.proof_elsewhere(extent, lsn);
        if proof.is_none() {
            // A group is written only when everything before it is durable. One without records
            // that says no more than what is known proves nothing that matters.
            let behind = cursor.look_behind(|header| {
                header.durable_upto >= lsn || (header.count > 0 && header.first_lsn >= lsn)
            })?;
            bytes = behind.bytes;
            proof = behind.group.map(|(offset, header)| {
                format!("the group of LSN {} at {offset} was written later", header.first_lsn)
            });
        }
        let Some(proof) = proof else {
            if bytes > 0 {
                self.scan.faults.push(Fault::TornTail { position, lsn, bytes });
            }
            return Ok(false);
        };
        let found = fault.as_ref().map_or("nothing is there".to_owned(), GroupFault::to_string);
        // The frame that is bad is more exact than the group that holds it.
        let (position, lsn) = match &fault {
            Some(GroupFault::Body(body)) => {
                let offset = position.offset + (GROUP_HEADER_BYTES + body.offset) as u64;
                (Position { offset, ..position }, body.lsn)
            }
            _ => (position, lsn),
        };
        let checksums = fault.as_ref().and_then(GroupFault::checksums);
        self.corrupt(position, lsn, format!("{found}; it was durable: {proof}"), checksums);
        Ok(true)
    }

    /// What proves that record `lsn`, where reading a segment stopped, was durable, without looking
    /// behind it.
    fn proof_elsewhere(&self, extent: &SegmentExtent, lsn: Lsn) -> Option<String> {
        if let Some(end) = extent.end {
            return Some(format!("the next segment begins behind LSN {}", end.last_lsn));
        }
        let ScanOptions { checkpoint, durable, .. } = self.options;
        let checkpoint = checkpoint.map_or(Lsn::ZERO, |checkpoint| checkpoint.log_id.lsn);
        if checkpoint >= lsn {
            return Some(format!("LSN {checkpoint} is checkpointed"));
        }
        (durable >= lsn).then(|| format!("the manifest knows of LSN {durable}"))
    }

    fn corrupt(
        &mut self,
        position: Position,
        lsn: Lsn,
        reason: String,
        checksums: Option<Checksums>,
    ) {
        self.scan.faults.push(Fault::Corrupt { position, lsn, reason, checksums });
    }
}
