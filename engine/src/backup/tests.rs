use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, Open, SimDisk, Survivors, read_exact_at};
use mainstay_wal::{DatabaseId, Epoch, Incarnation, LogId, Lsn};
use oorandom::Rand32;

use super::{BackupReport, RestoreOptions, RestoreReport, restore_on};
use crate::engine::Identity;
use crate::{Batch, Db, Durability, Error, LogComparison, Options, Result, StoreKind};

mod archives;
mod damage;
mod directories;

/// Everything in a database: by keyspace and key.
type Content = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn options() -> Options {
    Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096).background(false)
}

fn open(disk: &SimDisk) -> Db {
    options().open_on(Arc::new(disk.clone())).unwrap()
}

/// Opens what was restored. Nothing is made where there is nothing.
fn reopen(disk: &SimDisk) -> Result<Db> {
    options().create(false).open_on(Arc::new(disk.clone()))
}

fn content(db: &Db) -> Content {
    let mut content = Content::new();
    for name in db.keyspaces() {
        for entry in db.keyspace(&name).unwrap().iter().unwrap() {
            let (key, value) = entry.unwrap();
            content.insert((name.clone(), key.to_vec()), value.to_vec());
        }
    }
    content
}

fn identity(seed: u64) -> Identity {
    Identity { database_id: DatabaseId(1), incarnation: Incarnation(1000 + seed), salt_seed: seed }
}

fn back_up(db: &Db) -> (SimDisk, BackupReport) {
    let target = SimDisk::new(77);
    let mut job = db.inner().engine.begin_backup(Arc::new(target.clone())).unwrap();
    loop {
        if let Some(report) = job.step().unwrap() {
            // What was not made durable does not count.
            return (target.crash(Survivors::Nothing), report);
        }
    }
}

fn archive(db: &Db, archive: &SimDisk) -> super::ArchiveReport {
    db.inner().engine.archive_to(archive).unwrap()
}

fn restored(
    backup: &SimDisk,
    archive: Option<&SimDisk>,
    to_lsn: Option<Lsn>,
) -> Result<(Db, RestoreReport)> {
    let target = SimDisk::new(88);
    let archive = archive.map(|archive| archive as &dyn Disk);
    let options = RestoreOptions { to_lsn, ..RestoreOptions::default() };
    let report = restore_on(backup, archive, Arc::new(target.clone()), &options, identity(3))?;
    Ok((reopen(&target.crash(Survivors::Nothing)).unwrap(), report))
}

/// A database, and what it held after each of its records.
struct History {
    db: Db,
    model: Content,
    at: BTreeMap<Lsn, Content>,
    random: Rand32,
}

const NAMES: [&str; 3] = ["default", "one", "two"];

impl History {
    fn new(seed: u64) -> History {
        let db = open(&SimDisk::new(seed));
        let at = BTreeMap::from([(Lsn::ZERO, Content::new())]);
        History { db, model: Content::new(), at, random: Rand32::new(seed) }
    }

    fn below(&mut self, end: u32) -> u32 {
        self.random.rand_range(0..end)
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.below(200);
        format!("key {number:03}").into_bytes()
    }

    fn note(&mut self, lsn: Lsn) {
        self.at.insert(lsn, self.model.clone());
    }

    /// One random change of the database and of the model.
    fn change(&mut self) {
        let name = NAMES[self.below(3) as usize];
        if !self.db.keyspaces().contains(&name.to_owned()) {
            self.db.keyspace(name).unwrap();
            self.note(self.db.visible_lsn());
        }
        let keyspace = self.db.keyspace(name).unwrap();
        let place = |key: &[u8]| (name.to_owned(), key.to_vec());
        let mut batch = Batch::new();
        match self.below(20) {
            0 if name != "default" => {
                self.db.drop_keyspace(name).unwrap();
                self.model.retain(|(keyspace, _), _| keyspace != name);
                self.note(self.db.visible_lsn());
                return;
            }
            1 => {
                let (one, other) = (self.key(), self.key());
                let (lower, upper) = (one.clone().min(other.clone()), one.max(other));
                batch.remove_range(&keyspace, lower.clone()..upper.clone());
                self.model
                    .retain(|(keyspace, key), _| keyspace != name || *key < lower || *key >= upper);
            }
            2..=5 => {
                let key = self.key();
                batch.remove(&keyspace, &key);
                self.model.remove(&place(&key));
            }
            _ => {
                for _ in 0..=self.below(3) {
                    let (key, value) = (self.key(), vec![self.below(256) as u8; 20]);
                    batch.insert(&keyspace, &key, &value);
                    self.model.insert(place(&key), value);
                }
            }
        }
        let durability = if self.below(2) == 0 { Durability::Sync } else { Durability::Buffered };
        let lsn = self.db.write_with(batch, durability).unwrap().wait().unwrap();
        self.note(lsn);
    }

    fn changes(&mut self, count: u32) {
        for _ in 0..count {
            self.change();
            if self.below(20) == 0 {
                self.db.checkpoint().unwrap();
            }
        }
    }

    /// A backup with changes between all of its steps.
    fn back_up_while_changing(&mut self) -> (SimDisk, BackupReport) {
        let target = SimDisk::new(99);
        let mut job = self.db.inner().engine.begin_backup(Arc::new(target.clone())).unwrap();
        job.step_entries = 7;
        loop {
            if let Some(report) = job.step().unwrap() {
                return (target.crash(Survivors::Nothing), report);
            }
            let count = self.below(4);
            self.changes(count);
        }
    }
}

#[test]
fn a_backup_taken_while_everything_changes_is_the_database_at_its_end() {
    for seed in 0..30 {
        let mut history = History::new(seed);
        let before = history.below(400);
        history.changes(before);
        let (backup, report) = history.back_up_while_changing();
        assert!(report.end.lsn >= report.start_lsn, "{report:?}");
        history.changes(20);
        let (db, restored) = restored(&backup, None, None).unwrap();
        assert_eq!(restored.restored, report.end);
        assert_eq!(content(&db), history.at[&report.end.lsn], "seed {seed}");
        assert_eq!(db.inner().engine.store().applied().unwrap(), report.end.lsn.next());
        // It is a database like any other.
        db.insert("new", b"life").unwrap();
        let (again, _) = restored_of(&db);
        assert_eq!(content(&again), content(&db));
    }
}

fn restored_of(db: &Db) -> (Db, RestoreReport) {
    restored(&back_up(db).0, None, None).unwrap()
}

#[test]
fn every_lsn_behind_a_backup_can_be_restored_from_the_archive() {
    for seed in 0..4 {
        let mut history = History::new(100 + seed);
        history.changes(100);
        let archived = SimDisk::new(5);
        let mut archiver = history.db.inner().engine.archiver(Arc::new(archived.clone())).unwrap();
        let (backup, report) = history.back_up_while_changing();
        for _ in 0..4 {
            history.db.sync().unwrap();
            let added = archiver.archive().unwrap();
            assert_eq!(added.end.lsn, history.db.visible_lsn());
            history.changes(15);
        }
        history.db.sync().unwrap();
        let end = archiver.archive().unwrap().end.lsn;
        assert_eq!(archive(&history.db, &archived).records, 0, "nothing is new");
        for lsn in (report.end.lsn.0..=end.0).map(Lsn) {
            let (db, report) = restored(&backup, Some(&archived), Some(lsn)).unwrap();
            assert_eq!((report.restored.lsn, report.epoch), (lsn, Epoch(2)));
            assert_eq!(content(&db), history.at[&lsn], "seed {seed}, LSN {lsn}");
        }
        let (db, report) = restored(&backup, Some(&archived), None).unwrap();
        assert_eq!(report.restored.lsn, end);
        assert_eq!(content(&db), history.model);
        for lsn in [report_end_before(&backup), end.next()] {
            let error = restored(&backup, Some(&archived), Some(lsn)).unwrap_err();
            assert!(matches!(error, Error::RestorePoint { .. }), "{error}");
        }
    }
}

fn report_end_before(backup: &SimDisk) -> Lsn {
    super::manifest::BackupManifest::read(backup).unwrap().end.lsn().previous()
}

#[test]
fn a_restored_database_is_another_life_in_a_new_epoch() {
    let mut history = History::new(7);
    history.changes(50);
    history.db.sync().unwrap();
    let archived = SimDisk::new(6);
    archive(&history.db, &archived);
    let (backup, report) = back_up(&history.db);
    let (db, _) = restored(&backup, None, None).unwrap();
    let (old, new) = (history.db.inner().engine.manifest(), db.inner().engine.manifest());
    assert_eq!(new.database_id, old.database_id);
    assert_ne!(new.incarnation, old.incarnation);
    let marker = LogId { epoch: Epoch(2), lsn: report.end.lsn.next() };
    assert_eq!(db.inner().engine.log().end(), marker);
    assert_eq!(db.inner().engine.log().epoch(), Epoch(2));
    assert!(db.recovery().log.clean, "{:?}", db.recovery());

    // The original goes on, and the two never have the same record behind the backup.
    history.changes(5);
    history.db.sync().unwrap();
    db.insert("a", b"b").unwrap();
    let logs = |db: &Db| db.inner().engine.disk.clone();
    let compared = crate::first_difference_on(&*logs(&history.db), &*logs(&db)).unwrap();
    let LogComparison::Differ { lsn, a, b } = compared else { panic!("{compared:?}") };
    assert_eq!((lsn, a.log_id.epoch, b.log_id), (marker.lsn, Epoch(1), marker));

    // Nor do they share an archive from there on.
    let apart = archived.fork();
    assert_eq!(archive(&db, &apart).records, 2);
    archive(&history.db, &archived);
    for (db, archived) in [(&db, &archived), (&history.db, &apart)] {
        let error = db.inner().engine.archive_to(archived).unwrap_err();
        assert!(matches!(error, Error::Backup { .. }), "{error}");
    }
    // From the archive of the second life the restored one begins a third.
    let (third, report) = restored(&backup, Some(&apart), None).unwrap();
    assert_eq!((report.restored.epoch, report.epoch), (Epoch(2), Epoch(3)));
    assert_eq!(content(&third), content(&db));
    let epochs: Vec<_> = third.inner().engine.log().history().entries().to_vec();
    assert_eq!(epochs.last().unwrap().epoch, Epoch(3));
    // Even one that stops before the second life began is told apart from it.
    let (other, report) = restored(&backup, Some(&apart), Some(marker.lsn.previous())).unwrap();
    assert_eq!((report.restored.epoch, report.epoch), (Epoch(1), Epoch(3)));
    assert_eq!(content(&other).len() + 1, content(&db).len());
}

#[test]
fn an_empty_database_can_be_backed_up_and_restored() {
    let db = open(&SimDisk::new(1));
    let (backup, report) = back_up(&db);
    assert_eq!((report.end, report.records), (LogId::ZERO, 0));
    let (restored, report) = restored(&backup, None, None).unwrap();
    assert_eq!(report.epoch, Epoch(2));
    assert_eq!(content(&restored), Content::new());
    restored.insert("a", b"b").unwrap();
    assert_eq!(restored.visible_lsn(), Lsn(2));
}

#[test]
fn an_archive_has_no_gap_and_says_what_it_lacks() {
    let db = open(&SimDisk::new(2));
    let archived = SimDisk::new(3);
    let write = |count: u32| {
        for number in 0..count {
            db.insert_with(number.to_be_bytes(), [5; 100], Durability::Buffered).unwrap();
        }
        db.checkpoint().unwrap();
    };
    write(500);
    let report = archive(&db, &archived);
    assert!(report.first_lsn > Lsn(1), "the beginning was let go: {report:?}");
    assert_eq!(report.end.lsn, Lsn(500));
    write(500);
    let error = db.inner().engine.archive_to(&archived).unwrap_err();
    let is_gone =
        matches!(error, Error::Log(mainstay_wal::Error::LogTruncated { requested: Lsn(501), .. }));
    assert!(is_gone, "{error}");

    // An archive that begins behind the backup is no help.
    let late = SimDisk::new(4);
    let (backup, _) = back_up(&open(&SimDisk::new(2)));
    archive(&db, &late);
    let error = restored(&backup, Some(&late), None).unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
    // Nor is one with a hole.
    let (holed, full) = (SimDisk::new(8), SimDisk::new(9));
    let mut history = History::new(9);
    let (backup, _) = back_up(&history.db);
    for _ in 0..3 {
        history.changes(3);
        history.db.sync().unwrap();
        archive(&history.db, &holed);
        archive(&history.db, &full);
    }
    restored(&backup, Some(&full), None).unwrap();
    let names = holed.list("").unwrap();
    holed.remove(&names[1]).unwrap();
    for lsn in [None, Some(Lsn(1))] {
        let error = restored(&backup, Some(&holed), lsn).unwrap_err();
        assert!(matches!(error, Error::Backup { .. }), "{error}");
    }
    let error = history.db.inner().engine.archive_to(&holed).unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
    let other = open(&SimDisk::new(10));
    let error = other.inner().engine.archive_to(&full).unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
}

#[test]
fn a_backup_holds_the_log_while_checkpoints_let_go_of_it() {
    let db = open(&SimDisk::new(13));
    for number in 0..2000u32 {
        db.insert_with(number.to_be_bytes(), [1; 50], Durability::Buffered).unwrap();
    }
    let target = SimDisk::new(14);
    let mut job = db.inner().engine.begin_backup(Arc::new(target.clone())).unwrap();
    job.step_entries = 50;
    let mut round = 0u32;
    let report = loop {
        if let Some(report) = job.step().unwrap() {
            break report;
        }
        for number in 0..100u32 {
            let key = (round * 100 + number).to_be_bytes();
            db.insert_with(key, [2; 50], Durability::Buffered).unwrap();
        }
        db.checkpoint().unwrap();
        round += 1;
    };
    drop(job);
    assert!(report.records > 3000 && report.end.lsn > report.start_lsn, "{report:?}");
    db.insert("more", [0; 5000]).unwrap();
    db.checkpoint().unwrap();
    assert!(db.inner().engine.log().first_lsn() > report.start_lsn.next(), "the hold is gone");
    let (restored, _) = restored(&target, None, None).unwrap();
    db.remove("more").unwrap();
    assert_eq!(content(&restored), content(&db));
}

#[test]
fn a_target_with_something_in_it_is_left_alone() {
    let db = open(&SimDisk::new(15));
    let target = SimDisk::new(16);
    target.open("mine", Open::Create).unwrap().write_at(0, b"x").unwrap();
    let error = db.inner().engine.begin_backup(Arc::new(target.clone())).unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
    let (backup, _) = back_up(&db);
    let options = RestoreOptions::default();
    let restored = restore_on(&backup, None, Arc::new(target.clone()), &options, identity(1));
    assert!(restored.is_err());
    assert_eq!(target.list("").unwrap(), ["mine"]);
    // A Store that needs a directory of the file system cannot be on a simulated disk.
    let options = RestoreOptions { store: Some(StoreKind::Sled), ..RestoreOptions::default() };
    let target = Arc::new(SimDisk::new(17));
    let error = restore_on(&backup, None, target, &options, identity(1)).unwrap_err();
    assert!(matches!(error, Error::Option { .. }), "{error}");
}

/// All bytes of a file.
fn read(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(name, Open::Read).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    read_exact_at(&*file, 0, &mut bytes).unwrap();
    bytes
}
