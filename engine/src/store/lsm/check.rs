//! What lsm-tree takes on trust when it opens its files, checked before it does.
//!
//! It has checksums of every block, but neither compares that of the version it reads with the one
//! that stands beside its name, nor looks at that of a table's contents before it takes the memory
//! which these ask for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::core::Problem;

/// Which version counts: its number, the checksum of its file, and the kind of the checksum.
const CURRENT: &str = "current";
const CURRENT_BYTES: usize = 8 + 16 + 1;

pub(super) const TABLES: &str = "tables";

/// A table's last bytes: magic, version, kind of checksum, checksum of its contents, their place and
/// their length.
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;

/// More contents than any table has.
const MAX_CONTENTS_BYTES: u64 = 1 << 20;

type Checked<T> = Result<T, Problem>;

/// Checks the version that counts, and the contents of the tables that it names.
pub(super) fn check(tree: &Path) -> Checked<()> {
    let name = check_version(tree)?;
    let version = tree.join(name);
    let archive = sfa::Reader::new(&version).map_err(|error| content(&version, error))?;
    for id in table_ids(&version, &archive)? {
        check_table(&tree.join(TABLES).join(id.to_string()))?;
    }
    Ok(())
}

/// The name of the version that counts, which is as it was written.
fn check_version(tree: &Path) -> Checked<String> {
    let path = tree.join(CURRENT);
    let current = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
    let current: [u8; CURRENT_BYTES] = current
        .try_into()
        .map_err(|_| Problem::Content(format!("{} has a wrong length", path.display())))?;
    let (number, checksum) = current.split_at(8);
    let number = u64::from_le_bytes(number.try_into().unwrap_or_default());
    let name = format!("v{number}");
    let path = tree.join(&name);
    let version = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
    let expected = [&xxh3_128(&version).to_le_bytes()[..], &[0]].concat();
    if checksum != expected {
        return Err(content(&path, "its checksum is wrong"));
    }
    Ok(name)
}

/// The tables that a version names.
fn table_ids(version: &Path, archive: &sfa::Reader) -> Checked<Vec<u64>> {
    let tables =
        archive.toc().section(b"tables").ok_or_else(|| content(version, "it names no tables"))?;
    let mut reader = tables.buf_reader(version).map_err(|error| content(version, error))?;
    let mut ids = Vec::new();
    let read = (|| -> io::Result<()> {
        let [levels] = bytes(&mut reader)?;
        for _ in 0..levels {
            let [runs] = bytes(&mut reader)?;
            for _ in 0..runs {
                for _ in 0..u32::from_le_bytes(bytes(&mut reader)?) {
                    ids.push(u64::from_le_bytes(bytes(&mut reader)?));
                    // The kind of the checksum, the checksum, the sequence number.
                    bytes::<{ 1 + 16 + 8 }>(&mut reader)?;
                }
            }
        }
        Ok(())
    })();
    read.map_err(|error| content(version, error))?;
    Ok(ids)
}

/// Compares the contents of a table with their checksum.
fn check_table(path: &Path) -> Checked<()> {
    let read = || -> io::Result<bool> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let end = length.checked_sub(TRAILER_BYTES as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        file.seek(SeekFrom::Start(end))?;
        let trailer: [u8; TRAILER_BYTES] = bytes(&mut file)?;
        let (checksum, place) = trailer[6..TRAILER_BYTES - 8].split_at(16);
        let place = u64::from_le_bytes(place.try_into().unwrap_or_default());
        let Some(bytes) = end.checked_sub(place).filter(|bytes| *bytes <= MAX_CONTENTS_BYTES)
        else {
            return Ok(false);
        };
        file.seek(SeekFrom::Start(place))?;
        let mut contents = Vec::new();
        file.take(bytes).read_to_end(&mut contents)?;
        Ok(xxh3_128(&contents).to_le_bytes() == checksum)
    };
    match read() {
        Ok(true) => Ok(()),
        Ok(false) => Err(content(path, "the checksum of its contents is wrong")),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn bytes<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn content(path: &Path, reason: impl std::fmt::Display) -> Problem {
    Problem::Content(format!("{}: {reason}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let damaged = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof);
    Problem::Library { reason: format!("{}: {error}", path.display()), damaged }
}
