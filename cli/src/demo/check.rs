//! Comparing what a database holds with what was acknowledged.

use super::data::{BATCH_RECORDS, Dataset, WRITERS, writer_of};
use crate::escape::escape;

/// What a database holds of the child's batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many batches of each writer are there.
    pub(crate) batches: Vec<u64>,
    /// How many records in all.
    pub(crate) records: u64,
}

/// Goes through the child's entries in the order of their keys.
///
/// `acked` says for each writer how many batches were acknowledged. The error says, in words, what
/// is lost, halved, wrong or invented.
pub(crate) fn check<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    entries: impl Iterator<Item = Result<(K, V), String>>,
    dataset: &Dataset,
    acked: &[u64],
) -> Result<Found, String> {
    let mut found = Found { batches: vec![0; WRITERS as usize], records: 0 };
    // The record that must come next of the writer at hand.
    let (mut writer, mut batch, mut slot) = (0, 0, 0);
    for entry in entries {
        let (key, value) = entry?;
        let (key, value) = (key.as_ref(), value.as_ref());
        let owner = writer_of(key).ok_or_else(|| format!("nobody wrote {}", escape(key)))?;
        if owner != writer {
            whole(writer, batch, slot)?;
            (writer, batch, slot) = (owner, 0, 0);
        }
        let (expected_key, expected_value) = dataset.record(writer, batch, slot);
        if key != expected_key {
            return Err(format!(
                "{} should come next but {} does",
                escape(&expected_key),
                escape(key)
            ));
        }
        if value != expected_value {
            return Err(format!("{} has the value {}", escape(key), escape(value)));
        }
        found.records += 1;
        slot += 1;
        if slot == BATCH_RECORDS {
            (batch, slot) = (batch + 1, 0);
            found.batches[owner as usize] = batch;
        }
    }
    whole(writer, batch, slot)?;
    for ((writer, there), acked) in (0..).zip(&found.batches).zip(acked) {
        let most = acked + 1;
        if !(*acked..=most).contains(there) {
            return Err(format!(
                "writer {writer}: {acked} batches were acknowledged, {there} are there (at most {most} can be)"
            ));
        }
    }
    Ok(found)
}

fn whole(writer: u32, batch: u64, slot: u64) -> Result<(), String> {
    if slot == 0 {
        return Ok(());
    }
    Err(format!("batch {batch} of writer {writer} has only {slot} of its {BATCH_RECORDS} records"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entry = (Vec<u8>, Vec<u8>);

    fn entries(dataset: &Dataset, batches: &[u64]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (writer, count) in (0..).zip(batches) {
            for batch in 0..*count {
                for slot in 0..BATCH_RECORDS {
                    let (key, value) = dataset.record(writer, batch, slot);
                    entries.push((key, value.to_vec()));
                }
            }
        }
        entries
    }

    fn outcome(dataset: &Dataset, entries: Vec<Entry>, acked: &[u64]) -> Result<Found, String> {
        check(entries.into_iter().map(Ok), dataset, acked)
    }

    fn counts(first: u64) -> Vec<u64> {
        let mut counts = vec![2; WRITERS as usize];
        counts[0] = first;
        counts
    }

    #[test]
    fn what_was_acknowledged_and_one_batch_more_is_right() {
        let dataset = Dataset::read().unwrap();
        for there in [3, 4] {
            let found = outcome(&dataset, entries(&dataset, &counts(there)), &counts(3)).unwrap();
            assert_eq!(found.batches, counts(there));
            assert_eq!(found.records, (there + 30) * BATCH_RECORDS);
        }
    }

    #[test]
    fn what_is_lost_halved_wrong_or_invented_is_found() {
        let dataset = Dataset::read().unwrap();
        for there in [2, 5] {
            let message =
                outcome(&dataset, entries(&dataset, &counts(there)), &counts(3)).unwrap_err();
            assert!(message.contains("writer 0: 3 batches were acknowledged"), "{message}");
        }
        let whole = entries(&dataset, &counts(3));
        let broken = |change: fn(&mut Vec<Entry>)| {
            let mut entries = whole.clone();
            change(&mut entries);
            outcome(&dataset, entries, &counts(3)).unwrap_err()
        };
        let message = broken(|entries| drop(entries.pop()));
        assert!(message.contains("has only 3 of its 4"), "{message}");
        let message = broken(|entries| drop(entries.remove(11)));
        assert!(message.contains("has only 3 of its 4"), "{message}");
        let message = broken(|entries| drop(entries.remove(5)));
        assert!(message.contains("should come next"), "{message}");
        let message = broken(|entries| entries[5].1.push(0));
        assert!(message.contains("has the value"), "{message}");
        let message = broken(|entries| entries.push((b"zz".to_vec(), Vec::new())));
        assert!(message.contains("nobody wrote zz"), "{message}");
    }
}
