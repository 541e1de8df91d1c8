//! The payload of a record: the changes of a batch.

use mainstay_engine::record;
use mainstay_wal::Lsn;

/// A record as it stands in the log.
pub fn record(data: &[u8]) {
    let Ok(ops) = record::decode(Lsn(1), data) else { return };
    let mut changes = Vec::new();
    for op in ops {
        match op {
            Ok(op) => changes.push(op),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return;
            }
        }
    }
    assert_eq!(record::encode(&changes), data, "{changes:?}");
}
