//! The stores, one file each.
//!
//! Memory: every store is given the same budget in every workload, by `--memory`, 256 MiB unless
//! said otherwise. Workloads that write give three quarters of it to what was written and one to
//! what was read; workloads that read, the other way round; half to each where they do both.
//! Where a store has one pool for both, it gets the whole.
//!
//! | peer | what was written | what was read |
//! |---|---|---|
//! | mainstay, mainstay-lsm | `memory_bytes` | `store_cache_bytes` |
//! | sled | `cache_capacity`: the whole | |
//! | redb | `set_cache_size`: the whole | |
//! | fjall | `max_memtable_size`: a quarter, since it has up to four and the active one | `cache_size` |
//! | lmdb | none of its own: the kernel's page cache, which has no bound | |
//! | rocksdb | `write_buffer_size`: a quarter, up to four of them | a block cache, indexes in it |
//! | raft-engine | its index only, without a bound | |
//! | okaywal | its buffers only | |
//! | lsm-tree | nothing is written while it is measured | `use_cache` |
//! | map | everything is in memory | |
//!
//! The kernel's page cache comes on top for everybody. Nobody compresses: values are random bytes,
//! which do not get shorter. Reopening after a kill is measured with each store's defaults.

pub(crate) mod disk;
pub(crate) mod fjall;
pub(crate) mod lmdb;
pub(crate) mod lsm_tree;
pub(crate) mod mainstay;
pub(crate) mod map;
pub(crate) mod okaywal;
pub(crate) mod raft_engine;
pub(crate) mod redb;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocksdb;
pub(crate) mod sled;

/// The answer of a store that has no such call. Workloads do not ask; see [`crate::peer::Class`].
fn refused<T>(what: &str) -> crate::peer::Result<T> {
    Err(format!("it cannot {what}").into())
}
