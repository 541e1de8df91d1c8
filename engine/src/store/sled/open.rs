//! Making a Store, opening it, and opening a copy of it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::core::{Core, Handles, Keyspace, Keyspaces, Problem};
use super::files::{self, DATA_FILE, Files};
use super::write::{Care, Writer};
use super::{FORMAT, FORMAT_VERSION, KIND, NOTES, SledOptions, SledStore, chunks_name};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::store::directory::{Scratch, locked, make_empty, sync_parent};
use crate::store::{damaged, failed};

/// How long opening waits for the lock of a Store that was just closed.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);

impl SledStore {
    /// Makes an empty Store in a directory, which is created, and makes it durable. Its parent must
    /// exist.
    ///
    /// Fails if there is a Store, or a part of one: remove it first.
    pub fn create(path: &Path, options: SledOptions) -> Result<SledStore> {
        SledStore::create_with(path, options, Care::FULL)
    }

    pub(super) fn create_with(path: &Path, options: SledOptions, care: Care) -> Result<SledStore> {
        let refused = |error: io::Error| {
            failed(KIND, "create itself", format!("{}: {error}", path.display()))
        };
        make_empty(path).map_err(refused)?;
        let store = SledStore::open_files(path, None, options, care, |db, notes| {
            notes.insert(FORMAT, &FORMAT_VERSION.to_le_bytes())?;
            db.flush()?;
            Ok(())
        })?;
        if let Some(writer) = &store.writer {
            store.sync(&mut writer.lock())?;
        }
        sync_parent(path).map_err(refused)?;
        Ok(store)
    }

    /// Opens the Store in a directory.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`], `damaged`, if there is none, or if sled cannot read it: it must be
    ///   rebuilt.
    /// - [`mainstay_wal::Error::Locked`] if another process, or an iterator of this one, still has
    ///   it open.
    /// - [`mainstay_wal::Error::UnsupportedVersion`] if a newer mainstay wrote it.
    pub fn open(path: &Path, options: SledOptions) -> Result<SledStore> {
        SledStore::open_with(path, options, Care::FULL)
    }

    /// Opens a copy of the Store in a directory, for reading; applying answers [`Error::ReadOnly`].
    /// No byte of the directory is changed.
    ///
    /// sled cannot be opened without writing. So this copies its files into a directory of its own
    /// below `scratch`, or below the system's directory for temporary files, which costs the time
    /// and the space of a copy except where the file system shares blocks; it is removed when the
    /// Store and its iterators are dropped. Nobody may have the Store open meanwhile.
    ///
    /// Fails as [`SledStore::open`] does, and if the copy cannot be made.
    pub fn open_read_only(
        path: &Path,
        options: SledOptions,
        scratch: Option<&Path>,
    ) -> Result<SledStore> {
        SledStore::check_present(path)?;
        let scratch = Scratch::make(scratch)
            .map_err(|error| failed(KIND, "make a directory for a copy", error))?;
        let copy = scratch.0.clone();
        files::copy(path, &copy).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => locked(path),
            _ => failed(KIND, "copy itself", format!("{}: {error}", path.display())),
        })?;
        let store =
            SledStore::open_files(&copy, Some(scratch), options, Care::FULL, |_, notes| {
                check_format(path, notes)
            })?;
        Ok(SledStore { writer: None, ..store })
    }

    pub(super) fn open_with(path: &Path, options: SledOptions, care: Care) -> Result<SledStore> {
        SledStore::check_present(path)?;
        SledStore::open_files(path, None, options, care, |_, notes| check_format(path, notes))
    }

    fn check_present(path: &Path) -> Result<()> {
        match fs::metadata(path.join(DATA_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let reason = format!("{} holds none; it must be rebuilt", path.display());
                Err(damaged(KIND, "open itself", reason))
            }
            Err(error) => Err(failed(KIND, "open itself", format!("{}: {error}", path.display()))),
            Ok(_) => Ok(()),
        }
    }

    fn open_files(
        path: &Path,
        scratch: Option<Scratch>,
        options: SledOptions,
        care: Care,
        check: impl FnOnce(&::sled::Db, &::sled::Tree) -> std::result::Result<(), Problem>,
    ) -> Result<SledStore> {
        let refused =
            |error: io::Error| failed(KIND, "open itself", format!("{}: {error}", path.display()));
        // Opened before sled writes anything, so that no failure of that is missed. Synced, because
        // a killed process may have left what is not durable yet, and sled overwrites what that
        // replaced as soon as it opens.
        let mut files = Files::open(path).map_err(refused)?;
        files.sync().map_err(refused)?;
        let core = Core::new(path.to_owned(), scratch, || {
            let db = open_sled(path, options, care)?;
            let notes = db.open_tree(NOTES)?;
            check(&db, &notes)?;
            let keyspaces = ArcSwap::from_pointee(open_keyspaces(&db)?);
            Ok(Handles { db, notes, keyspaces })
        })?;
        // sled writes when it opens. That is not durable yet.
        let mut writer = Writer {
            files,
            anchor: None,
            care,
            dirty: true,
            unsynced_bytes: 0,
            entry_bytes: 0,
            stopped: None,
        };
        writer.pin(&core)?;
        Ok(SledStore { core: Arc::new(core), options, writer: Some(Mutex::new(writer)) })
    }
}

/// Opens sled, waiting for a lock that lingers.
#[expect(clippy::disallowed_methods, reason = "waits for threads of sled's that end")]
fn open_sled(
    path: &Path,
    options: SledOptions,
    care: Care,
) -> std::result::Result<::sled::Db, Problem> {
    let config = ::sled::Config::new()
        .path(path)
        .cache_capacity(options.cache_bytes)
        .use_compression(false)
        .flush_every_ms(None)
        .segment_size(care.segment_bytes);
    let began = Instant::now();
    loop {
        match config.open() {
            Err(::sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") =>
            {
                if began.elapsed() >= LOCK_WAIT {
                    return Err(locked(path).into());
                }
                std::thread::sleep(LOCK_POLL);
            }
            result => return Ok(result?),
        }
    }
}

fn open_keyspaces(db: &::sled::Db) -> std::result::Result<Keyspaces, Problem> {
    let names = db.tree_names();
    let mut keyspaces = Keyspaces::new();
    for name in &names {
        if let Some((&b'e', id)) = name.split_first()
            && let Ok(id) = id.try_into()
        {
            let keyspace = KeyspaceId(u32::from_be_bytes(id));
            let entries = db.open_tree(name)?;
            let chunks = chunks_name(keyspace);
            let has_chunks = names.iter().any(|name| *name == chunks.as_slice());
            let chunks = if has_chunks { Some(db.open_tree(chunks)?) } else { None };
            keyspaces.insert(keyspace, Keyspace { entries, chunks });
        }
    }
    Ok(keyspaces)
}

fn check_format(path: &Path, notes: &::sled::Tree) -> std::result::Result<(), Problem> {
    let Some(format) = notes.get(FORMAT)? else {
        return Err(Problem::Content("it is not a Store of mainstay's, or lost its notes".into()));
    };
    let format: [u8; 4] = format
        .as_ref()
        .try_into()
        .map_err(|_| Problem::Content("the note of its format is not valid".into()))?;
    let (found, supported) = (u32::from_le_bytes(format), FORMAT_VERSION);
    if found == supported {
        return Ok(());
    }
    let path = path.display().to_string();
    Err(Error::Log(mainstay_wal::Error::UnsupportedVersion { path, found, supported }).into())
}
