//! Backups that are made while a database is stepped through its operations, and what a crash leaves of them.

use std::sync::Arc;

use mainstay_engine::backup::{BackupJob, RestoreOptions, restore_on};
use mainstay_engine::{Engine, Error, Identity, Result};
use mainstay_wal::disk::{Disk, SimDisk};
use mainstay_wal::{DatabaseId, Incarnation, Lsn};

use crate::below::Below;
use crate::oracle;
use crate::session::{Place, Shape, Told};
use crate::tally::Tally;

/// A backup beside the database, on the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Backup {
    directory: String,
    /// Up to where it goes, if somebody was told that it is complete.
    end: Option<Lsn>,
}

/// The backup that is being made, and those that were.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    job: Option<BackupJob>,
}

impl Backups {
    /// Does so many steps of the present backup, or begins one.
    pub(crate) fn steps(
        &mut self,
        (engine, disk): (&Engine, &SimDisk),
        known: &mut Vec<Backup>,
        steps: u32,
    ) -> Result<()> {
        let mut job = match self.job.take() {
            Some(job) => job,
            None => begin(engine, disk, known)?,
        };
        for _ in 0..steps {
            if let Some(report) = job.step()? {
                let newest = known.last_mut().expect("the backup that was begun");
                newest.end = Some(report.end.lsn);
                return Ok(());
            }
        }
        self.job = Some(job);
        Ok(())
    }
}

/// Begins a backup; of those before, the newest stays.
fn begin(engine: &Engine, disk: &SimDisk, known: &mut Vec<Backup>) -> Result<BackupJob> {
    let number = known.last().map_or(1, |last| {
        let digits = last.directory.trim_start_matches("backup-");
        1 + digits.parse::<u64>().expect("a number")
    });
    while known.len() > 1 {
        let old = known.remove(0);
        // As a program would that keeps the newest; it need not be durable.
        match disk.remove(&old.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(mainstay_wal::Error::io("remove", old.directory, error).into());
            }
            _ => {}
        }
    }
    let directory = format!("backup-{number}");
    known.push(Backup { directory: directory.clone(), end: None });
    engine.begin_backup(Arc::new(Below::new(disk, &directory)))
}

/// Restores every backup that a crash left: it is whole and right, or refused; one that was complete is whole.
pub(crate) fn check(disk: &SimDisk, shape: Shape, told: &Told, tally: &mut Tally) {
    for backup in &told.backups {
        let target = SimDisk::new(9);
        let identity =
            Identity { database_id: DatabaseId(8), incarnation: Incarnation(2), salt_seed: 900 };
        let source = Below::new(disk, &backup.directory);
        let options = RestoreOptions::default();
        match restore_on(&source, None, Arc::new(target.clone()), &options, identity) {
            Ok(report) => {
                let end = report.restored.lsn;
                assert!(backup.end.is_none_or(|known| known == end), "{backup:?} ends at {end}");
                let engine = shape.open(&Place::Simulated(target), 901).unwrap();
                let found = oracle::read_all(&engine).unwrap();
                assert!(found == *told.history.at(end), "{backup:?}\nfound {found:?}");
                tally.add("backups restored", 1);
            }
            Err(error) => {
                assert!(backup.end.is_none(), "{backup:?} was complete: {error}");
                assert!(matches!(error, Error::Backup { .. }), "{backup:?}: {error:?}");
                tally.add("backups refused", 1);
            }
        }
    }
}
