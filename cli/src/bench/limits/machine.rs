//! What processor and memory allow.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay::wal::disk::AlignedBuffer;
use mainstay::wal::frame::payload_checksum;

use super::Sample;

/// Copied at a time: more than the processor's caches hold on most machines.
const COPIED_BYTES: usize = 64 << 20;
/// How many operations pass between two looks at the clock.
const BETWEEN_LOOKS: u64 = 64;

/// Checksums of pieces of so many bytes, which lie in the processor's cache if they are small.
#[must_use]
pub fn checksums(bytes: usize, slice: Duration) -> Sample {
    let piece: Vec<u8> = (0..=u8::MAX).cycle().take(bytes).collect();
    let looks = if bytes > 1 << 16 { 1 } else { BETWEEN_LOOKS };
    repeat(slice, looks, bytes as u64, || {
        black_box(payload_checksum(black_box(&piece)));
    })
}

/// Copies from one place of memory to another, both aligned to pages, larger than caches.
#[must_use]
pub fn memory_copies(slice: Duration) -> Sample {
    let mut from = AlignedBuffer::with_capacity(COPIED_BYTES);
    from.resize(COPIED_BYTES);
    from.fill(7);
    let mut to = from.clone();
    repeat(slice, 1, COPIED_BYTES as u64, || {
        black_box(&mut to).copy_from_slice(black_box(&from));
    })
}

fn repeat(slice: Duration, looks: u64, bytes: u64, mut operation: impl FnMut()) -> Sample {
    let started = Instant::now();
    let mut count = 0;
    loop {
        for _ in 0..looks {
            operation();
        }
        count += looks;
        let elapsed = started.elapsed();
        if elapsed >= slice {
            return Sample { count, bytes: count * bytes, elapsed };
        }
    }
}

/// Round trips between two threads that sleep until the other one wakes them (on Linux with a
/// futex): what handing something over and hearing back costs at least.
#[must_use]
pub fn hand_overs(slice: Duration) -> Sample {
    const STOP: u64 = u64::MAX;
    let (ball, returned) = (AtomicU64::new(0), AtomicU64::new(0));
    let server = std::thread::current();
    std::thread::scope(|scope| {
        let player = scope.spawn(|| {
            let mut seen = 0;
            loop {
                let now = wait_for_another(&ball, seen);
                if now == STOP {
                    return;
                }
                seen = now;
                returned.store(now, Ordering::Release);
                server.unpark();
            }
        });
        let started = Instant::now();
        let mut count = 0;
        let elapsed = loop {
            ball.store(count + 1, Ordering::Release);
            player.thread().unpark();
            count = wait_for_another(&returned, count);
            let elapsed = started.elapsed();
            if elapsed >= slice {
                break elapsed;
            }
        };
        ball.store(STOP, Ordering::Release);
        player.thread().unpark();
        Sample { count, bytes: 0, elapsed }
    })
}

fn wait_for_another(place: &AtomicU64, seen: u64) -> u64 {
    loop {
        let now = place.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        std::thread::park();
    }
}
