//! What every store is asked to do, and which stores there are.

use std::path::Path;

use crate::peers;

/// Whatever goes wrong in a store ends the measurement that it goes wrong in.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Waits until a write that was submitted is acknowledged.
pub(crate) type Pending = Box<dyn FnOnce() -> Result<()>>;

/// A store that is open. All threads of a measurement share it; dropping it closes it.
///
/// An answer of `Ok` to a write means what [`Settings::durable`] asked for.
pub(crate) trait Peer: Send + Sync {
    /// Writes one record.
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Writes records together: all or none of them.
    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()>;

    /// Begins to write one record, where a store can do that without a thread that waits.
    fn submit(&self, key: &[u8], value: &[u8]) -> Result<Pending> {
        self.insert(key, value)?;
        Ok(Box::new(|| Ok(())))
    }

    /// The length of a key's value. The value itself is read, or could be without a further call.
    fn get(&self, key: &[u8]) -> Result<Option<usize>>;

    /// Reads every record in order of keys; gives their number and the bytes of keys and values.
    fn scan(&self) -> Result<(u64, u64)>;

    /// Makes every write so far durable, as far as the store can.
    fn sync(&self) -> Result<()>;

    /// Brings what was loaded to where the store keeps it in the long run, before reads are
    /// measured.
    fn settle(&self) -> Result<()> {
        self.sync()
    }
}

/// Memory that a store may use, shared out by what a workload does: see the table in
/// [`crate::peers`].
#[derive(Copy, Clone, Debug)]
pub(crate) struct Memory {
    /// For what was written and is not in the files that the store keeps yet.
    pub(crate) write_bytes: u64,
    /// For what was read.
    pub(crate) cache_bytes: u64,
}

impl Memory {
    pub(crate) fn total(self) -> u64 {
        self.write_bytes + self.cache_bytes
    }
}

/// How a store is opened.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Settings {
    /// Whether a write is acknowledged only when it survives a power cut. Otherwise it may be lost
    /// by one, but not be followed by a write that is not.
    pub(crate) durable: bool,
    /// The store's own defaults where there is none.
    pub(crate) memory: Option<Memory>,
    /// How many records can be waited for at the same time: what one sync can carry at best.
    pub(crate) outstanding: u64,
    /// Bytes of a record's key and value.
    pub(crate) record_bytes: u64,
}

/// What a store can be asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Everything.
    Store,
    /// Appending only.
    Log,
    /// Reading only, of what was loaded in bulk.
    Tree,
    /// Reading only, of what is in memory.
    Map,
    /// Not a store: what the disk allows.
    Limit,
}

/// A kind of store.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Whose version is that of the store.
    pub(crate) package: &'static str,
    pub(crate) class: Class,
    /// Whether a write that it calls durable is.
    pub(crate) keeps_durable: bool,
    /// Whether it has a call that begins a write and another that waits for it.
    pub(crate) has_tickets: bool,
    /// How it makes writes durable, and how buffered ones are acknowledged.
    pub(crate) durability: &'static str,
    /// Which of its options the memory goes to.
    pub(crate) memory: &'static str,
    pub(crate) open: fn(&Path, &Settings) -> Result<Box<dyn Peer>>,
}

impl Kind {
    /// The version that this program was built with.
    pub(crate) fn version(&self) -> &'static str {
        let lock = include_str!("../Cargo.lock");
        let name = format!("name = \"{}\"", self.package);
        let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
        let line = lines.next().and_then(|line| line.strip_prefix("version = "));
        line.map_or("", |version| version.trim_matches('"'))
    }
}

/// All kinds, in the order in which they take turns.
pub(crate) const KINDS: &[Kind] = &[
    peers::disk::KIND,
    peers::mainstay::SLED,
    peers::mainstay::LSM,
    peers::sled::KIND,
    peers::redb::KIND,
    peers::fjall::KIND,
    peers::lmdb::KIND,
    #[cfg(feature = "rocksdb")]
    peers::rocksdb::KIND,
    peers::raft_engine::KIND,
    peers::okaywal::KIND,
    peers::lsm_tree::KIND,
    peers::map::KIND,
];

pub(crate) fn kind(name: &str) -> Result<&'static Kind> {
    let found = KINDS.iter().find(|kind| kind.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        format!("there is no peer {name:?}; there are {}", names.join(", ")).into()
    })
}
