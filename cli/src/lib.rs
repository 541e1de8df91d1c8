//! The `mainstay` command as a library: so that its parsers can be tested and fuzzed on their own.

#![allow(
    clippy::disallowed_methods,
    reason = "the command is no core: it measures time, waits and starts threads"
)]

pub mod escape;
pub mod exit;
pub mod import;
pub mod output;
pub mod progress;
pub mod rejects;
pub mod rows;
