//! Where two logs part.

use std::path::Path;

use mainstay_wal::disk::{Disk, FileDisk};
use mainstay_wal::frame::Frames;
use mainstay_wal::scan::{Fault, ScanOptions, SegmentScan, scan_log, scan_segments};
use mainstay_wal::{Chain, LogId, Lsn, Position};

use crate::error::Result;

/// A record of one log, and the chain up to it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RecordIdentity {
    /// Epoch and LSN.
    pub log_id: LogId,
    /// The chain over the log up to it.
    pub chain: Chain,
}

/// How two logs compare.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LogComparison {
    /// They are the same, from the beginning of the database to the end, as the chains say.
    Equal {
        /// The last record of both.
        end: LogId,
    },
    /// They are the same as far as the shorter one goes.
    OneIsLonger {
        /// The last record that both have.
        common: LogId,
        /// The end of the first.
        a_end: LogId,
        /// The end of the second.
        b_end: LogId,
    },
    /// They are the same up to the record before, and have different ones here.
    Differ {
        /// Where.
        lsn: Lsn,
        /// What the first has there.
        a: RecordIdentity,
        /// What the second has there.
        b: RecordIdentity,
    },
    /// They differ already somewhere before `lsn`, where one of them has no records any more.
    DifferBefore {
        /// The oldest record that both have, or the one behind the end of the shorter.
        lsn: Lsn,
    },
    /// One ends before the other begins, so that nothing can be compared.
    NothingInCommon,
    /// They are the same as far as they can be read, and one of them, or both, is damaged there.
    Damaged {
        /// The last record that can be read in both; `None` if there is none.
        common: Option<LogId>,
        /// Where the first cannot be read any further.
        a: Option<Position>,
        /// Where the second cannot.
        b: Option<Position>,
    },
}

/// Compares the logs of two database directories and finds the first record at which they differ.
///
/// Reads only, takes no lock, and asks for no manifest. A damaged log is compared up to the damage:
/// [`LogComparison::Damaged`] if that hides what comes next. A torn tail is no damage. While
/// somebody writes to one of them, its end is where it was seen.
///
/// # Errors
/// [`mainstay_wal::Error::Io`] if a directory cannot be read, [`mainstay_wal::Error::NotADatabase`]
/// if it holds no log.
pub fn first_difference(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<LogComparison> {
    let open = |path: &Path| {
        FileDisk::open_read_only(path).map_err(|error| {
            mainstay_wal::Error::io("open the directory", path.display().to_string(), error)
        })
    };
    first_difference_on(&open(a.as_ref())?, &open(b.as_ref())?)
}

/// As [`first_difference`], on any disks.
pub fn first_difference_on(a: &dyn Disk, b: &dyn Disk) -> Result<LogComparison> {
    let (a, b) = (LogFiles::open(a)?, LogFiles::open(b)?);
    let mut marks = vec![a.before];
    let (a_end, a_damage) = a.walk(&mut |record, ends_group| {
        if ends_group {
            marks.push(record);
        }
    })?;
    let (equal_to, (b_end, b_damage)) = b.last_equal(&marks)?;
    let shared = a_end.log_id.lsn.min(b_end.log_id.lsn);
    let start = a.before.log_id.lsn.max(b.before.log_id.lsn);
    // Damage behind the end of the other log hides nothing.
    let hides =
        |end: RecordIdentity, damage: Option<Position>| damage.filter(|_| end.log_id.lsn == shared);
    let (a_hides, b_hides) = (hides(a_end, a_damage), hides(b_end, b_damage));
    let damaged = |common| LogComparison::Damaged { common, a: a_hides, b: b_hides };
    let is_damaged = a_hides.is_some() || b_hides.is_some();
    if start > shared {
        return Ok(if is_damaged { damaged(None) } else { LogComparison::NothingInCommon });
    }
    // From the last mark that is the same the logs differ, or one of them ends, within a group of
    // the first.
    let from = equal_to.map_or(start, |equal| equal.max(start));
    let upto = marks.iter().map(|mark| mark.log_id.lsn).find(|lsn| *lsn > from).unwrap_or(from);
    let upto = upto.min(shared);
    let (in_a, in_b) = (a.records(from, upto)?, b.records(from, upto)?);
    let common = if a_end.log_id.lsn == shared { a_end.log_id } else { b_end.log_id };
    let differing = in_a.iter().zip(&in_b).position(|(in_a, in_b)| in_a.chain != in_b.chain);
    Ok(match differing {
        Some(0) => LogComparison::DifferBefore { lsn: from.next() },
        Some(at) => LogComparison::Differ { lsn: in_a[at].log_id.lsn, a: in_a[at], b: in_b[at] },
        None if is_damaged => damaged(Some(common)),
        None if a_end == b_end => LogComparison::Equal { end: a_end.log_id },
        None => LogComparison::OneIsLonger { common, a_end: a_end.log_id, b_end: b_end.log_id },
    })
}

/// The last record of a log that can be read, and the damage behind it.
type End = (RecordIdentity, Option<Position>);

/// A log in its files.
struct LogFiles<'a> {
    disk: &'a dyn Disk,
    segments: SegmentScan,
    /// The place before its first record.
    before: RecordIdentity,
}

impl<'a> LogFiles<'a> {
    fn open(disk: &'a dyn Disk) -> Result<LogFiles<'a>> {
        let segments = scan_segments(disk, None)?;
        let Some(first) = segments.extents().first().map(|extent| extent.header) else {
            let reason = "it holds no log".to_owned();
            let path = disk.describe();
            return Err(mainstay_wal::Error::NotADatabase { path, reason }.into());
        };
        let log_id = LogId { epoch: first.epoch, lsn: first.first_lsn.previous() };
        let before = RecordIdentity { log_id, chain: first.chain_before };
        Ok(LogFiles { disk, segments, before })
    }

    /// Calls `visit` with every record, and whether it is the last of its group, up to the first
    /// damage. Gives the end, and where that damage is.
    fn walk(&self, visit: &mut dyn FnMut(RecordIdentity, bool)) -> Result<End> {
        let mut end = self.before;
        let options = ScanOptions::default();
        let scan = scan_log(self.disk, &self.segments, options, &mut |_, group| {
            end.chain = group.header.chain_before;
            for frame in Frames::new(group.frames).map_while(std::result::Result::ok) {
                let log_id = frame.header.log_id();
                end = RecordIdentity { log_id, chain: end.chain.extend(&frame.header) };
                let ends_group = log_id.lsn == group.contents.last.lsn;
                visit(end, ends_group);
            }
            Ok(())
        })?;
        let damage = scan.faults.iter().find(|fault| fault.error().is_some()).map(Fault::position);
        Ok((end, damage))
    }

    /// The last of the marks that this log has too, and the end of this log.
    fn last_equal(&self, marks: &[RecordIdentity]) -> Result<(Option<Lsn>, End)> {
        let mut rest = marks.iter().peekable();
        let mut equal_to = None;
        let mut compare = |record: RecordIdentity| {
            while rest.next_if(|mark| mark.log_id.lsn < record.log_id.lsn).is_some() {}
            let same = |mark: &&RecordIdentity| {
                mark.log_id.lsn == record.log_id.lsn && mark.chain == record.chain
            };
            if rest.next_if(same).is_some() {
                equal_to = Some(record.log_id.lsn);
            }
        };
        compare(self.before);
        let end = self.walk(&mut |record, _| compare(record))?;
        Ok((equal_to, end))
    }

    /// The records from `from` to `upto`, both included; `from` may be the place before the first.
    fn records(&self, from: Lsn, upto: Lsn) -> Result<Vec<RecordIdentity>> {
        let mut records = Vec::new();
        if self.before.log_id.lsn == from {
            records.push(self.before);
        }
        self.walk(&mut |record, _| {
            if (from..=upto).contains(&record.log_id.lsn)
                && record.log_id.lsn > self.before.log_id.lsn
            {
                records.push(record);
            }
        })?;
        Ok(records)
    }
}

#[cfg(test)]
mod tests;
