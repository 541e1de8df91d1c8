use std::sync::Arc;

use mainstay_wal::Lsn;
use mainstay_wal::disk::{Disk, Open, SimDisk};

use super::{LogComparison, first_difference_on};
use crate::{Db, Error, Options};

fn open(disk: &SimDisk) -> Db {
    let options = Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096);
    options.background(false).open_on(Arc::new(disk.clone())).unwrap()
}

fn write(disk: &SimDisk, values: std::ops::Range<u8>, checkpoint: bool) {
    let db = open(disk);
    for value in values {
        db.insert([value], [value; 150]).unwrap();
    }
    if checkpoint {
        db.checkpoint().unwrap();
    }
    db.close().unwrap();
}

fn compare(a: &SimDisk, b: &SimDisk) -> LogComparison {
    let compared = first_difference_on(a, b).unwrap();
    // From the other side it looks the same, mirrored.
    let mirrored = match first_difference_on(b, a).unwrap() {
        LogComparison::OneIsLonger { common, a_end, b_end } => {
            LogComparison::OneIsLonger { common, a_end: b_end, b_end: a_end }
        }
        LogComparison::Differ { lsn, a, b } => LogComparison::Differ { lsn, a: b, b: a },
        LogComparison::Damaged { common, a, b } => LogComparison::Damaged { common, a: b, b: a },
        same => same,
    };
    assert_eq!(compared, mirrored);
    compared
}

#[test]
fn the_first_record_that_differs_is_found_wherever_groups_end() {
    for common in [0u8, 1, 2, 20, 40] {
        let a = SimDisk::new(1);
        write(&a, 0..common, false);
        let b = a.fork();
        let end = |disk: &SimDisk| open(disk).inner().engine.log().end();
        match compare(&a, &b) {
            LogComparison::Equal { end: found } => assert_eq!(found, end(&a)),
            other => panic!("{other:?}"),
        }
        write(&a, 100..130, false);
        match compare(&a, &b) {
            LogComparison::OneIsLonger { common: found, a_end, b_end } => {
                assert_eq!((found, b_end), (end(&b), end(&b)));
                assert_eq!(a_end, end(&a));
            }
            other => panic!("{other:?}"),
        }
        // One group for all of it, and another record behind three that are the same.
        let db = open(&b);
        for value in (100..103).chain(200..210) {
            let buffered = crate::Durability::Buffered;
            db.insert_with([value], [value; 150], buffered).unwrap();
        }
        db.close().unwrap();
        let expected = Lsn(u64::from(common) + 4);
        match compare(&a, &b) {
            LogComparison::Differ { lsn, a, b } => {
                assert_eq!((lsn, a.log_id.lsn, b.log_id.lsn), (expected, expected, expected));
                assert_ne!(a.chain, b.chain);
            }
            other => panic!("{common}: {other:?}"),
        }
    }
}

#[test]
fn a_log_that_was_cut_in_front_is_compared_from_there() {
    let a = SimDisk::new(2);
    write(&a, 0..50, false);
    let b = a.fork();
    write(&b, 50..75, true);
    write(&b, 75..100, false);
    assert_eq!(compare(&a, &b), LogComparison::NothingInCommon);
    write(&a, 50..120, false);
    let first = open(&b).inner().engine.log().first_lsn();
    assert!(first > Lsn(1), "{first}");
    let LogComparison::OneIsLonger { common, .. } = compare(&a, &b) else { panic!() };
    assert_eq!(common.lsn, Lsn(100));

    let c = SimDisk::new(3);
    write(&c, 7..127, false);
    match compare(&c, &b) {
        LogComparison::DifferBefore { lsn } => assert_eq!(lsn, first),
        other => panic!("{other:?}"),
    }
    let short = SimDisk::new(4);
    write(&short, 0..2, false);
    assert_eq!(compare(&short, &b), LogComparison::NothingInCommon);
}

#[test]
fn damage_ends_the_comparison_and_no_log_is_an_error() {
    let a = SimDisk::new(5);
    write(&a, 0..50, false);
    let b = a.fork();
    let name = format!("log/{}", b.list("log").unwrap()[1]);
    b.open(&name, Open::Write).unwrap().write_at(700, b"damage").unwrap();
    let LogComparison::Damaged { common: Some(common), a: None, b: Some(place) } = compare(&a, &b)
    else {
        panic!()
    };
    assert!(common.lsn > Lsn(1) && common.lsn < Lsn(50), "{common}");
    assert_eq!(format!("log/{:016}.log", place.segment.0), name);
    let both = compare(&b, &b);
    let (here, common) = (Some(place), Some(common));
    assert_eq!(both, LogComparison::Damaged { common, a: here, b: here });

    // What lies behind the end of the other log, or behind a difference, hides nothing.
    let short = SimDisk::new(5);
    write(&short, 200..203, false);
    let LogComparison::Differ { lsn: Lsn(1), .. } = compare(&short, &b) else { panic!() };
    let c = SimDisk::new(7);
    write(&c, 0..3, false);
    let d = c.fork();
    write(&d, 3..50, false);
    let name = format!("log/{}", d.list("log").unwrap()[1]);
    d.open(&name, Open::Write).unwrap().write_at(700, b"damage").unwrap();
    let LogComparison::OneIsLonger { common, .. } = compare(&c, &d) else { panic!() };
    assert_eq!(common.lsn, Lsn(3));
    let error = first_difference_on(&a, &SimDisk::new(6)).unwrap_err();
    assert!(matches!(error, Error::Log(mainstay_wal::Error::NotADatabase { .. })), "{error}");
}
