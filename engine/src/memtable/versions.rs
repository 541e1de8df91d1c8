//! What one key was, and since when.

use mainstay_wal::Lsn;

use crate::bytes::Value;

/// A value, or its absence, from an LSN on.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) lsn: Lsn,
    /// `None`: the key was removed.
    pub(crate) value: Option<Value>,
}

/// The versions of a key in one memtable: at least one, each newer than the one before.
///
/// The newest lies inline, since most keys have no other.
#[derive(Debug)]
pub(super) struct Versions {
    newest: Version,
    /// Oldest first.
    #[expect(clippy::box_collection, reason = "one word for the keys that have one version")]
    older: Option<Box<Vec<Version>>>,
}

/// Whenever a key has a multiple of so many versions besides the newest, some may be removed.
pub(super) const MANY: usize = 8;
/// How many versions a vector has room for at first.
const FIRST_CAPACITY: usize = 4;
/// The vector itself, and what the allocator adds to it and to its content.
const VECTOR_BYTES: usize = size_of::<Vec<Version>>() + 3 * size_of::<usize>();

impl Versions {
    pub(super) fn new(lsn: Lsn, value: Option<Value>) -> Self {
        Versions { newest: Version { lsn, value }, older: None }
    }

    /// Adds a version; one of the same LSN is replaced, and its value given back.
    pub(super) fn add(&mut self, lsn: Lsn, value: Option<Value>) -> Option<Value> {
        assert!(lsn >= self.newest.lsn, "version at {lsn} comes after {}", self.newest.lsn);
        let replaced = std::mem::replace(&mut self.newest, Version { lsn, value });
        if replaced.lsn == lsn {
            return replaced.value;
        }
        self.older.get_or_insert_default().push(replaced);
        None
    }

    /// Whether there are so many versions that some may not be needed any more. Now and then only
    /// while they are needed.
    pub(super) fn has_many(&self) -> bool {
        self.older.as_ref().is_some_and(|older| older.len().is_multiple_of(MANY))
    }

    /// What they take, their values apart.
    pub(super) fn older_bytes(&self) -> usize {
        self.older.as_ref().map_or(0, |older| {
            let capacity = older.len().next_power_of_two().max(FIRST_CAPACITY);
            VECTOR_BYTES + capacity * size_of::<Version>()
        })
    }

    /// Removes the versions that nobody sees who sees at least everything up to `seen`. Gives them
    /// back.
    pub(super) fn prune(&mut self, seen: Lsn) -> Vec<Version> {
        let Some(older) = &mut self.older else { return Vec::new() };
        if self.newest.lsn <= seen {
            return self.older.take().map(|older| *older).unwrap_or_default();
        }
        let known = older.partition_point(|version| version.lsn <= seen);
        if known < 2 {
            return Vec::new();
        }
        let pruned = older.drain(..known - 1).collect();
        older.shrink_to(FIRST_CAPACITY);
        pruned
    }

    pub(super) fn newest(&self) -> &Version {
        &self.newest
    }

    pub(super) fn oldest(&self) -> &Version {
        self.older.as_ref().and_then(|older| older.first()).unwrap_or(&self.newest)
    }

    /// The newest version that is not past `at`.
    pub(super) fn newest_at(&self, at: Lsn) -> Option<&Version> {
        if self.newest.lsn <= at {
            return Some(&self.newest);
        }
        let older = self.older.as_ref()?;
        let newer = older.partition_point(|version| version.lsn <= at);
        older[..newer].last()
    }

    /// Removes the newest version if it is past `lsn`. The last one cannot be removed so: `Err`.
    pub(super) fn remove_past(&mut self, lsn: Lsn) -> Result<Option<Version>, ()> {
        if self.newest.lsn <= lsn {
            return Ok(None);
        }
        let below = self.older.as_mut().and_then(|older| older.pop()).ok_or(())?;
        if self.older.as_ref().is_some_and(|older| older.is_empty()) {
            self.older = None;
        }
        Ok(Some(std::mem::replace(&mut self.newest, below)))
    }
}
