//! A stretch of keys, in one normal form.

use std::ops::{Bound, RangeBounds};

use crate::bytes::Key;
use crate::record::MAX_KEY_BYTES;

/// The keys from `lower` (included) up to `upper` (excluded; `None` is past every key).
///
/// Every pair of bounds has this form, since the key after `k` is `k` with a zero byte behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) lower: Key,
    pub(crate) upper: Option<Key>,
}

impl Span {
    /// Every key.
    pub(crate) fn all() -> Span {
        Span { lower: Key::from(&[][..]), upper: None }
    }

    /// The keys between two bounds.
    pub(crate) fn between(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> Span {
        Span {
            lower: match lower {
                Bound::Included(key) => Key::from(key),
                Bound::Excluded(key) => after(key),
                Bound::Unbounded => Key::from(&[][..]),
            },
            upper: match upper {
                Bound::Included(key) => Some(after(key)),
                Bound::Excluded(key) => Some(Key::from(key)),
                Bound::Unbounded => None,
            },
        }
    }

    /// The keys in a range of Rust's own.
    pub(crate) fn of<K: AsRef<[u8]>>(range: &impl RangeBounds<K>) -> Span {
        let (lower, upper) = slices(range);
        Span::between(lower, upper)
    }

    /// The keys that begin with `prefix`.
    pub(crate) fn prefix(prefix: &[u8]) -> Span {
        // The first key past them: the last byte that can grow, grown, and what follows it cut off.
        let upper = prefix.iter().rposition(|byte| *byte != u8::MAX).map(|last| {
            let mut upper = prefix[..=last].to_vec();
            upper[last] += 1;
            Key::from(upper)
        });
        Span { lower: Key::from(prefix), upper }
    }

    /// Whether there can be no key in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }

    /// Whether it has this key.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        *self.lower <= *key && self.upper.as_ref().is_none_or(|upper| *key < **upper)
    }

    /// Whether some key can be in both.
    pub(crate) fn overlaps(&self, other: &Span) -> bool {
        let below = |a: &Span, b: &Span| a.upper.as_ref().is_some_and(|upper| *upper <= b.lower);
        !(self.is_empty() || other.is_empty() || below(self, other) || below(other, self))
    }

    /// The bounds as a map or a Store wants them. None is longer than the longest key.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let lower = match &*self.lower {
            [] => Bound::Unbounded,
            [key @ .., 0] if key.len() == MAX_KEY_BYTES => Bound::Excluded(key),
            key => Bound::Included(key),
        };
        let upper = match self.upper.as_deref() {
            None => Bound::Unbounded,
            Some([key @ .., 0]) if key.len() == MAX_KEY_BYTES => Bound::Included(key),
            Some(key) => Bound::Excluded(key),
        };
        (lower, upper)
    }
}

/// The bounds of a range as slices.
pub(crate) fn slices<'a, K: AsRef<[u8]> + 'a>(
    range: &'a impl RangeBounds<K>,
) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (range.start_bound().map(AsRef::as_ref), range.end_bound().map(AsRef::as_ref))
}

/// The key that comes directly after another.
pub(crate) fn after(key: &[u8]) -> Key {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Key::from(next)
}

/// Sorts spans and joins those that touch, so that [`covers`] can search them.
pub(crate) fn join(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by(|a, b| a.lower.cmp(&b.lower));
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.upper.as_ref().is_none_or(|upper| span.lower <= *upper) => {
                let reaches_further = match (&last.upper, &span.upper) {
                    (None, _) => false,
                    (Some(_), None) => true,
                    (Some(upper), Some(other)) => other > upper,
                };
                if reaches_further {
                    last.upper = span.upper;
                }
            }
            _ => joined.push(span),
        }
    }
    joined
}

/// The one of these [joined](join) spans that has the key.
pub(crate) fn covers<'a>(joined: &'a [Span], key: &[u8]) -> Option<&'a Span> {
    let after = joined.partition_point(|span| *span.lower <= *key);
    joined[..after].last().filter(|span| span.contains(key))
}

#[cfg(test)]
mod tests;
