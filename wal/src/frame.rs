//! One record as it stands on the disk and on the wire.
//!
//! A frame is a header of [`FRAME_HEADER_BYTES`] and the payload behind it. The header has a
//! checksum of its own, because a flipped length would otherwise hide everything behind it. This
//! module alone knows the places of a frame's fields.

use crate::codec::{put, u32_at, u64_at};
use crate::ids::{Chain, Epoch, LogId, Lsn};

/// Size of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 28;
/// The largest payload that a frame can hold: a group's length is a `u32` too.
pub const MAX_PAYLOAD_BYTES: usize = u32::MAX as usize - FRAME_HEADER_BYTES;

const HEADER_CRC: usize = 0;
const PAYLOAD_CRC: usize = 4;
const PAYLOAD_BYTES: usize = 8;
const LSN: usize = 12;
const EPOCH: usize = 20;

/// The checksum of a payload: CRC-32 (IEEE).
#[must_use]
pub fn payload_checksum(payload: &[u8]) -> u32 {
    crc32fast::hash(payload)
}

/// What stands in front of a payload.
///
/// Invariants: `lsn` and `epoch` are not zero; `header_crc` is that of the other four fields.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Checksum of the rest of the header.
    pub header_crc: u32,
    /// Checksum of the payload, see [`payload_checksum`].
    pub payload_crc: u32,
    /// Length of the payload, without this header.
    pub payload_bytes: u32,
    /// The record's number.
    pub lsn: Lsn,
    /// The epoch in which the record was first written.
    pub epoch: Epoch,
}

impl FrameHeader {
    /// The header for a payload of this length and checksum. `lsn` and `epoch` must not be zero.
    #[must_use]
    pub fn new(lsn: Lsn, epoch: Epoch, payload_bytes: u32, payload_crc: u32) -> FrameHeader {
        assert!(lsn > Lsn::ZERO, "a record has LSN {lsn}");
        assert!(epoch > Epoch::ZERO, "record {lsn} has epoch {epoch}");
        let mut header = FrameHeader { header_crc: 0, payload_crc, payload_bytes, lsn, epoch };
        header.header_crc = crc32fast::hash(&header.encode()[PAYLOAD_CRC..]);
        header
    }

    /// The bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put(&mut bytes, HEADER_CRC, &self.header_crc.to_le_bytes());
        put(&mut bytes, PAYLOAD_CRC, &self.payload_crc.to_le_bytes());
        put(&mut bytes, PAYLOAD_BYTES, &self.payload_bytes.to_le_bytes());
        put(&mut bytes, LSN, &self.lsn.0.to_le_bytes());
        put(&mut bytes, EPOCH, &self.epoch.0.to_le_bytes());
        bytes
    }

    fn fields(bytes: &[u8; FRAME_HEADER_BYTES]) -> FrameHeader {
        FrameHeader {
            header_crc: u32_at(bytes, HEADER_CRC),
            payload_crc: u32_at(bytes, PAYLOAD_CRC),
            payload_bytes: u32_at(bytes, PAYLOAD_BYTES),
            lsn: Lsn(u64_at(bytes, LSN)),
            epoch: Epoch(u64_at(bytes, EPOCH)),
        }
    }

    /// Reads a header from the front of `bytes` and checks it. Says nothing about the payload.
    pub fn decode(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
        let bytes = header_of(bytes)?;
        let header = FrameHeader::fields(bytes);
        let found = crc32fast::hash(&bytes[PAYLOAD_CRC..]);
        if found != header.header_crc {
            return Err(FrameError::HeaderChecksum { expected: header.header_crc, found });
        }
        if header.lsn == Lsn::ZERO || header.epoch == Epoch::ZERO {
            return Err(FrameError::Zero);
        }
        Ok(header)
    }

    /// The record's identity.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        LogId { epoch: self.epoch, lsn: self.lsn }
    }

    /// Length of the whole frame: this header and the payload.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

/// A whole frame that was checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header.
    pub header: FrameHeader,
    /// The payload, `header.payload_bytes` long.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the front of `bytes` and checks header and payload.
    pub fn decode(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let header = FrameHeader::decode(bytes)?;
        let payload = payload_behind(&header, bytes)?;
        let found = payload_checksum(payload);
        if found != header.payload_crc {
            return Err(FrameError::PayloadChecksum { expected: header.payload_crc, found });
        }
        Ok(Frame { header, payload })
    }

    /// Takes apart the frame at the front of bytes that were checked before.
    fn split(bytes: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let header = FrameHeader::fields(header_of(bytes)?);
        Ok(Frame { header, payload: payload_behind(&header, bytes)? })
    }

    /// Appends header and payload to `out`, byte for byte as they were read.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header.encode());
        out.extend_from_slice(self.payload);
    }

    /// The record's identity.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.header.log_id()
    }

    /// Length of the whole frame: header and payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }
}

fn header_of(bytes: &[u8]) -> Result<&[u8; FRAME_HEADER_BYTES], FrameError> {
    bytes.first_chunk().ok_or(FrameError::Truncated {
        needed_bytes: FRAME_HEADER_BYTES as u64,
        found_bytes: bytes.len() as u64,
    })
}

fn payload_behind<'a>(header: &FrameHeader, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
    let needed_bytes = header.frame_bytes();
    usize::try_from(needed_bytes)
        .ok()
        .and_then(|end| bytes.get(FRAME_HEADER_BYTES..end))
        .ok_or(FrameError::Truncated { needed_bytes, found_bytes: bytes.len() as u64 })
}

/// Appends one frame to `out` and returns its header.
///
/// The payload must not be longer than [`MAX_PAYLOAD_BYTES`]; callers refuse larger records before.
pub fn encode_frame(out: &mut Vec<u8>, lsn: Lsn, epoch: Epoch, payload: &[u8]) -> FrameHeader {
    let limit = MAX_PAYLOAD_BYTES;
    assert!(payload.len() <= limit, "payload of {} bytes, limit {limit}", payload.len());
    #[expect(clippy::cast_possible_truncation, reason = "the assertion above")]
    let payload_bytes = payload.len() as u32;
    let header = FrameHeader::new(lsn, epoch, payload_bytes, payload_checksum(payload));
    Frame { header, payload }.encode_into(out);
    header
}

/// The frames that stand one behind the other in a run of bytes.
///
/// Ends after the last whole frame; after an error it yields nothing more, and [`Frames::offset`]
/// is the place of the frame that is bad.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    offset: usize,
    failed: bool,
    /// Whether the bytes were checked before, so that no checksum is computed again.
    trusted: bool,
}

impl<'a> Frames<'a> {
    /// The frames in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Frames<'a> {
        Frames { bytes, offset: 0, failed: false, trusted: false }
    }

    /// The frames in bytes that were checked already, or never left this process.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Frames<'a> {
        Frames { trusted: true, ..Frames::new(bytes) }
    }

    /// Bytes from the beginning of the run to the frame that comes next, or to the bad one after an
    /// error.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.offset == self.bytes.len() {
            return None;
        }
        let rest = &self.bytes[self.offset..];
        let frame = if self.trusted { Frame::split(rest) } else { Frame::decode(rest) };
        match &frame {
            Ok(frame) => self.offset += frame.bytes(),
            Err(_) => self.failed = true,
        }
        Some(frame)
    }
}

/// Why bytes are not a frame. In checksums, `expected` is what stands in the bytes and `found` what
/// was computed over them.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("a frame needs {needed_bytes} bytes, {found_bytes} are there")]
    Truncated {
        /// What the header, or the payload length in it, asks for.
        needed_bytes: u64,
        /// What is there.
        found_bytes: u64,
    },
    /// The header is damaged; nothing in it, its length included, can be believed.
    #[error("frame header checksum is {found:08x}, expected {expected:08x}")]
    HeaderChecksum {
        /// In the header.
        expected: u32,
        /// Of the header's bytes.
        found: u32,
    },
    /// The header is whole, the payload is damaged.
    #[error("payload checksum is {found:08x}, expected {expected:08x}")]
    PayloadChecksum {
        /// In the header.
        expected: u32,
        /// Of the payload's bytes.
        found: u32,
    },
    /// LSN or epoch is zero, which no record has.
    #[error("a frame with LSN or epoch zero")]
    Zero,
}

/// First constant of splitmix64, its increment.
const MIX_INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64: every bit of the input reaches every bit of the output.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chain {
    /// The chain after one more frame.
    ///
    /// This function stands in every log and between every two nodes: it never changes. What
    /// concerns the frame alone is mixed first, so that only the last step waits for the chain
    /// before it.
    #[must_use]
    pub fn extend(self, header: &FrameHeader) -> Chain {
        let crcs = u64::from(header.header_crc) << 32 | u64::from(header.payload_crc);
        let mut frame = mix(crcs.wrapping_add(MIX_INCREMENT));
        frame = mix(frame.wrapping_add(header.lsn.0));
        frame = mix(frame.wrapping_add(header.epoch.0));
        Chain(mix(self.0.wrapping_add(MIX_INCREMENT) ^ frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(lsn: u64, epoch: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, Lsn(lsn), Epoch(epoch), payload);
        bytes
    }

    #[test]
    fn a_frame_comes_back() {
        for payload in [&b""[..], b"x", &[7; 1000]] {
            let bytes = frame(9, 2, payload);
            let frame = Frame::decode(&bytes).unwrap();
            assert_eq!(frame.payload, payload);
            assert_eq!(frame.bytes(), bytes.len());
            assert_eq!(frame.header.frame_bytes(), bytes.len() as u64);
            assert_eq!(frame.log_id(), LogId { epoch: Epoch(2), lsn: Lsn(9) });
            assert_eq!(frame.header.encode(), bytes[..FRAME_HEADER_BYTES]);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = frame(3, 1, b"a payload");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bad).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            let error = Frame::decode(&bytes[..length]).unwrap_err();
            assert!(matches!(error, FrameError::Truncated { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn damage_is_named_by_its_place() {
        let mut bytes = frame(3, 1, b"a payload");
        bytes[FRAME_HEADER_BYTES] ^= 1;
        let error = Frame::decode(&bytes).unwrap_err();
        assert!(matches!(error, FrameError::PayloadChecksum { .. }), "{error}");
        bytes[PAYLOAD_BYTES] ^= 1;
        let error = Frame::decode(&bytes).unwrap_err();
        assert!(matches!(error, FrameError::HeaderChecksum { .. }), "{error}");
        let mut zero = FrameHeader {
            header_crc: 0,
            payload_crc: 0,
            payload_bytes: 0,
            lsn: Lsn::ZERO,
            epoch: Epoch::FIRST,
        };
        zero.header_crc = crc32fast::hash(&zero.encode()[PAYLOAD_CRC..]);
        assert_eq!(Frame::decode(&zero.encode()), Err(FrameError::Zero));
        assert!(Frame::decode(&[0; 100]).is_err(), "zeros are never a frame");
    }

    #[test]
    fn frames_are_walked_with_their_places() {
        let mut bytes = frame(1, 1, b"one");
        let second_at = bytes.len();
        bytes.extend(frame(2, 1, b"second"));
        let mut frames = Frames::new(&bytes);
        assert_eq!(frames.next().unwrap().unwrap().payload, b"one");
        assert_eq!(frames.offset(), second_at);
        assert_eq!(frames.next().unwrap().unwrap().payload, b"second");
        assert_eq!(frames.offset(), bytes.len());
        assert!(frames.next().is_none());

        bytes[second_at] ^= 1;
        let mut frames = Frames::new(&bytes);
        assert!(frames.next().unwrap().is_ok());
        assert!(frames.next().unwrap().is_err());
        assert_eq!(frames.offset(), second_at);
        assert!(frames.next().is_none());
    }

    #[test]
    fn the_chain_is_what_it_always_was() {
        let mut bytes = Vec::new();
        let first = encode_frame(&mut bytes, Lsn(1), Epoch(1), b"first");
        let second = encode_frame(&mut bytes, Lsn(2), Epoch(1), b"second");
        let third = encode_frame(&mut bytes, Lsn(3), Epoch(4), b"");
        let chains = [
            Chain::EMPTY.extend(&first),
            Chain::EMPTY.extend(&first).extend(&second),
            Chain::EMPTY.extend(&first).extend(&second).extend(&third),
        ];
        assert_eq!(chains, GOLDEN_CHAINS);
        assert_ne!(Chain::EMPTY.extend(&second).extend(&first), chains[1]);
    }

    const GOLDEN_CHAINS: [Chain; 3] =
        [Chain(0x8918_d6f9_5237_dcf4), Chain(0x8fc5_13f0_96bf_8c47), Chain(0x78f4_1f2a_cfdd_f2d1)];
}
