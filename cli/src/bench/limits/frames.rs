//! How fast frames can be read from a file, checked, and given to another thread.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use mainstay::wal::disk::{Disk, DiskFile, FileDisk, FileDiskOptions, Open, read_exact_at};
use mainstay::wal::frame::{FRAME_HEADER_BYTES, Frames, encode_frame};
use mainstay::wal::{Epoch, Lsn};

use super::Sample;
use crate::bench::workload::Shape;

/// Read at a time, and handed over at a time.
const RUN_BYTES: usize = 1 << 20;
/// Runs on their way between the threads.
const RUNS: usize = 4;
const NAME: &str = "limit-of-frames";
/// The receiver touches every line of the processor's cache, or the bytes would never get there.
const CACHE_LINE_BYTES: usize = 64;

/// Reads a file of frames from the page cache in large pieces, checks both checksums of each frame,
/// and hands the pieces over to another thread, which touches them. Nothing else: no groups, no
/// chain, no search. What following a log is compared with.
#[derive(Debug)]
pub struct CheckedFrames {
    file: Arc<dyn DiskFile>,
    runs: u64,
    run_bytes: usize,
}

impl CheckedFrames {
    /// Makes a file of about `file_bytes` of frames with payloads of one size.
    pub fn new(
        directory: &Path,
        payload_bytes: usize,
        file_bytes: u64,
    ) -> io::Result<CheckedFrames> {
        let disk = FileDisk::open(directory, FileDiskOptions::default())?;
        let file = disk.open(NAME, Open::Create)?;
        let frame_bytes = FRAME_HEADER_BYTES + payload_bytes;
        let frames = (RUN_BYTES / frame_bytes).max(1);
        let run_bytes = frames * frame_bytes;
        let runs = (file_bytes / run_bytes as u64).max(1);
        let values = Shape { value_bytes: payload_bytes, ..Shape::new(1) }.values();
        let mut run = Vec::with_capacity(run_bytes);
        let mut lsn = Lsn::ZERO;
        for number in 0..runs {
            run.clear();
            for _ in 0..frames {
                lsn = lsn.next();
                encode_frame(&mut run, lsn, Epoch(1), values.of(lsn.0));
            }
            file.write_at(number * run_bytes as u64, &run)?;
        }
        disk.remove(NAME)?;
        Ok(CheckedFrames { file, runs, run_bytes })
    }

    /// Reads it again and again for so long.
    pub fn run(&self, slice: Duration) -> io::Result<Sample> {
        let (full, arriving) = sync_channel::<Vec<u8>>(RUNS);
        let (empty, returned) = sync_channel::<Vec<u8>>(RUNS);
        for _ in 0..RUNS {
            // There is room for all of them.
            let _kept = empty.try_send(vec![0; self.run_bytes]);
        }
        let started = Instant::now();
        std::thread::scope(|scope| {
            let receiver = scope.spawn(move || receive(&arriving, &empty));
            let sent = self.send(&full, &returned, started + slice);
            drop(full);
            let received = receiver.join().map_err(|_| io::Error::other("a thread panicked"))?;
            let count = sent?;
            Ok(Sample { count, bytes: received, elapsed: started.elapsed() })
        })
    }

    fn send(
        &self,
        full: &SyncSender<Vec<u8>>,
        returned: &Receiver<Vec<u8>>,
        deadline: Instant,
    ) -> io::Result<u64> {
        let gone = || io::Error::other("the receiver is gone");
        let mut count = 0;
        for number in (0..self.runs).cycle() {
            let mut run = returned.recv().map_err(|_| gone())?;
            read_exact_at(&*self.file, number * self.run_bytes as u64, &mut run)?;
            for frame in Frames::new(&run) {
                frame.map_err(io::Error::other)?;
                count += 1;
            }
            full.send(run).map_err(|_| gone())?;
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(count)
    }
}

/// Bytes that came over.
fn receive(arriving: &Receiver<Vec<u8>>, empty: &SyncSender<Vec<u8>>) -> u64 {
    let mut bytes = 0;
    let mut touched = 0u8;
    for run in arriving {
        touched = run.iter().step_by(CACHE_LINE_BYTES).fold(touched, |all, byte| all ^ byte);
        bytes += run.len() as u64;
        // Nobody wants it any more once the sender has ended.
        let _kept = empty.try_send(run);
    }
    std::hint::black_box(touched);
    bytes
}
