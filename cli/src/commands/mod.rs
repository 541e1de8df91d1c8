//! One file a command: its arguments with their help, and what it does.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod crash_child;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod keyspaces;
pub(crate) mod load;
pub(crate) mod scan;
pub(crate) mod store;
pub(crate) mod wal;
