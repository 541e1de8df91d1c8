//! Every operation of the disk fails, once or for good, and what fails happens not at all, in part, or whole.

use std::io::ErrorKind;

use mainstay_engine::Error;
use mainstay_wal::disk::{Effect, Fault, SimDisk, Survivors};

use crate::draw::{Draw, Op};
use crate::model::Change;
use crate::oracle;
use crate::session::{Session, Shape, Told};
use crate::tally::{self, Tally};

const OPERATIONS: usize = 220;
const SEEDS: u64 = 2;
/// How many operations are tried after the first that failed.
const OPERATIONS_AFTER: usize = 12;

#[derive(Copy, Clone, Debug)]
struct Plan {
    seed: u64,
    operation: u64,
    kind: ErrorKind,
    effect: Effect,
    for_good: bool,
}

impl Plan {
    fn fault(self) -> Fault {
        let fault = Fault::at_operation(self.operation).kind(self.kind).effect(self.effect);
        if self.for_good { fault.for_good() } else { fault }
    }

    fn all(seed: u64, operation: u64) -> Vec<Plan> {
        let mut plans = Vec::new();
        for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
            for effect in [Effect::Nothing, Effect::Part, Effect::Whole] {
                for for_good in [false, true] {
                    plans.push(Plan { seed, operation, kind, effect, for_good });
                }
            }
        }
        plans
    }

    /// The errors that a program may be told, each with its meaning.
    fn check(self, error: &Error, tally: &mut Tally) {
        use mainstay_wal::Error as Log;
        let what = match error {
            Error::Log(Log::Indeterminate { .. }) => "Indeterminate",
            Error::Log(Log::Poisoned { .. }) => "Poisoned",
            Error::Log(Log::NoSpace { .. }) => {
                assert_eq!(self.kind, ErrorKind::StorageFull, "{error}");
                "NoSpace"
            }
            Error::Log(Log::Closed) => "Closed",
            Error::Log(Log::Io { .. }) => "Io",
            Error::Store { damaged: false, .. } => "Store",
            _ => panic!("{error:?} is not the error of a disk that fails"),
        };
        tally.add(what, 1);
    }
}

/// Runs the workload of a seed on a disk that fails. Gives what was told.
fn run(plan: Plan, disk: &SimDisk, tally: &mut Tally) -> Told {
    let mut session = match Session::open(disk, Shape::of(plan.seed), Told::new(), 0) {
        Ok(session) => session,
        Err(error) => {
            plan.check(&error, tally);
            return Told::new();
        }
    };
    let mut draw = Draw::new(plan.seed);
    let mut left = OPERATIONS;
    while left > 0 {
        left -= 1;
        let op = draw.op(session.told.history.last());
        let before = session.told.history.last_lsn();
        let Err(error) = session.perform(&op) else { continue };
        plan.check(&error, tally);
        left = left.min(OPERATIONS_AFTER);
        if session.engine.is_none() {
            break;
        }
        reads_go_on(&session);
        if matches!(error, Error::Log(mainstay_wal::Error::NoSpace { .. })) {
            no_space(plan, &mut session, &op, before);
        }
    }
    session.told.clone()
}

/// Readers see what was visible, whatever became of writes.
fn reads_go_on(session: &Session) {
    let engine = session.engine();
    let found = oracle::read_all(engine).unwrap_or_else(|error| panic!("reading: {error}"));
    let expected = session.told.history.at(engine.visible_lsn());
    assert!(
        found == *expected,
        "at {}\nfound {found:?}expected {expected:?}",
        engine.visible_lsn()
    );
}

/// Lack of space is definite, and over once there is space again.
fn no_space(plan: Plan, session: &mut Session, op: &Op, before: mainstay_wal::Lsn) {
    if let Op::Write { .. } = op {
        assert_eq!(session.told.history.last_lsn(), before, "refused and yet appended");
    }
    if !plan.for_good {
        session.perform(op).unwrap_or_else(|error| panic!("there is space again: {error}"));
    }
}

fn fail(plan: Plan, tally: &mut Tally) {
    let disk = SimDisk::new(plan.seed);
    disk.fail(plan.fault());
    let told = run(plan, &disk, tally);
    tally.add("failures", 1);
    let shape = Shape::of(plan.seed);
    // The process was ended and another one began: the page cache shows what need not be on the disk.
    let again = disk.fork();
    let told_after = oracle::goes_on(oracle::open_and_check(&again, shape, &told, 200));
    let left = again.crash(Survivors::Nothing);
    drop(oracle::open_and_check(&left, shape, &told_after, 201));
    let left = again.crash(Survivors::RandomSectors { seed: plan.operation });
    drop(oracle::open_and_check(&left, shape, &told_after, 201));
    // The power went.
    for survivors in [Survivors::Nothing, Survivors::RandomSectors { seed: plan.operation }] {
        let left = disk.crash(survivors);
        oracle::goes_on(oracle::open_and_check(&left, shape, &told, 200));
    }
}

#[test]
fn failures_of_every_operation() {
    let seed = tally::number("MAINSTAY_CRASH_SEED");
    let at = tally::number("MAINSTAY_CRASH_AT");
    let seeds: Vec<u64> = seed.map_or((0..SEEDS * tally::depth()).collect(), |seed| vec![seed]);
    let mut plans = Vec::new();
    for seed in seeds {
        let disk = SimDisk::new(seed);
        let mut session = Session::open(&disk, Shape::of(seed), Told::new(), 0).unwrap();
        session.run(&mut Draw::new(seed), OPERATIONS).unwrap();
        drop(session);
        let operations = (1..=disk.operations()).filter(|number| at.is_none_or(|at| at == *number));
        plans.extend(operations.flat_map(|operation| Plan::all(seed, operation)));
    }
    let pieces = plans.len() as u64;
    let tally = tally::on_all_cores("failures", pieces, |piece, tally| {
        let plan = plans[piece as usize];
        let Plan { seed, operation, .. } = plan;
        tally::case(
            || {
                format!(
                    "{plan:?}; repeat with MAINSTAY_CRASH_SEED={seed} \
                     MAINSTAY_CRASH_AT={operation} cargo test --test crash failures"
                )
            },
            || fail(plan, tally),
        );
    });
    if at.is_none() {
        for what in ["Indeterminate", "Poisoned", "NoSpace"] {
            assert!(tally.count(what) > 0, "nobody was told {what}");
        }
    }
}

/// A disk that is full until something is removed from it.
#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_once_there_is_space() {
    let (disk, shape) = (SimDisk::new(5), Shape::of(0));
    let mut session = Session::open(&disk, shape, Told::new(), 0).unwrap();
    let write = |byte: u8| Op::Write {
        changes: vec![Change::Insert {
            keyspace: "default".to_owned(),
            key: vec![byte],
            value: vec![byte; 900],
        }],
        sync: true,
        wait: true,
    };
    let (mut refused, mut taken) = (0, 0);
    for round in 0..5u8 {
        disk.set_capacity_bytes(Some(disk.used_bytes() + 1000 * u64::from(round)));
        for byte in 0..40 {
            let before = session.told.history.last_lsn();
            match session.perform(&write(byte)) {
                Ok(()) => taken += 1,
                Err(Error::Log(mainstay_wal::Error::NoSpace { .. })) => {
                    refused += 1;
                    assert_eq!(session.told.history.last_lsn(), before);
                    reads_go_on(&session);
                }
                Err(error) => panic!("{error}"),
            }
        }
        disk.set_capacity_bytes(None);
        session.perform(&write(100 + round)).expect("there is space again");
    }
    assert!(refused >= 5 && taken >= 5, "{refused} refused, {taken} taken");
    let told = session.told.clone();
    drop(oracle::open_and_check(&disk.crash(Survivors::Nothing), shape, &told, 1));
}
