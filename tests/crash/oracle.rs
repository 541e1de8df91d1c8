//! What must hold of a database that is opened after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_engine::{Engine, Result};

use crate::draw::Op;
use crate::model::{Change, Contents, Entries};
use crate::session::{Place, Session, Shape, Told};

/// Reads everything: all keyspaces, all entries, each of them once more by its key.
pub(crate) fn read_all(engine: &Engine) -> Result<Contents> {
    let snapshot = engine.state().snapshot();
    let mut keyspaces = BTreeMap::new();
    for (name, id) in snapshot.keyspaces()? {
        let place = engine.state().keyspace_ref(id, &name);
        let mut entries = Entries::new();
        for entry in snapshot.iter(&place) {
            let (key, value) = entry?;
            let again = engine.state().get_visible(id, key.as_bytes())?;
            assert_eq!(again.as_deref(), Some(value.as_bytes()), "{name} {key:?}");
            entries.insert(key.as_bytes().to_vec(), Arc::from(value.as_bytes()));
        }
        keyspaces.insert(name, Arc::new(entries));
    }
    Ok(Contents { keyspaces })
}

/// Checks an open database against what was told: its contents are those after one of the records, none
/// acknowledged is missing, none refused is there.
pub(crate) fn check(engine: &Engine, told: &Told) {
    try_to_check(engine, told).unwrap_or_else(|error| panic!("reading what is there: {error}"));
}

/// As [`check`], of a database that may be damaged.
pub(crate) fn try_to_check(engine: &Engine, told: &Told) -> Result<()> {
    let end = engine.log().end().lsn;
    let found = read_all(engine)?;
    let recovery = engine.recovery();
    let Told { history, acknowledged, refused_from, .. } = told;
    assert!(end >= *acknowledged, "{acknowledged} is acknowledged, {recovery:?}");
    assert!(end <= history.last_lsn(), "nothing past {}, {recovery:?}", history.last_lsn());
    assert!(end < *refused_from, "{refused_from} was refused, {recovery:?}");
    assert_eq!(engine.visible_lsn(), end, "all of it is visible, {recovery:?}");
    assert!(engine.checkpoint_lsn() <= end, "{recovery:?}");
    let expected = history.at(end);
    assert!(found == *expected, "at {end}\nfound {found:?}expected {expected:?}{recovery:?}");
    Ok(())
}

/// Opens what a crash left, and checks it.
pub(crate) fn open_and_check(
    place: impl Into<Place>,
    shape: Shape,
    told: &Told,
    opened: u64,
) -> Session {
    let session = Session::open(place, shape, told.clone(), opened);
    let mut session = session.unwrap_or_else(|error| panic!("opening: {error}"));
    check(session.engine(), told);
    let end = session.engine().log().end().lsn;
    session.told.recovered(end);
    session
}

/// A database that was recovered must go on: it takes writes, makes a checkpoint, is closed, and is clean and
/// complete when it is opened again.
/// Gives what was told in the end.
pub(crate) fn goes_on(session: Session) -> Told {
    let mut session = session;
    let went_on = try_to_go_on(&mut session);
    went_on.unwrap_or_else(|error| panic!("afterwards: {error}"));
    session.told
}

/// As [`goes_on`], of a database that may be damaged.
pub(crate) fn try_to_go_on(session: &mut Session) -> Result<()> {
    let insert = |key: &str, bytes| Op::Write {
        changes: vec![Change::Insert {
            keyspace: "default".to_owned(),
            key: key.as_bytes().to_vec(),
            value: vec![7; bytes],
        }],
        sync: true,
        wait: true,
    };
    // Some leave an old tail behind the new end, some fill the segment.
    let bytes = if session.told.acknowledged.0.is_multiple_of(2) { 10 } else { 1500 };
    let checkpoint = if session.opened.is_multiple_of(2) { Op::Checkpoint } else { Op::Sync };
    for op in [insert("after", bytes), insert("and after", 20), checkpoint, Op::Reopen] {
        session.perform(&op)?;
    }
    let told = &session.told;
    assert_eq!(told.acknowledged, told.history.last_lsn(), "all of it was waited for");
    try_to_check(session.engine(), told)
}
