//! Telling the results.

pub(crate) mod html;
mod plots;
pub(crate) mod table;
