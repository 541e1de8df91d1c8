//! Names of keyspaces and the numbers they have in records.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

/// The longest name of a keyspace, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Names that begin so are ours.
pub(crate) const RESERVED_PREFIX: &str = "mainstay.";

/// The name of [`KeyspaceId::DEFAULT`].
pub(crate) const DEFAULT_NAME: &str = "default";

/// The number of a keyspace in records and in the Store. Never used twice in one database.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

impl KeyspaceId {
    /// Names of keyspaces and their numbers: kept like data, so that checkpoints and images carry
    /// it.
    pub const CATALOG: KeyspaceId = KeyspaceId(0);
    /// The keyspace named `default`, which is always there.
    pub const DEFAULT: KeyspaceId = KeyspaceId(1);
    /// Answers to requests of replicated clients. Reserved.
    pub const SESSIONS: KeyspaceId = KeyspaceId(2);
    /// The first number for keyspaces that users create.
    pub const FIRST_USER: KeyspaceId = KeyspaceId(16);
}

impl fmt::Display for KeyspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which keyspace of which open database a handle stands for. Cheap to clone.
///
/// Batches and snapshots take keyspaces through [`AsKeyspace`], whose only duty is to show one of
/// these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyspaceRef {
    database: u64,
    id: KeyspaceId,
    /// `None` stands for [`DEFAULT_NAME`]: every write copies this, and need not count it.
    name: Option<Arc<str>>,
}

impl KeyspaceRef {
    /// Made by [`State::keyspace_ref`](crate::state::State::keyspace_ref) alone, which knows its
    /// own number.
    pub(crate) fn new(database: u64, id: KeyspaceId, name: &str) -> Self {
        KeyspaceRef { database, id, name: (name != DEFAULT_NAME).then(|| Arc::from(name)) }
    }

    /// The keyspace's number.
    #[must_use]
    pub fn id(&self) -> KeyspaceId {
        self.id
    }

    /// The keyspace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(DEFAULT_NAME)
    }

    /// The number that tells open databases of this process apart.
    #[must_use]
    pub fn database(&self) -> u64 {
        self.database
    }

    /// The error for a handle that does not fit.
    pub(crate) fn missing(&self) -> Error {
        Error::NoSuchKeyspace { name: self.name().to_owned() }
    }
}

/// A handle of a keyspace, as batches, snapshots and transactions take it.
pub trait AsKeyspace {
    /// The keyspace that the handle stands for.
    fn as_keyspace(&self) -> &KeyspaceRef;
}

impl AsKeyspace for KeyspaceRef {
    fn as_keyspace(&self) -> &KeyspaceRef {
        self
    }
}

impl<T: AsKeyspace + ?Sized> AsKeyspace for &T {
    fn as_keyspace(&self) -> &KeyspaceRef {
        (**self).as_keyspace()
    }
}

/// Whether a keyspace may have this name: 1 to [`MAX_NAME_BYTES`] bytes, not beginning with
/// `mainstay.`.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME_BYTES {
        Some("it is longer than 255 bytes")
    } else if name.starts_with(RESERVED_PREFIX) {
        Some("names that begin with \"mainstay.\" are reserved")
    } else {
        None
    }
}

/// Refuses a name that no keyspace can have, and that of the keyspace that is always there.
pub(crate) fn check_droppable(name: &str) -> Result<()> {
    check_name(name)?;
    if name == DEFAULT_NAME {
        let reason = "the default keyspace is always there; use remove_range to empty it";
        return Err(Error::KeyspaceName { name: name.to_owned(), reason });
    }
    Ok(())
}

/// Refuses a name that no keyspace can have.
pub(crate) fn check_name(name: &str) -> Result<()> {
    match name_fault(name) {
        None => Ok(()),
        Some(reason) => Err(Error::KeyspaceName { name: name.to_string(), reason }),
    }
}
