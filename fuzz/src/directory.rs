//! A whole log, from the bytes of its files.

use mainstay_wal::disk::SimDisk;
use mainstay_wal::frame::Frames;
use mainstay_wal::scan::{ScanOptions, Verdict, scan_log, scan_segments};
use mainstay_wal::segment;
use mainstay_wal::{Chain, LogId, Lsn, SegmentNumber};

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
    check(&disk, ScanOptions::default());
    check(&disk, ScanOptions { skip_below: Lsn(5), ..ScanOptions::default() });
    check(&disk, ScanOptions { keep_going: true, ..ScanOptions::default() });
    assert_eq!(disk.operations(), 0, "reading changed something");
}

fn check(disk: &SimDisk, options: ScanOptions) {
    let segments = scan_segments(disk, None).expect("a disk without faults");
    let (mut last, mut chain, mut records) = (None::<LogId>, None::<Chain>, 0);
    let log = scan_log(disk, &segments, options, &mut |extent, group| {
        for frame in Frames::new(group.frames) {
            let header = frame.expect("checked").header;
            records += 1;
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
    assert_eq!(log.records, records);
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
}
