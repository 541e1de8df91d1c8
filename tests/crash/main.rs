//! Crashes, failures and damage, over the simulated disk.
//!
//! A [`session`] steps the real log and the real engine, without threads, through operations drawn from a
//! seed, beside a [`model`] that knows what every record must have done. The disk cuts the power in the middle of
//! an operation, or fails one, or a bit turns over; then the database is opened again and [`oracle`] compares: no
//! acknowledged write lost, none invented, no batch by halves, no hole.
//!
//! Every test prints what it counted. A failure prints its seed, the operation of the disk, what the crash left,
//! and the command that repeats it. `MAINSTAY_CRASH_DEPTH=n` tries n times as many seeds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    reason = "a test stops on the first surprise, and runs threads"
)]

mod backups;
mod below;
mod bit_flips;
mod crash_points;
mod draw;
mod failures;
mod generations;
mod log_model;
mod log_points;
mod log_session;
mod lost_blocks;
mod model;
mod oracle;
mod session;
#[cfg(feature = "sled")]
mod sled_flips;
mod tally;
mod transactions;
