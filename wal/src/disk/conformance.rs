//! What every [`Disk`] must do, as a function that a new implementation can be run through.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use super::{AlignedBuffer, DIRECT_ALIGNMENT_BYTES, Disk, Open, read_exact_at};

/// Runs an empty disk through the contract of [`Disk`] and [`DiskFile`](super::DiskFile), as far as
/// it can be seen without a power cut. Says in words what was not as promised. The disk is empty
/// again if all is well.
pub fn check(disk: &Arc<dyn Disk>) -> Result<(), String> {
    check_names_refused(disk)?;
    check_open(disk)?;
    check_contents(disk)?;
    check_synced_writes(disk)?;
    check_allocation(disk)?;
    check_rename(disk)?;
    check_remove(disk)?;
    check_directories(disk)?;
    check_lock(disk)?;
    same("names left behind", done("list the root", disk.list(""))?, Vec::<String>::new())
}

fn check_names_refused(disk: &Arc<dyn Disk>) -> Result<(), String> {
    for name in ["", "/etc/passwd", "..", "../a", "a/../../b", "a//b", "a/", ".", "LOCK", "LOCK/a"]
    {
        let invalid = io::ErrorKind::InvalidInput;
        fails(&format!("open {name:?}"), disk.open(name, Open::Create), invalid)?;
        fails(&format!("remove {name:?}"), disk.remove(name), invalid)?;
        fails(&format!("rename to {name:?}"), disk.rename("a", name), invalid)?;
        fails(&format!("rename from {name:?}"), disk.rename(name, "a"), invalid)?;
        if !name.is_empty() {
            fails(&format!("list {name:?}"), disk.list(name), invalid)?;
            fails(&format!("sync directory {name:?}"), disk.sync_directory(name), invalid)?;
        }
    }
    Ok(())
}

fn check_open(disk: &Arc<dyn Disk>) -> Result<(), String> {
    let missing = io::ErrorKind::NotFound;
    fails("open a missing file to read", disk.open("a", Open::Read), missing)?;
    fails("open a missing file to write", disk.open("a", Open::Write), missing)?;
    fails("open in a missing directory", disk.open("x/a", Open::Write), missing)?;

    let file = done("create", disk.open("a", Open::Create))?;
    same("length of a new file", done("length", file.length())?, 0)?;
    done("write", file.write_at(0, b"abc"))?;
    fails("create a second time", disk.open("a", Open::CreateNew), io::ErrorKind::AlreadyExists)?;
    let again = done("open with create", disk.open("a", Open::Create))?;
    same("length after opening again", done("length", again.length())?, 3)?;

    let reader = done("open to read", disk.open("a", Open::Read))?;
    let denied = io::ErrorKind::PermissionDenied;
    fails("write through a reader", reader.write_at(0, b"x"), denied)?;
    fails("write and sync through a reader", reader.write_and_sync_at(0, b"x"), denied)?;
    fails("allocate through a reader", reader.allocate(100), denied)?;
    same("length after refused writes", done("length", reader.length())?, 3)?;

    done("create with its directories", disk.open("one/two/b", Open::CreateNew))?;
    same("below one", done("list", disk.list("one"))?, names(&["two"]))?;
    fails("open a directory", disk.open("one", Open::Read), io::ErrorKind::IsADirectory)?;
    fails(
        "open a directory to write",
        disk.open("one", Open::Create),
        io::ErrorKind::IsADirectory,
    )?;
    fails(
        "create over a directory",
        disk.open("one", Open::CreateNew),
        io::ErrorKind::AlreadyExists,
    )?;
    let not_a_directory = io::ErrorKind::NotADirectory;
    fails("open below a file", disk.open("a/b", Open::Read), not_a_directory)?;
    fails("create below a file", disk.open("a/b", Open::Create), not_a_directory)?;
    done("remove", disk.remove("a"))?;
    done("remove the directories", disk.remove("one"))
}

fn check_contents(disk: &Arc<dyn Disk>) -> Result<(), String> {
    let file = done("create", disk.open("a", Open::CreateNew))?;
    done("write", file.write_at(5000, b"hello"))?;
    done("write nothing", file.write_at(9000, b""))?;
    same("length after a write past the end", done("length", file.length())?, 5005)?;
    let mut bytes = [1; 10];
    same("read in the hole", done("read", file.read_at(4990, &mut bytes))?, 10)?;
    same("bytes of the hole", bytes, [0; 10])?;
    same("read at the end", done("read", file.read_at(5000, &mut bytes))?, 5)?;
    same("bytes at the end", &bytes[..5], &b"hello"[..])?;
    same("read past the end", done("read", file.read_at(5005, &mut bytes))?, 0)?;
    same("read far past the end", done("read", file.read_at(1 << 40, &mut bytes))?, 0)?;
    fails(
        "read exactly past the end",
        read_exact_at(&*file, 5000, &mut bytes),
        io::ErrorKind::UnexpectedEof,
    )?;
    done("overwrite", file.write_at(4998, b"12345"))?;
    done("sync", file.sync())?;
    let reader = done("open to read", disk.open("a", Open::Read))?;
    done("read through another handle", read_exact_at(&*reader, 4996, &mut bytes[..9]))?;
    same("bytes through another handle", &bytes[..9], &b"\0\x0012345lo"[..])?;
    done("sync through a reader", reader.sync())?;
    done("remove", disk.remove("a"))
}

fn check_synced_writes(disk: &Arc<dyn Disk>) -> Result<(), String> {
    let file = done("create", disk.open("a", Open::CreateNew))?;
    let mut model = vec![0u8; 0];
    let mut aligned = AlignedBuffer::with_capacity(4 * DIRECT_ALIGNMENT_BYTES);
    aligned.resize(3 * DIRECT_ALIGNMENT_BYTES);
    // Aligned and not, inside and past the end, and mixed with plain writes to the same blocks.
    let places = [(0, 4096, true), (4096, 8192, true), (100, 50, false), (8000, 400, true)];
    let more = [(0, 12288, false), (40960, 4096, true), (4096, 4096, true), (50000, 7, false)];
    for (round, (offset, length, synced)) in (1u8..).zip(places.into_iter().chain(more)) {
        for (byte, pattern) in aligned.iter_mut().zip((0..251u8).cycle()) {
            *byte = pattern.wrapping_add(round);
        }
        let bytes = &aligned[..length];
        if synced {
            done("write and sync", file.write_and_sync_at(offset as u64, bytes))?;
        } else {
            done("write", file.write_at(offset as u64, bytes))?;
        }
        model.resize(model.len().max(offset + length), 0);
        model[offset..offset + length].copy_from_slice(bytes);
        same("length", done("length", file.length())?, model.len() as u64)?;
        let mut seen = vec![1; model.len() + 10];
        same("bytes read", done("read", file.read_at(0, &mut seen))?, model.len())?;
        if seen[..model.len()] != model[..] {
            return Err(format!("wrong bytes after write {round}, of {length} at {offset}"));
        }
    }
    done("sync", file.sync())?;
    done("remove", disk.remove("a"))
}

fn check_allocation(disk: &Arc<dyn Disk>) -> Result<(), String> {
    let file = done("create", disk.open("a", Open::CreateNew))?;
    done("write", file.write_at(0, &[7; 6000]))?;
    done("allocate", file.allocate(100_000))?;
    same("length after allocating", done("length", file.length())?, 100_000)?;
    let mut bytes = vec![1; 100_000];
    done("read", read_exact_at(&*file, 0, &mut bytes))?;
    same("kept bytes", bytes[..6000].iter().all(|byte| *byte == 7), true)?;
    same("new bytes are zero", bytes[6000..].iter().all(|byte| *byte == 0), true)?;
    done("allocate less", file.allocate(5000))?;
    done("allocate more again", file.allocate(8192))?;
    same("length", done("length", file.length())?, 8192)?;
    done("read", read_exact_at(&*file, 4990, &mut bytes[..20]))?;
    same("cut bytes do not come back", &bytes[..20], &[[7; 10], [0; 10]].concat()[..])?;
    done("sync", file.sync())?;
    done("allocate nothing", file.allocate(0))?;
    same("length", done("length", file.length())?, 0)?;
    done("remove", disk.remove("a"))
}

fn check_rename(disk: &Arc<dyn Disk>) -> Result<(), String> {
    let missing = io::ErrorKind::NotFound;
    fails("rename what is missing", disk.rename("a", "b"), missing)?;
    let old = done("create", disk.open("b", Open::CreateNew))?;
    done("write", old.write_at(0, b"old"))?;
    let new = done("create", disk.open("d/a", Open::CreateNew))?;
    done("write", new.write_at(0, b"new!"))?;
    done("rename over a file", disk.rename("d/a", "b"))?;
    let reader = done("open to read", disk.open("b", Open::Read))?;
    same("length of the renamed", done("length", reader.length())?, 4)?;
    done("write through the handle from before", new.write_and_sync_at(0, b"NEW"))?;
    let mut bytes = [0; 4];
    done("read", read_exact_at(&*reader, 0, &mut bytes))?;
    same("bytes of the renamed", &bytes, b"NEW!")?;
    done("read what was replaced", read_exact_at(&*old, 0, &mut bytes[..3]))?;
    same("bytes of the replaced", &bytes[..3], &b"old"[..])?;
    same("left behind", done("list", disk.list("d"))?, names(&[]))?;
    done("rename to itself", disk.rename("b", "b"))?;
    fails("rename a directory", disk.rename("d", "e"), io::ErrorKind::IsADirectory)?;
    fails("rename over a directory", disk.rename("b", "d"), io::ErrorKind::IsADirectory)?;
    fails("rename into a missing directory", disk.rename("b", "e/b"), missing)?;
    same("names", done("list", disk.list(""))?, names(&["b", "d"]))?;
    done("remove", disk.remove("b"))?;
    done("remove the directory", disk.remove("d"))
}

fn check_remove(disk: &Arc<dyn Disk>) -> Result<(), String> {
    let missing = io::ErrorKind::NotFound;
    fails("remove what is missing", disk.remove("a"), missing)?;
    let file = done("create", disk.open("d/a", Open::CreateNew))?;
    done("create", disk.open("d/e/b", Open::CreateNew))?;
    done("create beside", disk.open("da", Open::CreateNew))?;
    done("write", file.write_at(0, b"abc"))?;
    done("remove a directory", disk.remove("d"))?;
    fails("list what was removed", disk.list("d"), missing)?;
    fails("open what was removed", disk.open("d/e/b", Open::Read), missing)?;
    let mut bytes = [0; 4];
    same("read what was removed", done("read", file.read_at(0, &mut bytes))?, 3)?;
    done("write what was removed", file.write_and_sync_at(3, b"d"))?;
    same("length of what was removed", done("length", file.length())?, 4)?;
    done("create again", disk.open("d/a", Open::CreateNew))?;
    same("names", done("list", disk.list(""))?, names(&["d", "da"]))?;
    done("remove", disk.remove("d"))?;
    done("remove", disk.remove("da"))
}

fn check_directories(disk: &Arc<dyn Disk>) -> Result<(), String> {
    fails("list what is missing", disk.list("d"), io::ErrorKind::NotFound)?;
    done("sync a missing directory", disk.sync_directory("d/e"))?;
    same("below d", done("list", disk.list("d"))?, names(&["e"]))?;
    for name in ["d/c", "d/a", "d/b"] {
        done("create", disk.open(name, Open::Create))?;
    }
    done("sync a directory", disk.sync_directory("d"))?;
    done("sync the root", disk.sync_directory(""))?;
    same("sorted", done("list", disk.list("d"))?, names(&["a", "b", "c", "e"]))?;
    fails("list a file", disk.list("d/a"), io::ErrorKind::NotADirectory)?;
    fails("sync a file as directory", disk.sync_directory("d/a"), io::ErrorKind::NotADirectory)?;
    done("remove", disk.remove("d"))
}

fn check_lock(disk: &Arc<dyn Disk>) -> Result<(), String> {
    for _ in 0..2 {
        let lock = done("lock", disk.lock())?;
        fails("lock twice", disk.lock(), io::ErrorKind::WouldBlock)?;
        drop(lock);
    }
    Ok(())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn done<T>(what: &str, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn fails<T>(what: &str, result: io::Result<T>, kind: io::ErrorKind) -> Result<(), String> {
    match result {
        Ok(_) => Err(format!("{what}: succeeds, but must fail with {kind:?}")),
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(format!("{what}: fails with {:?} ({error}), not {kind:?}", error.kind())),
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}
