//! Bytes in memory that a write past the page cache accepts.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::DIRECT_ALIGNMENT_BYTES;

/// A growable run of bytes that begins at a multiple of [`DIRECT_ALIGNMENT_BYTES`] in memory.
///
/// It derefs to the bytes that were put in. Growing doubles the capacity; clearing keeps it.
///
/// # Invariants
///
/// - `start + capacity <= storage.len()`, and `length <= capacity`.
/// - `storage[start]` is aligned, unless the capacity is zero.
/// - `storage` is never grown in place, so the place that `start` was computed for stays.
pub struct AlignedBuffer {
    /// Always as long as its allocation: appending then writes over bytes and need not initialise
    /// any.
    storage: Vec<u8>,
    start: usize,
    capacity: usize,
    length: usize,
}

impl AlignedBuffer {
    /// An empty buffer that holds at least `bytes` bytes before it has to grow. The capacity is a
    /// multiple of [`DIRECT_ALIGNMENT_BYTES`].
    pub fn with_capacity(bytes: usize) -> AlignedBuffer {
        let capacity = bytes.next_multiple_of(DIRECT_ALIGNMENT_BYTES);
        if capacity == 0 {
            return AlignedBuffer { storage: Vec::new(), start: 0, capacity: 0, length: 0 };
        }
        let storage = vec![0u8; capacity + DIRECT_ALIGNMENT_BYTES - 1];
        let start = storage.as_ptr().align_offset(DIRECT_ALIGNMENT_BYTES);
        assert!(start < DIRECT_ALIGNMENT_BYTES, "no aligned place in a buffer: {start}");
        AlignedBuffer { storage, start, capacity, length: 0 }
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many bytes it can hold before it has to grow.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets the contents and keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Puts `bytes` behind the contents.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if end > self.capacity {
            self.grow(end);
        }
        let from = self.start + self.length;
        self.storage[from..from + bytes.len()].copy_from_slice(bytes);
        self.length = end;
    }

    /// Makes the contents `length` bytes long: cuts them, or puts zeros behind them.
    pub fn resize(&mut self, length: usize) {
        if length > self.capacity {
            self.grow(length);
        }
        if length > self.length {
            // An earlier use may have left bytes here.
            self.storage[self.start + self.length..self.start + length].fill(0);
        }
        self.length = length;
    }

    /// Cuts the contents to `length` bytes; does nothing if they are not longer.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        let mut larger = AlignedBuffer::with_capacity(needed.max(self.capacity * 2));
        larger.extend_from_slice(self);
        *self = larger;
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.length]
    }
}

impl Clone for AlignedBuffer {
    fn clone(&self) -> AlignedBuffer {
        // Copying the fields would keep the start of another allocation.
        let mut copy = AlignedBuffer::with_capacity(self.length);
        copy.extend_from_slice(self);
        copy
    }
}

impl Default for AlignedBuffer {
    fn default() -> AlignedBuffer {
        AlignedBuffer::with_capacity(0)
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AlignedBuffer({} of {} bytes)", self.length, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(buffer: &AlignedBuffer) -> bool {
        (buffer.as_ptr() as usize).is_multiple_of(DIRECT_ALIGNMENT_BYTES)
    }

    #[test]
    fn growing_keeps_the_bytes_and_the_alignment() {
        let mut buffer = AlignedBuffer::default();
        let mut model = Vec::new();
        for round in 0..2000u32 {
            let piece = vec![round as u8; (round as usize * 7) % 41];
            buffer.extend_from_slice(&piece);
            model.extend_from_slice(&piece);
            assert!(buffer.is_empty() || is_aligned(&buffer));
        }
        assert_eq!(&buffer[..], &model[..]);
        assert!(buffer.capacity() >= buffer.len());
        assert!(buffer.capacity().is_multiple_of(DIRECT_ALIGNMENT_BYTES));
    }

    #[test]
    fn resizing_fills_with_zeros_even_where_bytes_stood() {
        let mut buffer = AlignedBuffer::with_capacity(10);
        buffer.extend_from_slice(&[7; 10]);
        buffer.truncate(3);
        buffer.truncate(5);
        buffer.resize(6);
        assert_eq!(&buffer[..], &[7, 7, 7, 0, 0, 0]);
        buffer.clear();
        buffer.resize(5000);
        assert_eq!(&buffer[..], &[0u8; 5000][..]);
        buffer[4999] = 1;
        assert_eq!(buffer.len(), 5000);
        assert!(is_aligned(&buffer));
    }

    #[test]
    fn clearing_keeps_the_memory_and_a_copy_is_aligned_too() {
        let mut buffer = AlignedBuffer::with_capacity(9000);
        let capacity = buffer.capacity();
        let place = buffer.as_ptr();
        for _ in 0..3 {
            buffer.clear();
            buffer.extend_from_slice(&[1; 9000]);
        }
        assert_eq!((buffer.capacity(), buffer.as_ptr()), (capacity, place));
        let copy = buffer.clone();
        assert!(is_aligned(&copy));
        assert_eq!(&copy[..], &buffer[..]);
    }
}
