//! Measuring: parts that measuring programs share.
//!
//! [`workload`] knows no database: it draws keys and values, records how long each call took, and
//! compares rounds that were run in turn. A program that measures another store uses it to give
//! that store the very same work.

pub mod workload;
