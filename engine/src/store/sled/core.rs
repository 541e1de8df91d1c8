//! sled behind a wall: every call into it is made here, and none of its panics gets out.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::KIND;
use super::entry::{self, Large, Stored};
use crate::bytes::Value;
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::store::directory::Scratch;
use crate::store::failed;
use crate::store::wall::{Wall, message};

pub(super) use crate::store::wall::Problem;

/// How long dropping a Store waits for sled to end. It does not end if one of its threads panicked.
const DROP_WAIT: Duration = Duration::from_secs(10);

/// sled's handles, shared by a Store and its iterators.
pub(super) struct Core {
    pub(super) wall: Wall,
    /// There until this is dropped.
    handles: Option<Handles>,
    /// Dropped, and so removed, after the handles.
    _scratch: Option<Scratch>,
    /// Reads since sled could last take back memory. Not counted while it can at any time.
    reads: AtomicU64,
    /// Whether an [anchor](super::anchor) keeps sled from taking back memory.
    pub(super) anchored: AtomicBool,
}

/// What sled gave us.
pub(super) struct Handles {
    pub(super) db: ::sled::Db,
    /// Our own notes.
    pub(super) notes: ::sled::Tree,
    /// Changed by the one who writes only; loaded by every read.
    pub(super) keyspaces: ArcSwap<Keyspaces>,
}

pub(super) type Keyspaces = BTreeMap<KeyspaceId, Keyspace>;

/// The trees of one keyspace.
#[derive(Clone)]
pub(super) struct Keyspace {
    pub(super) entries: ::sled::Tree,
    /// Made with the first large value.
    pub(super) chunks: Option<::sled::Tree>,
}

impl From<::sled::Error> for Problem {
    fn from(error: ::sled::Error) -> Problem {
        Problem::Library { reason: error.to_string(), damaged: is_damage(&error) }
    }
}

impl Core {
    /// Wraps what `open` gets from sled.
    pub(super) fn new(
        path: PathBuf,
        scratch: Option<Scratch>,
        open: impl FnOnce() -> std::result::Result<Handles, Problem>,
    ) -> Result<Core> {
        let (wall, reads) = (Wall::new(KIND, path), AtomicU64::new(0));
        let anchored = AtomicBool::new(false);
        let mut core = Core { wall, handles: None, _scratch: scratch, reads, anchored };
        core.handles = Some(core.wall.call("open itself", open)?);
        Ok(core)
    }

    /// Counts a read while that matters, and gives how many there were.
    pub(super) fn count_read(&self) -> u64 {
        if self.anchored.load(Ordering::Relaxed) {
            self.reads.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            0
        }
    }

    /// Reads that sled could not take back the memory of.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn forget_reads(&self) {
        self.reads.store(0, Ordering::Relaxed);
    }

    /// Calls into sled.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Handles) -> std::result::Result<T, Problem>,
    ) -> Result<T> {
        match &self.handles {
            Some(handles) => self.wall.call(operation, || call(handles)),
            None => Err(failed(KIND, operation, "it is closed")),
        }
    }

    /// The value that an entry stands for. Meanwhile it may be overwritten and its chunks removed:
    /// then the entry is read again. `None` if it is gone.
    pub(super) fn resolve(
        &self,
        handles: &Handles,
        keyspace: KeyspaceId,
        key: &[u8],
        mut found: ::sled::IVec,
    ) -> std::result::Result<Option<Value>, Problem> {
        loop {
            let large = match entry::decode(&found) {
                Some(Stored::Inline(value)) => return Ok(Some(value)),
                Some(Stored::Large(large)) => large,
                None => return Err(Problem::Content("an entry is not valid".into())),
            };
            let Some(trees) = handles.keyspace(keyspace) else { return Ok(None) };
            if let Some(value) = trees.large_value(large)? {
                return Ok(Some(value));
            }
            match absent_if_dropped(trees.entries.get(key))? {
                None => return Ok(None),
                Some(again) if again != found => found = again,
                Some(_) => {
                    let reason = format!("chunks of large value {} are missing", large.number);
                    return Err(Problem::Content(reason));
                }
            }
        }
    }
}

impl Drop for Core {
    #[expect(
        clippy::disallowed_methods,
        reason = "sled can hang when it ends; nobody must wait for that"
    )]
    fn drop(&mut self) {
        if let Some(handles) = self.handles.take() {
            let (done, is_done) = mpsc::channel();
            let end = move || {
                let end = catch_unwind(AssertUnwindSafe(move || drop(handles)));
                if let Err(payload) = end {
                    tracing::error!(reason = message(&*payload), "sled panicked when it ended");
                }
                // Nobody listens any more if it took too long.
                let _ = done.send(());
            };
            let thread = std::thread::Builder::new().name("mainstay-sled-end".into()).spawn(end);
            // A thread that cannot be made has dropped the handles already.
            if thread.is_ok() && is_done.recv_timeout(DROP_WAIT).is_err() {
                let path = self.wall.path.display();
                tracing::error!(%path, "sled does not end; its files stay locked");
            }
        }
    }
}

impl Handles {
    pub(super) fn keyspace(&self, keyspace: KeyspaceId) -> Option<Keyspace> {
        self.keyspaces.load().get(&keyspace).cloned()
    }

    /// Changes which keyspaces there are. Called by the one who writes.
    pub(super) fn change_keyspaces<T>(&self, change: impl FnOnce(&mut Keyspaces) -> T) -> T {
        let mut keyspaces = Keyspaces::clone(&self.keyspaces.load());
        let changed = change(&mut keyspaces);
        self.keyspaces.store(Arc::new(keyspaces));
        changed
    }
}

impl Keyspace {
    /// `None` if not all of it is there.
    fn large_value(&self, large: Large) -> std::result::Result<Option<Value>, Problem> {
        let Some(chunks) = &self.chunks else { return Ok(None) };
        let mut value = Vec::new();
        for index in 0..large.chunks() {
            match absent_if_dropped(chunks.get(entry::chunk_key(large.number, index)))? {
                Some(chunk) => value.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
        let whole = value.len() as u64 == large.length && crc32fast::hash(&value) == large.crc;
        Ok(whole.then(|| Value::from(value)))
    }
}

/// A tree that was dropped meanwhile has nothing in it.
pub(super) fn absent_if_dropped<T>(
    found: ::sled::Result<Option<T>>,
) -> std::result::Result<Option<T>, Problem> {
    match found {
        Err(::sled::Error::CollectionNotFound(_)) => Ok(None),
        found => Ok(found?),
    }
}

/// Whether an error of sled's means that its files are not what it wrote.
fn is_damage(error: &::sled::Error) -> bool {
    match error {
        ::sled::Error::Corruption { .. }
        | ::sled::Error::ReportableBug(_)
        | ::sled::Error::Unsupported(_)
        | ::sled::Error::CollectionNotFound(_) => true,
        ::sled::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidInput
        ),
    }
}
