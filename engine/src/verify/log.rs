//! Reading the log, and noting what it made of each key.

use std::collections::BTreeMap;

use mainstay_wal::disk::Disk;
use mainstay_wal::frame::{Frame, Frames};
use mainstay_wal::manifest::Manifest;
use mainstay_wal::scan::{Fault, LogScan, ScanOptions, scan_log, scan_segments};
use mainstay_wal::{Error, Lsn};

use super::{VerifyFault, VerifyReport};
use crate::bytes::Key;
use crate::engine::Engine;
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::record::{self, RecordOp};
use crate::span::Span;

/// How often something that may be a write in progress is looked at.
const ATTEMPTS: u32 = 3;

/// The log of an open database is read from where it begins just then.
const BEGIN_LIMIT: u32 = 100;

/// How much memory the keys to be compared may take, about.
const COMPARED_BYTES: usize = 64 << 20;
/// What a key takes besides itself, about.
const KEY_OVERHEAD_BYTES: usize = 120;

/// What was found in a log.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) segments: u64,
    scan: LogScan,
    faults: Vec<VerifyFault>,
    writes: LastWrites,
}

impl Scanned {
    /// Puts figures and faults into a report. Gives what the log made of the keys.
    pub(super) fn report_into(self, report: &mut VerifyReport) -> LastWrites {
        let Scanned { segments, scan, mut faults, writes } = self;
        report.segments = segments;
        report.first_lsn = scan.first_lsn;
        report.end = scan.end;
        report.end_chain = scan.end_chain;
        report.durable_lsn = scan.durable_upto;
        report.groups = scan.groups;
        report.records = scan.records;
        report.log_bytes = scan.frame_bytes;
        report.history = scan.history;
        report.faults.append(&mut faults);
        writes
    }
}

/// Reads every record of a log, and decodes those up to `upto`.
pub(super) fn scan(disk: &dyn Disk, manifest: Option<&Manifest>, upto: Lsn) -> Result<Scanned> {
    let segments = scan_segments(disk, manifest.map(|manifest| manifest.database_id))?;
    let known = manifest.map(ScanOptions::of).unwrap_or_default();
    let options = ScanOptions { keep_going: true, ..known };
    let mut found = Scanned { segments: segments.extents().len() as u64, ..Scanned::default() };
    let scan = scan_log(disk, &segments, options, &mut |_, group| {
        for frame in Frames::new(group.frames).map_while(std::result::Result::ok) {
            if frame.header.lsn <= upto
                && let Err(reason) = found.writes.note(&frame)
            {
                found.faults.push(VerifyFault::Record { lsn: frame.header.lsn, reason });
            }
        }
        Ok(())
    })?;
    let mut faults: Vec<_> = scan.faults.iter().cloned().map(VerifyFault::Log).collect();
    faults.append(&mut found.faults);
    Ok(Scanned { scan, faults, ..found })
}

/// As [`scan`], of an open database, up to a durable record. What is written meanwhile is nobody's
/// fault. Gives the manifest that the log was compared with.
pub(super) fn scan_open(engine: &Engine, upto: Lsn) -> Result<(Scanned, Manifest)> {
    for attempt in 1.. {
        let hold = match engine.log().hold(engine.log().first_lsn()) {
            Err(Error::LogTruncated { .. }) if attempt < BEGIN_LIMIT => continue,
            hold => hold?,
        };
        // After the hold: the log begins at or below the checkpoint that it was held at.
        let manifest = engine.manifest();
        let mut found = scan(&*engine.disk, Some(&manifest), upto)?;
        found.faults.retain(|fault| match fault {
            VerifyFault::Log(Fault::TornTail { lsn, .. }) => *lsn <= upto,
            VerifyFault::Log(Fault::Corrupt { lsn, .. }) => *lsn <= upto,
            _ => true,
        });
        hold.lsn()?;
        if found.faults.is_empty() || attempt >= ATTEMPTS {
            return Ok((found, manifest));
        }
    }
    unreachable!("the last attempt returns")
}

/// What the last record about a key made of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct LastWrite {
    pub(super) lsn: Lsn,
    /// The checksum of its value; none if it was removed.
    pub(super) value_crc: Option<u32>,
}

/// The last write to each key that the log knows, as far as memory goes.
#[derive(Debug, Default)]
pub(super) struct LastWrites {
    keys: BTreeMap<(KeyspaceId, Key), LastWrite>,
    bytes: usize,
}

impl LastWrites {
    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyspaceId, &Key, LastWrite)> {
        self.keys.iter().map(|((keyspace, key), write)| (*keyspace, key, *write))
    }

    /// Takes note of a record, if it can be understood.
    fn note(&mut self, frame: &Frame<'_>) -> std::result::Result<(), String> {
        let lsn = frame.header.lsn;
        let ops = record::decode(lsn, frame.payload).map_err(|error| error.to_string())?;
        for op in ops {
            let removed = LastWrite { lsn, value_crc: None };
            match op.map_err(|error| error.to_string())? {
                RecordOp::Insert { keyspace, key, value } => {
                    let value_crc = Some(crc32fast::hash(value));
                    self.set(keyspace, key, LastWrite { lsn, value_crc });
                }
                RecordOp::Remove { keyspace, key } => self.set(keyspace, key, removed),
                RecordOp::RemoveRange { keyspace, lower, upper } => {
                    self.remove_span(keyspace, &Span::between(lower, upper), removed);
                }
                RecordOp::DropKeyspace { keyspace } => {
                    self.remove_span(keyspace, &Span::all(), removed);
                }
                RecordOp::CreateKeyspace { .. } => {}
            }
        }
        Ok(())
    }

    fn set(&mut self, keyspace: KeyspaceId, key: &[u8], write: LastWrite) {
        let place = (keyspace, Key::from(key));
        if let Some(known) = self.keys.get_mut(&place) {
            *known = write;
        } else if self.bytes < COMPARED_BYTES {
            self.bytes += key.len() + KEY_OVERHEAD_BYTES;
            self.keys.insert(place, write);
        }
    }

    fn remove_span(&mut self, keyspace: KeyspaceId, span: &Span, removed: LastWrite) {
        let from = (keyspace, span.lower.clone());
        for ((id, key), known) in self.keys.range_mut(from..) {
            if *id != keyspace || span.upper.as_ref().is_some_and(|upper| key >= upper) {
                break;
            }
            *known = removed;
        }
    }
}
