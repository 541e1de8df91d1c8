//! Lines of an input, bounded in memory, that can be handed back.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

/// Lines of a reader with their numbers.
#[derive(Debug)]
pub(super) struct LineSource<R> {
    reader: BufReader<R>,
    /// Lines that were handed back, to be read again first.
    returned: VecDeque<Line>,
    /// How many lines were read from the reader.
    count: u64,
    limit_bytes: usize,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its text without line end.
    pub(super) text: Vec<u8>,
    /// What ended it.
    pub(super) end: LineEnd,
}

/// What ended a line.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// `\n`, or the end of the input.
    Newline,
    /// `\r\n`.
    CarriageReturn,
    /// The line is longer than the limit; the rest of it was passed over.
    Cut,
}

impl LineEnd {
    /// The bytes that stood there.
    pub(super) fn bytes(self) -> &'static [u8] {
        match self {
            LineEnd::Newline | LineEnd::Cut => b"\n",
            LineEnd::CarriageReturn => b"\r\n",
        }
    }
}

impl Line {
    /// Why the line cannot be used, if it was cut.
    pub(super) fn cut_reason(&self) -> Option<String> {
        (self.end == LineEnd::Cut)
            .then(|| format!("longer than the limit; its first {} bytes are kept", self.text.len()))
    }

    /// Whether nothing but white space stands on it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.iter().all(u8::is_ascii_whitespace)
    }
}

impl<R: Read> LineSource<R> {
    /// Lines of at most `limit_bytes` each.
    pub(super) fn new(reader: R, limit_bytes: usize) -> LineSource<R> {
        let reader = BufReader::with_capacity(64 << 10, reader);
        LineSource { reader, returned: VecDeque::new(), count: 0, limit_bytes }
    }

    /// The next line, or nothing at the end of the input.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.returned.pop_front() {
            return Ok(Some(line));
        }
        let mut text = Vec::new();
        // Two more than the limit: room for a line end.
        let most = u64::try_from(self.limit_bytes).unwrap_or(u64::MAX).saturating_add(2);
        if self.reader.by_ref().take(most).read_until(b'\n', &mut text)? == 0 {
            return Ok(None);
        }
        self.count += 1;
        let complete = text.last() == Some(&b'\n');
        let mut end = LineEnd::Newline;
        if complete {
            text.pop();
            if text.last() == Some(&b'\r') {
                text.pop();
                end = LineEnd::CarriageReturn;
            }
        }
        if text.len() > self.limit_bytes {
            text.truncate(self.limit_bytes);
            end = LineEnd::Cut;
            if !complete {
                self.pass_over_line()?;
            }
        }
        if self.count == 1 && text.starts_with(b"\xef\xbb\xbf") {
            // A byte order mark, which some programs put in front of UTF-8, is no part of the first
            // line.
            text.drain(..3);
        }
        Ok(Some(Line { number: self.count, text, end }))
    }

    /// Hands lines back: they are read again, in the order given, before what follows them.
    pub(super) fn hand_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.returned.push_front(line);
        }
    }

    /// Reads to the end of a line without keeping it.
    fn pass_over_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return Ok(());
            }
            match buffer.iter().position(|byte| *byte == b'\n') {
                Some(position) => {
                    self.reader.consume(position + 1);
                    return Ok(());
                }
                None => {
                    let length = buffer.len();
                    self.reader.consume(length);
                }
            }
        }
    }
}
