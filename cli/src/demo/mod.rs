//! What `mainstay demo` writes, and how it tells afterwards that nothing is missing.

mod check;
mod data;

pub(crate) use check::{Found, check};
pub(crate) use data::{BATCH_RECORDS, Dataset, WRITERS};
