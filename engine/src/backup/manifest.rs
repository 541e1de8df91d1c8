//! The file that makes a directory a backup: written last, it names everything else.
//!
//! This module alone knows its name and the places of its fields; the layout is in
//! `docs/backup-format.md`.

use mainstay_wal::disk::Disk;
use mainstay_wal::history::EpochHistory;
use mainstay_wal::{DatabaseId, Incarnation};

use super::fields::{Fields, LogPlace, PutFields, length32};
use super::files::{self, unusable};
use super::runs::WrittenFile;
use crate::error::Result;

/// The name of the file in the directory of a backup.
pub(super) const FILE_NAME: &str = "backup";

const MAGIC: [u8; 8] = *b"MSTAYBAK";
const VERSION: u32 = 1;
/// A backup of a petabyte has fewer files than this allows.
const LIMIT_BYTES: u64 = 1 << 30;

const CONTENT: u32 = 1;
const FRAMES: u32 = 2;

/// What a backup is, and what belongs to it.
///
/// The content was read while the log went from `start` to `end`, and the frames between the two
/// are there: the content with them applied is the database as it was at `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BackupManifest {
    pub(super) database_id: DatabaseId,
    pub(super) incarnation: Incarnation,
    pub(super) start: LogPlace,
    pub(super) end: LogPlace,
    pub(super) entries: u64,
    pub(super) store_kind: String,
    /// Up to `end`.
    pub(super) history: EpochHistory,
    pub(super) content: Vec<WrittenFile>,
    pub(super) frames: Vec<WrittenFile>,
}

impl BackupManifest {
    /// Writes it durably. From then on the directory is a backup.
    pub(super) fn write(&self, disk: &dyn Disk) -> Result<()> {
        files::write(disk, FILE_NAME, &self.encode())
    }

    /// Reads it, and checks that it holds together.
    pub(super) fn read(disk: &dyn Disk) -> Result<BackupManifest> {
        let bytes = files::read(disk, FILE_NAME, LIMIT_BYTES)?;
        BackupManifest::decode(&bytes)
            .map_err(|reason| unusable(format!("{}/{FILE_NAME}", disk.describe()), reason))
    }

    /// Bytes of all files that it names.
    pub(super) fn bytes(&self) -> u64 {
        self.content.iter().chain(&self.frames).map(|file| file.bytes).sum()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.put_u32(VERSION);
        bytes.put_u32(0);
        bytes.put_u128(self.database_id.0);
        bytes.put_u64(self.incarnation.0);
        bytes.put_place(self.start);
        bytes.put_place(self.end);
        bytes.put_u64(self.entries);
        bytes.put_bytes(self.store_kind.as_bytes());
        bytes.put_bytes(&self.history.encode());
        bytes.put_u32(length32(self.content.len() + self.frames.len()));
        let content = self.content.iter().map(|file| (CONTENT, file));
        let frames = self.frames.iter().map(|file| (FRAMES, file));
        for (kind, file) in content.chain(frames) {
            bytes.put_u32(kind);
            bytes.put_bytes(file.name.as_bytes());
            bytes.put_u64(file.bytes);
            bytes.put_u32(file.crc);
        }
        let crc = crc32fast::hash(&bytes);
        bytes.put_u32(crc);
        bytes
    }

    fn decode(bytes: &[u8]) -> std::result::Result<BackupManifest, String> {
        if !bytes.starts_with(&MAGIC) {
            return Err("it is no backup of mainstay".to_owned());
        }
        let Some((checked, crc)) = bytes.split_last_chunk::<4>() else {
            return Err("it ends too early".to_owned());
        };
        if crc32fast::hash(checked).to_le_bytes() != *crc {
            return Err("its checksum is wrong".to_owned());
        }
        let Some(fields) = checked.get(MAGIC.len()..) else {
            return Err("it ends too early".to_owned());
        };
        let mut fields = Fields::new(fields);
        match fields.u32() {
            Some(VERSION) => {}
            other => {
                let found = other.unwrap_or(0);
                return Err(format!("its format version is {found}; this program reads {VERSION}"));
            }
        }
        let manifest = fields.u32().and_then(|_reserved| body(&mut fields));
        match manifest {
            Some(manifest) if !fields.is_empty() => {
                Err(format!("something stands behind the file of {}", manifest.database_id))
            }
            Some(manifest) if manifest.end.lsn() < manifest.start.lsn() => {
                Err("its end lies before its start".to_owned())
            }
            Some(manifest) => Ok(manifest),
            None => Err("a field has a value that is never written".to_owned()),
        }
    }
}

fn body(fields: &mut Fields<'_>) -> Option<BackupManifest> {
    let mut manifest = BackupManifest {
        database_id: DatabaseId(fields.u128()?),
        incarnation: Incarnation(fields.u64()?),
        start: fields.place()?,
        end: fields.place()?,
        entries: fields.u64()?,
        store_kind: std::str::from_utf8(fields.bytes()?).ok()?.to_owned(),
        history: EpochHistory::decode(fields.bytes()?).ok()?,
        content: Vec::new(),
        frames: Vec::new(),
    };
    for _ in 0..fields.u32()? {
        let kind = fields.u32()?;
        let name = std::str::from_utf8(fields.bytes()?).ok()?.to_owned();
        let file = WrittenFile { name, bytes: fields.u64()?, crc: fields.u32()? };
        match kind {
            CONTENT => manifest.content.push(file),
            FRAMES => manifest.frames.push(file),
            _ => return None,
        }
    }
    Some(manifest)
}
