//! Under construction.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::cast_possible_truncation,
        reason = "tests run threads, measure, and count in small numbers"
    )
)]
