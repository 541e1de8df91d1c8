//! The one small file for what is true of this directory alone.
//!
//! Records never hold local facts, because their LSNs are dense and shared between nodes. The
//! manifest is two slots of [`SLOT_BYTES`], each whole in itself with generation and checksum.
//! Every write puts the same new content into slot A and then into slot B, each synced: whatever is
//! cut off, one slot holds all of the old content or all of the new. This module alone knows the
//! file's name and the places of its fields.

use std::io;
use std::sync::Arc;

use crate::codec::{is_blank, put, u32_at, u64_at, u128_at};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Cause, Error, Result};
use crate::history::EpochEntry;
use crate::ids::{Chain, DatabaseId, Epoch, Incarnation, LogId, Lsn};

/// The manifest's name in the database directory.
pub const FILE_NAME: &str = "manifest";
/// The name under which it is made, once, when a database is created. Never read.
pub const TEMPORARY_NAME: &str = "manifest.tmp";
/// Length of a slot; the file has two.
pub const SLOT_BYTES: usize = 4096;
/// The format version that this program writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The longest name of a kind of Store.
pub const STORE_KIND_LIMIT_BYTES: usize = 64;
/// The longest name of a Store's directory.
pub const STORE_DIRECTORY_LIMIT_BYTES: usize = 256;

const MAGIC: [u8; 8] = *b"MSTAYMAN";
/// There is always a next one.
const LAST_GENERATION: u64 = u64::MAX / 2;
const FLAG_REPLICATED: u32 = 1;
const FLAG_VOTE: u32 = 2;
const FLAG_RESET: u32 = 4;
const FLAG_STORE_DAMAGED: u32 = 8;

const VERSION: usize = 8;
const FLAGS: usize = 12;
const DATABASE_ID: usize = 16;
const GENERATION: usize = 32;
const INCARNATION: usize = 40;
const CHECKPOINT_EPOCH: usize = 48;
const CHECKPOINT_LSN: usize = 56;
const CHECKPOINT_CHAIN: usize = 64;
const CLUSTER_ID: usize = 72;
const PROMISED_EPOCH: usize = 88;
const VOTE: usize = 96;
const STORE_KIND_LENGTH: usize = 104;
const STORE_DIRECTORY_LENGTH: usize = 108;
const STORE_KIND: usize = 112;
const STORE_DIRECTORY: usize = STORE_KIND + STORE_KIND_LIMIT_BYTES;
const RESET_EPOCH_START: usize = STORE_DIRECTORY + STORE_DIRECTORY_LIMIT_BYTES;
const RESET_EPOCH_CHAIN: usize = RESET_EPOCH_START + 8;
const COMMITTED: usize = RESET_EPOCH_CHAIN + 8;
const END: usize = COMMITTED + 8;
const CRC: usize = SLOT_BYTES - 4;

/// What is true of one database directory.
///
/// Invariants:
/// - the two names are within [`STORE_KIND_LIMIT_BYTES`] and [`STORE_DIRECTORY_LIMIT_BYTES`];
/// - the checkpoint's epoch, LSN and chain are all zero, or epoch and LSN both are not;
/// - a reset is of the checkpoint's epoch, which began at the checkpoint or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The version of this directory's formats: [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Drawn when the database was created; every segment bears it.
    pub database_id: DatabaseId,
    /// Drawn when this directory was created or restored.
    pub incarnation: Incarnation,
    /// Which Store materialises the keys, by name.
    pub store_kind: String,
    /// Its directory, relative to the database.
    pub store_directory: String,
    /// The last record that the Store holds durably, with all before it.
    pub checkpoint: LogId,
    /// The chain up to that record.
    pub checkpoint_chain: Chain,
    /// Whether the directory belongs, or belonged, to a cluster.
    pub replicated: bool,
    /// The cluster; zero if there is none.
    pub cluster_id: u128,
    /// The highest epoch that this node promised to take part in.
    pub promised_epoch: Epoch,
    /// Whom it voted for in that epoch.
    pub vote: Option<u64>,
    /// Set while an image takes the place of what was there: the log is to begin anew behind the
    /// checkpoint, in whose epoch this is. [`Log::open`](crate::Log::open) sees to it, where a crash
    /// came in between.
    pub reset: Option<EpochEntry>,
    /// Everything up to here was durable and committed when this was written, so that a log that
    /// ends before it has lost something; on a replicated node the Store may hold any of it. More
    /// may be durable and committed by now.
    pub committed: Lsn,
    /// The Store was found damaged while it was in use: it must be rebuilt before it is used again.
    pub store_damaged: bool,
}

impl Manifest {
    /// The manifest of a new database on one node: nothing checkpointed, no cluster, no vote.
    #[must_use]
    pub fn new(
        database_id: DatabaseId,
        incarnation: Incarnation,
        store_kind: impl Into<String>,
        store_directory: impl Into<String>,
    ) -> Manifest {
        Manifest {
            format_version: FORMAT_VERSION,
            database_id,
            incarnation,
            store_kind: store_kind.into(),
            store_directory: store_directory.into(),
            checkpoint: LogId::ZERO,
            checkpoint_chain: Chain::EMPTY,
            replicated: false,
            cluster_id: 0,
            promised_epoch: Epoch::ZERO,
            vote: None,
            reset: None,
            committed: Lsn::ZERO,
            store_damaged: false,
        }
    }

    /// One slot with this content. The invariants must hold.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the names are within their limits")]
    pub fn encode(&self, generation: u64) -> Vec<u8> {
        let fault = self.fault();
        assert!(fault.is_none(), "{fault:?} in {self:?}");
        let flags = if self.replicated { FLAG_REPLICATED } else { 0 }
            | if self.vote.is_some() { FLAG_VOTE } else { 0 }
            | if self.reset.is_some() { FLAG_RESET } else { 0 }
            | if self.store_damaged { FLAG_STORE_DAMAGED } else { 0 };
        let mut bytes = vec![0; SLOT_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, VERSION, &self.format_version.to_le_bytes());
        put(&mut bytes, FLAGS, &flags.to_le_bytes());
        put(&mut bytes, DATABASE_ID, &self.database_id.0.to_le_bytes());
        put(&mut bytes, GENERATION, &generation.to_le_bytes());
        put(&mut bytes, INCARNATION, &self.incarnation.0.to_le_bytes());
        put(&mut bytes, CHECKPOINT_EPOCH, &self.checkpoint.epoch.0.to_le_bytes());
        put(&mut bytes, CHECKPOINT_LSN, &self.checkpoint.lsn.0.to_le_bytes());
        put(&mut bytes, CHECKPOINT_CHAIN, &self.checkpoint_chain.0.to_le_bytes());
        put(&mut bytes, CLUSTER_ID, &self.cluster_id.to_le_bytes());
        put(&mut bytes, PROMISED_EPOCH, &self.promised_epoch.0.to_le_bytes());
        put(&mut bytes, VOTE, &self.vote.unwrap_or(0).to_le_bytes());
        put(&mut bytes, STORE_KIND_LENGTH, &(self.store_kind.len() as u32).to_le_bytes());
        put(&mut bytes, STORE_DIRECTORY_LENGTH, &(self.store_directory.len() as u32).to_le_bytes());
        put(&mut bytes, STORE_KIND, self.store_kind.as_bytes());
        put(&mut bytes, STORE_DIRECTORY, self.store_directory.as_bytes());
        if let Some(reset) = self.reset {
            put(&mut bytes, RESET_EPOCH_START, &reset.start_lsn.0.to_le_bytes());
            put(&mut bytes, RESET_EPOCH_CHAIN, &reset.chain_at_start.0.to_le_bytes());
        }
        put(&mut bytes, COMMITTED, &self.committed.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC]);
        put(&mut bytes, CRC, &crc.to_le_bytes());
        bytes
    }

    /// Reads one slot; gives its generation and content.
    ///
    /// The magic, the version and the checksum stand at these places in every version, so that a
    /// newer version and damage can be told apart.
    pub fn decode(bytes: &[u8]) -> std::result::Result<(u64, Manifest), ManifestError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(ManifestError::Magic);
        }
        let Some(bytes) = bytes.first_chunk::<SLOT_BYTES>() else {
            return Err(ManifestError::Truncated { found_bytes: bytes.len() as u64 });
        };
        let (expected, found) = (u32_at(bytes, CRC), crc32fast::hash(&bytes[..CRC]));
        if expected != found {
            return Err(ManifestError::Checksum { expected, found });
        }
        let format_version = u32_at(bytes, VERSION);
        if format_version != FORMAT_VERSION {
            return Err(ManifestError::Version(format_version));
        }
        let flags = u32_at(bytes, FLAGS);
        if flags & !(FLAG_REPLICATED | FLAG_VOTE | FLAG_RESET | FLAG_STORE_DAMAGED) != 0 {
            return Err(ManifestError::Field("unknown flags"));
        }
        if !is_blank(&bytes[END..CRC]) {
            return Err(ManifestError::Field("bytes behind the last field are not zero"));
        }
        let vote = u64_at(bytes, VOTE);
        if flags & FLAG_VOTE == 0 && vote != 0 {
            return Err(ManifestError::Field("a vote that is not set"));
        }
        let generation = u64_at(bytes, GENERATION);
        if generation > LAST_GENERATION {
            return Err(ManifestError::Field("a generation beyond the last that exists"));
        }
        let has_reset = flags & FLAG_RESET != 0;
        if !has_reset && !is_blank(&bytes[RESET_EPOCH_START..COMMITTED]) {
            return Err(ManifestError::Field("the reset is half there"));
        }
        let reset = EpochEntry {
            epoch: Epoch(u64_at(bytes, CHECKPOINT_EPOCH)),
            start_lsn: Lsn(u64_at(bytes, RESET_EPOCH_START)),
            chain_at_start: Chain(u64_at(bytes, RESET_EPOCH_CHAIN)),
        };
        let manifest = Manifest {
            format_version,
            database_id: DatabaseId(u128_at(bytes, DATABASE_ID)),
            incarnation: Incarnation(u64_at(bytes, INCARNATION)),
            store_kind: name(bytes, STORE_KIND_LENGTH, STORE_KIND, STORE_KIND_LIMIT_BYTES)?,
            store_directory: name(
                bytes,
                STORE_DIRECTORY_LENGTH,
                STORE_DIRECTORY,
                STORE_DIRECTORY_LIMIT_BYTES,
            )?,
            checkpoint: LogId {
                epoch: Epoch(u64_at(bytes, CHECKPOINT_EPOCH)),
                lsn: Lsn(u64_at(bytes, CHECKPOINT_LSN)),
            },
            checkpoint_chain: Chain(u64_at(bytes, CHECKPOINT_CHAIN)),
            replicated: flags & FLAG_REPLICATED != 0,
            cluster_id: u128_at(bytes, CLUSTER_ID),
            promised_epoch: Epoch(u64_at(bytes, PROMISED_EPOCH)),
            vote: (flags & FLAG_VOTE != 0).then_some(vote),
            reset: has_reset.then_some(reset),
            committed: Lsn(u64_at(bytes, COMMITTED)),
            store_damaged: flags & FLAG_STORE_DAMAGED != 0,
        };
        match manifest.fault() {
            Some(fault) => Err(ManifestError::Field(fault)),
            None => Ok((generation, manifest)),
        }
    }

    /// The first invariant that does not hold.
    fn fault(&self) -> Option<&'static str> {
        if self.format_version != FORMAT_VERSION {
            return Some("another format version");
        }
        if self.store_kind.len() > STORE_KIND_LIMIT_BYTES {
            return Some("the kind of Store has too long a name");
        }
        if self.store_directory.len() > STORE_DIRECTORY_LIMIT_BYTES {
            return Some("the Store's directory has too long a name");
        }
        let LogId { epoch, lsn } = self.checkpoint;
        let whole = match lsn {
            Lsn::ZERO => epoch == Epoch::ZERO && self.checkpoint_chain == Chain::EMPTY,
            _ => epoch != Epoch::ZERO,
        };
        if !whole {
            return Some("the checkpoint is half there");
        }
        let reset = self.reset?;
        let fits = reset.epoch == epoch && reset.start_lsn <= lsn && reset.start_lsn > Lsn::ZERO;
        (!fits).then_some("the reset does not fit the checkpoint")
    }
}

/// Reads a name whose length stands at `length_at`.
fn name(
    bytes: &[u8; SLOT_BYTES],
    length_at: usize,
    at: usize,
    limit: usize,
) -> std::result::Result<String, ManifestError> {
    let length = u32_at(bytes, length_at) as usize;
    if length > limit || !is_blank(&bytes[at + length..at + limit]) {
        return Err(ManifestError::Field("a name with a wrong length"));
    }
    let text = std::str::from_utf8(&bytes[at..at + length]);
    text.map(str::to_owned).map_err(|_| ManifestError::Field("a name that is not UTF-8"))
}

/// Why bytes are not a slot of a manifest. In checksums, `expected` is what stands in the bytes and
/// `found` what was computed over them.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It does not begin as a manifest does.
    #[error("no manifest")]
    Magic,
    /// The bytes end before the slot does.
    #[error("a slot has {SLOT_BYTES} bytes, {found_bytes} are there")]
    Truncated {
        /// What is there.
        found_bytes: u64,
    },
    /// The slot is damaged, or its write was cut off.
    #[error("checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// In the slot.
        expected: u32,
        /// Of the slot's bytes.
        found: u32,
    },
    /// Written by a newer version of the program.
    #[error("format version {0}")]
    Version(u32),
    /// The checksum is right, and yet a field has a value that is never written.
    #[error("{0}")]
    Field(&'static str),
}

/// The manifest's file, open for writing.
///
/// Invariant: both slots hold the generation `generation`, unless a write has failed; then nothing
/// is written any more.
#[derive(Debug)]
pub struct ManifestFile {
    file: Arc<dyn DiskFile>,
    generation: u64,
    failed: Option<Cause>,
}

impl ManifestFile {
    /// Whether the directory has a manifest, that is, whether a database was ever created in it.
    pub fn exists(disk: &dyn Disk) -> Result<bool> {
        match disk.list("") {
            Ok(names) => Ok(names.iter().any(|name| name == FILE_NAME)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("list", disk.describe(), error)),
        }
    }

    /// Makes the manifest of a new database. It is durable when this returns, and not there at all
    /// if the power fails before. An error means that it may or may not be there.
    ///
    /// The last step of creating a database: everything that the manifest speaks of is durable
    /// before.
    pub fn create(disk: &dyn Disk, manifest: &Manifest) -> Result<ManifestFile> {
        if ManifestFile::exists(disk)? {
            let error = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Error::io("create", FILE_NAME, error));
        }
        match disk.remove(TEMPORARY_NAME) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", TEMPORARY_NAME, error));
            }
            _ => {}
        }
        let generation = 1;
        let slot = manifest.encode(generation);
        let bytes = [&slot[..], &slot].concat();
        let file = disk
            .open(TEMPORARY_NAME, Open::CreateNew)
            .map_err(|error| Error::io("create", TEMPORARY_NAME, error))?;
        file.write_and_sync_at(0, &bytes)
            .map_err(|error| Error::io("write", TEMPORARY_NAME, error))?;
        disk.rename(TEMPORARY_NAME, FILE_NAME)
            .map_err(|error| Error::io("rename", TEMPORARY_NAME, error))?;
        disk.sync_directory("").map_err(|error| Error::io("sync", disk.describe(), error))?;
        Ok(ManifestFile { file, generation, failed: None })
    }

    /// Opens the manifest and makes both slots whole again, if the last write was cut off or one is
    /// damaged.
    ///
    /// Errors: [`Error::NotADatabase`] if there is none or it is something else,
    /// [`Error::UnsupportedVersion`], [`Error::Corrupt`] if both slots are damaged; nothing was
    /// changed then.
    pub fn open(disk: &dyn Disk) -> Result<(ManifestFile, Manifest)> {
        let file = open_file(disk, Open::Write)?;
        let Contents { generation, manifest, whole } = read(disk, &*file)?;
        // Whoever created it may have died between giving it its name and making that durable.
        disk.sync_directory("").map_err(|error| Error::io("sync", disk.describe(), error))?;
        let mut manifest_file = ManifestFile { file, generation, failed: None };
        if !whole {
            // Slot A first, even if it is the good one: a failed sync may have left it in the page
            // cache only, and then slot B is what a power cut would leave.
            manifest_file.write_slots(&manifest.encode(generation))?;
        }
        Ok((manifest_file, manifest))
    }

    /// Reads the manifest and changes nothing. Errors as [`ManifestFile::open`].
    pub fn open_read_only(disk: &dyn Disk) -> Result<Manifest> {
        let file = open_file(disk, Open::Read)?;
        Ok(read(disk, &*file)?.manifest)
    }

    /// Puts `manifest` in the place of the old content. It is durable when this returns; the old or
    /// the new content is there if the power fails before.
    ///
    /// Errors: [`Error::Indeterminate`] if a write or sync failed: which of the two is there shows
    /// when the database is opened again. After that every call is [`Error::Poisoned`].
    pub fn write(&mut self, manifest: &Manifest) -> Result<()> {
        if let Some(cause) = &self.failed {
            return Err(Error::Poisoned { cause: cause.clone() });
        }
        self.generation += 1;
        self.write_slots(&manifest.encode(self.generation))
    }

    fn write_slots(&mut self, slot: &[u8]) -> Result<()> {
        for offset in [0, SLOT_BYTES as u64] {
            if let Err(error) = self.file.write_and_sync_at(offset, slot) {
                let cause = Cause { operation: "write the manifest", source: Arc::new(error) };
                self.failed = Some(cause.clone());
                return Err(Error::Indeterminate { cause });
            }
        }
        Ok(())
    }
}

fn open_file(disk: &dyn Disk, open: Open) -> Result<Arc<dyn DiskFile>> {
    disk.open(FILE_NAME, open).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NotADatabase {
            path: disk.describe(),
            reason: "it has no file named manifest; give the directory of a database".to_owned(),
        },
        _ => io_error(disk, "open", error),
    })
}

fn io_error(disk: &dyn Disk, operation: &'static str, error: io::Error) -> Error {
    Error::io(operation, FILE_NAME, error).within(&disk.describe())
}

/// What the two slots hold together.
struct Contents {
    generation: u64,
    manifest: Manifest,
    /// Both slots hold this very content.
    whole: bool,
}

fn read(disk: &dyn Disk, file: &dyn DiskFile) -> Result<Contents> {
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    let length = file.read_at(0, &mut bytes).map_err(|error| io_error(disk, "read", error))?;
    bytes.truncate(length);
    let (a, b) = bytes.split_at(length.min(SLOT_BYTES));
    let slots = [Manifest::decode(a), Manifest::decode(b)];
    // A newer version may have begun to write and been cut off: its slot must not be overwritten.
    for slot in &slots {
        if let Err(ManifestError::Version(found)) = slot {
            let path = format!("{}/{FILE_NAME}", disk.describe());
            let (found, supported) = (*found, FORMAT_VERSION);
            return Err(Error::UnsupportedVersion { path, found, supported });
        }
    }
    match slots {
        [Ok(a), Ok(b)] if a == b => Ok(Contents { generation: a.0, manifest: a.1, whole: true }),
        [Ok(a), Ok(b)] if a.0 == b.0 => {
            Err(corrupt(SLOT_BYTES, format!("two manifests of generation {}", a.0)))
        }
        [Ok(a), Ok(b)] => {
            let (generation, manifest) = if a.0 > b.0 { a } else { b };
            Ok(Contents { generation, manifest, whole: false })
        }
        [Ok((generation, manifest)), Err(_)] | [Err(_), Ok((generation, manifest))] => {
            Ok(Contents { generation, manifest, whole: false })
        }
        [Err(ManifestError::Magic), Err(ManifestError::Magic)] => Err(Error::NotADatabase {
            path: disk.describe(),
            reason: "its file named manifest is not one; give the directory of a database"
                .to_owned(),
        }),
        [Err(a), Err(b)] => Err(corrupt(0, format!("slot A: {a}; slot B: {b}"))),
    }
}

fn corrupt(offset: usize, reason: String) -> Error {
    Error::Corrupt {
        file: FILE_NAME.to_owned(),
        segment: None,
        offset: offset as u64,
        lsn: Lsn::ZERO,
        reason,
    }
}

#[cfg(test)]
mod tests;
