//! Writing to a database from several threads.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

use mainstay::record::RecordOp;
use mainstay::wal::frame::FRAME_HEADER_BYTES;
use mainstay::wal::group::GROUP_HEADER_BYTES;
use mainstay::{AsKeyspace, Batch, Db, Durability, Ticket};

use super::limits::GroupSyncs;
use super::workload::{Figures, Keys, Recorder, Shape, Values};
use crate::database;
use crate::exit::{Exit, Failure};

/// A group of the log is closed at this size with the memory that we give a database.
const MOST_GROUP_BYTES: usize = 1 << 20;

/// How records are written.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) shape: Shape,
    pub(crate) threads: usize,
    /// Records of one batch.
    pub(crate) batch: usize,
    /// Writes of one thread on their way at a time.
    pub(crate) tickets: usize,
    pub(crate) durability: Durability,
    /// Length of a window of the figures.
    pub(crate) window: Duration,
}

impl Load {
    /// The streams of keys of all threads.
    pub(crate) fn keys(&self) -> Vec<Keys> {
        let threads = self.threads as u64;
        (0..threads).map(|thread| self.shape.keys(thread, threads)).collect()
    }

    /// Writes until all keys are loaded, or for so long. What was written is durable when it
    /// returns, and the time for that is counted.
    pub(crate) fn run(
        &self,
        db: &Db,
        keys: &mut [Keys],
        time: Duration,
    ) -> Result<Figures, Failure> {
        let values = self.shape.values();
        let (mut figures, started) = in_threads(keys, |keys, started| {
            let writer = Writer { load: self, db, values: &values, deadline: started + time };
            writer.work(keys, Recorder::new(started, self.window)).map_err(database::failure)
        })?;
        if self.durability == Durability::Buffered {
            db.sync().map_err(database::failure)?;
            figures.extend_to(started.elapsed());
        }
        Ok(figures)
    }

    /// Bytes of the frame of one write.
    fn frame_bytes(&self, db: &Db) -> usize {
        let keyspace = db.as_keyspace().id();
        let (key, value) = (vec![0; self.shape.key_bytes], vec![0; self.shape.value_bytes]);
        let insert = RecordOp::Insert { keyspace, key: &key, value: &value };
        FRAME_HEADER_BYTES + 1 + self.batch * insert.encoded_bytes()
    }

    /// What the disk allows this load: a file for groups that hold all writes that are on their way
    /// at a time, and how many records such a group has.
    pub(crate) fn limit(&self, db: &Db, directory: &Path) -> Result<(GroupSyncs, f64), Failure> {
        let frame = self.frame_bytes(db);
        let outstanding = match self.durability {
            Durability::Sync => self.threads * self.tickets,
            Durability::Buffered => usize::MAX,
        };
        let frames = (MOST_GROUP_BYTES / frame).max(1).min(outstanding);
        let syncs = GroupSyncs::new(directory, GROUP_HEADER_BYTES + frames * frame)
            .map_err(|error| Failure::file("prepare a file in", directory, &error))?;
        Ok((syncs, (frames * self.batch) as f64))
    }
}

/// Runs the same work in as many threads as there are streams of keys, all from one moment on;
/// gives what they did together, and that moment.
pub(crate) fn in_threads(
    keys: &mut [Keys],
    work: impl Fn(&mut Keys, Instant) -> Result<Figures, Failure> + Sync,
) -> Result<(Figures, Instant), Failure> {
    let (ready, start) = (Barrier::new(keys.len() + 1), OnceLock::new());
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = keys
            .iter_mut()
            .map(|keys| {
                let (ready, start, work) = (&ready, &start, &work);
                scope.spawn(move || {
                    ready.wait();
                    work(keys, *start.get_or_init(Instant::now))
                })
            })
            .collect();
        ready.wait();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut all: Option<Figures> = None;
    for outcome in outcomes {
        let panicked = |_| Failure::Stopped(Exit::No, "a thread panicked".to_owned());
        let figures = outcome.map_err(panicked)??;
        match &mut all {
            Some(all) => all.merge(&figures),
            None => all = Some(figures),
        }
    }
    let started = *start.get_or_init(Instant::now);
    all.map(|all| (all, started)).ok_or_else(|| Failure::usage("at least one thread is needed"))
}

/// One thread that writes.
struct Writer<'a> {
    load: &'a Load,
    db: &'a Db,
    values: &'a Values,
    deadline: Instant,
}

impl Writer<'_> {
    fn work(&self, keys: &mut Keys, recorder: Recorder) -> mainstay::Result<Figures> {
        if self.load.batch == 1 && self.load.tickets == 1 {
            self.write_singly(keys, recorder)
        } else {
            self.write_batches(keys, recorder)
        }
    }

    fn write_singly(&self, keys: &mut Keys, mut recorder: Recorder) -> mainstay::Result<Figures> {
        let (shape, durability) = (&self.load.shape, self.load.durability);
        let mut key = vec![0; shape.key_bytes];
        recorder.begin();
        while let Some(number) = keys.next_to_load() {
            shape.write_key(number, &mut key);
            self.db.insert_with(&key, self.values.of(number), durability)?;
            if recorder.record(1) >= self.deadline {
                break;
            }
        }
        Ok(recorder.finish())
    }

    fn write_batches(&self, keys: &mut Keys, recorder: Recorder) -> mainstay::Result<Figures> {
        let mut window = Window { db: self.db, recorder, writes: VecDeque::new() };
        let mut began = Instant::now();
        while began < self.deadline {
            let (batch, records) = self.batch(keys);
            if records == 0 {
                break;
            }
            let ticket = self.db.write_with(batch, self.load.durability)?;
            window.writes.push_back(Write { began, ticket, records });
            while window.writes.len() >= self.load.tickets {
                window.acknowledge()?;
            }
            began = Instant::now();
        }
        while !window.writes.is_empty() {
            window.acknowledge()?;
        }
        Ok(window.recorder.finish())
    }

    /// The next batch with the number of its records; none when all keys are loaded.
    fn batch(&self, keys: &mut Keys) -> (Batch, u64) {
        let shape = &self.load.shape;
        let bytes = self.load.batch * (shape.key_bytes + shape.value_bytes + 16);
        let mut batch = Batch::with_capacity(bytes);
        let mut key = vec![0; shape.key_bytes];
        let mut records = 0;
        while records < self.load.batch as u64
            && let Some(number) = keys.next_to_load()
        {
            shape.write_key(number, &mut key);
            batch.insert(self.db, &key, self.values.of(number));
            records += 1;
        }
        (batch, records)
    }
}

/// A write that is on its way.
struct Write {
    began: Instant,
    ticket: Ticket,
    records: u64,
}

/// The writes of one thread that are on their way, oldest first.
struct Window<'a> {
    db: &'a Db,
    recorder: Recorder,
    writes: VecDeque<Write>,
}

impl Window<'_> {
    /// Waits for the oldest write, and notes it and all that became visible together with it.
    fn acknowledge(&mut self) -> mainstay::Result<()> {
        let Some(oldest) = self.writes.pop_front() else { return Ok(()) };
        oldest.ticket.wait()?;
        let now = Instant::now();
        self.recorder.record_between(oldest.began, now, oldest.records);
        let visible = self.db.visible_lsn();
        let together = self.writes.iter().take_while(|write| write.ticket.lsn() <= visible).count();
        for write in self.writes.drain(..together) {
            self.recorder.record_between(write.began, now, write.records);
        }
        Ok(())
    }
}
