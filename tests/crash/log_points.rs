//! The power goes at every operation of the disk, under a log alone: while it is appended to, rotates, is cut at
//! either end, begins anew behind an image, changes epochs, is held and reopened; and again in its recovery.

use mainstay_wal::disk::{SimDisk, Survivors};

use crate::draw::Draw;
use crate::log_session::{self, LogSession, LogTold};
use crate::tally::{self, Tally};

/// Operations of one workload.
const OPERATIONS: usize = 260;
const SEEDS: u64 = 3;
/// Of so many crash states one is also cut in every operation of its recovery.
const RECOVERIES_OF: u64 = 9;

/// Runs the workload of a seed until it ends or the disk crashes. Gives what was told.
fn run(disk: &SimDisk, seed: u64, tally: &mut Tally) -> LogTold {
    let (told, session) = LogSession::create(disk);
    let mut session = match session {
        Ok(session) => session,
        Err(error) => {
            assert!(disk.has_crashed(), "creating: {error}");
            return told;
        }
    };
    let outcome = session.run(&mut Draw::new(seed), OPERATIONS, tally);
    assert_eq!(outcome.is_err(), disk.has_crashed(), "{outcome:?}");
    session.told.clone()
}

/// Opens what a crash left, and checks it. `None` if the log was never made.
fn open_and_check(disk: &SimDisk, told: &LogTold, opened: u64) -> Option<LogSession> {
    let mut told = told.clone();
    if !mainstay_wal::manifest::ManifestFile::exists(disk).unwrap() {
        assert_eq!(told.model.last_lsn().0, 0, "there is no log");
        return None;
    }
    let log = log_session::open(disk, opened).unwrap_or_else(|error| panic!("opening: {error}"));
    told.check_recovered(&log);
    Some(LogSession::with(disk, log, told, opened + 1))
}

fn crash_at(seed: u64, operation: u64, tally: &mut Tally) {
    let disk = SimDisk::new(seed);
    disk.crash_at(operation);
    let told = run(&disk, seed, &mut Tally::default());
    // Dropping what was open cannot reach a disk that has crashed.
    if !disk.has_crashed() {
        return;
    }
    for (policy, survivors) in Survivors::all(seed ^ (operation << 8)).into_iter().enumerate() {
        let replay = format!(
            "seed {seed}, operation {operation}, {survivors:?}; repeat with \
             MAINSTAY_CRASH_SEED={seed} MAINSTAY_CRASH_AT={operation} \
             cargo test --test crash log_points"
        );
        let left = disk.crash(survivors);
        let check = || {
            if let Some(session) = open_and_check(&left.fork(), &told, 100) {
                session.goes_on(&mut Draw::new(operation));
            }
        };
        tally::case(|| replay.clone(), check);
        tally.add("crash states", 1);
        if (operation * 4 + policy as u64).is_multiple_of(RECOVERIES_OF) {
            cut_recovery(seed, &left, &told, &replay, tally);
        }
    }
}

/// Cuts the recovery of what a crash left in each of its operations.
fn cut_recovery(seed: u64, left: &SimDisk, told: &LogTold, replay: &str, tally: &mut Tally) {
    let whole = left.fork();
    let Some(session) = open_and_check(&whole, told, 100) else { return };
    let operations = whole.operations();
    drop(session);
    for operation in 1..=operations {
        let disk = left.fork();
        disk.crash_at(operation);
        let opened = log_session::open(&disk, 100);
        assert!(opened.is_err() && disk.has_crashed(), "{replay}: recovery was cut");
        for survivors in Survivors::all(seed ^ (operation << 16)) {
            tally::case(
                || format!("{replay}; recovery cut in operation {operation}, {survivors:?}"),
                || {
                    let session = open_and_check(&disk.crash(survivors), told, 101);
                    session.expect("a log").goes_on(&mut Draw::new(operation));
                },
            );
            tally.add("crash states in recovery", 1);
        }
    }
}

#[test]
fn log_points_of_a_workload_and_of_its_recovery() {
    let seed = tally::number("MAINSTAY_CRASH_SEED");
    let at = tally::number("MAINSTAY_CRASH_AT");
    let seeds: Vec<u64> = seed.map_or((0..SEEDS * tally::depth()).collect(), |seed| vec![seed]);
    let mut done = Tally::default();
    let mut pieces = Vec::new();
    for seed in seeds {
        let disk = SimDisk::new(seed);
        run(&disk, seed, &mut done);
        let operations = (1..=disk.operations()).filter(|number| at.is_none_or(|at| at == *number));
        pieces.extend(operations.map(|operation| (seed, operation)));
    }
    let tally =
        tally::on_all_cores("crash points of a log", pieces.len() as u64, |piece, tally| {
            let (seed, operation) = pieces[piece as usize];
            crash_at(seed, operation, tally);
        });
    if seed.is_none() && at.is_none() {
        for what in [
            "appends waited for",
            "groups in flight",
            "epochs",
            "holds",
            "suffixes truncated",
            "prefixes truncated",
            "resets",
            "reopenings",
        ] {
            assert!(done.count(what) > 0, "there were no {what}");
        }
        assert!(tally.count("crash states in recovery") > 1000);
    }
}
