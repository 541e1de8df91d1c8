//! Every Store of this build, by its name.

use super::*;
use crate::bytes::Value;
use crate::keyspace::KeyspaceId;
use crate::store::StoreOp;
use mainstay_wal::Lsn;
use mainstay_wal::disk::{FileDisk, FileDiskOptions};

const DATA: KeyspaceId = KeyspaceId(20);

fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Store { damaged: true, .. })
}

#[test]
fn opening_by_name_makes_opens_and_destroys() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(directory.path(), FileDiskOptions::default()).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let root = Some(directory.path());
    for kind in StoreKind::built() {
        assert_eq!(kind.to_string().parse::<StoreKind>().unwrap(), kind);
        let place = StorePlace { disk: &disk, root, directory: "store" };
        assert!(is_damaged(&open_store(kind, place, 1 << 20, false).unwrap_err()));
        let store = open_store(kind, place, 1 << 20, true).unwrap();
        assert_eq!(store.kind(), kind.name());
        let (keyspace, key, value) = (DATA, "key".into(), "value".into());
        store.apply(&[StoreOp::Insert { keyspace, key, value }], Lsn(3)).unwrap();
        store.make_durable().unwrap();
        drop(store);
        assert!(open_store(kind, place, 1 << 20, true).is_err());
        let store = open_store(kind, place, 1 << 20, false).unwrap();
        assert_eq!(store.applied().unwrap(), Lsn(3));
        drop(store);
        let store = open_store_read_only(kind, place, 1 << 20, None).unwrap();
        assert_eq!(store.get(DATA, b"key").unwrap(), Some(Value::from("value")));
        drop(store);
        destroy(&*disk, "store").unwrap();
        assert!(!directory.path().join("store").exists());
        destroy(&*disk, "store").unwrap();
    }
    for kind in StoreKind::built().filter(|kind| *kind != StoreKind::Memory) {
        let place = StorePlace { disk: &disk, root: None, directory: "store" };
        let error = open_store(kind, place, 1 << 20, true).unwrap_err();
        assert!(matches!(error, Error::Option { option: "store", .. }), "{error}");
    }
}

#[test]
fn what_is_not_built_or_not_known_is_refused() {
    let disk: Arc<dyn Disk> = Arc::new(mainstay_wal::disk::SimDisk::new(1));
    for kind in [StoreKind::Sled, StoreKind::Lsm] {
        let place = StorePlace { disk: &disk, root: Some(Path::new("/")), directory: "store" };
        if StoreKind::built().all(|built| built != kind) {
            let error = open_store(kind, place, 1 << 20, true).unwrap_err();
            assert!(error.to_string().contains("feature"), "{error}");
        }
    }
    assert!("leveldb".parse::<StoreKind>().is_err());
}
