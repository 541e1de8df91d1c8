//! Names of keyspaces and the numbers they have in records.

use std::fmt;

/// The number of a keyspace in records and in the Store. Never used twice in one database.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

impl KeyspaceId {
    /// Names of keyspaces and their numbers: kept like data, so that checkpoints and images carry it.
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
