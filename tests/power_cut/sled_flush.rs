//! The reason for this file system: sled 0.34 says that what it flushed is safe, and it is not. Its
//! `flush` ends in `sync_file_range`, which asks for no barrier and writes no metadata. Synced by
//! ourselves after the flush, it keeps what it promised; that is what a checkpoint does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use oorandom::Rand64;

use super::medium::Survivors;
use super::mount::{mount_or_skip, say};
use super::workload::{Content, Moment, Opened, Outcome, Program, Trial, operation};

const ROUNDS: u64 = 12;

/// Acknowledges after sled's `flush`.
pub(crate) static PLAIN: Program =
    Program { name: "sled, flush", pairs: 1, open: |directory| open(directory, |_| Ok(())) };

/// Acknowledges after sled's `flush` and an `fsync` of its files and directories.
pub(crate) static SYNCED: Program = Program {
    name: "sled, flush and fsync",
    pairs: 1,
    open: |directory| open(directory, sync_tree),
};

struct Sled {
    db: sled::Db,
    directory: PathBuf,
    sync: fn(&Path) -> std::io::Result<()>,
}

/// An empty store is made durable here, so that nothing hangs on how it was created.
fn open(directory: &Path, sync: fn(&Path) -> std::io::Result<()>) -> Outcome<Box<dyn Opened>> {
    let config = sled::Config::new().path(directory).cache_capacity(8 << 20);
    let db = config.flush_every_ms(None).open()?;
    db.flush()?;
    sync_tree(directory.parent().expect("a directory above"))?;
    Ok(Box::new(Sled { db, directory: directory.to_owned(), sync }))
}

impl Opened for Sled {
    fn content(&self) -> Outcome<Content> {
        let pairs = self.db.iter().map(|pair| {
            let (key, value) = pair?;
            Ok((u64::from_be_bytes((*key).try_into()?), u64::from_be_bytes((*value).try_into()?)))
        });
        pairs.collect()
    }

    fn operate(&mut self, number: u64) -> Outcome<()> {
        for (key, value) in operation(number, 1) {
            self.db.insert(key.to_be_bytes(), &value.to_be_bytes())?;
        }
        self.db.flush()?;
        Ok((self.sync)(&self.directory)?)
    }
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

/// Power cuts under `program`, each in a store of its own; says how each ended.
fn rounds(program: &Program, survivors: &[Survivors]) -> Option<Vec<Result<(), String>>> {
    let mounted = mount_or_skip(program.name)?;
    let (mut outcomes, mut operations) = (Vec::new(), 0);
    for seed in 0..ROUNDS {
        let mut trial = Trial::new(&mounted, program, &format!("round-{seed}"));
        let moment = Moment::AfterReady(20 + Rand64::new(u128::from(seed)).rand_range(0..80));
        trial.power_cut(moment, survivors[seed as usize % survivors.len()], seed);
        assert!(trial.acknowledged > 0, "it got somewhere: {trial:?}");
        operations += trial.tried;
        outcomes.push(trial.check());
    }
    let cuts = mounted.medium.lock().counts().cuts;
    say(&format!("figure: power cuts under {} = {cuts}, in {operations} writes", program.name));
    Some(outcomes)
}

#[test]
fn the_flush_of_sled_alone_loses_acknowledged_writes() {
    let Some(outcomes) = rounds(&PLAIN, &[Survivors::Nothing]) else { return };
    // Not those after which sled cannot be read at all.
    let is_loss = |why: &&String| why.contains(" acknowledged, ");
    let lost = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).filter(is_loss).count();
    say(&format!("figure: of these, cuts that lost acknowledged writes = {lost}"));
    assert!(lost > 0, "the medium must show that flush() is not durable: {outcomes:?}");
}

#[test]
fn sled_keeps_what_was_synced_after_its_flush() {
    let Some(outcomes) = rounds(&SYNCED, &Survivors::ALL) else { return };
    for (seed, outcome) in outcomes.iter().enumerate() {
        assert_eq!(*outcome, Ok(()), "seed {seed}");
    }
}
