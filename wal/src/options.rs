//! The knobs of a log.

/// How a log uses its disk and memory. The defaults suit a database on a local SSD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The unit in which groups are written: 512 or 4096. Default 4096, which direct I/O needs;
    /// 512 makes tiny logs for tests. Fixed when a segment is made.
    pub block_bytes: u32,
    /// Size of the first segment. Default 1 MiB. Every next one is twice as large, up to
    /// `max_segment_bytes`.
    pub first_segment_bytes: u64,
    /// Size at which segments stop growing. Default 64 MiB. Smaller ones free space sooner; larger
    /// ones rotate less often. A record that does not fit gets a larger segment of its own.
    pub max_segment_bytes: u64,
    /// The largest record. Default 32 MiB.
    pub max_record_bytes: u32,
    /// Where a group is closed although the disk is still busy. Default 1 MiB: larger groups cost
    /// latency, smaller ones throughput.
    pub max_group_bytes: usize,
    /// How much may wait for the disk before appending waits too. Default 32 MiB.
    pub max_pending_bytes: usize,
    /// How much of the newest log is kept in memory for readers. Default 4 MiB.
    pub recent_bytes: usize,
    /// How much log a hold may keep before it is given up. Default 1 GiB.
    pub hold_cap_bytes: u64,
    /// Where the salts of segments come from. Random in production; given, so that a simulation
    /// repeats itself.
    pub salt_seed: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            block_bytes: 4096,
            first_segment_bytes: 1 << 20,
            max_segment_bytes: 64 << 20,
            max_record_bytes: 32 << 20,
            max_group_bytes: 1 << 20,
            max_pending_bytes: 32 << 20,
            recent_bytes: 4 << 20,
            hold_cap_bytes: 1 << 30,
            salt_seed: 0,
        }
    }
}

impl LogOptions {
    /// A log of 4-KiB segments in 512-byte blocks: many rotations in few bytes, for tests.
    #[must_use]
    pub fn tiny() -> LogOptions {
        LogOptions {
            block_bytes: 512,
            first_segment_bytes: 4096,
            max_segment_bytes: 4096,
            max_group_bytes: 2048,
            max_pending_bytes: 64 << 10,
            recent_bytes: 4096,
            ..LogOptions::default()
        }
    }
}
