//! Measuring: what `mainstay bench` runs, in parts that other measuring programs use too.
//!
//! [`workload`] knows no database: it draws keys and values, records how long each call took, and
//! compares rounds that were run in turn. A program that measures another store uses it to give
//! that store the very same work. [`environment`], [`process`] and [`limits`] tell where it was
//! measured, what the process used, and what disk and machine allow.

pub mod environment;
pub mod limits;
pub mod process;
pub mod workload;

pub(crate) mod load;
pub(crate) mod report;
