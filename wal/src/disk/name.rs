//! What a file below a disk may be called, and what lies above it.

use std::io;

/// The file that bears the lock of a directory. It belongs to the disk: no other file may have its
/// name, and it is not listed.
pub(super) const LOCK_NAME: &str = "LOCK";

/// Refuses the name of a file or directory that does not lie below the disk's root: an empty or
/// absolute one, one with an empty part, with `.` or `..`, with a backslash or a zero byte, or that
/// of the lock.
pub(super) fn check(name: &str) -> io::Result<()> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    let of_the_lock = name.split('/').next() == Some(LOCK_NAME);
    if name.split('/').any(bad_part) || name.contains(['\\', '\0']) || of_the_lock {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} cannot be the name of a file below a disk"),
        ));
    }
    Ok(())
}

/// As [`check`], and allows the root, `""`.
pub(super) fn check_directory(name: &str) -> io::Result<()> {
    if name.is_empty() { Ok(()) } else { check(name) }
}

/// The directory that a file or directory lies in; `""` for what lies in the root.
pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Whether a name lies somewhere below a directory that is not the root.
pub(super) fn is_below(name: &str, directory: &str) -> bool {
    name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_root_are_allowed() {
        for name in ["manifest", "log/0000000000000001.log", "a/b/c", "..a", "x/LOCK"] {
            check(name).unwrap();
        }
        for name in
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\0", "LOCK", "LOCK/a"]
        {
            assert_eq!(check(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
        check_directory("").unwrap();
        assert!(check_directory("/").is_err());
    }

    #[test]
    fn a_parent_is_what_stands_before_the_last_stroke() {
        assert_eq!((parent("a"), parent("a/b"), parent("a/b/c")), ("", "a", "a/b"));
    }
}
