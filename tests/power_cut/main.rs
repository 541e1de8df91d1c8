//! Power cuts on real files.
//!
//! A small FUSE file system keeps apart what a program wrote and what it made durable ([`medium`]).
//! A workload runs on it in a process of its own, the power goes off in the middle of one of its
//! requests, the process is killed, and what was not synced is gone. Then the program must find
//! again all that it had acknowledged.
//!
//! [`controls`] show that the file system keeps what must be kept and loses the rest;
//! [`sled_flush`] shows that it catches a store whose `flush` does not reach the disk.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    reason = "a test stops on the first surprise, runs threads and reads clocks"
)]

mod content;
mod controls;
mod database;
mod disk;
mod ends;
mod file_system;
mod log;
mod medium;
mod medium_rules;
mod mount;
mod sled_flush;
mod workload;
