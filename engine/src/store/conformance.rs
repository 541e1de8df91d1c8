//! What every [`Store`] must do, as a suite that runs against any of them.
//!
//! [`check`] runs the rules one after another, each with a new Store, and answers the first that is
//! broken. Crashes are not among them, as they need a disk that forgets: see the tests of the
//! stores that come with mainstay.
//!
//! ```
//! use std::sync::Arc;
//! use mainstay_engine::store::{MemoryStore, Store, conformance};
//! use mainstay_engine::Result;
//! use mainstay_wal::disk::SimDisk;
//!
//! struct Subject(SimDisk);
//!
//! impl conformance::Subject for Subject {
//!     fn create(&mut self) -> Result<Arc<dyn Store>> {
//!         self.0 = SimDisk::new(1);
//!         Ok(Arc::new(MemoryStore::create(Arc::new(self.0.clone()), "store")?))
//!     }
//!     fn reopen(&mut self) -> Result<Arc<dyn Store>> {
//!         Ok(Arc::new(MemoryStore::open(Arc::new(self.0.clone()), "store")?))
//!     }
//! }
//!
//! conformance::check(&mut Subject(SimDisk::new(1)))?;
//! # Ok::<(), conformance::Violation>(())
//! ```

mod changing;
mod model;
mod ranges;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use super::Store;
use crate::error::{Error, Result};

/// Makes the Stores that are checked.
pub trait Subject {
    /// A new, empty Store. Those made before are no longer used.
    fn create(&mut self) -> Result<Arc<dyn Store>>;
    /// Opens the Store that was made last once more. Everything that was got from it was dropped.
    fn reopen(&mut self) -> Result<Arc<dyn Store>>;
}

/// A rule that a Store broke.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The name of the rule, one of [`rules`].
    pub rule: &'static str,
    /// What was expected and what was found.
    pub details: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.details)
    }
}

impl std::error::Error for Violation {}

/// Checks all rules. Takes some seconds, and up to 200 MB of what the Store keeps its content in.
///
/// # Errors
///
/// The first rule that is broken; an error that the Store answers where it must not breaks the rule
/// too.
pub fn check(subject: &mut dyn Subject) -> std::result::Result<(), Violation> {
    for (rule, check) in rules::ALL {
        check(subject).map_err(|broken| Violation { rule, details: broken.0 })?;
    }
    Ok(())
}

/// The names of the rules, in the order in which they are checked.
#[must_use]
pub fn rules() -> Vec<&'static str> {
    rules::ALL.iter().map(|(rule, _)| *rule).collect()
}

/// What is wrong, in words.
struct Broken(String);

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken(format!("an error: {error}"))
    }
}

/// Requires that two things are equal, and tells both if not.
fn require_equal<T: PartialEq + fmt::Debug>(
    what: impl fmt::Display,
    found: &T,
    expected: &T,
) -> std::result::Result<(), Broken> {
    if found == expected {
        return Ok(());
    }
    let cut = |value: &T| {
        let mut text = format!("{value:?}");
        if let Some((end, _)) = text.char_indices().nth(300) {
            text.truncate(end);
            text.push('…');
        }
        text
    };
    Err(Broken(format!("{what}: found {}, expected {}", cut(found), cut(expected))))
}
