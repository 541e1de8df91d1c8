//! A database that is stepped through operations on a simulated disk, with the model beside it.

use std::path::PathBuf;
use std::sync::Arc;

use mainstay_engine::engine::CheckpointStep;
use mainstay_engine::{
    Batch, Durability, Engine, Error, Identity, KeyspaceRef, Options, Result, StoreKind,
};
use mainstay_wal::disk::{Disk, FileDisk, FileDiskOptions, SimDisk};
use mainstay_wal::{DatabaseId, Incarnation, Lsn};

use crate::backups::{Backup, Backups};
use crate::draw::{Draw, Op};
use crate::model::{Change, History};
use crate::transactions::{self, Plan};

/// Where the database of a session is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// With the Store in memory, on a simulated disk.
    Simulated(SimDisk),
    /// With sled, in a directory.
    #[cfg(feature = "sled")]
    Directory(PathBuf),
}

impl From<&SimDisk> for Place {
    fn from(disk: &SimDisk) -> Place {
        Place::Simulated(disk.clone())
    }
}

impl Place {
    fn disk(&self) -> Result<(Arc<dyn Disk>, Option<PathBuf>, StoreKind)> {
        match self {
            Place::Simulated(disk) => Ok((Arc::new(disk.clone()), None, StoreKind::Memory)),
            #[cfg(feature = "sled")]
            Place::Directory(path) => {
                let options = FileDiskOptions { direct: false, ..FileDiskOptions::default() };
                let disk = FileDisk::open(path, options).map_err(|error| {
                    mainstay_wal::Error::io("open", path.display().to_string(), error)
                })?;
                Ok((Arc::new(disk), Some(path.clone()), StoreKind::Sled))
            }
        }
    }
}

/// How the database of a session is opened.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) first_segment_bytes: u64,
    pub(crate) max_segment_bytes: u64,
}

impl Shape {
    /// Segments of 4 KiB in blocks of 512 bytes; now and then larger ones in blocks of 4 KiB.
    pub(crate) fn of(seed: u64) -> Shape {
        match seed % 4 {
            3 => Shape { first_segment_bytes: 8192, max_segment_bytes: 16_384 },
            _ => Shape { first_segment_bytes: 4096, max_segment_bytes: 4096 },
        }
    }

    pub(crate) fn open(self, place: &Place, salt_seed: u64) -> Result<Engine> {
        let (disk, root, store) = place.disk()?;
        let options = Options::new()
            .store(store)
            .memory_bytes(1 << 20)
            .store_cache_bytes(1 << 20)
            .segment_bytes(self.first_segment_bytes, self.max_segment_bytes)
            .background(false);
        let identity =
            Identity { database_id: DatabaseId(7), incarnation: Incarnation(1), salt_seed };
        Engine::open(disk, root, options, identity)
    }
}

/// What a program was told, and what the database must therefore hold.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) history: History,
    /// Up to here everything is durable: somebody waited for it, or was told so.
    pub(crate) acknowledged: Lsn,
    /// From here on somebody was told that nothing was or will be written.
    pub(crate) refused_from: Lsn,
    /// The newest backups, the last one perhaps still being made.
    pub(crate) backups: Vec<Backup>,
}

impl Told {
    pub(crate) fn new() -> Told {
        Told {
            history: History::new(),
            acknowledged: Lsn::ZERO,
            refused_from: Lsn::MAX,
            backups: Vec::new(),
        }
    }

    fn acknowledge(&mut self, durable: Lsn) {
        self.acknowledged = self.acknowledged.max(durable);
    }

    /// After a recovery: what it found is all there is, and durable.
    pub(crate) fn recovered(&mut self, end: Lsn) {
        self.history.truncate(end);
        self.acknowledged = end;
        self.refused_from = Lsn::MAX;
    }
}

/// An open database, or one that was found to be unusable.
#[derive(Debug)]
pub(crate) struct Session {
    place: Place,
    pub(crate) shape: Shape,
    pub(crate) engine: Option<Engine>,
    pub(crate) told: Told,
    /// How often it was opened.
    pub(crate) opened: u64,
    backups: Backups,
}

impl Session {
    /// Opens the database, or makes it.
    pub(crate) fn open(
        place: impl Into<Place>,
        shape: Shape,
        told: Told,
        opened: u64,
    ) -> Result<Session> {
        let place = place.into();
        let engine = shape.open(&place, opened)?;
        let (engine, opened, backups) = (Some(engine), opened + 1, Backups::default());
        Ok(Session { place, shape, engine, told, opened, backups })
    }

    /// Does operations until one fails or there were so many. Gives what failed.
    pub(crate) fn run(&mut self, draw: &mut Draw, operations: usize) -> Result<()> {
        for _ in 0..operations {
            let op = draw.op(self.told.history.last());
            self.perform(&op)?;
        }
        Ok(())
    }

    /// Does one operation; the model learns of what was appended and what is durable, whatever the outcome.
    pub(crate) fn perform(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Write { changes, sync, wait } => {
                let lsn = self.append(changes, durability(*sync))?;
                if *wait { self.wait(lsn) } else { Ok(()) }
            }
            Op::CompareAndSwap { keyspace, key, expected, value } => {
                self.compare_and_swap(keyspace, key, expected.as_deref(), value)
            }
            Op::Transact { plan, between } => self.transact(plan, between.as_ref()),
            Op::BackupSteps { steps } => self.back_up(*steps),
            Op::CreateKeyspace { name } => {
                let change = Change::Create { keyspace: name.clone() };
                self.one_record(&[change], |engine| engine.keyspace(name).map(drop))
            }
            Op::DropKeyspace { name } => {
                let change = Change::Drop { keyspace: name.clone() };
                self.one_record(&[change], |engine| engine.drop_keyspace(name).map(drop))
            }
            Op::Sync => self.wait(self.told.history.last_lsn()),
            Op::Freeze => self.on_engine(|engine| {
                engine.state().freeze();
                Ok(())
            }),
            Op::CheckpointSteps { steps } => self.on_engine(|engine| {
                for _ in 0..*steps {
                    if engine.checkpoint_step()? == CheckpointStep::Idle {
                        break;
                    }
                }
                Ok(())
            }),
            Op::Checkpoint => self.on_engine(|engine| {
                let end = engine.checkpoint()?;
                assert_eq!(end, engine.state().last_applied_lsn(), "all of it is in the Store");
                Ok(())
            }),
            Op::PrepareSegment => {
                self.on_engine(|engine| Ok(engine.log().prepare_segment(0).map(|_prepared| ())?))
            }
            Op::WhileInFlight { batches } => self.while_in_flight(batches),
            Op::Proof => self.on_engine(|engine| {
                if let Some(proof) = engine.log().begin_proof() {
                    let outcome = proof.perform();
                    engine.log().finish_group(proof, outcome);
                }
                refusal(engine)
            }),
            Op::Reopen => self.reopen(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("an open database")
    }

    fn on_engine(&mut self, run: impl FnOnce(&Engine) -> Result<()>) -> Result<()> {
        let outcome = run(self.engine());
        let durable = self.engine().log().durable_lsn();
        self.told.acknowledge(durable);
        outcome
    }

    /// Runs a call that appends one record with these changes, or none.
    fn one_record(
        &mut self,
        changes: &[Change],
        run: impl FnOnce(&Engine) -> Result<()>,
    ) -> Result<()> {
        let outcome = self.on_engine(run);
        let applied = self.engine().state().last_applied_lsn();
        let known = self.told.history.last_lsn();
        if applied != known {
            assert_eq!(applied, known.next(), "one call, one record");
            self.told.history.push(self.told.history.last().after(changes));
            self.told.acknowledge(self.engine().log().durable_lsn());
            self.note_refusal(applied, &outcome);
        }
        outcome
    }

    fn append(&mut self, changes: &[Change], durability: Durability) -> Result<Lsn> {
        let batch = self.batch(changes);
        let mut lsn = Lsn::ZERO;
        self.one_record(changes, |engine| {
            lsn = engine.write(&batch, durability)?;
            Ok(())
        })?;
        assert_eq!(lsn, self.told.history.last_lsn(), "the record that was appended");
        Ok(lsn)
    }

    pub(crate) fn batch(&self, changes: &[Change]) -> Batch {
        let place = |name: &str| self.keyspace(name);
        let mut batch = Batch::new();
        for change in changes {
            match change {
                Change::Insert { keyspace, key, value } => {
                    batch.insert(&place(keyspace), key, value);
                }
                Change::Remove { keyspace, key } => {
                    batch.remove(&place(keyspace), key);
                }
                Change::RemoveRange { keyspace, lower, upper } => {
                    batch.remove_range(&place(keyspace), lower.clone()..upper.clone());
                }
                Change::Create { .. } | Change::Drop { .. } => {
                    panic!("{change:?} is no part of a batch")
                }
            }
        }
        batch
    }

    pub(crate) fn keyspace(&self, name: &str) -> KeyspaceRef {
        let state = self.engine().state();
        let id = state.keyspace_id(name).unwrap_or_else(|| panic!("keyspace {name} is missing"));
        state.keyspace_ref(id, name)
    }

    pub(crate) fn wait(&mut self, lsn: Lsn) -> Result<()> {
        let outcome = self.on_engine(|engine| engine.wait(lsn));
        if outcome.is_ok() {
            assert!(self.told.acknowledged >= lsn, "waited for {lsn}");
        }
        self.note_refusal(lsn, &outcome);
        outcome
    }

    /// Who is told that the log stopped before, is told that the record was never written.
    fn note_refusal(&mut self, lsn: Lsn, outcome: &Result<()>) {
        let never = mainstay_engine::ErrorKind::Reopen;
        if matches!(outcome, Err(Error::Log(error)) if error.kind() == never)
            && lsn > self.told.acknowledged
        {
            self.told.refused_from = self.told.refused_from.min(lsn);
        }
    }

    fn compare_and_swap(
        &mut self,
        keyspace: &str,
        key: &[u8],
        expected: Option<&[u8]>,
        value: &[u8],
    ) -> Result<()> {
        let place = self.keyspace(keyspace);
        let holds = self.told.history.last().get(keyspace, key) == expected;
        let mut batch = Batch::new();
        batch.require(&place, key, expected).insert(&place, key, value);
        let change = Change::Insert {
            keyspace: keyspace.to_owned(),
            key: key.to_vec(),
            value: value.to_vec(),
        };
        let mut swapped = None;
        self.one_record(&[change], |engine| match engine.write(&batch, Durability::Sync) {
            Ok(lsn) => {
                swapped = Some(lsn);
                Ok(())
            }
            Err(Error::PreconditionFailed { .. }) => {
                assert!(!holds, "the value was as expected");
                Ok(())
            }
            Err(error) => Err(error),
        })?;
        assert_eq!(swapped.is_some(), holds, "the value was as expected");
        swapped.map_or(Ok(()), |lsn| self.wait(lsn))
    }

    fn transact(&mut self, plan: &Plan, between: Option<&Change>) -> Result<()> {
        let place = self.keyspace(&plan.keyspace);
        let batch = between.map(|change| self.batch(std::slice::from_ref(change)));
        let engine = self.engine.take().expect("an open database");
        let done = self.transact_in(&engine, (plan, &place), batch.zip(between.cloned()));
        self.engine = Some(engine);
        let lsn = done?;
        lsn.map_or(Ok(()), |lsn| self.wait(lsn))
    }

    fn transact_in(
        &mut self,
        engine: &Engine,
        (plan, place): (&Plan, &KeyspaceRef),
        between: Option<(Batch, Change)>,
    ) -> Result<Option<Lsn>> {
        let transaction = transactions::begin(engine);
        let began = transaction.lsn();
        let value_at = |told: &Told, lsn| {
            told.history.at(lsn).get(&plan.keyspace, &plan.reads).map(<[u8]>::to_vec)
        };
        let read = plan.read(&transaction, place)?;
        assert_eq!(read, value_at(&self.told, began), "what was visible at {began}");
        if let Some((batch, change)) = between {
            let lsn = engine.write(&batch, Durability::Sync)?;
            self.told.history.push(self.told.history.last().after(&[change]));
            assert_eq!(lsn, self.told.history.last_lsn());
        }
        let last = self.told.history.last_lsn();
        let committed = plan.commit(transaction, place);
        self.told.acknowledge(engine.log().durable_lsn());
        let committed = committed?;
        match committed {
            Some(lsn) => {
                assert_eq!(read, value_at(&self.told, last), "somebody else's update is lost");
                let insert = Change::Insert {
                    keyspace: plan.keyspace.clone(),
                    key: plan.writes.clone(),
                    value: plan.value.clone(),
                };
                self.told.history.push(self.told.history.last().after(&[insert]));
                assert_eq!(lsn, self.told.history.last_lsn(), "one transaction, one record");
            }
            None => assert!(last > began, "nobody wrote since {began}, and yet a conflict"),
        }
        Ok(committed)
    }

    fn back_up(&mut self, steps: u32) -> Result<()> {
        let Place::Simulated(disk) = self.place.clone() else { return Ok(()) };
        let mut backups = std::mem::take(&mut self.backups);
        let mut known = std::mem::take(&mut self.told.backups);
        let outcome = self.on_engine(|engine| backups.steps((engine, &disk), &mut known, steps));
        (self.backups, self.told.backups) = (backups, known);
        outcome
    }

    /// Nothing here may wait: the write in flight is ours, and finished only afterwards.
    fn while_in_flight(&mut self, batches: &[Vec<Change>]) -> Result<()> {
        let write = self.engine().log().begin_group();
        let mut appended = Ok(());
        for changes in batches {
            appended = self.append(changes, Durability::Sync).map(drop);
            if appended.is_err() {
                break;
            }
        }
        if let Some(write) = write {
            let outcome = write.perform();
            self.engine().log().finish_group(write, outcome);
            let durable = self.engine().log().durable_lsn();
            self.engine().advance(durable);
            self.told.acknowledge(durable);
        }
        appended.and_then(|()| refusal(self.engine()))
    }

    /// Closes, and opens again.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        self.close()?;
        let engine = self.shape.open(&self.place, self.opened)?;
        self.opened += 1;
        let recovery = engine.recovery();
        assert!(recovery.log.clean, "after a clean close: {recovery:?}");
        self.engine = Some(engine);
        Ok(())
    }

    /// Closes cleanly. The engine stays if it cannot be closed.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.backups = Backups::default();
        self.on_engine(Engine::close)?;
        self.engine = None;
        Ok(())
    }
}

/// What every later write is told, once the log has stopped.
fn refusal(engine: &Engine) -> Result<()> {
    engine.log().refusal().map_or(Ok(()), |error| Err(error.into()))
}

fn durability(sync: bool) -> Durability {
    if sync { Durability::Sync } else { Durability::Buffered }
}
