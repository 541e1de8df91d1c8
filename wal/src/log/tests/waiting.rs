//! Threads and tickets that wait, and what they learn.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::disk::{Call, Fault, FileDisk, FileDiskOptions};
use crate::log::append::PrepareStep;

#[test]
fn many_threads_share_groups_and_every_record_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(directory.path(), FileDiskOptions::default()).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let log = Log::create(disk.clone(), LogOptions::default(), &manifest(), None).unwrap().log;
    log.spawn_thread().unwrap();
    let mut threads = Vec::new();
    for thread in 0..16u64 {
        let log = log.clone();
        threads.push(std::thread::spawn(move || {
            let mut lsns = BTreeMap::new();
            for count in 0..100u64 {
                let payload = [thread.to_le_bytes(), count.to_le_bytes()].concat();
                let lsn = log.append(&payload).unwrap();
                log.wait_durable(lsn).unwrap();
                lsns.insert(lsn, payload);
            }
            lsns
        }));
    }
    let mut all = BTreeMap::new();
    for thread in threads {
        all.extend(thread.join().unwrap());
    }
    let stats = log.stats();
    assert_eq!(stats.durable_lsn, Lsn(1600));
    assert!(stats.syncs < 1600, "{} syncs for 1600 records of 16 threads", stats.syncs);
    log.close().unwrap();
    drop(log);
    let opened = Log::open(disk, LogOptions::default(), None).unwrap();
    let found: BTreeMap<_, _> =
        contents(&opened.log, Lsn(1)).into_iter().map(|(id, payload)| (id.lsn, payload)).collect();
    assert_eq!(found, all);
}

#[test]
fn a_ticket_completes_without_anybody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(directory.path(), FileDiskOptions::default()).unwrap();
    let log = Log::create(Arc::new(disk), LogOptions::default(), &manifest(), None).unwrap().log;
    log.spawn_thread().unwrap();
    let lsn = log.append(b"one").unwrap();
    let ticket = log.ticket(lsn);
    let mut reader = log.reader(Lsn(1), Bound::Durable).unwrap();
    while !ticket.is_done() {
        let _more = reader.wait(Duration::from_millis(50));
    }
    assert_eq!(reader.next_frame().unwrap().unwrap().payload, b"one");
    ticket.wait().unwrap();
}

/// The log behind an image at 3.40, after the manifest was switched to it.

#[test]
fn what_is_in_flight_when_the_log_stops_ends_as_its_write_does() {
    for fails in [false, true] {
        let disk = SimDisk::new(25);
        let log = create(&disk);
        let in_flight = log.append(b"in flight").unwrap();
        let write = log.begin_group().unwrap();
        let behind = log.append(b"never written").unwrap();
        disk.fail(Fault::next(Call::Create));
        assert!(matches!(log.prepare_segment(0), Err(Error::Poisoned { .. })));
        assert!(!log.ticket(in_flight).is_done(), "its write is not finished");
        assert!(matches!(log.wait_durable(behind), Err(Error::Poisoned { .. })));
        if fails {
            log.finish_group(write, Err(std::io::Error::other("the disk is on fire")));
            assert!(matches!(log.wait_durable(in_flight), Err(Error::Indeterminate { .. })));
        } else {
            let outcome = write.perform();
            log.finish_group(write, outcome);
            log.wait_durable(in_flight).unwrap();
        }
        assert!(matches!(log.wait_durable(behind), Err(Error::Poisoned { .. })));
    }
}

#[test]
fn everybody_who_waits_learns_that_the_log_stopped() {
    let disk = SimDisk::new(26);
    let log = create(&disk);
    log.append(b"in flight").unwrap();
    let write = log.begin_group().unwrap();
    let behind = log.append(b"never written").unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    for _ in 0..3 {
        let (log, sender) = (log.clone(), sender.clone());
        std::thread::spawn(move || sender.send(log.wait_durable(behind)));
    }
    // So that they wait; the outcome is the same if they come later.
    std::thread::sleep(Duration::from_millis(50));
    disk.fail(Fault::next(Call::Create));
    assert!(matches!(log.prepare_segment(0), Err(Error::Poisoned { .. })));
    let outcome = write.perform();
    log.finish_group(write, outcome);
    for _ in 0..3 {
        let told = receiver.recv_timeout(Duration::from_secs(60)).expect("nobody waits for ever");
        assert!(matches!(told, Err(Error::Poisoned { .. })), "{told:?}");
    }
}

/// The half-prepared segment has a lower number than the one with which the log begins anew.
#[test]
fn a_segment_that_is_half_prepared_is_given_up_by_a_truncation_and_by_a_reset() {
    for resets in [false, true] {
        let disk = SimDisk::new(1);
        let log = create(&disk);
        for lsn in 1..=5 {
            assert_eq!(log.append(&payload(lsn)).unwrap(), Lsn(lsn));
        }
        log.sync().unwrap();
        let step = || {
            let mut preparing = log.shared.preparing.lock();
            log.prepare_step(&mut preparing, 0).unwrap()
        };
        assert!(matches!(step(), PrepareStep::Working));
        assert!(log.shared.preparing.lock().is_some());
        if resets {
            let (end, chain) = log.end_and_chain();
            log.reset(end, chain, &log.history()).unwrap();
        } else {
            log.truncate_suffix(Lsn(3)).unwrap();
        }
        assert!(log.shared.preparing.lock().is_none());
        let first = if resets { 6 } else { 4 };
        for lsn in first..=100 {
            step();
            assert_eq!(log.append(&payload(lsn)).unwrap(), Lsn(lsn));
        }
        log.close().unwrap();
        drop(log);
        let opened = open(&disk.crash(Survivors::Nothing));
        let from = if resets { 6 } else { 1 };
        assert_eq!(contents(&opened.log, Lsn(from)), expected(from, 100));
    }
}

/// As [`Log::wait_durable`]: an LSN beyond the end stands for the end.
#[test]
fn a_ticket_beyond_the_end_waits_for_the_end() {
    let disk = SimDisk::new(1);
    let log = create(&disk);
    log.append(&payload(1)).unwrap();
    let mut ticket = log.ticket(Lsn(9));
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
    log.sync().unwrap();
    assert!(Pin::new(&mut ticket).poll(&mut context).is_ready());
}
