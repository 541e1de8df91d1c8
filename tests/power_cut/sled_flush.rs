//! The reason for this file system: sled 0.34 says that what it flushed is safe, and it is not. Its `flush` ends
//! in `sync_file_range`, which asks for no barrier and writes no metadata. Synced by ourselves after the flush, it
//! keeps what it promised; that is what a checkpoint does.

use std::fs::{self, File};
use std::path::Path;

use super::medium::Survivors;
use super::mount::{mount_or_skip, say};
use super::workload::some_changes;
use super::workload::{Content, Failure, Moment, Program, Report, Round, operation, round};

const ROUNDS: u64 = 12;

/// Acknowledges after sled's `flush`.
pub(crate) static PLAIN: Program =
    Program { name: "sled, flush", pairs: 1, write: write_flushed, read };

/// Acknowledges after sled's `flush` and an `fsync` of its files and directories.
pub(crate) static SYNCED: Program =
    Program { name: "sled, flush and fsync", pairs: 1, write: write_synced, read };

fn open(directory: &Path) -> sled::Result<sled::Db> {
    sled::Config::new().path(directory).cache_capacity(8 << 20).flush_every_ms(None).open()
}

fn read(directory: &Path) -> Result<Content, String> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let db = open(directory).map_err(|error| error.to_string())?;
    let pairs = db.iter().map(|pair| pair.map(|(key, value)| (number(&key), number(&value))));
    pairs.collect::<sled::Result<Content>>().map_err(|error| error.to_string())
}

fn write_flushed(directory: &Path, report: &mut Report, first: u64) -> Failure {
    write(directory, report, first, |_| Ok(())).unwrap_err().to_string()
}

fn write_synced(directory: &Path, report: &mut Report, first: u64) -> Failure {
    write(directory, report, first, |directory| Ok(sync_tree(directory)?)).unwrap_err().to_string()
}

/// Writes for ever. The empty store is made durable first, so that nothing hangs on how it was created.
fn write(
    directory: &Path,
    report: &mut Report,
    first: u64,
    sync: fn(&Path) -> sled::Result<()>,
) -> sled::Result<()> {
    let db = open(directory)?;
    db.flush()?;
    sync_tree(directory)?;
    report.ready();
    for number in first.. {
        report.tried(number);
        for (key, value) in operation(number, 1) {
            db.insert(key.to_be_bytes(), &value.to_be_bytes())?;
        }
        db.flush()?;
        sync(directory)?;
        report.acknowledged(number);
    }
    Ok(())
}

/// Syncs all files and directories from `directory` down.
fn sync_tree(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

/// Power cuts under `program`, each in a directory of its own.
fn rounds(program: &Program, survivors: &[Survivors]) -> Option<Vec<Round>> {
    let mounted = mount_or_skip(program.name)?;
    let mut rounds = Vec::new();
    for seed in 0..ROUNDS {
        let directory = mounted.path().join(format!("round-{seed}"));
        fs::create_dir(&directory).unwrap();
        sync_tree(mounted.path()).unwrap();
        let moment = Moment::AfterReady(20 + some_changes(seed, 80));
        let survivors = survivors[seed as usize % survivors.len()];
        rounds.push(round(&mounted, (program, &directory), 1, moment, (survivors, seed)));
    }
    let operations: u64 = rounds.iter().map(|round| round.tried).sum();
    let cuts = mounted.medium.lock().counts().cuts;
    say(&format!("figure: power cuts under {} = {cuts}, in {operations} writes", program.name));
    assert!(rounds.iter().all(|round| round.acknowledged > 0), "each got somewhere: {rounds:?}");
    Some(rounds)
}

#[test]
fn the_flush_of_sled_alone_loses_acknowledged_writes() {
    let Some(rounds) = rounds(&PLAIN, &[Survivors::Nothing]) else { return };
    let lost = rounds.iter().filter(|round| !round.is_kept()).count();
    say(&format!("figure: of these, cuts that lost acknowledged writes = {lost}"));
    assert!(lost > 0, "the medium must show that flush() is not durable: {rounds:?}");
}

#[test]
fn sled_keeps_what_was_synced_after_its_flush() {
    let Some(rounds) = rounds(&SYNCED, &Survivors::ALL) else { return };
    for round in &rounds {
        assert!(round.is_kept(), "{round:?}");
    }
}
