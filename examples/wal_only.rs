//! The log alone, without keys: a durable queue of events that a second thread follows.
//!
//! `cargo run --example wal_only`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use std::sync::Arc;
use std::time::Duration;

use mainstay::wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay::wal::manifest::Manifest;
use mainstay::wal::{Bound, DatabaseId, Incarnation, Log, LogOptions, Lsn};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let disk: Arc<dyn Disk> =
        Arc::new(FileDisk::open(directory.path().join("events"), FileDiskOptions::default())?);
    let lock = disk.lock()?;
    let manifest = Manifest::new(DatabaseId(1), Incarnation(1), "none", "none");
    let opened = Log::create(disk.clone(), LogOptions::default(), &manifest, Some(lock))?;
    let log = opened.log;
    log.spawn_thread()?;

    let follower = {
        let mut reader = log.reader(Lsn(1), Bound::Durable)?;
        std::thread::spawn(move || -> mainstay::wal::Result<Vec<Vec<u8>>> {
            let mut events = Vec::new();
            while events.len() < 100 {
                while let Some(frame) = reader.next_frame()? {
                    events.push(frame.payload.to_vec());
                }
                let _there_is_more = reader.wait(Duration::from_millis(100));
            }
            Ok(events)
        })
    };
    for number in 0..100 {
        let lsn = log.append(format!("event {number}").as_bytes())?;
        if number % 10 == 9 {
            log.wait_durable(lsn)?; // one sync for ten events
        }
    }
    let events = follower.join().map_err(|_| "the follower panicked")??;
    assert_eq!(events[99], b"event 99");
    println!("followed {} events, {} syncs", events.len(), log.stats().syncs);
    log.close()?;
    drop(log);

    // Open it again: everything is there, and the log says that it was closed cleanly.
    let lock = disk.lock()?;
    let opened = Log::open(disk, LogOptions::default(), Some(lock))?;
    println!("{:?}", opened.recovery);
    assert!(opened.recovery.clean);
    assert_eq!(opened.log.end().lsn, Lsn(100));
    Ok(())
}
