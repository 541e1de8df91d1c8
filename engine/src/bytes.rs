//! Keys and values as they are handed to users: immutable bytes that are cheap to clone.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A key.
///
/// Cheap to clone: short ones lie inside, the bytes of others are shared. Dereferences to `[u8]`.
#[derive(Clone)]
pub struct Key(KeyBytes);

/// Maps compare keys more often than they do anything else with them, and each look behind a
/// pointer may miss the processor's caches. So keys that fit stand in the tree itself.
#[derive(Clone)]
enum KeyBytes {
    /// The bytes, filled up with zeros, and their number.
    Inline([u8; INLINE_BYTES + 1]),
    Shared(Arc<[u8]>),
}

/// The longest key that is not behind a pointer.
const INLINE_BYTES: usize = 22;

/// A value.
///
/// Cheap to clone: the bytes are shared, not copied. Dereferences to `[u8]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Arc<[u8]>);

impl Key {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Inline(bytes) => &bytes[..usize::from(bytes[INLINE_BYTES])],
            KeyBytes::Shared(bytes) => bytes,
        }
    }

    /// A key without a pointer, if it is short enough.
    pub(crate) fn inline(bytes: &[u8]) -> Option<Key> {
        let length = u8::try_from(bytes.len()).ok()?;
        if usize::from(length) > INLINE_BYTES {
            return None;
        }
        let mut inline = [0; INLINE_BYTES + 1];
        inline[..bytes.len()].copy_from_slice(bytes);
        inline[INLINE_BYTES] = length;
        Some(Key(KeyBytes::Inline(inline)))
    }

    /// Whether the bytes are behind a pointer.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.0, KeyBytes::Shared(_))
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Key) -> Ordering {
        match (&self.0, &other.0) {
            (KeyBytes::Inline(one), KeyBytes::Inline(other)) => compare_inline(one, other),
            _ => self.as_bytes().cmp(other.as_bytes()),
        }
    }
}

/// Zeros behind the end change nothing: where all 22 bytes are the same, the length decides, which
/// stands behind them. Compared as numbers, in two steps that overlap by a byte.
#[inline]
fn compare_inline(one: &[u8; INLINE_BYTES + 1], other: &[u8; INLINE_BYTES + 1]) -> Ordering {
    match head(one).cmp(&head(other)) {
        Ordering::Equal => tail(one).cmp(&tail(other)),
        decided => decided,
    }
}

fn head(bytes: &[u8; INLINE_BYTES + 1]) -> Option<u128> {
    bytes.first_chunk().map(|head| u128::from_be_bytes(*head))
}

fn tail(bytes: &[u8; INLINE_BYTES + 1]) -> Option<u64> {
    bytes.last_chunk().map(|tail| u64::from_be_bytes(*tail))
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Key) -> bool {
        match (&self.0, &other.0) {
            (KeyBytes::Inline(one), KeyBytes::Inline(other)) => one == other,
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for Key {}

/// As that of the bytes, since maps are searched by bytes.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Key {
        Key::inline(bytes).unwrap_or_else(|| Key(KeyBytes::Shared(Arc::from(bytes))))
    }
}

impl Value {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value(Arc::from(bytes))
    }
}

macro_rules! bytes {
    ($name:ident) => {
        impl Deref for $name {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                self.as_bytes()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.as_bytes()
            }
        }

        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                self.as_bytes()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name::from(text.as_bytes())
            }
        }

        impl<const N: usize> From<&[u8; N]> for $name {
            fn from(bytes: &[u8; N]) -> Self {
                $name::from(bytes.as_slice())
            }
        }

        impl From<Vec<u8>> for $name {
            fn from(bytes: Vec<u8>) -> Self {
                $name::from(bytes.as_slice())
            }
        }

        impl PartialEq<[u8]> for $name {
            fn eq(&self, other: &[u8]) -> bool {
                self.as_bytes() == other
            }
        }

        impl PartialEq<&[u8]> for $name {
            fn eq(&self, other: &&[u8]) -> bool {
                self.as_bytes() == *other
            }
        }

        impl<const N: usize> PartialEq<&[u8; N]> for $name {
            fn eq(&self, other: &&[u8; N]) -> bool {
                self.as_bytes() == &other[..]
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "b\"{}\"", self.as_bytes().escape_ascii())
            }
        }
    };
}

bytes!(Key);
bytes!(Value);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes about which mistakes are likely: zeros, common beginnings, lengths around the limits.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(u8::MAX)];
        let length = prop_oneof![0..4usize, 14..18usize, 20..26usize];
        (length, prop::collection::vec(byte, 26)).prop_map(|(length, mut bytes)| {
            bytes.truncate(length);
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn keys_are_ordered_as_their_bytes(
            one in bytes(),
            other in bytes(),
            common in 0..26usize,
            share in any::<bool>(),
        ) {
            let mut other = other;
            if share {
                let common = common.min(one.len()).min(other.len());
                other[..common].copy_from_slice(&one[..common]);
            }
            let keys = (Key::from(one.as_slice()), Key::from(other.as_slice()));
            prop_assert_eq!(keys.0.as_bytes(), one.as_slice());
            prop_assert_eq!(keys.0.is_shared(), one.len() > INLINE_BYTES);
            prop_assert_eq!(keys.0.cmp(&keys.1), one.cmp(&other));
            prop_assert_eq!(keys.0 == keys.1, one == other);
        }
    }

    #[test]
    fn a_key_takes_three_words() {
        assert_eq!(size_of::<Key>(), 24);
        assert_eq!(size_of::<Option<Key>>(), 24);
    }
}
