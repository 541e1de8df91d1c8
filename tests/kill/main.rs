//! Processes that are killed with SIGKILL in mid-work, over sled, lsm and real files.
//!
//! A child works (see `mainstay_cli::crash`), acknowledging what is durable; it is killed at a random moment; then
//! the database must hold exactly what was acknowledged, or at most the operations more that were on their way,
//! each wholly or not at all. The child of the next round goes on from there. Every second time the
//! database is looked at read-only, so that the next child recovers from what the kill left.
//!
//! `MAINSTAY_KILL_FACTOR=10` makes ten times as many rounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test stops on the first surprise, starts processes, and counts in small numbers"
)]

mod database;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainstay::StoreKind;
use mainstay_cli::crash::{Ack, Killed, Mix, Op, Outcome, Running, When, Witness, Workload};
use oorandom::Rand64;

/// What one test does.
struct Plan {
    name: &'static str,
    /// A database that is not there yet is made by the child, with the default Store.
    made_with: Option<StoreKind>,
    mix: Mix,
    rounds: u32,
    writers: u32,
    /// Writes of one writer on their way at a time.
    depth: u64,
    /// Writes are not waited for singly but synced every so many operations.
    sync_every: Option<u64>,
    /// How often recovery is killed before it is let through.
    recovery_kills: u32,
}

const INSERT: Plan = Plan {
    name: "insert",
    made_with: None,
    mix: Mix::Insert,
    rounds: 40,
    writers: 1,
    depth: 1,
    sync_every: None,
    recovery_kills: 0,
};
const BATCH: Plan = Plan { name: "batch", mix: Mix::Batch, writers: 4, rounds: 40, ..INSERT };
const TICKETS: Plan =
    Plan { name: "tickets", mix: Mix::Batch, writers: 2, depth: 16, rounds: 30, ..INSERT };
const TRANSACTION: Plan =
    Plan { name: "transaction", mix: Mix::Transaction, writers: 4, rounds: 30, ..INSERT };
const CHECKPOINT: Plan =
    Plan { name: "checkpoint", mix: Mix::Checkpoint, writers: 2, rounds: 30, ..INSERT };
const ROTATION: Plan =
    Plan { name: "rotation", mix: Mix::Rotation, writers: 2, rounds: 30, ..INSERT };
const BACKUP: Plan = Plan { name: "backup", mix: Mix::Backup, rounds: 20, ..INSERT };
const BUFFERED: Plan =
    Plan { name: "buffered", mix: Mix::Batch, sync_every: Some(40), rounds: 20, ..INSERT };
const RECOVERY: Plan = Plan {
    name: "recovery",
    mix: Mix::Checkpoint,
    writers: 2,
    rounds: 15,
    recovery_kills: 3,
    ..INSERT
};

const LSM: Plan = Plan { name: "lsm", made_with: Some(StoreKind::Lsm), ..CHECKPOINT };
const LSM_RECOVERY: Plan =
    Plan { name: "lsm recovery", made_with: Some(StoreKind::Lsm), ..RECOVERY };

const PLANS: [&Plan; 11] = [
    &INSERT,
    &BATCH,
    &TICKETS,
    &TRANSACTION,
    &CHECKPOINT,
    &ROTATION,
    &BACKUP,
    &BUFFERED,
    &RECOVERY,
    &LSM,
    &LSM_RECOVERY,
];

/// Kills of all plans together.
const fn kills() -> u32 {
    let (mut kills, mut at) = (0, 0);
    while at < PLANS.len() {
        kills += PLANS[at].rounds * (1 + PLANS[at].recovery_kills);
        at += 1;
    }
    kills
}

const _: () = assert!(kills() >= 200);

/// Kills so far, of all tests of this run.
static KILLS: AtomicU32 = AtomicU32::new(0);

fn factor() -> u32 {
    std::env::var("MAINSTAY_KILL_FACTOR").map_or(1, |text| text.parse().expect("a number"))
}

/// What a plan came to.
#[derive(Default)]
struct Tally {
    kills: u32,
    /// Kills before the database was open.
    kills_before_open: u32,
    operations: u64,
    tails_cut: u32,
    backups_restored: u32,
}

/// The directory of the database in the scratch directory.
const DATABASE: &str = "database";

/// One database and what it must hold.
struct Course<'a> {
    plan: &'a Plan,
    scratch: tempfile::TempDir,
    seed: u64,
    random: Rand64,
    witnesses: Vec<Witness>,
    tally: Tally,
}

impl<'a> Course<'a> {
    fn new(plan: &'a Plan, seed: u64) -> Course<'a> {
        let workload = |writer| Workload { seed, writer, mix: plan.mix };
        let scratch = tempfile::Builder::new().prefix("mainstay-kill-").tempdir().expect("tempdir");
        if let Some(store) = plan.made_with {
            database::make(&scratch.path().join(DATABASE), store);
        }
        Course {
            plan,
            scratch,
            seed,
            random: Rand64::new(u128::from(seed)),
            witnesses: (0..plan.writers).map(|writer| Witness::new(workload(writer))).collect(),
            tally: Tally::default(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join(DATABASE)
    }

    fn backups(&self) -> PathBuf {
        self.scratch.path().join("backups")
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.random.rand_range(0..most))
    }

    fn command(&self) -> Command {
        let from: Vec<_> = self.witnesses.iter().map(|it| it.next().to_string()).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.arg("crash-child").arg(self.dir());
        command.args(["--seed", &self.seed.to_string(), "--from", &from.join(",")]);
        command.args(["--mix", &format!("{:?}", self.plan.mix).to_lowercase()]);
        command.args(["--depth", &self.plan.depth.to_string()]);
        command.arg("--backups").arg(self.backups());
        if let Some(every) = self.plan.sync_every {
            command.args(["--sync-every", &every.to_string()]);
        }
        command
    }

    fn kill(&mut self, when: When) -> Killed {
        self.tally.kills += 1;
        KILLS.fetch_add(1, Ordering::Relaxed);
        let running = database::without_locks(|| Running::start(self.command()));
        match running.and_then(|running| running.kill(when)).expect("the child can be run") {
            Outcome::Killed(killed) => {
                let is_open = |ack: &Ack| matches!(ack, Ack::Open { .. });
                self.tally.kills_before_open += u32::from(!killed.acks.iter().any(is_open));
                killed
            }
            Outcome::Failed(message) => {
                panic!("{}: the child ended by itself: {message}; {}", self.plan.name, self.trace())
            }
        }
    }

    /// For messages: what to run again, and the directory, which is kept.
    fn trace(&self) -> String {
        format!("seed {}, kill {}", self.seed, self.tally.kills)
    }

    /// Takes the acknowledgements in, and compares.
    fn settle(&mut self, killed: &Killed, read_only: bool) {
        let first: Vec<_> = self.witnesses.iter().map(Witness::next).collect();
        let mut acked = first.clone();
        for ack in &killed.acks {
            if let Ack::Done { writer, index } = ack {
                let count = &mut acked[*writer as usize];
                *count = (*count).max(index + 1);
            }
        }
        let in_flight = self.plan.sync_every.unwrap_or(self.plan.depth);
        let found = database::read(&self.dir(), self.plan.writers, read_only);
        self.tally.tails_cut += u32::from(found.tail_cut);
        let trace = self.trace();
        for ((witness, found), acked) in self.witnesses.iter_mut().zip(&found.states).zip(&acked) {
            if let Err(message) = witness.settle(found, *acked, in_flight) {
                panic!("{}: {message}; {trace}", self.plan.name);
            }
        }
        self.tally.operations +=
            acked.iter().zip(&first).map(|(acked, first)| acked - first).sum::<u64>();
        if self.plan.mix == Mix::Backup {
            self.check_backups(first[0], acked[0]);
        }
    }

    /// Restores the backups of the operations `first..acked`, and the one that was cut off if there is one.
    fn check_backups(&mut self, first: u64, acked: u64) {
        let workload = Workload { seed: self.seed, writer: 0, mix: self.plan.mix };
        let is_backup = |index: &u64| workload.op(*index) == Op::Backup;
        for index in (first..=acked).filter(is_backup) {
            let backup = self.backups().join(index.to_string());
            if !backup.exists() {
                assert_eq!(index, acked, "an acknowledged backup is missing; {}", self.trace());
                continue;
            }
            let target = self.scratch.path().join("restored");
            // One that was cut off does not bear its name yet.
            let restored = database::restore(&backup, &target);
            let state = restored.unwrap_or_else(|error| panic!("{error}; {}", self.trace()));
            let mut witness = Witness::new(workload);
            witness.advance_to(index);
            assert_eq!(&state, witness.state(), "backup {index}; {}", self.trace());
            self.tally.backups_restored += 1;
            std::fs::remove_dir_all(&backup).expect("remove a backup");
        }
    }

    fn run(mut self) -> Tally {
        for round in 0..self.plan.rounds * factor() {
            let time = self.millis(250);
            let killed = self.kill(When::AfterFirstAck(time));
            let recoveries = self.plan.recovery_kills;
            self.settle(&killed, recoveries > 0 || round % 2 == 0);
            for kill in 1..=recoveries {
                let time = self.millis(40);
                let killed = self.kill(When::AfterStart(time));
                self.settle(&killed, kill < recoveries);
            }
        }
        self.tally
    }
}

fn run(plan: &Plan, seed: u64) -> Tally {
    let tally = Course::new(plan, seed).run();
    println!(
        "{}: {} kills ({} before the database was open), {} operations acknowledged, {} tails cut; {} kills of all \
         tests so far",
        plan.name,
        tally.kills,
        tally.kills_before_open,
        tally.operations,
        tally.tails_cut,
        KILLS.load(Ordering::Relaxed)
    );
    assert!(tally.operations > u64::from(tally.kills), "{} hardly worked", plan.name);
    tally
}

#[test]
fn inserts_survive() {
    run(&INSERT, 11);
}

#[test]
fn batches_of_several_writers_survive_whole() {
    run(&BATCH, 12);
}

#[test]
fn writes_on_tickets_survive_in_order() {
    run(&TICKETS, 13);
}

#[test]
fn transactions_survive_whole() {
    run(&TRANSACTION, 14);
}

#[test]
fn checkpoints_lose_nothing() {
    run(&CHECKPOINT, 15);
}

#[test]
fn checkpoints_lose_nothing_over_lsm() {
    run(&LSM, 20);
}

#[test]
fn rotation_loses_nothing() {
    run(&ROTATION, 16);
}

#[test]
fn backups_that_were_acknowledged_can_be_restored() {
    let tally = run(&BACKUP, 17);
    assert!(tally.backups_restored > 0, "no backup was made");
}

#[test]
fn synced_buffered_writes_survive_and_the_rest_is_a_prefix() {
    run(&BUFFERED, 18);
}

#[test]
fn recovery_that_is_killed_recovers() {
    let tally = run(&RECOVERY, 19);
    assert!(tally.kills_before_open > 0, "no recovery was killed");
}

#[test]
fn recovery_over_lsm_that_is_killed_recovers() {
    let tally = run(&LSM_RECOVERY, 21);
    assert!(tally.kills_before_open > 0, "no recovery was killed");
}
