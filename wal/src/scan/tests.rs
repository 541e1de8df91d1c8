mod builder;

use std::collections::BTreeMap;

use builder::Builder;

use super::*;
use crate::disk::{Disk, SimDisk};
use crate::frame::{Frame, Frames, encode_frame};
use crate::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::history::EpochHistory;
use crate::ids::{Chain, DatabaseId, Epoch, LogId, SegmentNumber};
use crate::segment::SegmentHeader;

const DATABASE: DatabaseId = DatabaseId(0xdb);
const BLOCK: u64 = 512;

fn scan(disk: &SimDisk) -> SegmentScan {
    scan_segments(disk, Some(DATABASE)).unwrap()
}

/// Scans everything; gives every frame that was visited, too.
fn scan_with(disk: &SimDisk, options: ScanOptions) -> (LogScan, BTreeMap<Lsn, Vec<u8>>) {
    let mut records = BTreeMap::new();
    let log = scan_log(disk, &scan(disk), options, &mut |_, group| {
        for frame in Frames::new(group.frames) {
            let frame = frame.unwrap();
            let mut bytes = Vec::new();
            frame.encode_into(&mut bytes);
            assert!(
                records.insert(frame.header.lsn, bytes).is_none(),
                "{} twice",
                frame.header.lsn
            );
        }
        Ok(())
    });
    (log.unwrap(), records)
}

fn whole(disk: &SimDisk) -> (LogScan, BTreeMap<Lsn, Vec<u8>>) {
    scan_with(disk, ScanOptions::default())
}

fn payloads(records: &BTreeMap<Lsn, Vec<u8>>) -> BTreeMap<Lsn, (Epoch, Vec<u8>)> {
    let decode = |bytes: &Vec<u8>| {
        let frame = Frame::decode(bytes).unwrap();
        (frame.header.epoch, frame.payload.to_vec())
    };
    records.iter().map(|(lsn, bytes)| (*lsn, decode(bytes))).collect()
}

#[test]
fn a_whole_log_is_clean_and_told_as_it_is() {
    let builder = Builder::example();
    let (log, records) = whole(&builder.disk);
    assert_eq!(log.verdict(), Verdict::Clean, "{:?}", log.faults);
    assert_eq!(payloads(&records), builder.records);
    assert_eq!(log.history, builder.history);
    assert_eq!((log.first_lsn, log.end, log.end_chain), (Lsn(1), builder.end, builder.chain));
    assert_eq!(log.end_position, builder.position());
    assert_eq!((log.groups, log.records), (7, 14));
    assert_eq!((log.durable_upto, log.commit_lsn), (Lsn(12), Lsn(12)));
    let frames: Vec<u8> = records.range(Lsn(13)..).flat_map(|(_, bytes)| bytes.clone()).collect();
    let tail = log.read_tail(&builder.disk).unwrap().unwrap();
    assert_eq!((tail.first_lsn, tail.frames), (Lsn(13), frames));
}

#[test]
fn an_idle_group_proves_the_last_records() {
    let mut builder = Builder::example();
    builder.group(&[]);
    let (log, _) = whole(&builder.disk);
    assert_eq!(log.durable_upto, builder.end.lsn);
    assert_eq!(log.read_tail(&builder.disk).unwrap(), None);
}

#[test]
fn segments_below_the_checkpoint_are_not_read() {
    let mut builder = Builder::new();
    builder.group(&[1, 1]);
    builder.rotate(false);
    builder.group(&[2]);
    let checkpoint = Checkpointed { log_id: builder.end, chain: builder.chain };
    builder.rotate(false);
    builder.group(&[2, 5]);
    builder.rotate(false);
    builder.group(&[5]);
    let options = ScanOptions { skip_below: Lsn(4), ..ScanOptions::default() };
    let (log, records) = scan_with(&builder.disk, options);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [Lsn(4), Lsn(5), Lsn(6)]);
    assert_eq!((log.verdict(), &log.history), (Verdict::Clean, &builder.history));
    // All below, but more than one epoch may begin in the third, so that is read.
    let options = ScanOptions { skip_below: Lsn(6), ..ScanOptions::default() };
    let (log, records) = scan_with(&builder.disk, options);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [Lsn(4), Lsn(5), Lsn(6)]);
    assert_eq!(log.history, builder.history);
    let options = ScanOptions { checkpoint: Some(checkpoint), ..ScanOptions::default() };
    assert_eq!(scan_with(&builder.disk, options).0.verdict(), Verdict::Clean);
}

#[test]
fn the_checkpointed_record_must_be_there() {
    let mut builder = Builder::new();
    builder.group(&[1, 1]);
    let inside = Checkpointed { log_id: builder.end, chain: builder.chain };
    builder.group(&[1]);
    let verdict = |disk: &SimDisk, log_id: LogId, chain: Chain| {
        let checkpoint = Some(Checkpointed { log_id, chain });
        scan_with(disk, ScanOptions { checkpoint, ..ScanOptions::default() }).0.verdict()
    };
    let id = |epoch, lsn| LogId { epoch: Epoch(epoch), lsn: Lsn(lsn) };
    let disk = &builder.disk;
    assert_eq!(verdict(disk, inside.log_id, inside.chain), Verdict::Clean);
    assert_eq!(verdict(disk, inside.log_id, Chain(1)), Verdict::Corrupt);
    assert_eq!(verdict(disk, id(2, 2), inside.chain), Verdict::Corrupt);
    assert_eq!(verdict(disk, id(1, 4), builder.chain), Verdict::Corrupt);
    builder.rotate(true);
    assert_eq!(verdict(&builder.disk, builder.end, builder.chain), Verdict::Clean);
    assert_eq!(verdict(&builder.disk, builder.end, Chain(3)), Verdict::Corrupt);
    assert_eq!(verdict(&builder.disk, inside.log_id, inside.chain), Verdict::Corrupt);
}

#[test]
fn files_are_told_apart() {
    let mut builder = Builder::example();
    let header = builder.segment;
    builder.disk.write_file("log/next.tmp", b"anything").unwrap();
    builder.disk.write_file("log/0000000000000005.log", &[0; 700]).unwrap();
    let earlier = std::mem::take(&mut builder.file);
    builder.disk.write_file("log/0000000000000006.log", &earlier).unwrap();
    let files = scan(&builder.disk);
    assert_eq!(files.others, ["next.tmp"]);
    assert_eq!(files.next_number(), SegmentNumber(7));
    let states: Vec<_> = files.segments.iter().map(|file| &file.state).collect();
    assert!(
        matches!(
            states[..],
            [
                SegmentState::Live(_),
                SegmentState::Live(_),
                SegmentState::Live(_),
                SegmentState::Unused(Unused::Blank),
                SegmentState::Unused(Unused::Recycled(found)),
            ] if *found == header
        ),
        "{states:?}"
    );

    // A segment that begins at or before an earlier one makes that dead; an origin all.
    builder.truncate(5);
    let dead = |files: SegmentScan| {
        let is_dead = |file: &&SegmentFile| matches!(file.state, SegmentState::Dead(_));
        files.segments.iter().filter(is_dead).map(|file| file.number.0).collect::<Vec<_>>()
    };
    assert_eq!(builder.segment.number, SegmentNumber(4));
    assert_eq!(dead(scan(&builder.disk)), [2, 3]);
    assert_eq!(whole(&builder.disk).0.verdict(), Verdict::Clean);
    builder.rotate(true);
    builder.disk.flip_bit("log/0000000000000001.log", 20, 3).unwrap();
    assert_eq!(dead(scan(&builder.disk)), [1, 2, 3, 4]);
    assert_eq!(whole(&builder.disk).0.verdict(), Verdict::Clean);
}

#[test]
fn files_that_cannot_be_are_damage() {
    let verdict = |change: &dyn Fn(&Builder)| {
        let builder = Builder::example();
        change(&builder);
        whole(&builder.disk).0.faults.first().map(|fault| fault.error().unwrap())
    };
    let write = |builder: &Builder, name: &str, bytes: &[u8]| {
        builder.disk.write_file(name, bytes).unwrap();
    };
    assert!(verdict(&|_| ()).is_none());
    let error = verdict(&|builder| write(builder, &builder.name(), &builder.file[..2048]));
    assert!(matches!(error, Some(Error::Corrupt { offset: 2048, .. })), "{error:?}");
    let error = verdict(&|builder| {
        let blank = [&[0; 512], &builder.file[512..]].concat();
        write(builder, &builder.name(), &blank);
    });
    assert!(matches!(error, Some(Error::Corrupt { offset: 512, .. })), "{error:?}");
    let error = verdict(&|builder| {
        let foreign = SegmentHeader { database_id: DatabaseId(5), ..builder.segment };
        write(builder, "log/0000000000000009.log", &foreign.encode());
    });
    assert!(matches!(error, Some(Error::NotADatabase { .. })), "{error:?}");
    let error = verdict(&|builder| {
        let later = SegmentHeader { number: SegmentNumber(10), ..builder.segment };
        write(builder, "log/0000000000000009.log", &later.encode());
    });
    assert!(matches!(error, Some(Error::Corrupt { offset: 0, .. })), "{error:?}");
    let error = verdict(&|builder| builder.disk.remove("log/0000000000000002.log").unwrap());
    assert!(matches!(error, Some(Error::Corrupt { lsn: Lsn(8), .. })), "{error:?}");
    let empty = SimDisk::new(3);
    assert_eq!(whole(&empty).0.verdict(), Verdict::Corrupt);
}

#[test]
fn every_flipped_bit_is_harmless_or_reported_within_the_stated_limit() {
    let builder = Builder::example();
    let limit = builder.groups.last().unwrap().0;
    let (mut torn, mut corrupt) = (0, 0);
    for (name, length) in builder.disk.files() {
        for bit in 0..length * 8 {
            let disk = builder.disk.fork();
            disk.flip_bit(&name, bit / 8, (bit % 8) as u8).unwrap();
            let (log, records) = whole(&disk);
            let place = format!("{name} bit {bit}: {:?}", log.faults);
            for (lsn, record) in payloads(&records) {
                assert_eq!(builder.records.get(&lsn), Some(&record), "{place}");
            }
            match log.verdict() {
                Verdict::Clean => assert_eq!(payloads(&records), builder.records, "{place}"),
                Verdict::TornTail => {
                    let missing = builder.records.keys().find(|lsn| !records.contains_key(lsn));
                    assert!(missing.is_none_or(|lsn| *lsn >= Lsn(13)), "{place}");
                    assert!(missing.is_none() || log.end_position == limit, "{place}");
                    torn += 1;
                }
                Verdict::Corrupt => corrupt += 1,
                Verdict::Unreadable => panic!("{place}"),
            }
            // Somebody who goes on reads no less, and nothing that was never written.
            let options = ScanOptions { keep_going: true, ..ScanOptions::default() };
            let (further, more) = scan_with(&disk, options);
            assert!(further.verdict() >= log.verdict(), "{place}");
            assert!(more.len() >= records.len(), "{place}");
            for record in payloads(&more) {
                assert!(builder.written.contains(&record), "{place}");
            }
        }
    }
    assert!(torn > 1000 && corrupt > 1000, "{torn} torn, {corrupt} corrupt");
}

#[test]
fn every_cut_of_the_last_write_is_a_torn_tail() {
    let mut builder = Builder::example();
    let before = (builder.file.clone(), builder.position(), builder.end);
    let length = builder.group(&[6, 6, 6, 7]);
    let from = before.1.offset as usize;
    for kept in 0..length {
        let mut file = before.0.clone();
        file[from..from + kept].copy_from_slice(&builder.file[from..from + kept]);
        builder.disk.write_file(&builder.name(), &file).unwrap();
        let (log, _) = whole(&builder.disk);
        let is_changed = file != before.0;
        assert_eq!(log.verdict() == Verdict::TornTail, is_changed, "{kept}: {:?}", log.faults);
        assert_eq!((log.end_position, log.end), (before.1, before.2), "{kept}");
        // What was known to be durable is not torn.
        let chain = builder.chain;
        let checkpoint = Some(Checkpointed { log_id: builder.end, chain });
        let options = ScanOptions { checkpoint, ..ScanOptions::default() };
        assert_eq!(scan_with(&builder.disk, options).0.verdict(), Verdict::Corrupt, "{kept}");
    }
    // The sector with the header is lost, and one behind it is not.
    let mut file = before.0.clone();
    file[from + 100] = 1;
    builder.disk.write_file(&builder.name(), &file).unwrap();
    let fault = whole(&builder.disk).0.faults.remove(0);
    assert!(matches!(fault, Fault::TornTail { bytes: 101, .. }), "{fault}");
}

#[test]
fn a_damaged_idle_group_does_not_hide_records_behind_it() {
    let builder = Builder::example();
    let (position, header) = builder.groups[builder.groups.len() - 2];
    assert_eq!(header.count, 0);
    builder.disk.flip_bit(&builder.name(), position.offset + 5, 1).unwrap();
    let (log, _) = whole(&builder.disk);
    assert_eq!(log.verdict(), Verdict::Corrupt, "{:?}", log.faults);
}

#[test]
fn damage_is_told_with_its_place_and_checksums() {
    let builder = Builder::example();
    let (position, header) = builder.groups[0];
    let first = position.offset + GROUP_HEADER_BYTES as u64;
    let second = first + Frame::decode(&whole(&builder.disk).1[&Lsn(1)]).unwrap().bytes() as u64;
    builder.disk.flip_bit("log/0000000000000001.log", second + 30, 0).unwrap();
    let options = ScanOptions { keep_going: true, ..ScanOptions::default() };
    let (log, records) = scan_with(&builder.disk, options);
    assert_eq!(header.last_lsn(), Lsn(3));
    assert_eq!(records.keys().next(), Some(&Lsn(4)), "what is whole is shown");
    assert_eq!(log.faults.len(), 1, "{:?}", log.faults);
    match &log.faults[0] {
        Fault::Corrupt { position, lsn: Lsn(2), checksums: Some(sums), .. } => {
            assert_eq!((position.segment, position.offset), (SegmentNumber(1), second));
            assert_ne!(sums.expected, sums.found);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_cannot_be_read_is_unreadable() {
    use crate::disk::{Call, Fault as DiskFault};
    let builder = Builder::example();
    let reads = {
        let disk = builder.disk.fork();
        whole(&disk);
        disk.reads()
    };
    for read in 1..=reads {
        let disk = builder.disk.fork();
        disk.fail(DiskFault::at_read(read));
        let listed = scan_segments(&disk, Some(DATABASE));
        let Ok(files) = listed else { continue };
        let log = scan_log(&disk, &files, ScanOptions::default(), &mut |_, _| Ok(())).unwrap();
        assert_eq!(log.verdict(), Verdict::Unreadable, "read {read}");
        assert!(matches!(log.error(), Some(Error::Io { .. })), "read {read}");
    }
    let disk = builder.disk.fork();
    disk.fail(DiskFault::next(Call::List).for_good());
    assert!(scan_segments(&disk, None).is_err());
}

#[test]
fn nothing_is_written_and_each_byte_is_read_about_once() {
    let builder = Builder::example();
    let disk = builder.disk.fork();
    whole(&disk);
    let stats = disk.stats();
    assert_eq!((stats.operations, stats.bytes_written), (0, 0));
    let headers = 3 * 4096;
    assert!(stats.bytes_read <= 3 * (4096 - BLOCK) + headers, "{stats:?}");
}
