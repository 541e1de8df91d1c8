//! A whole log, from the bytes of its files.

use std::sync::Arc;

use mainstay_wal::disk::{SimDisk, Survivors};
use mainstay_wal::frame::{FrameHeader, Frames};
use mainstay_wal::manifest::{Manifest, ManifestFile};
use mainstay_wal::scan::{ScanOptions, Verdict, scan_log, scan_segments};
use mainstay_wal::segment;
use mainstay_wal::{
    Bound, Chain, DatabaseId, Epoch, Incarnation, Log, LogId, LogOptions, Lsn, OpenedLog, Result,
    SegmentNumber,
};

use super::repair;

/// No more than this is read of a log, so that an input stays quick.
const MAX_FILES: usize = 8;

/// A byte of flags (bit 0: make checksums right), then files: a number (1 byte), a length in 64 bytes (1 byte),
/// and so many bytes or all that are left, followed by zeros to the size that a segment header states if that is small.
pub fn directory(data: &[u8]) {
    let Some((flags, mut rest)) = data.split_first() else { return };
    let disk = SimDisk::new(0);
    for _ in 0..MAX_FILES {
        let Some((&[number, length], behind)) = rest.split_first_chunk() else { break };
        let (content, behind) = behind.split_at(behind.len().min(usize::from(length) * 64));
        rest = behind;
        let mut content = content.to_vec();
        if content.len() >= 48 {
            let size = content[40..48].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
            if let Some(size) = usize::try_from(size).ok().filter(|size| *size <= 1 << 15) {
                content.resize(size.max(content.len()), 0);
            }
        }
        if flags & 1 != 0 {
            repair::segment(&mut content);
        }
        let name = match number {
            0 => segment::TEMPORARY_NAME.to_owned(),
            number => segment::file_name(SegmentNumber(u64::from(number))),
        };
        disk.write_file(&name, &content).expect("a new disk");
    }
    let records = check(&disk, ScanOptions::default());
    check(&disk, ScanOptions { skip_below: Lsn(5), ..ScanOptions::default() });
    check(&disk, ScanOptions { keep_going: true, ..ScanOptions::default() });
    assert_eq!(disk.operations(), 0, "reading changed something");
    use_it(&disk, &records);
}

/// Opens the log as its owner would, appends to it, and opens it again.
fn use_it(disk: &SimDisk, records: &[FrameHeader]) {
    let segments = scan_segments(disk, None).expect("a disk without faults");
    let first = segments.extents().first().map(|extent| extent.header.database_id);
    let manifest = Manifest::new(first.unwrap_or(DatabaseId(1)), Incarnation(1), "none", "store-1");
    ManifestFile::create(disk, &manifest).expect("there is none");
    let before = disk.fork();
    let opened = match open(disk) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(disk.files(), before.files(), "{error}");
            return;
        }
    };
    let end = opened.recovery.end;
    assert_eq!(opened.log.end(), end);
    assert_eq!(read(&opened.log), records);
    let appended = opened.log.append(b"one more").expect("there is room");
    assert_eq!(appended, end.lsn.next());
    opened.log.sync().expect("a disk without faults");
    opened.log.close().expect("a disk without faults");
    drop(opened);

    let again = open(&disk.crash(Survivors::Nothing)).expect("it was closed");
    assert!(again.recovery.clean, "{:?}", again.recovery);
    let epoch = end.epoch.max(Epoch::FIRST);
    assert_eq!(again.log.end(), LogId { epoch, lsn: appended });
    let found = read(&again.log);
    assert_eq!(found[..records.len()], *records);
    assert_eq!(found.last().map(FrameHeader::log_id), Some(again.log.end()));
}

fn open(disk: &SimDisk) -> Result<OpenedLog> {
    Log::open(Arc::new(disk.clone()), LogOptions::tiny(), None)
}

/// The headers of all records.
fn read(log: &Log) -> Vec<FrameHeader> {
    let mut reader = log.reader(log.first_lsn(), Bound::Durable).expect("its first record");
    let mut records = Vec::new();
    while let Some(frame) = reader.next_frame().expect("all of it was checked") {
        records.push(frame.header);
    }
    records
}

/// Scans the log, checks what is told of it, and gives the headers of its records.
fn check(disk: &SimDisk, options: ScanOptions) -> Vec<FrameHeader> {
    let segments = scan_segments(disk, None).expect("a disk without faults");
    let (mut last, mut chain, mut records) = (None::<LogId>, None::<Chain>, Vec::new());
    let log = scan_log(disk, &segments, options, &mut |extent, group| {
        for frame in Frames::new(group.frames) {
            let header = frame.expect("checked").header;
            records.push(header);
            if !options.keep_going {
                let before = last.unwrap_or(LogId {
                    epoch: extent.header.epoch,
                    lsn: extent.header.first_lsn.previous(),
                });
                assert_eq!(header.lsn, before.lsn.next());
                assert!(header.epoch >= before.epoch, "{header:?} behind {before:?}");
                chain = Some(chain.unwrap_or(extent.header.chain_before).extend(&header));
            }
            last = Some(header.log_id());
        }
        Ok(())
    })
    .expect("nothing refuses");
    assert_eq!(log.records, records.len() as u64);
    assert!(log.durable_upto <= log.end.lsn || log.verdict() >= Verdict::Corrupt, "{log:?}");
    if log.verdict() < Verdict::Corrupt {
        if let Some(last) = last {
            assert_eq!((log.end, Some(log.end_chain)), (last, chain.or(Some(log.end_chain))));
            let epoch = log.history.epoch_of(last.lsn);
            assert_eq!(epoch, Some(last.epoch), "{log:?}");
        }
        let tail = log.read_tail(disk).expect("it was just read");
        assert_eq!(tail.is_some(), log.durable_upto < log.end.lsn, "{log:?}");
    } else {
        assert!(log.error().is_some());
    }
    records
}
