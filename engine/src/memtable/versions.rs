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

/// Bytes that each version beyond the first takes, its value apart: vectors are half empty on
/// average.
pub(super) const OLDER_VERSION_BYTES: usize = size_of::<Version>() * 3 / 2;

impl Versions {
    pub(super) fn new(lsn: Lsn, value: Option<Value>) -> Self {
        Versions { newest: Version { lsn, value }, older: None }
    }

    /// Adds a version; one of the same LSN is replaced, and given back.
    pub(super) fn add(&mut self, lsn: Lsn, value: Option<Value>) -> Option<Version> {
        assert!(lsn >= self.newest.lsn, "version at {lsn} comes after {}", self.newest.lsn);
        let replaced = std::mem::replace(&mut self.newest, Version { lsn, value });
        if replaced.lsn == lsn {
            return Some(replaced);
        }
        self.older.get_or_insert_default().push(replaced);
        None
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
