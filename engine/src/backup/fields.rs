//! Numbers and lengths in the files of backups and archives, all little-endian.

use mainstay_wal::{Chain, Epoch, LogId, Lsn};

/// Appends fields to bytes.
pub(super) trait PutFields {
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_u128(&mut self, value: u128);
    /// A length of four bytes, then the bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
    /// Epoch, LSN, and the chain up to it.
    fn put_place(&mut self, place: LogPlace);
}

/// A record, and the chain over the log up to it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogPlace {
    pub(super) log_id: LogId,
    pub(super) chain: Chain,
}

impl LogPlace {
    pub(super) fn lsn(&self) -> Lsn {
        self.log_id.lsn
    }
}

impl PutFields for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u128(&mut self, value: u128) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(length32(bytes.len()));
        self.extend_from_slice(bytes);
    }

    fn put_place(&mut self, place: LogPlace) {
        self.put_u64(place.log_id.epoch.0);
        self.put_u64(place.log_id.lsn.0);
        self.put_u64(place.chain.0);
    }
}

/// The length of something that we made ourselves, and that is never so long.
pub(super) fn length32(length: usize) -> u32 {
    let length32 = u32::try_from(length).unwrap_or(u32::MAX);
    assert!(length32 as usize == length, "{length} bytes in one field");
    length32
}

/// Takes fields off the front of bytes. What is missing is `None`.
#[derive(Copy, Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    pub(super) fn place(&mut self) -> Option<LogPlace> {
        let (epoch, lsn, chain) = (self.u64()?, self.u64()?, self.u64()?);
        Some(LogPlace { log_id: LogId { epoch: Epoch(epoch), lsn: Lsn(lsn) }, chain: Chain(chain) })
    }
}
