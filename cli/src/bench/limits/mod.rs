//! What disk and machine allow, measured in slices so that it can be done in turn with a workload.

mod frames;
mod machine;
mod reads;
mod syncs;

use std::time::Duration;

pub use frames::CheckedFrames;
pub use machine::{checksums, hand_overs, memory_copies};
pub use reads::SequentialReads;
pub use syncs::GroupSyncs;

/// What was done in a slice of time.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How often, or how many records.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
    /// In how much time.
    pub elapsed: Duration,
}

impl Sample {
    /// Times or records per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Bytes per second.
    #[must_use]
    pub fn bytes_rate(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(20);

    #[test]
    fn a_sample_is_a_rate() {
        let sample = Sample { count: 10, bytes: 1000, elapsed: Duration::from_millis(500) };
        assert!((sample.rate() - 20.0).abs() < 1e-9);
        assert!((sample.bytes_rate() - 2000.0).abs() < 1e-9);
    }

    #[test]
    fn the_machine_is_measured() {
        for bytes in [1, 100, 1 << 20] {
            let sample = checksums(bytes, SLICE);
            assert!(sample.count > 0 && sample.bytes == sample.count * bytes as u64, "{sample:?}");
        }
        assert!(memory_copies(SLICE).bytes > 0);
        assert!(hand_overs(SLICE).count > 0);
    }

    #[test]
    fn the_disk_is_measured_and_groups_advance_over_it() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [1, 200, 4096, 5000, 100_000] {
            let mut syncs = GroupSyncs::new(directory.path(), bytes).unwrap();
            let figures = syncs.run(SLICE, SLICE).unwrap();
            assert!(figures.records() > 0);
            let least = figures.records() * bytes as u64;
            assert!(syncs.written_bytes() >= least, "{} of {least}", syncs.written_bytes());
        }
        let mut reads = SequentialReads::new(directory.path(), 4 << 20).unwrap();
        let (first, second) = (reads.pass().unwrap(), reads.pass().unwrap());
        assert_eq!((first.bytes, second.bytes), (4 << 20, 4 << 20));
    }

    #[test]
    fn frames_are_read_checked_and_handed_over() {
        let directory = tempfile::tempdir().unwrap();
        for payload_bytes in [0, 100, 1 << 20] {
            let frames = CheckedFrames::new(directory.path(), payload_bytes, 3 << 20).unwrap();
            let sample = frames.run(SLICE).unwrap();
            let frame_bytes = payload_bytes as u64 + 28;
            assert!(sample.count > 0 && sample.bytes == sample.count * frame_bytes, "{sample:?}");
        }
    }
}
