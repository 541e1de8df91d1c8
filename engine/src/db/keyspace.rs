//! A keyspace, and the calls for keys in it.

use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_wal::Lsn;

use super::{Db, Inner};
use crate::batch::{self, Batch};
use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::{AsKeyspace, KeyspaceRef};
use crate::options::Durability;
use crate::range::Range;

/// An ordered map of keys to values in a database. Cheap to clone.
///
/// Keys have 1 to 65,536 bytes. Reads see what is visible now; [`Db::snapshot`] gives a view that
/// repeats itself. Once the keyspace is dropped, every call answers [`Error::NoSuchKeyspace`].
pub struct Keyspace {
    inner: Arc<Inner>,
    place: KeyspaceRef,
    /// When it was last known to be there, as [`State::drops`](crate::state::State::drops) counts;
    /// `u64::MAX`: not yet.
    known_at: AtomicU64,
}

impl Clone for Keyspace {
    fn clone(&self) -> Keyspace {
        Keyspace::new(self.inner.clone(), self.place.clone())
    }
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keyspace").field(&self.name()).finish()
    }
}

impl AsKeyspace for Keyspace {
    fn as_keyspace(&self) -> &KeyspaceRef {
        &self.place
    }
}

impl AsKeyspace for Db {
    fn as_keyspace(&self) -> &KeyspaceRef {
        self.default_keyspace().as_keyspace()
    }
}

/// How many entries [`Keyspace::approximate_len`] looks at.
const SAMPLED_ENTRIES: usize = 9_999;

impl Keyspace {
    pub(super) fn new(inner: Arc<Inner>, place: KeyspaceRef) -> Keyspace {
        Keyspace { inner, place, known_at: AtomicU64::new(u64::MAX) }
    }

    /// The keyspace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.place.name()
    }

    /// Sets a key's value. Durable when it returns, unless the database was opened otherwise.
    ///
    /// On an error nothing was applied, except where [`Error::is_indeterminate`] says that this is
    /// unknown.
    #[doc(alias = "put")]
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Lsn> {
        self.insert_with(key, value, self.durability())
    }

    /// As [`Keyspace::insert`], with a durability of its own.
    pub fn insert_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        durability: Durability,
    ) -> Result<Lsn> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let mut batch = Batch::with_capacity(key.len() + value.len() + 32);
        batch.insert(self, key, value);
        self.inner.write_and_wait(&batch, durability)
    }

    /// Removes a key; one that is missing is no error. Errors as of [`Keyspace::insert`].
    #[doc(alias = "delete")]
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Lsn> {
        let mut batch = Batch::new();
        batch.remove(self, key);
        self.write(&batch)
    }

    /// Removes every key between the bounds, in one write. Errors as of [`Keyspace::insert`].
    pub fn remove_range<K: AsRef<[u8]>>(&self, bounds: impl RangeBounds<K>) -> Result<Lsn> {
        let mut batch = Batch::new();
        batch.remove_range(self, bounds);
        self.write(&batch)
    }

    /// Removes every key that begins with a prefix, in one write. Errors as of
    /// [`Keyspace::insert`].
    pub fn remove_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Lsn> {
        let mut batch = Batch::new();
        batch.remove_prefix(self, prefix);
        self.write(&batch)
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = key.as_ref();
        batch::check_key(key)?;
        self.check()?;
        self.inner.engine.state().get_visible(self.place.id(), key)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The entries between the bounds, in order of keys, from both ends; a view as of now.
    pub fn range<K: AsRef<[u8]>>(&self, bounds: impl RangeBounds<K>) -> Result<Range> {
        self.within(|snapshot| snapshot.range(self, bounds))
    }

    /// The entries whose keys begin with a prefix; a view as of now.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Range> {
        self.within(|snapshot| snapshot.prefix(self, prefix))
    }

    /// All entries; a view as of now.
    pub fn iter(&self) -> Result<Range> {
        self.within(|snapshot| snapshot.iter(self))
    }

    /// The entry with the lowest key.
    pub fn first(&self) -> Result<Option<(Key, Value)>> {
        self.iter()?.next().transpose()
    }

    /// The entry with the highest key.
    pub fn last(&self) -> Result<Option<(Key, Value)>> {
        self.iter()?.next_back().transpose()
    }

    /// Removes the entry with the lowest key and gives it. No two callers get the same one.
    pub fn pop_first(&self) -> Result<Option<(Key, Value)>> {
        self.pop(Keyspace::first)
    }

    /// Removes the entry with the highest key and gives it. No two callers get the same one.
    pub fn pop_last(&self) -> Result<Option<(Key, Value)>> {
        self.pop(Keyspace::last)
    }

    fn pop(
        &self,
        end: impl Fn(&Keyspace) -> Result<Option<(Key, Value)>>,
    ) -> Result<Option<(Key, Value)>> {
        loop {
            let Some((key, value)) = end(self)? else { return Ok(None) };
            match self.compare_and_swap(&key, Some(&value), None) {
                Ok(_) => return Ok(Some((key, value))),
                Err(Error::PreconditionFailed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sets a key's value, or removes the key, if its value is the expected one; `None` stands for
    /// a missing key.
    ///
    /// [`Error::PreconditionFailed`] names the value that it has instead; nothing was applied then.
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<Lsn> {
        let key = key.as_ref();
        let mut batch = Batch::new();
        batch.require(self, key, expected);
        match new {
            Some(value) => batch.insert(self, key, value),
            None => batch.remove(self, key),
        };
        self.write(&batch)
    }

    /// Changes a key's value by a function of the present one, atomically; `None` stands for a
    /// missing key. Gives the value before.
    ///
    /// The function runs again if another write comes between.
    pub fn fetch_update(
        &self,
        key: impl AsRef<[u8]>,
        mut update: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value>> {
        let key = key.as_ref();
        let mut before = self.get(key)?;
        loop {
            let new = update(before.as_deref());
            match self.compare_and_swap(key, before.as_deref(), new.as_deref()) {
                Ok(_) => return Ok(before),
                Err(Error::PreconditionFailed { found, .. }) => before = found,
                Err(error) => return Err(error),
            }
        }
    }

    /// About how many entries there are, without reading them all.
    ///
    /// Exact up to 10,000. Beyond, it is extrapolated from how far so many entries reach between
    /// the first and the last key: close for keys that are spread evenly, and perhaps far off
    /// for others.
    pub fn approximate_len(&self) -> Result<u64> {
        let mut entries = self.iter()?;
        let Some(first) = entries.next().transpose()? else { return Ok(0) };
        let mut sampled = 1;
        let mut reached = first.0.clone();
        for entry in entries.by_ref().take(SAMPLED_ENTRIES) {
            reached = entry?.0;
            sampled += 1;
        }
        match entries.next_back().transpose()? {
            None => Ok(sampled),
            Some((last, _)) => Ok(extrapolate(sampled, &first.0, &reached, &last)),
        }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.first()?.is_none())
    }

    fn within(&self, range: impl FnOnce(&crate::Snapshot) -> Range) -> Result<Range> {
        self.check()?;
        Ok(range(&self.inner.engine.state().snapshot()))
    }

    fn check(&self) -> Result<()> {
        let drops = self.inner.engine.state().drops();
        if self.known_at.load(Ordering::Relaxed) != drops {
            self.inner.engine.check_keyspace(&self.place)?;
            self.known_at.store(drops, Ordering::Relaxed);
        }
        Ok(())
    }

    fn durability(&self) -> Durability {
        self.inner.engine.options.durability
    }

    fn write(&self, batch: &Batch) -> Result<Lsn> {
        self.inner.write_and_wait(batch, self.durability())
    }
}

/// How many entries there are up to `last`, if there are `sampled` of them evenly up to `reached`.
#[expect(clippy::cast_possible_truncation, reason = "an estimate; the conversion saturates")]
fn extrapolate(sampled: u64, first: &[u8], reached: &[u8], last: &[u8]) -> u64 {
    let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    let number = |key: &[u8]| {
        let mut bytes = [0; 8];
        let tail = &key[common.min(key.len())..];
        let length = tail.len().min(8);
        bytes[..length].copy_from_slice(&tail[..length]);
        u64::from_be_bytes(bytes) as f64
    };
    let (start, here, end) = (number(first), number(reached), number(last));
    let share = ((here - start) / (end - start)).clamp(f64::EPSILON, 1.0);
    if share.is_nan() { sampled } else { ((sampled as f64 / share) as u64).max(sampled + 1) }
}
