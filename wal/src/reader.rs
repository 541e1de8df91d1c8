//! Reading a log while it is written.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;
use crate::disk::AlignedBuffer;
use crate::error::{Error, Result};
use crate::frame::{Frame, Frames};
use crate::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::ids::{Chain, Epoch, LogId, Lsn};
use crate::live::LiveSegment;
use crate::log::Log;
use crate::read_ahead::ReadAhead;
use crate::scan::ExtentEnd;
use crate::segment;

/// Up to where a [`Reader`] reads.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Everything appended, durable or not. For shipping records before the own disk has them, and
    /// for nothing else: a crash takes back what is not durable.
    Appended,
    /// What is durable. The default.
    Durable,
    /// What is durable and committed.
    Committed,
}

/// Reads a log from a record on, and follows its end. Never blocks writers.
#[derive(Debug)]
pub struct Reader {
    log: Log,
    bound: Bound,
    next: Lsn,
    cursor: Option<Cursor>,
    run: Option<Run>,
    /// Where the next frame begins in `run`.
    offset: usize,
}

/// A place in a segment's file.
#[derive(Debug)]
struct Cursor {
    segment: Arc<LiveSegment>,
    offset: u64,
    /// The first record of the group at `offset`, as far as it is known.
    next: Lsn,
    read_ahead: ReadAhead,
}

/// Consecutive frames, as they stand in the log.
#[derive(Clone, Debug)]
pub struct Run {
    first_lsn: Lsn,
    last: LogId,
    chain_before_group: Chain,
    bytes: RunBytes,
    range: Range<usize>,
}

#[derive(Clone, Debug)]
enum RunBytes {
    Group(Arc<AlignedBuffer>),
    Read(Arc<Vec<u8>>),
}

impl Run {
    /// The first record.
    #[must_use]
    pub fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// The last record.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.last
    }

    /// The frames, one after another, byte for byte as in the log.
    #[must_use]
    pub fn frames(&self) -> &[u8] {
        match &self.bytes {
            RunBytes::Group(buffer) => &buffer[self.range.clone()],
            RunBytes::Read(bytes) => &bytes[self.range.clone()],
        }
    }
}

/// Where the next run comes from.
enum Source {
    /// Nothing to read yet.
    End,
    Memory(RunBytes, Range<usize>),
    /// With the place where the segment's part of the log ends, if another one follows.
    Segment(Arc<LiveSegment>, Option<ExtentEnd>),
}

impl Log {
    /// A reader that begins with record `from`, and reads up to the bound. `from` may lie ahead of
    /// the end.
    ///
    /// Fails with [`Error::LogTruncated`] if the log begins later.
    pub fn reader(&self, from: Lsn, bound: Bound) -> Result<Reader> {
        let next = from.max(Lsn(1));
        let first_lsn = self.first_lsn();
        if next < first_lsn {
            return Err(Error::LogTruncated { requested: from, first_lsn });
        }
        Ok(Reader { log: self.clone(), bound, next, cursor: None, run: None, offset: 0 })
    }
}

impl Reader {
    /// The record that comes next.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The next frame. None at the bound: [`Reader::wait`] waits for more.
    ///
    /// [`Error::LogTruncated`]: retention was faster than this reader; a [`Log::hold`] prevents it.
    /// [`Error::Corrupt`]: what was durable is damaged. Calling again gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        if self.run.as_ref().is_none_or(|run| self.offset >= run.range.len()) {
            let next = self.next;
            self.run = self.read_run()?;
            self.offset = 0;
            self.next = next;
        }
        let Some(run) = &self.run else { return Ok(None) };
        let frame = match Frames::trusted(&run.frames()[self.offset..]).next() {
            Some(Ok(frame)) => frame,
            other => unreachable!("frames of a run were checked: {other:?}"),
        };
        self.offset += frame.bytes();
        self.next = frame.header.lsn.next();
        Ok(Some(frame))
    }

    /// The next run of frames, as many as stand together in the log. None at the bound.
    ///
    /// Errors as of [`Reader::next_frame`].
    pub fn read_run(&mut self) -> Result<Option<Run>> {
        if let Some(run) = self.rest_of_run() {
            return Ok(Some(run));
        }
        let (source, limit) = self.source()?;
        let run = match source {
            Source::End => return Ok(None),
            Source::Memory(bytes, range) => Run {
                first_lsn: self.next,
                last: LogId::ZERO,
                chain_before_group: Chain::EMPTY,
                bytes,
                range,
            },
            Source::Segment(segment, end) => self.read_group(segment, end)?,
        };
        let run = cut(run, self.next, limit);
        self.next = run.last.lsn.next();
        Ok(Some(run))
    }

    /// Waits until there may be more to read than at the last call, at most `timeout`. True if
    /// there is.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let progress = &self.log.shared.progress;
        let seen = progress.generation();
        let has_more = || self.next <= self.limit(&self.log.shared.commit.lock());
        if !has_more() {
            progress.wait(seen, timeout);
        }
        has_more()
    }

    /// What [`Reader::next_frame`] has not given out yet of its run.
    fn rest_of_run(&mut self) -> Option<Run> {
        let mut run = self.run.take()?;
        let offset = std::mem::take(&mut self.offset);
        run.range.start += offset;
        run.first_lsn = self.next;
        self.next = run.last.lsn.next();
        (!run.range.is_empty()).then_some(run)
    }

    fn limit(&self, core: &Core) -> Lsn {
        match self.bound {
            Bound::Appended => core.end.lsn,
            Bound::Durable => core.durable.lsn,
            Bound::Committed => core.durable.lsn.min(core.commit_lsn),
        }
    }

    fn source(&self) -> Result<(Source, Lsn)> {
        let core = self.log.shared.commit.lock();
        let first_lsn = core.segments.first_lsn();
        if self.next < first_lsn {
            return Err(Error::LogTruncated { requested: self.next, first_lsn });
        }
        let limit = self.limit(&core);
        if self.next > limit {
            return Ok((Source::End, limit));
        }
        if self.next > core.durable.lsn {
            let Some(frames) = core.pending_frames(self.next) else {
                // Poisoned: what was pending is gone.
                return Ok((Source::End, limit));
            };
            let range = 0..frames.len();
            return Ok((Source::Memory(RunBytes::Read(Arc::new(frames)), range), limit));
        }
        let at = core.recent.partition_point(|group| group.last_lsn < self.next);
        if let Some(group) = core.recent.get(at)
            && group.first_lsn <= self.next
        {
            let bytes = RunBytes::Group(group.buffer.clone());
            return Ok((Source::Memory(bytes, group.frames.clone()), limit));
        }
        match core.segments.holding(self.next) {
            Some(segment) => {
                let end = core.segments.end_of(segment.number());
                Ok((Source::Segment(segment.clone(), end), limit))
            }
            None => unreachable!("LSN {} lies between {first_lsn} and {limit}", self.next),
        }
    }

    /// Reads the group that holds the next record from a segment's file.
    fn read_group(&mut self, segment: Arc<LiveSegment>, end: Option<ExtentEnd>) -> Result<Run> {
        let fits = |cursor: &Cursor| {
            cursor.segment.number() == segment.number() && cursor.next <= self.next
        };
        let mut cursor = match self.cursor.take_if(|cursor| fits(cursor)) {
            Some(cursor) => cursor,
            None => Cursor::new(segment, self.next),
        };
        let run = loop {
            let run = cursor.read_group(self.next, end)?;
            if run.last.lsn >= self.next {
                break run;
            }
        };
        self.cursor = Some(cursor);
        Ok(run)
    }

    /// The identity of the record at which this reader was made, and the chain up to it.
    pub(crate) fn locate(&mut self, lsn: Lsn) -> Result<(LogId, Chain)> {
        let holding = {
            let core = self.log.shared.commit.lock();
            let segment = core.segments.holding(lsn).cloned();
            segment.map(|segment| (core.segments.end_of(segment.number()), segment))
        };
        let Some((end, segment)) = holding else {
            return Err(Error::LogTruncated { requested: lsn, first_lsn: self.log.first_lsn() });
        };
        let run = self.read_group(segment, end)?;
        let mut chain = run.chain_before_group;
        let mut found = LogId::ZERO;
        for frame in Frames::trusted(run.frames()) {
            let Ok(frame) = frame else { break };
            if frame.header.lsn > lsn {
                break;
            }
            chain = chain.extend(&frame.header);
            found = frame.header.log_id();
        }
        assert_eq!(found.lsn, lsn, "the group that was read holds the record");
        Ok((found, chain))
    }
}

/// Leaves of a run the frames from `first` to `limit`.
fn cut(mut run: Run, first: Lsn, limit: Lsn) -> Run {
    if run.first_lsn == first && (first..=limit).contains(&run.last.lsn) {
        return run;
    }
    let mut range = run.range.start..run.range.start;
    let mut walk = Frames::trusted(run.frames());
    let mut last = LogId::ZERO;
    while let Some(Ok(frame)) = walk.next() {
        if frame.header.lsn > limit {
            break;
        }
        let end = run.range.start + walk.offset();
        if frame.header.lsn < first {
            range.start = end;
        }
        range.end = end;
        last = frame.header.log_id();
    }
    assert!(last.lsn >= first, "a run that ends at {last} for a reader at {first}");
    run.range = range;
    run.first_lsn = first;
    run.last = last;
    run
}

impl Cursor {
    fn new(segment: Arc<LiveSegment>, lsn: Lsn) -> Cursor {
        let read_ahead = ReadAhead::new(segment.file.clone(), segment.header.size_bytes);
        Cursor { offset: segment.group_before(lsn), next: Lsn::ZERO, segment, read_ahead }
    }

    /// Reads and checks the group at this place, and moves behind it. `wanted` is named in errors.
    fn read_group(&mut self, wanted: Lsn, end: Option<ExtentEnd>) -> Result<Run> {
        let run = match self.try_group(wanted, end) {
            // What was read ahead, before the log's end came this far, is out of date by now.
            Err(Error::Corrupt { .. }) => {
                self.read_ahead.forget();
                self.try_group(wanted, end)?
            }
            other => other?,
        };
        self.offset += (GROUP_HEADER_BYTES + run.range.len()) as u64;
        self.next = run.last.lsn.next();
        Ok(run)
    }

    fn try_group(&mut self, wanted: Lsn, end: Option<ExtentEnd>) -> Result<Run> {
        let name = segment::file_name(self.segment.number());
        let io = |error| Error::io("read", name.clone(), error);
        let bytes = self.read_ahead.at(self.offset, GROUP_HEADER_BYTES).map_err(io)?;
        let header = match GroupHeader::decode(bytes, self.segment.header.salt) {
            Ok(header) => header,
            Err(error) => return Err(self.corrupt(wanted, error.to_string())),
        };
        let offset = self.offset + GROUP_HEADER_BYTES as u64;
        let length = header.byte_length as usize;
        let frames = self.read_ahead.at(offset, length).map_err(io)?;
        let checked = match end {
            // The log was cut inside this group; what lies behind the cut is no part of it.
            Some(end) if header.last_lsn() > end.last_lsn => {
                header.check_kept(Epoch::ZERO, frames, end.last_lsn, end.chain)
            }
            _ => header.check_body(Epoch::ZERO, frames),
        };
        let (last, length) = match checked {
            Ok(contents) => (contents.last, contents.bytes),
            Err(error) => return Err(self.corrupt(error.lsn, error.to_string())),
        };
        let (bytes, range) = self.read_ahead.shared(offset, length);
        Ok(Run {
            first_lsn: header.first_lsn,
            last,
            chain_before_group: header.chain_before,
            range,
            bytes: RunBytes::Read(bytes),
        })
    }

    fn corrupt(&self, lsn: Lsn, reason: String) -> Error {
        Error::Corrupt {
            file: segment::file_name(self.segment.number()),
            segment: Some(self.segment.number()),
            offset: self.offset,
            lsn,
            reason,
        }
    }
}
