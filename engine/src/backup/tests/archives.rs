//! Archives of databases that are not open.

use super::*;
use crate::backup::ArchiveReport;
use crate::backup::archive::archive_closed;

fn archive_of_closed(disk: &SimDisk, to: &SimDisk) -> Result<ArchiveReport> {
    archive_closed(Arc::new(disk.clone()), &mut || Ok(Arc::new(to.clone())))
}

/// A database with some history, and its backup.
fn backed_up(disk: &SimDisk) -> (History, SimDisk) {
    let mut history = History::new(11);
    history.db = open(disk);
    history.changes(50);
    let (backup, _) = back_up(&history.db);
    (history, backup)
}

#[test]
fn a_closed_database_is_archived_up_to_its_end() {
    let disk = SimDisk::new(11);
    let (mut history, backup) = backed_up(&disk);
    (0..50).for_each(|_| history.change());
    let History { db, at, .. } = history;
    db.close().unwrap();
    let archived = SimDisk::new(12);
    let before = disk.operations();
    let report = archive_of_closed(&disk, &archived).unwrap();
    assert_eq!(disk.operations(), before, "nothing is changed");
    let (db, _) = restored(&backup, Some(&archived), None).unwrap();
    assert_eq!(content(&db), at[&report.end.lsn]);
    assert_eq!(report.end.lsn, *at.keys().next_back().unwrap());
    drop(open(&disk));
}

#[test]
fn a_damaged_log_is_archived_up_to_the_damage() {
    let disk = SimDisk::new(11);
    let (mut history, backup) = backed_up(&disk);
    let archived = SimDisk::new(12);
    let archived_end = archive(&history.db, &archived).end.lsn;
    (0..200).for_each(|_| history.change());
    let History { db, at, .. } = history;
    db.close().unwrap();
    let segments = disk.list("log").unwrap();
    let damaged = format!("log/{}", segments[segments.len() / 2]);
    disk.open(&damaged, Open::Write).unwrap().write_at(1500, b"damage").unwrap();

    let before = disk.operations();
    let error = archive_of_closed(&disk, &archived).unwrap_err();
    let Error::Log(mainstay_wal::Error::Corrupt { lsn, .. }) = error else { panic!("{error}") };
    assert_eq!(disk.operations(), before, "nothing is changed");
    let (restored_db, report) = restored(&backup, Some(&archived), None).unwrap();
    let end = report.restored.lsn;
    assert!(archived_end < end && end < lsn, "{archived_end} {end} {lsn}");
    assert_eq!(content(&restored_db), at[&end]);
    // Once more there is nothing to add; an archive of another history is left as it is.
    let files = archived.files();
    archive_of_closed(&disk, &archived).unwrap_err();
    assert_eq!(archived.files(), files);
    let mut other = History::new(99);
    other.changes(60);
    let foreign = SimDisk::new(13);
    archive(&other.db, &foreign);
    let files = foreign.files();
    let error = archive_of_closed(&disk, &foreign).unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
    assert_eq!(foreign.files(), files);
}
