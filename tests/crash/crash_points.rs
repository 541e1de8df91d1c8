//! The power goes at every operation of the disk, in the workload and again in the recovery.

use mainstay_wal::disk::{SimDisk, Survivors};

use crate::backups;
use crate::draw::Draw;
use crate::oracle;
use crate::session::{Session, Shape, Told};
use crate::tally::{self, Tally};

/// Operations of one workload.
const OPERATIONS: usize = 400;
const SEEDS: u64 = 6;
/// Of so many crash states one is also cut in every operation of its recovery.
const RECOVERIES_OF: u64 = 12;

/// Runs the workload of a seed until it ends or the disk crashes. Gives what was told.
fn run(disk: &SimDisk, seed: u64) -> Told {
    let mut session = match Session::open(disk, Shape::of(seed), Told::new(), 0) {
        Ok(session) => session,
        Err(error) => {
            assert!(disk.has_crashed(), "opening: {error}");
            return Told::new();
        }
    };
    let outcome = session.run(&mut Draw::new(seed), OPERATIONS);
    match outcome {
        Ok(()) => assert!(!disk.has_crashed(), "a crash was taken for a success"),
        Err(error) => assert!(disk.has_crashed(), "{error}"),
    }
    session.told.clone()
}

/// How many operations the disk sees in the workload of a seed.
fn operations(seed: u64) -> u64 {
    let disk = SimDisk::new(seed);
    run(&disk, seed);
    disk.operations()
}

fn crash_at(seed: u64, operation: u64, tally: &mut Tally) {
    let disk = SimDisk::new(seed);
    disk.crash_at(operation);
    let told = run(&disk, seed);
    // Dropping what was open cannot reach a disk that has crashed.
    if !disk.has_crashed() {
        return;
    }
    for (policy, survivors) in Survivors::all(seed ^ (operation << 8)).into_iter().enumerate() {
        let replay = format!(
            "seed {seed}, operation {operation}, {survivors:?}; repeat with \
             MAINSTAY_CRASH_SEED={seed} MAINSTAY_CRASH_AT={operation} \
             cargo test --test crash crash_points"
        );
        let left = disk.crash(survivors);
        tally::case(
            || replay.clone(),
            || {
                let session = oracle::open_and_check(&left.fork(), Shape::of(seed), &told, 100);
                oracle::goes_on(session);
                backups::check(&left, Shape::of(seed), &told, tally);
            },
        );
        tally.add("crash states", 1);
        if (operation * 4 + policy as u64).is_multiple_of(RECOVERIES_OF + 1) {
            tally.add("recoveries cut everywhere", 1);
            cut_recovery(seed, &left, &told, &replay, tally);
        }
    }
}

/// Cuts the recovery of what a crash left in each of its operations.
fn cut_recovery(seed: u64, left: &SimDisk, told: &Told, replay: &str, tally: &mut Tally) {
    let shape = Shape::of(seed);
    let whole = left.fork();
    let session = oracle::open_and_check(&whole, shape, told, 100);
    let operations = whole.operations();
    drop(session);
    for operation in 1..=operations {
        let disk = left.fork();
        disk.crash_at(operation);
        let opened = Session::open(&disk, shape, told.clone(), 100);
        assert!(opened.is_err() && disk.has_crashed(), "{replay}: recovery was cut");
        for survivors in Survivors::all(seed ^ (operation << 16)) {
            tally::case(
                || format!("{replay}; recovery cut in operation {operation}, {survivors:?}"),
                || {
                    let left = disk.crash(survivors);
                    oracle::goes_on(oracle::open_and_check(&left, shape, told, 101));
                },
            );
            tally.add("crash states in recovery", 1);
        }
    }
}

#[test]
fn crash_points_of_a_workload_and_of_its_recovery() {
    let seed = tally::number("MAINSTAY_CRASH_SEED");
    let at = tally::number("MAINSTAY_CRASH_AT");
    let seeds: Vec<u64> = seed.map_or((0..SEEDS * tally::depth()).collect(), |seed| vec![seed]);
    let lengths: Vec<u64> = seeds.iter().map(|seed| operations(*seed)).collect();
    let pieces: Vec<(u64, u64)> = seeds
        .iter()
        .zip(&lengths)
        .flat_map(|(seed, length)| (1..=*length).map(|operation| (*seed, operation)))
        .filter(|(_, operation)| at.is_none_or(|at| at == *operation))
        .collect();
    let tally = tally::on_all_cores("crash points", pieces.len() as u64, |piece, tally| {
        let (seed, operation) = pieces[piece as usize];
        crash_at(seed, operation, tally);
    });
    let states = tally.count("crash states") + tally.count("crash states in recovery");
    tally::say(&format!(
        "crash points: {states} crash states in all, {} workloads of {OPERATIONS} operations \
         and {} to {} operations of the disk",
        seeds.len(),
        lengths.iter().min().unwrap_or(&0),
        lengths.iter().max().unwrap_or(&0),
    ));
    if seed.is_none() && at.is_none() {
        assert!(states >= 50_000, "{states} crash states are too few");
        for what in ["backups restored", "backups refused"] {
            assert!(tally.count(what) > 0, "no {what}");
        }
    }
}
