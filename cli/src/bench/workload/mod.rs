//! Keys, values and figures of a workload, for any store.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use mainstay_cli::bench::workload::{Distribution, Recorder, Shape};
//!
//! let shape = Shape { distribution: Distribution::Zipfian, ..Shape::new(1_000) };
//! let (mut keys, values) = (shape.keys(0, 1), shape.values());
//! let mut store = std::collections::BTreeMap::new();
//! let mut recorder = Recorder::new(Instant::now(), Duration::from_millis(100));
//! for _ in 0..2_000 {
//!     let number = keys.next_number();
//!     store.insert(shape.key(number), values.of(number).to_vec());
//!     recorder.record(1); // how long it is since the call before
//! }
//! let figures = recorder.finish();
//! assert_eq!(figures.operations(), 2_000);
//! ```
//!
//! - A [`Shape`] says what keys and values look like and how keys are drawn. Everything follows
//!   from it and its seed: two stores that are given the same shape are given the same bytes.
//! - [`Keys`] is the stream of one thread. Keys are numbers first, below `records`;
//!   [`Shape::key`] gives the bytes of a number, so a reader finds what a writer wrote.
//! - [`Recorder`] is one thread's record of its calls, and [`Figures`] what all of them come to.
//! - [`median`] and [`Pairs`] compare rounds that were run in turn.

mod figures;
mod keys;
mod pairs;
mod values;

pub use figures::{Figures, Recorder, Stalls};
pub use keys::{Distribution, Keys, ZIPFIAN_EXPONENT};
pub use pairs::{Pairs, median};
pub use values::Values;

/// What the keys and values of a workload are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many different keys there are.
    pub records: u64,
    /// Length of every key; at least [`Shape::MIN_KEY_BYTES`].
    pub key_bytes: usize,
    /// Length of every value. They are random bytes, which do not compress.
    pub value_bytes: usize,
    /// How keys are drawn.
    pub distribution: Distribution,
    /// What everything random follows from.
    pub seed: u64,
}

impl Shape {
    /// The shortest keys: the number of a key must have room.
    pub const MIN_KEY_BYTES: usize = 8;

    /// Keys of 16 bytes, values of 100, drawn uniformly.
    #[must_use]
    pub fn new(records: u64) -> Shape {
        Shape {
            records,
            key_bytes: 16,
            value_bytes: 100,
            distribution: Distribution::Uniform,
            seed: 1,
        }
    }

    /// The key with this number.
    #[must_use]
    pub fn key(&self, number: u64) -> Vec<u8> {
        let mut key = vec![0; self.key_bytes];
        self.write_key(number, &mut key);
        key
    }

    /// As [`Shape::key`], into a slice of `key_bytes` bytes.
    pub fn write_key(&self, number: u64, key: &mut [u8]) {
        keys::write(self.distribution, number, key);
    }

    /// The stream of keys of one of `threads` threads.
    #[must_use]
    pub fn keys(&self, thread: u64, threads: u64) -> Keys {
        Keys::new(self, thread, threads)
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> Values {
        Values::new(self.value_bytes, self.seed)
    }

    /// Bytes of the keys and values of so many records.
    #[must_use]
    pub fn user_bytes(&self, records: u64) -> u64 {
        records * (self.key_bytes + self.value_bytes) as u64
    }
}
