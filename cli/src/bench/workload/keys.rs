//! Which keys are used, and in which order.

use std::fmt;

use oorandom::Rand64;
use rand_distr::{Distribution as _, Zipf};

use super::Shape;

/// The exponent of [`Distribution::Zipfian`], as in YCSB's workloads.
pub const ZIPFIAN_EXPONENT: f64 = 0.99;

/// How keys are drawn.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// One after another, in the order of their bytes.
    Sequential,
    /// Each as likely as any other. Writers that load a store take each key once, in random order.
    #[default]
    Uniform,
    /// A few keys very often: the one of rank `r` with a probability that goes with `r` to the
    /// power of -0.99. Frequent keys do not lie side by side.
    Zipfian,
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Distribution::Sequential => "sequential",
            Distribution::Uniform => "uniform",
            Distribution::Zipfian => "zipfian",
        })
    }
}

/// The keys of one thread, as numbers below [`Shape::records`].
#[derive(Clone, Debug)]
pub struct Keys {
    records: u64,
    distribution: Distribution,
    zipf: Option<Zipf<f64>>,
    random: Generator,
    /// The next number of the threads that share out all of them.
    next: u64,
    threads: u64,
}

impl Keys {
    pub(super) fn new(shape: &Shape, thread: u64, threads: u64) -> Keys {
        assert!(thread < threads, "thread {thread} of {threads}");
        let records = shape.records.max(1);
        let zipf = match shape.distribution {
            Distribution::Zipfian => Zipf::new(records as f64, ZIPFIAN_EXPONENT).ok(),
            Distribution::Sequential | Distribution::Uniform => None,
        };
        let stream = (u128::from(thread) << 1) | 1;
        let random = Generator(Rand64::new_inc(u128::from(shape.seed), stream));
        Keys { records, distribution: shape.distribution, zipf, random, next: thread, threads }
    }

    /// The next key for reading, or for writing what is there already. Sequential keys begin again
    /// after the last one.
    pub fn next_number(&mut self) -> u64 {
        match &self.zipf {
            Some(zipf) => {
                let rank = zipf.sample(&mut self.random);
                #[expect(clippy::cast_possible_truncation, reason = "a rank from 1 to records")]
                let rank = rank as u64;
                rank.clamp(1, self.records) - 1
            }
            None if self.distribution == Distribution::Uniform => {
                self.random.0.rand_range(0..self.records)
            }
            None => {
                let number = self.next % self.records;
                self.next = self.next.wrapping_add(self.threads);
                number
            }
        }
    }

    /// The next key for loading: sequential and uniform ones once each over all threads, and none
    /// when all were taken; zipfian ones `records` times in all.
    pub fn next_to_load(&mut self) -> Option<u64> {
        let turn = self.next;
        if turn >= self.records {
            return None;
        }
        match self.zipf {
            Some(_) => {
                self.next += self.threads;
                Some(self.next_number())
            }
            None => {
                self.next += self.threads;
                Some(turn)
            }
        }
    }

    /// A number from 0 to below 1, for choices other than that of a key.
    pub fn draw(&mut self) -> f64 {
        self.random.0.rand_float()
    }
}

/// The algorithm is frozen, so a seed means the same keys in every version.
#[derive(Clone, Debug)]
struct Generator(Rand64);

impl rand_core::TryRng for Generator {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.0.rand_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.rand_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.0.rand_u64().to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }
}

/// Writes the bytes of a key: eight that keep the number's order, or scatter numbers evenly over
/// all keys, and behind them bytes that follow from it.
pub(super) fn write(distribution: Distribution, number: u64, key: &mut [u8]) {
    let (mut word, step) = match distribution {
        Distribution::Sequential => (number, number),
        Distribution::Uniform | Distribution::Zipfian => (scatter(number), number),
    };
    let mut round = 0;
    for piece in key.chunks_mut(8) {
        piece.copy_from_slice(&word.to_be_bytes()[..piece.len()]);
        round += 1;
        word = scatter(step.wrapping_add(round << 56));
    }
}

/// Different numbers give different results, which look random: the finaliser of SplitMix64
/// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(super) fn scatter(number: u64) -> u64 {
    let mut word = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn shape(distribution: Distribution, records: u64) -> Shape {
        Shape { distribution, ..Shape::new(records) }
    }

    #[test]
    fn loading_takes_every_key_once_over_all_threads() {
        for distribution in [Distribution::Sequential, Distribution::Uniform] {
            let shape = shape(distribution, 1001);
            let mut taken = BTreeSet::new();
            for thread in 0..3 {
                let mut keys = shape.keys(thread, 3);
                while let Some(number) = keys.next_to_load() {
                    assert!(taken.insert(shape.key(number)), "{number} twice");
                }
            }
            assert_eq!(taken.len(), 1001);
        }
        let mut zipfian = shape(Distribution::Zipfian, 1001).keys(2, 3);
        let mut count = 0;
        while let Some(number) = zipfian.next_to_load() {
            assert!(number < 1001);
            count += 1;
        }
        assert_eq!(count, 333);
    }

    #[test]
    fn sequential_keys_are_in_order_and_others_are_not() {
        let keys = |distribution| -> Vec<Vec<u8>> {
            let shape = Shape { key_bytes: 27, ..shape(distribution, 1000) };
            (0..1000).map(|number| shape.key(number)).collect()
        };
        assert!(keys(Distribution::Sequential).is_sorted());
        let scattered = keys(Distribution::Uniform);
        assert!(!scattered.is_sorted());
        assert_eq!(scattered.iter().collect::<BTreeSet<_>>().len(), 1000);
        // Evenly: each sixteenth of all keys holds about a sixteenth of these.
        let mut counts = [0; 16];
        for key in &scattered {
            counts[usize::from(key[0] >> 4)] += 1;
        }
        assert!(counts.iter().all(|count| (30..100).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_seed_and_a_thread_decide_the_keys() {
        let stream = |seed, thread| -> Vec<u64> {
            let shape = Shape { seed, ..shape(Distribution::Zipfian, 1 << 20) };
            let mut keys = shape.keys(thread, 4);
            (0..100).map(|_| keys.next_number()).collect()
        };
        assert_eq!(stream(7, 0), stream(7, 0));
        assert_ne!(stream(7, 0), stream(8, 0));
        assert_ne!(stream(7, 0), stream(7, 1));
    }

    /// The frequencies of ranks are those of the distribution itself, within what chance explains.
    #[test]
    fn zipfian_ranks_have_their_probabilities() {
        const RECORDS: usize = 1000;
        const DRAWS: u32 = 400_000;
        let mut keys = shape(Distribution::Zipfian, RECORDS as u64).keys(0, 1);
        let mut counts = vec![0u32; RECORDS];
        for _ in 0..DRAWS {
            counts[usize::try_from(keys.next_number()).unwrap()] += 1;
        }
        let weight = |rank: usize| (rank as f64).powf(-ZIPFIAN_EXPONENT);
        let total: f64 = (1..=RECORDS).map(weight).sum();
        for (index, count) in counts.iter().enumerate() {
            let expected = f64::from(DRAWS) * weight(index + 1) / total;
            let deviation = (f64::from(*count) - expected).abs() / expected.sqrt();
            assert!(deviation < 5.0, "rank {}: {count}, expected {expected:.0}", index + 1);
        }
    }
}
