//! The values of a workload.

use oorandom::Rand64;

use super::keys::scatter;

/// How many random bytes there are to cut values from: so many that a value's like does not come
/// again within the reach of the usual compressors.
const POOL_BYTES: usize = 1 << 20;

/// Values that follow from the numbers of their keys: pieces of a pool of random bytes, so that
/// making one costs nothing while something else is measured.
#[derive(Clone, Debug)]
pub struct Values {
    pool: std::sync::Arc<[u8]>,
    value_bytes: usize,
}

impl Values {
    pub(super) fn new(value_bytes: usize, seed: u64) -> Values {
        let mut random = Rand64::new(u128::from(seed));
        let length = POOL_BYTES + value_bytes;
        let words = std::iter::repeat_with(|| random.rand_u64().to_le_bytes());
        let pool: Vec<u8> = words.flatten().take(length).collect();
        Values { pool: pool.into(), value_bytes }
    }

    /// The value of the key with this number.
    #[must_use]
    pub fn of(&self, number: u64) -> &[u8] {
        #[expect(clippy::cast_possible_truncation, reason = "so few bits are left")]
        let start = (scatter(number) >> (64 - POOL_BYTES.ilog2())) as usize;
        &self.pool[start..start + self.value_bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_from_the_number_and_differ() {
        let values = Values::new(100, 3);
        assert_eq!(values.of(5), Values::new(100, 3).of(5));
        assert_ne!(values.of(5), Values::new(100, 4).of(5));
        let distinct: std::collections::BTreeSet<_> = (0..1000).map(|n| values.of(n)).collect();
        assert_eq!((distinct.len(), values.of(17).len()), (1000, 100));
        assert_eq!(Values::new(2 << 20, 1).of(9).len(), 2 << 20);
        assert_eq!(Values::new(0, 1).of(9), b"");
    }
}
