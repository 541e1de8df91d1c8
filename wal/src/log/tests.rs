mod reopening;
mod waiting;

use std::sync::Arc;

use crate::disk::{Disk, SimDisk, Survivors};
use crate::manifest::Manifest;
use crate::{Bound, DatabaseId, Epoch, Error, Incarnation, Log, LogId, LogOptions, Lsn, OpenedLog};

fn manifest() -> Manifest {
    Manifest::new(DatabaseId(7), Incarnation(1), "none", "store-1")
}

fn create(disk: &SimDisk) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::create(disk, LogOptions::tiny(), &manifest(), None).unwrap().log
}

fn open(disk: &SimDisk) -> OpenedLog {
    Log::open(Arc::new(disk.clone()), LogOptions::tiny(), None).unwrap()
}

fn payload(lsn: u64) -> Vec<u8> {
    vec![lsn as u8; (lsn * 37 % 400) as usize]
}

fn contents(log: &Log, from: Lsn) -> Vec<(LogId, Vec<u8>)> {
    let mut reader = log.reader(from, Bound::Durable).unwrap();
    let mut records = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        records.push((frame.log_id(), frame.payload.to_vec()));
    }
    records
}

fn expected(from: u64, to: u64) -> Vec<(LogId, Vec<u8>)> {
    (from..=to).map(|lsn| (LogId { epoch: Epoch(1), lsn: Lsn(lsn) }, payload(lsn))).collect()
}

#[test]
fn records_come_back_after_rotations_and_reopening() {
    let disk = SimDisk::new(1);
    let log = create(&disk);
    for lsn in 1..=200 {
        assert_eq!(log.append(&payload(lsn)).unwrap(), Lsn(lsn));
        if lsn % 3 == 0 {
            log.wait_durable(Lsn(lsn)).unwrap();
        }
    }
    log.sync().unwrap();
    assert_eq!(contents(&log, Lsn(1)), expected(1, 200));
    assert_eq!(contents(&log, Lsn(137)), expected(137, 200));
    assert!(log.stats().rotations > 5, "{:?}", log.stats());
    let chain = log.end_and_chain();
    log.close().unwrap();
    drop(log);

    let opened = open(&disk.crash(Survivors::Nothing));
    assert!(opened.recovery.clean, "{:?}", opened.recovery);
    assert_eq!(opened.log.end_and_chain(), chain);
    assert_eq!(contents(&opened.log, Lsn(1)), expected(1, 200));
}

#[test]
fn a_crash_keeps_what_was_waited_for_and_the_log_goes_on() {
    let mut disk = SimDisk::new(2);
    let mut log = create(&disk);
    let mut next = 1;
    for round in 0..20 {
        for _ in 0..7 {
            assert_eq!(log.append(&payload(next)).unwrap(), Lsn(next));
            next += 1;
        }
        log.sync().unwrap();
        // Appended and not waited for: gone, since nothing was written.
        log.append(b"lost").unwrap();
        disk = disk.crash(Survivors::RandomSectors { seed: round });
        let opened = open(&disk);
        assert_eq!(opened.recovery.end.lsn, Lsn(next - 1), "round {round}");
        log = opened.log;
        assert_eq!(contents(&log, Lsn(1)), expected(1, next - 1), "round {round}");
    }
}

#[test]
fn a_tail_is_cut_and_a_torn_group_is_reported() {
    let mut torn = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(3);
        let log = create(&disk);
        for lsn in 1..=5 {
            log.append(&payload(lsn)).unwrap();
            log.sync().unwrap();
        }
        for lsn in 6..=12 {
            log.append(&payload(lsn)).unwrap();
        }
        disk.crash_at(disk.operations() + 1);
        assert!(matches!(log.sync(), Err(Error::Indeterminate { .. })));
        let opened = open(&disk.crash(Survivors::RandomSectors { seed }));
        let end = opened.recovery.end.lsn;
        assert!(end >= Lsn(5), "seed {seed}: ends at {end}");
        torn += u64::from(opened.recovery.tail_cut.is_some());
        assert_eq!(contents(&opened.log, Lsn(1)), expected(1, end.0), "seed {seed}");
    }
    assert!(torn > 0, "no seed tore the group");
}

#[test]
fn what_is_dropped_from_the_end_is_saved_and_stays_dropped() {
    let disk = SimDisk::new(4);
    let log = create(&disk);
    for lsn in 1..=60 {
        log.append(&payload(lsn)).unwrap();
        log.sync().unwrap();
    }
    log.set_commit_lsn(Lsn(20));
    assert!(matches!(log.truncate_suffix(Lsn(19)), Err(Error::NotContiguous { .. })));
    let dropped = log.truncate_suffix(Lsn(33)).unwrap();
    assert_eq!((dropped.first_lsn, dropped.last.lsn), (Lsn(34), Lsn(60)));
    assert!(dropped.file.is_some() && dropped.saved_bytes > 0 && !dropped.capped);
    log.begin_epoch(Epoch(2)).unwrap();
    assert_eq!(log.append(b"another").unwrap(), Lsn(34));
    log.sync().unwrap();
    let mut wanted = expected(1, 33);
    wanted.push((LogId { epoch: Epoch(2), lsn: Lsn(34) }, b"another".to_vec()));
    assert_eq!(contents(&log, Lsn(1)), wanted);
    drop(log);
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(contents(&opened.log, Lsn(1)), wanted);
    assert_eq!(opened.log.history().entries().len(), 2);
}

#[test]
fn a_log_that_was_cut_inside_a_group_goes_on_with_other_records() {
    let disk = SimDisk::new(1);
    let log = create(&disk);
    for lsn in 1..=5 {
        log.append(&payload(lsn)).unwrap();
    }
    log.sync().unwrap();
    assert_eq!(disk.files().len(), 2, "the group is in the first segment");
    log.truncate_suffix(Lsn(2)).unwrap();
    for lsn in 3..=4 {
        log.append(format!("another {lsn}").as_bytes()).unwrap();
    }
    log.sync().unwrap();
    let mut records = expected(1, 4);
    records[2].1 = b"another 3".to_vec();
    records[3].1 = b"another 4".to_vec();
    assert_eq!(contents(&log, Lsn(1)), records);
    log.close().unwrap();
    drop(log);

    // What lies behind the cut may be damaged: it is no part of the log any more.
    let segment = crate::segment::file_name(crate::SegmentNumber(1));
    let bytes = disk.read_file(&segment).unwrap();
    let last = bytes.iter().rposition(|byte| *byte == 5).unwrap();
    disk.flip_bit(&segment, last as u64, 0).unwrap();
    let log = open(&disk).log;
    assert_eq!(contents(&log, Lsn(1)), records);
    assert_eq!(contents(&log, Lsn(2)), records[1..]);
}

#[test]
fn retention_removes_whole_segments_and_holds_prevent_it() {
    let disk = SimDisk::new(5);
    let log = create(&disk);
    for lsn in 1..=100 {
        log.append(&payload(lsn)).unwrap();
        log.sync().unwrap();
    }
    let hold = log.hold(Lsn(40)).unwrap();
    let first = log.truncate_prefix(Lsn(80)).unwrap();
    assert!(first <= Lsn(40) && first > Lsn(1), "{first}");
    hold.advance(Lsn(90)).unwrap();
    let first = log.truncate_prefix(Lsn(80)).unwrap();
    assert!(first <= Lsn(80) && first > Lsn(40), "{first}");
    assert!(matches!(log.reader(Lsn(2), Bound::Durable), Err(Error::LogTruncated { .. })));
    assert_eq!(contents(&log, first), expected(first.0, 100));
    drop(hold);
    drop(log);
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(opened.recovery.first_lsn, first);
    assert_eq!(contents(&opened.log, first), expected(first.0, 100));
}

#[test]
fn a_reset_log_begins_behind_its_image() {
    let disk = SimDisk::new(6);
    let log = create(&disk);
    for lsn in 1..=10 {
        log.append(&payload(lsn)).unwrap();
    }
    let end = LogId { epoch: Epoch(3), lsn: Lsn(500) };
    let mut history = crate::history::EpochHistory::new();
    history.push(crate::history::EpochEntry {
        epoch: Epoch(3),
        start_lsn: Lsn(400),
        chain_at_start: crate::Chain(9),
    });
    log.reset(end, crate::Chain(77), &history).unwrap();
    assert_eq!(log.append(b"behind").unwrap(), Lsn(501));
    log.close().unwrap();
    drop(log);
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(opened.recovery.first_lsn, Lsn(501));
    let id = LogId { epoch: Epoch(3), lsn: Lsn(501) };
    assert_eq!(contents(&opened.log, Lsn(501)), vec![(id, b"behind".to_vec())]);
}

#[test]
fn frames_of_one_log_are_appended_to_another_verbatim() {
    let (primary, follower) = (create(&SimDisk::new(7)), create(&SimDisk::new(8)));
    for lsn in 1..=50 {
        primary.append(&payload(lsn)).unwrap();
    }
    let mut reader = primary.reader(Lsn(1), Bound::Appended).unwrap();
    let mut previous = LogId::ZERO;
    while let Some(run) = reader.read_run().unwrap() {
        previous = follower.append_frames(previous, run.frames()).unwrap();
        assert_eq!(previous, run.last());
    }
    follower.sync().unwrap();
    assert_eq!(follower.end_and_chain(), primary.end_and_chain());
    assert_eq!(contents(&follower, Lsn(1)), expected(1, 50));
    let again = follower.append_frames(LogId::ZERO, b"");
    assert!(matches!(again, Err(Error::NotContiguous { .. })));
    let bad = follower.append_frames(previous, b"nonsense that is long enough for a header");
    assert!(matches!(bad, Err(Error::BadFrames { .. })));
}

#[test]
fn a_failed_sync_poisons_the_log_and_reads_go_on() {
    let disk = SimDisk::new(9);
    let log = create(&disk);
    log.append(b"kept").unwrap();
    log.sync().unwrap();
    let lsn = log.append(b"unknown").unwrap();
    let write = log.begin_group().unwrap();
    let behind = log.append(b"never written").unwrap();
    log.finish_group(write, Err(std::io::Error::other("the disk is on fire")));
    assert!(matches!(log.wait_durable(lsn), Err(Error::Indeterminate { .. })));
    assert!(matches!(log.wait_durable(behind), Err(Error::Poisoned { .. })));
    assert!(matches!(log.append(b"refused"), Err(Error::Poisoned { .. })));
    assert!(matches!(log.close(), Err(Error::Indeterminate { .. } | Error::Poisoned { .. })));
    assert_eq!(contents(&log, Lsn(1)).len(), 1);
}
