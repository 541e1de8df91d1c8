//! The simulated disk's own generator, so that its decisions never change with another crate's.

/// SplitMix64: the same seed gives the same numbers for ever.
#[derive(Clone, Debug)]
pub(super) struct Generator(u64);

impl Generator {
    /// A generator for one decision (`purpose`) of a disk with this seed.
    pub(super) fn new(seed: u64, purpose: u64) -> Generator {
        let mut generator = Generator(seed);
        generator.0 = generator.next() ^ purpose;
        generator
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit`, that included. The bias is of no matter here.
    pub(super) fn up_to(&mut self, limit: u64) -> u64 {
        match limit.checked_add(1) {
            Some(count) => self.next() % count,
            None => self.next(),
        }
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}
