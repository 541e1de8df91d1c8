//! Which keyspaces there are.
//!
//! In keyspace [`KeyspaceId::CATALOG`] each name stands as a key with the keyspace's number (4
//! bytes, little-endian) as its value; under [`HIGHEST`] stands the highest number ever given.
//! `default` is always there and stands nowhere.

use std::collections::BTreeMap;

use crate::bytes::{Key, Value};
use crate::keyspace::{DEFAULT_NAME, KeyspaceId};
use crate::memtable::Change;

/// The key of the highest number ever given. No keyspace can have this name.
pub(super) const HIGHEST: &str = "mainstay.highest_keyspace";

/// The keyspaces after the last applied record.
#[derive(Debug)]
pub(super) struct Catalog {
    ids: BTreeMap<String, KeyspaceId>,
    names: BTreeMap<KeyspaceId, String>,
    highest: u32,
    /// Numbers handed out for keyspaces that are not created yet.
    allocated: u32,
}

impl Catalog {
    /// Reads the entries of keyspace [`KeyspaceId::CATALOG`]. `None` if one of them makes no sense.
    pub(super) fn read(entries: &[(Key, Value)]) -> Option<Catalog> {
        let mut catalog = Catalog {
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            highest: KeyspaceId::FIRST_USER.0 - 1,
            allocated: 0,
        };
        for (key, value) in entries {
            let (name, number) = read_entry(key, value)?;
            if name == HIGHEST {
                catalog.highest = catalog.highest.max(number);
            } else {
                catalog.ids.insert(name.to_string(), KeyspaceId(number));
                catalog.names.insert(KeyspaceId(number), name.to_string());
            }
        }
        catalog.highest = catalog.names.keys().fold(catalog.highest, |top, id| top.max(id.0));
        catalog.allocated = catalog.highest;
        Some(catalog)
    }

    pub(super) fn id(&self, name: &str) -> Option<KeyspaceId> {
        if name == DEFAULT_NAME {
            return Some(KeyspaceId::DEFAULT);
        }
        self.ids.get(name).copied()
    }

    pub(super) fn name(&self, id: KeyspaceId) -> Option<&str> {
        if id == KeyspaceId::DEFAULT {
            return Some(DEFAULT_NAME);
        }
        self.names.get(&id).map(String::as_str)
    }

    /// Names and numbers, in order of names.
    pub(super) fn all(&self) -> Vec<(String, KeyspaceId)> {
        let mut all: Vec<_> = self.ids.iter().map(|(name, id)| (name.clone(), *id)).collect();
        all.push((DEFAULT_NAME.to_string(), KeyspaceId::DEFAULT));
        all.sort();
        all
    }

    /// A number that was never given before. `None` when all four billion are used up.
    pub(super) fn allocate(&mut self) -> Option<KeyspaceId> {
        self.allocated = self.allocated.max(self.highest).checked_add(1)?;
        Some(KeyspaceId(self.allocated))
    }

    /// Never hands out again what another catalog of this database has handed out.
    pub(super) fn continue_after(&mut self, earlier: &Catalog) {
        self.allocated = self.allocated.max(earlier.allocated);
    }

    /// Gives a name to a keyspace. Over a Store that is ahead the name may stand for a later one:
    /// it will again.
    pub(super) fn create(&mut self, id: KeyspaceId, name: &str, changes: &mut Vec<Change>) {
        if let Some(other) = self.ids.insert(name.to_string(), id) {
            self.names.remove(&other);
        }
        self.names.insert(id, name.to_string());
        changes.push(entry(name, Some(id.0)));
        if id.0 > self.highest {
            self.highest = id.0;
            changes.push(entry(HIGHEST, Some(id.0)));
        }
    }

    /// Takes the name of a keyspace away. Over a Store that is ahead it may have none any more.
    pub(super) fn drop_keyspace(&mut self, id: KeyspaceId, changes: &mut Vec<Change>) {
        if let Some(name) = self.names.remove(&id) {
            self.ids.remove(&name);
            changes.push(entry(&name, None));
        }
    }
}

/// The keyspace that an entry of the catalog names; `Some(None)` if it names none, `None` if it
/// makes no sense.
pub(super) fn keyspace_of(key: &Key, value: &Value) -> Option<Option<(String, KeyspaceId)>> {
    let (name, number) = read_entry(key, value)?;
    Some((name != HIGHEST).then(|| (name.to_string(), KeyspaceId(number))))
}

fn read_entry<'a>(key: &'a Key, value: &Value) -> Option<(&'a str, u32)> {
    let name = std::str::from_utf8(key).ok()?;
    Some((name, u32::from_le_bytes(value.as_bytes().try_into().ok()?)))
}

fn entry(name: &str, number: Option<u32>) -> Change {
    Change::Point {
        keyspace: KeyspaceId::CATALOG,
        key: Key::from(name),
        value: number.map(|number| Value::from(&number.to_le_bytes())),
    }
}
