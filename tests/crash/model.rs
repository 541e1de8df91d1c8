//! What the database must hold after each record.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mainstay_wal::Lsn;

pub(crate) type Entries = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// Keyspaces by name, with their entries. Copies share what they have in common.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) keyspaces: BTreeMap<String, Arc<Entries>>,
}

/// A change that a record makes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Insert { keyspace: String, key: Vec<u8>, value: Vec<u8> },
    Remove { keyspace: String, key: Vec<u8> },
    RemoveRange { keyspace: String, lower: Vec<u8>, upper: Vec<u8> },
    Create { keyspace: String },
    Drop { keyspace: String },
}

impl Contents {
    pub(crate) fn new() -> Contents {
        let default = ("default".to_owned(), Arc::default());
        Contents { keyspaces: BTreeMap::from([default]) }
    }

    pub(crate) fn get(&self, keyspace: &str, key: &[u8]) -> Option<&[u8]> {
        self.keyspaces.get(keyspace)?.get(key).map(|value| &**value)
    }

    pub(crate) fn after(&self, changes: &[Change]) -> Contents {
        let mut next = self.clone();
        for change in changes {
            next.apply(change);
        }
        next
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Insert { keyspace, key, value } => {
                self.entries(keyspace).insert(key.clone(), Arc::from(&value[..]));
            }
            Change::Remove { keyspace, key } => {
                self.entries(keyspace).remove(key);
            }
            Change::RemoveRange { keyspace, lower, upper } => {
                self.entries(keyspace).retain(|key, _| !(lower..upper).contains(&key));
            }
            Change::Create { keyspace } => {
                self.keyspaces.entry(keyspace.clone()).or_default();
            }
            Change::Drop { keyspace } => {
                self.keyspaces.remove(keyspace);
            }
        }
    }

    fn entries(&mut self, keyspace: &str) -> &mut Entries {
        Arc::make_mut(self.keyspaces.get_mut(keyspace).expect("a keyspace that was made"))
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, entries) in &self.keyspaces {
            write!(f, "{name}: {{")?;
            for (key, value) in entries.iter() {
                let head = &value[..value.len().min(4)];
                write!(f, " {}={}x{head:?}", String::from_utf8_lossy(key), value.len())?;
            }
            writeln!(f, " }}")?;
        }
        Ok(())
    }
}

/// The contents after every record since the first.
#[derive(Clone, Debug)]
pub(crate) struct History {
    states: Vec<Contents>,
}

impl History {
    pub(crate) fn new() -> History {
        History { states: vec![Contents::new()] }
    }

    pub(crate) fn last_lsn(&self) -> Lsn {
        Lsn(self.states.len() as u64 - 1)
    }

    pub(crate) fn last(&self) -> &Contents {
        self.states.last().expect("the state before all records")
    }

    pub(crate) fn at(&self, lsn: Lsn) -> &Contents {
        &self.states[lsn.0 as usize]
    }

    pub(crate) fn push(&mut self, contents: Contents) {
        self.states.push(contents);
    }

    /// Forgets the records that a crash took.
    pub(crate) fn truncate(&mut self, last_kept: Lsn) {
        self.states.truncate(last_kept.0 as usize + 1);
    }
}
