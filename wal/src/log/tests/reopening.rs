//! What opening a log makes of what a crash or a failure left.

use super::*;
use crate::Chain;
use crate::disk::{Call, Fault};
use crate::history::EpochEntry;
use crate::manifest::ManifestFile;

fn check_reset(disk: &SimDisk, epoch: EpochEntry) {
    let OpenedLog { log, manifest, .. } = open(disk);
    let end = LogId { epoch: Epoch(3), lsn: Lsn(40) };
    assert_eq!(log.end_and_chain(), (end, Chain(77)));
    assert_eq!(log.history().entries(), [epoch]);
    assert_eq!(manifest.reset, None);
    assert_eq!(log.append(b"next").unwrap(), Lsn(41));
    log.sync().unwrap();
    drop(log);
    let log = open(&disk.crash(Survivors::Nothing)).log;
    assert_eq!((log.end().lsn, log.first_lsn()), (Lsn(41), Lsn(41)));
}

#[test]
fn a_reset_that_a_crash_cut_off_is_finished_at_the_next_opening() {
    let disk = SimDisk::new(9);
    let log = create(&disk);
    for lsn in 1..=20 {
        log.append(&payload(lsn)).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let epoch = EpochEntry { epoch: Epoch(3), start_lsn: Lsn(31), chain_at_start: Chain(5) };
    let (mut file, mut manifest) = ManifestFile::open(&disk).unwrap();
    manifest.checkpoint = LogId { epoch: Epoch(3), lsn: Lsn(40) };
    manifest.checkpoint_chain = Chain(77);
    manifest.reset = Some(epoch);
    file.write(&manifest).unwrap();

    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let read_only = Log::open_read_only(shared, LogOptions::tiny(), &manifest, None);
    assert!(matches!(read_only, Err(Error::NotADatabase { .. })));
    let disk = disk.crash(Survivors::Nothing);
    let whole = disk.fork();
    drop(open(&whole));
    assert!(whole.operations() > 8, "{}", whole.operations());
    for at in 1..=whole.operations() {
        for survivors in Survivors::all(at) {
            let cut = disk.fork();
            cut.crash_at(at);
            drop(Log::open(Arc::new(cut.clone()), LogOptions::tiny(), None));
            check_reset(&cut.crash(survivors), epoch);
        }
    }
}

#[test]
fn a_segment_without_records_gives_way_to_one_that_holds_the_record() {
    let disk = SimDisk::new(20);
    let log = create(&disk);
    // Too large for the first segment, which is still empty; then for an empty one after reopening.
    log.append(&[1; 9000]).unwrap();
    log.sync().unwrap();
    assert_eq!(log.first_lsn(), Lsn(1));
    log.truncate_prefix(Lsn(1)).unwrap();
    assert_eq!(log.stats().segments, 1);
    assert_eq!(disk.files().iter().filter(|(name, _)| name.starts_with("log/")).count(), 1);
    drop(log);
    let disk = disk.crash(Survivors::Nothing);
    let log = open(&disk).log;
    assert_eq!(contents(&log, Lsn(1)).len(), 1);
    log.reset(log.end(), log.end_and_chain().1, &log.history()).unwrap();
    log.append(&[2; 20_000]).unwrap();
    log.sync().unwrap();
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(opened.recovery.first_lsn, Lsn(2));
    assert_eq!(opened.recovery.end.lsn, Lsn(2));
}

#[test]
fn the_last_segment_with_a_durable_header_is_kept() {
    let disk = SimDisk::new(21);
    let log = create(&disk);
    log.append(&[1; 3000]).unwrap();
    log.sync().unwrap();
    // Opens the next segment, in memory only.
    log.append(&[2; 3000]).unwrap();
    log.truncate_prefix(Lsn(2)).unwrap();
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(opened.recovery.end.lsn, Lsn(1));
}

#[test]
fn a_log_goes_on_in_its_last_segment_and_not_where_the_one_before_was_proven() {
    let disk = SimDisk::new(22);
    let log = create(&disk);
    log.append(&[1; 1000]).unwrap();
    log.sync().unwrap();
    let proof = log.begin_proof().unwrap();
    let outcome = proof.perform();
    log.finish_group(proof, outcome);
    log.append(&[2; 3000]).unwrap();
    // The next segment's header is written, its first group is not.
    disk.crash_at(disk.operations() + 2);
    assert!(log.sync().is_err());
    let disk = disk.crash(Survivors::Nothing);
    let log = open(&disk).log;
    assert_eq!(log.end().lsn, Lsn(1));
    log.append(b"goes on").unwrap();
    log.sync().unwrap();
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(opened.recovery.end.lsn, Lsn(2));
}

#[test]
fn a_header_that_a_failed_sync_left_in_the_cache_is_written_again() {
    let disk = SimDisk::new(23);
    let log = create(&disk);
    log.append(&[1; 3000]).unwrap();
    log.sync().unwrap();
    log.append(&[2; 3000]).unwrap();
    disk.fail(Fault::next(Call::WriteAndSync).effect(crate::disk::Effect::Part));
    assert!(matches!(log.sync(), Err(Error::Indeterminate { .. })));
    // Another process, the same page cache; only then does the power go.
    let disk = disk.fork();
    let log = open(&disk).log;
    let end = log.append(b"goes on").unwrap();
    log.sync().unwrap();
    let opened = open(&disk.crash(Survivors::Nothing));
    assert_eq!(opened.recovery.end.lsn, end);
}

#[test]
fn names_are_durable_before_what_they_made_obsolete_is_removed() {
    let disk = SimDisk::new(24);
    let log = create(&disk);
    log.append(b"kept").unwrap();
    log.append(b"dropped").unwrap();
    log.sync().unwrap();
    disk.fail(Fault::next(Call::SyncDirectory).below("log"));
    assert!(log.truncate_suffix(Lsn(1)).is_err());
    let operations = {
        let disk = disk.fork();
        drop(open(&disk));
        disk.operations()
    };
    for operation in 1..=operations {
        for seed in 0..16 {
            let disk = disk.fork();
            disk.crash_at(operation);
            let manifest = Log::open(Arc::new(disk.clone()), LogOptions::tiny(), None);
            drop(manifest);
            let disk = disk.crash(Survivors::RandomSectors { seed });
            let opened = open(&disk);
            assert!(opened.recovery.end.lsn >= Lsn(1), "operation {operation}, seed {seed}");
        }
    }
}
