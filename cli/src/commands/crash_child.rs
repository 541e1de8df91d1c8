//! `mainstay crash-child`: works until it is killed. What it does is in [`crate::crash`].

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mainstay::{Batch, Db, Durability, Error, Keyspace, Ticket};

use crate::crash::{Ack, Edit, Mix, Op, Side, Workload};
use crate::database;
use crate::exit::{Exit, Failure};

/// Arguments of `mainstay crash-child`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CrashChildArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Seed of the workload.
    #[arg(long)]
    seed: u64,
    /// Kind of workload.
    #[arg(long, value_enum)]
    mix: Mix,
    /// For each writer the operation to begin with; as many writers as numbers.
    #[arg(long, value_delimiter = ',', required = true)]
    from: Vec<u64>,
    /// Writes of one writer on their way at a time.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Acknowledge what `sync` made durable, every so many operations, and do not wait for single writes.
    #[arg(long)]
    sync_every: Option<u64>,
    /// Directory for backups.
    #[arg(long)]
    backups: Option<PathBuf>,
    /// End by itself after so many operations of each writer.
    #[arg(long)]
    count: Option<u64>,
}

pub(crate) fn run(args: &CrashChildArgs) -> Result<Exit, Failure> {
    let started = Instant::now();
    let db = database::open_tiny(&args.dir)?;
    acknowledge(Ack::Open {
        micros: started.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
    })?;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(&args.from)
            .map(|(writer, first)| {
                let db = &db;
                scope.spawn(move || Writer::new(db, args, writer)?.work(*first))
            })
            .collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Failure::Stopped(Exit::No, "a writer panicked".to_owned())),
        }
    }
    db.close().map_err(database::failure)?;
    Ok(Exit::Done)
}

/// One line, in one write: a reader sees it whole or not at all.
pub(crate) fn acknowledge(ack: Ack) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{ack}\n").as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Executes the workload of one writer.
struct Writer<'a> {
    db: &'a Db,
    args: &'a CrashChildArgs,
    workload: Workload,
    left: Keyspace,
    right: Keyspace,
    in_flight: VecDeque<(u64, Ticket)>,
}

impl<'a> Writer<'a> {
    fn new(db: &'a Db, args: &'a CrashChildArgs, writer: u32) -> Result<Writer<'a>, Failure> {
        let keyspace = |side: Side| db.keyspace(side.name()).map_err(database::failure);
        Ok(Writer {
            db,
            args,
            workload: Workload { seed: args.seed, writer, mix: args.mix },
            left: keyspace(Side::Left)?,
            right: keyspace(Side::Right)?,
            in_flight: VecDeque::new(),
        })
    }

    fn work(&mut self, first: u64) -> Result<(), Failure> {
        let end = self.args.count.map_or(u64::MAX, |count| first.saturating_add(count));
        for index in first..end {
            let op = self.workload.op(index);
            match self.args.sync_every {
                Some(every) => self.buffered(index, op, every)?,
                None if self.args.depth > 1 => self.pipelined(index, op)?,
                None => {
                    self.perform(op, index)?;
                    self.done(index)?;
                }
            }
        }
        self.drain(0)
    }

    fn done(&self, index: u64) -> Result<(), Failure> {
        acknowledge(Ack::Done { writer: self.workload.writer, index })
    }

    /// Executes an operation and returns when it is durable.
    fn perform(&self, op: Op, index: u64) -> Result<(), Failure> {
        let performed = match op {
            Op::Insert(key, value) => self.left.insert(key, value).map(drop),
            Op::Remove(key) => self.left.remove(key).map(drop),
            Op::Batch(edits) => self.db.write(self.batch(edits)).and_then(Ticket::wait).map(drop),
            Op::Move { from, to, amount } => self.transfer(&from, &to, amount),
            Op::Checkpoint => self.db.checkpoint().map(drop),
            Op::Backup => return self.back_up(index),
        };
        performed.map_err(database::failure)
    }

    /// Executes a write without waiting for it, or anything else after all that went before.
    fn pipelined(&mut self, index: u64, op: Op) -> Result<(), Failure> {
        let batch = match op {
            Op::Batch(edits) => self.batch(edits),
            Op::Insert(key, value) => self.batch(vec![Edit::Insert(Side::Left, key, value)]),
            Op::Remove(key) => self.batch(vec![Edit::Remove(Side::Left, key)]),
            other => {
                self.drain(0)?;
                self.perform(other, index)?;
                return self.done(index);
            }
        };
        let ticket = self.db.write(batch).map_err(database::failure)?;
        self.in_flight.push_back((index, ticket));
        self.drain(self.args.depth - 1)
    }

    /// Waits for the oldest writes until at most so many are on their way.
    fn drain(&mut self, most: usize) -> Result<(), Failure> {
        while self.in_flight.len() > most {
            if let Some((index, ticket)) = self.in_flight.pop_front() {
                ticket.wait().map_err(database::failure)?;
                self.done(index)?;
            }
        }
        Ok(())
    }

    /// Executes a write that may be lost until the next sync.
    fn buffered(&mut self, index: u64, op: Op, every: u64) -> Result<(), Failure> {
        let batch = match op {
            Op::Batch(edits) => Some(self.batch(edits)),
            Op::Insert(key, value) => Some(self.batch(vec![Edit::Insert(Side::Left, key, value)])),
            Op::Remove(key) => Some(self.batch(vec![Edit::Remove(Side::Left, key)])),
            other => {
                self.perform(other, index)?;
                None
            }
        };
        if let Some(batch) = batch {
            let written = self.db.write_with(batch, Durability::Buffered);
            written.and_then(Ticket::wait).map_err(database::failure)?;
        }
        if (index + 1).is_multiple_of(every) {
            self.db.sync().map_err(database::failure)?;
            self.done(index)?;
        }
        Ok(())
    }

    fn keyspace(&self, side: Side) -> &Keyspace {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    fn batch(&self, edits: Vec<Edit>) -> Batch {
        let mut batch = Batch::new();
        for edit in edits {
            match edit {
                Edit::Insert(side, key, value) => batch.insert(self.keyspace(side), key, value),
                Edit::Remove(side, key) => batch.remove(self.keyspace(side), key),
                Edit::RemoveRange(side, from, to) => {
                    batch.remove_range(self.keyspace(side), from..to)
                }
            };
        }
        batch
    }

    fn transfer(&self, from: &[u8], to: &[u8], amount: i64) -> mainstay::Result<()> {
        loop {
            let mut tx = self.db.transaction();
            let less = number(tx.get(&self.left, from)?.as_deref()) - amount;
            let more = number(tx.get(&self.right, to)?.as_deref()) + amount;
            tx.insert(&self.left, from, less.to_string())?;
            tx.insert(&self.right, to, more.to_string())?;
            match tx.commit().and_then(Ticket::wait) {
                Err(Error::Conflict { .. } | Error::TransactionTooOld { .. }) => {}
                ended => return ended.map(drop),
            }
        }
    }

    /// A backup under the name of its operation. What an earlier attempt left there goes first.
    fn back_up(&self, index: u64) -> Result<(), Failure> {
        let Some(backups) = &self.args.backups else { return Ok(()) };
        std::fs::create_dir_all(backups)
            .map_err(|error| Failure::file("create", backups, &error))?;
        let to = backups.join(index.to_string());
        match std::fs::remove_dir_all(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::file("remove", &to, &error));
            }
            _ => {}
        }
        self.db.backup(&to).map_err(database::failure)?;
        Ok(())
    }
}

fn number(value: Option<&[u8]>) -> i64 {
    value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}
