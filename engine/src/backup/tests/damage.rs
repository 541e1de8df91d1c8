//! Crashes in the middle of making a backup, an archive or a database, and damaged files.

use mainstay_wal::disk::Fault;

use super::*;

fn small_history() -> History {
    let mut history = History::new(21);
    history.changes(12);
    history.db.sync().unwrap();
    history
}

/// Runs something against a disk that crashes at its every operation, and hands over what each
/// crash leaves.
fn crash_everywhere(
    disk: &SimDisk,
    run: impl Fn(&SimDisk) -> bool,
    mut check: impl FnMut(&SimDisk, &str),
) -> u32 {
    let mut states = 0;
    for at in 1.. {
        let crashing = disk.fork();
        crashing.crash_at(disk.operations() + at);
        let completed = run(&crashing);
        for survivors in Survivors::all(at) {
            let found = crashing.crash(survivors);
            check(&found, &format!("crash at operation {at}, {survivors:?}"));
            states += 1;
        }
        if completed {
            assert!(!crashing.has_crashed());
            return states;
        }
    }
    unreachable!("it comes to its end")
}

#[test]
fn a_crash_in_a_backup_leaves_a_whole_one_or_none() {
    let history = small_history();
    let run = |target: &SimDisk| {
        let Ok(mut job) = history.db.inner().engine.begin_backup(Arc::new(target.clone())) else {
            return false;
        };
        loop {
            match job.step() {
                Ok(Some(_)) => return true,
                Ok(None) => {}
                Err(_) => return false,
            }
        }
    };
    let (mut whole, mut none) = (0, 0);
    crash_everywhere(&SimDisk::new(1), run, |found, when| match restored(found, None, None) {
        Ok((db, _)) => {
            assert_eq!(content(&db), history.model, "{when}");
            whole += 1;
        }
        Err(error) => {
            assert!(matches!(error, Error::Backup { .. }), "{when}: {error}");
            none += 1;
        }
    });
    assert!(whole >= 4 && none >= 20, "{whole} whole, {none} not");
}

#[test]
fn a_crash_in_a_restore_leaves_a_whole_database_or_none() {
    let mut history = small_history();
    let (backup, _) = back_up(&history.db);
    history.changes(6);
    history.db.sync().unwrap();
    let archived = SimDisk::new(2);
    archive(&history.db, &archived);
    let options = RestoreOptions::default();
    let run = |target: &SimDisk| {
        let target = Arc::new(target.clone());
        restore_on(&backup, Some(&archived), target, &options, identity(4)).is_ok()
    };
    let (mut whole, mut none) = (0, 0);
    crash_everywhere(&SimDisk::new(3), run, |found, when| match reopen(found) {
        Ok(db) => {
            assert_eq!(content(&db), history.model, "{when}");
            assert_eq!(db.inner().engine.log().epoch(), Epoch(2), "{when}");
            whole += 1;
        }
        Err(_) => none += 1,
    });
    assert!(whole >= 4 && none >= 40, "{whole} whole, {none} not");
}

#[test]
fn a_crash_in_an_archive_leaves_one_that_goes_on() {
    let mut history = small_history();
    let (backup, _) = back_up(&history.db);
    let archived = SimDisk::new(5);
    archive(&history.db, &archived);
    history.changes(6);
    history.db.sync().unwrap();
    let archived = archived.crash(Survivors::Nothing);
    let run = |archived: &SimDisk| history.db.inner().engine.archive_to(archived).is_ok();
    let states = crash_everywhere(&archived, run, |found, when| {
        let report = history.db.inner().engine.archive_to(found).unwrap();
        assert_eq!(report.end.lsn, history.db.visible_lsn(), "{when}");
        let (db, _) = restored(&backup, Some(found), None).unwrap();
        assert_eq!(content(&db), history.model, "{when}");
    });
    assert!(states >= 16, "{states}");
}

/// Runs something against a disk of which one operation after the other fails, once and for good, and hands over
/// what is there afterwards.
fn fail_everywhere(
    disk: &SimDisk,
    run: impl Fn(&SimDisk) -> Result<()>,
    check: impl Fn(&SimDisk, bool, &str),
) -> u32 {
    let mut failures = 0;
    for at in 1.. {
        for for_good in [false, true] {
            let failing = disk.fork();
            let fault = Fault::at_operation(at);
            failing.fail(if for_good { fault.for_good() } else { fault });
            let outcome = run(&failing);
            let was_reached = failing.operations() >= at;
            failing.clear_faults();
            check(&failing, outcome.is_ok(), &format!("operation {at} fails: {outcome:?}"));
            match outcome {
                Ok(()) if !was_reached => return failures,
                Ok(()) => {}
                Err(Error::Log(_) | Error::Store { .. }) => failures += 1,
                Err(error) => panic!("operation {at}: {error}"),
            }
        }
    }
    unreachable!("it comes to its end")
}

#[test]
fn every_failed_operation_is_told_and_leaves_nothing_half_done() {
    let mut history = small_history();
    let inner = history.db.inner().clone();
    let back_up_to = |target: &SimDisk| {
        let mut job = inner.engine.begin_backup(Arc::new(target.clone()))?;
        while job.step()?.is_none() {}
        Ok(())
    };
    let failures = fail_everywhere(&SimDisk::new(1), back_up_to, |found, completed, when| {
        // The last thing is to sync the name: where that fails, a whole backup may be there.
        assert!(restored(found, None, None).is_ok() || !completed, "{when}");
    });
    assert!(failures >= 20, "{failures}");

    let (backup, _) = back_up(&history.db);
    let archived = SimDisk::new(2);
    archive(&history.db, &archived);
    history.changes(6);
    history.db.sync().unwrap();
    let archive_to = |archived: &SimDisk| inner.engine.archive_to(archived).map(drop);
    let failures = fail_everywhere(&archived, archive_to, |found, _, when| {
        inner.engine.archive_to(found).unwrap();
        let (db, _) = restored(&backup, Some(found), None).unwrap();
        assert_eq!(content(&db), history.model, "{when}");
    });
    assert!(failures >= 8, "{failures}");
    archive(&history.db, &archived);

    let options = RestoreOptions::default();
    let restore_to = |target: &SimDisk| {
        let target = Arc::new(target.clone());
        restore_on(&backup, Some(&archived), target, &options, identity(4)).map(drop)
    };
    let failures = fail_everywhere(&SimDisk::new(3), restore_to, |found, completed, when| {
        match reopen(found) {
            Ok(db) => assert_eq!(content(&db), history.model, "{when}"),
            Err(error) => assert!(!completed, "{when}, then {error}"),
        }
    });
    assert!(failures >= 40, "{failures}");
    // None of it was noticed by the database.
    history.changes(5);
    assert_eq!(content(&history.db), history.model);
}

#[test]
fn every_flipped_byte_is_found_or_does_not_matter() {
    let mut history = small_history();
    let (backup, _) = history.back_up_while_changing();
    history.changes(6);
    history.db.sync().unwrap();
    let archived = SimDisk::new(6);
    archive(&history.db, &archived);
    let mut files: Vec<(bool, String)> = vec![(true, "backup".to_owned())];
    for directory in ["content", "log"] {
        let names = backup.list(directory).unwrap();
        assert!(!names.is_empty(), "{directory}");
        files.extend(names.into_iter().map(|name| (true, format!("{directory}/{name}"))));
    }
    files.extend(archived.list("").unwrap().into_iter().map(|name| (false, name)));
    let mut found = 0;
    for (in_backup, name) in files {
        let bytes = read(if in_backup { &backup } else { &archived }, &name);
        for (offset, byte) in bytes.iter().enumerate() {
            let (backup, archived) = (backup.fork(), archived.fork());
            let damaged = if in_backup { &backup } else { &archived };
            let file = damaged.open(&name, Open::Write).unwrap();
            file.write_at(offset as u64, &[byte ^ (1 << (offset % 8))]).unwrap();
            match restored(&backup, Some(&archived), None) {
                Ok((db, _)) => assert_eq!(content(&db), history.model, "{name} {offset}"),
                Err(error) => {
                    assert!(matches!(error, Error::Backup { .. }), "{name} {offset}: {error}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 1000, "{found}");
}

#[test]
fn every_missing_cut_or_longer_file_is_found() {
    let mut history = small_history();
    let (backup, _) = history.back_up_while_changing();
    let mut names = vec!["backup".to_owned()];
    for directory in ["content", "log"] {
        let files = backup.list(directory).unwrap();
        names.extend(files.into_iter().map(|name| format!("{directory}/{name}")));
    }
    for name in names {
        let bytes = read(&backup, &name);
        let variants: [Option<Vec<u8>>; 4] = [
            None,
            Some(Vec::new()),
            Some(bytes[..bytes.len() - 1].to_vec()),
            Some([&bytes[..], &[0]].concat()),
        ];
        for variant in variants {
            let damaged = backup.fork();
            damaged.remove(&name).unwrap();
            if let Some(bytes) = &variant {
                damaged.open(&name, Open::CreateNew).unwrap().write_at(0, bytes).unwrap();
            }
            let length = variant.map(|bytes| bytes.len());
            let error = restored(&damaged, None, None).unwrap_err();
            assert!(matches!(error, Error::Backup { .. }), "{name} of {length:?}: {error}");
        }
    }
}

#[test]
fn a_newer_format_is_refused_by_its_version() {
    let (backup, _) = back_up(&small_history().db);
    let mut bytes = read(&backup, "backup");
    bytes[8] = 2;
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    backup.open("backup", Open::Write).unwrap().write_at(0, &bytes).unwrap();
    let error = restored(&backup, None, None).unwrap_err();
    assert!(error.to_string().contains("version is 2"), "{error}");
}
