//! `mainstay import`, into a database.

use std::collections::VecDeque;

use mainstay::{Batch, Db, Durability, Keyspace, Ticket};

use crate::database;
use crate::exit::{Exit, Failure};
use crate::import::{DurabilityName, ImportArgs, Sink, run_into};
use crate::output::Output;
use crate::rows::Row;

/// Batches on their way to the disk at a time.
const IN_FLIGHT: usize = 8;

/// Writes batches to a keyspace, a few of them at a time.
pub(crate) struct KeyspaceSink {
    db: Db,
    keyspace: Keyspace,
    durability: Durability,
    in_flight: VecDeque<Ticket>,
}

impl KeyspaceSink {
    pub(crate) fn new(
        db: Db,
        keyspace: &str,
        durability: Durability,
    ) -> Result<KeyspaceSink, Failure> {
        let keyspace = db.keyspace(keyspace).map_err(database::failure)?;
        Ok(KeyspaceSink { db, keyspace, durability, in_flight: VecDeque::new() })
    }

    /// The database again, when everything was written.
    pub(crate) fn into_db(self) -> Db {
        self.db
    }

    fn wait_until(&mut self, most: usize) -> Result<(), Failure> {
        while self.in_flight.len() > most {
            if let Some(ticket) = self.in_flight.pop_front() {
                ticket.wait().map_err(database::failure)?;
            }
        }
        Ok(())
    }
}

impl Sink for KeyspaceSink {
    fn write(&mut self, rows: Vec<Row>) -> Result<(), Failure> {
        self.wait_until(IN_FLIGHT - 1)?;
        let mut batch = Batch::new();
        for row in rows {
            batch.insert(&self.keyspace, row.key, row.value);
        }
        let ticket = self.db.write_with(batch, self.durability).map_err(database::failure)?;
        self.in_flight.push_back(ticket);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.wait_until(0)?;
        self.db.sync().map_err(database::failure)
    }
}

pub(crate) fn run(args: &ImportArgs, output: &mut Output) -> Result<Exit, Failure> {
    let durability = match args.durability {
        DurabilityName::Sync => Durability::Sync,
        DurabilityName::Buffered => Durability::Buffered,
    };
    run_into(args, output, || {
        let db = database::open(&args.dir)?;
        Ok(Box::new(KeyspaceSink::new(db, &args.keyspace, durability)?))
    })
}
