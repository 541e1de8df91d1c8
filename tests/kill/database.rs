//! Reading the database after a kill.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use mainstay::{AsKeyspace, Db, Error, Options, Snapshot, StoreKind};
use mainstay_cli::crash::{Side, State};

/// Held for reading while a database is open in this process, and for writing while a child is started: between its
/// fork and its exec a child has every file of this process open, and so holds the locks of its databases.
static FORK: RwLock<()> = RwLock::new(());

/// Runs something while no database is open in this process.
pub(crate) fn without_locks<T>(run: impl FnOnce() -> T) -> T {
    let _alone = FORK.write().unwrap_or_else(PoisonError::into_inner);
    run()
}

/// What a database holds.
pub(crate) struct Found {
    /// Of each writer.
    pub(crate) states: Vec<State>,
    /// Whether opening cut a torn tail.
    pub(crate) tail_cut: bool,
}

/// Makes an empty database with a Store, which it remembers.
pub(crate) fn make(dir: &Path, store: StoreKind) {
    let _open = FORK.read().unwrap_or_else(PoisonError::into_inner);
    Options::new().store(store).open(dir).expect("is made").close().expect("closes");
}

/// Opens the database, reads everything and closes it. Stops the test if something is there that no writer
/// wrote.
pub(crate) fn read(dir: &Path, writers: u32, read_only: bool) -> Found {
    let _open = FORK.read().unwrap_or_else(PoisonError::into_inner);
    let mut states = vec![State::new(); writers as usize];
    if read_only {
        let db = Options::new().open_read_only(dir).expect("opens for reading");
        for side in [Side::Left, Side::Right] {
            match db.keyspace(side.name()) {
                Ok(keyspace) => collect(&db.snapshot(), &keyspace, side, &mut states),
                Err(Error::NoSuchKeyspace { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        return Found { states, tail_cut: false };
    }
    let db = Db::open(dir).expect("opens");
    for side in [Side::Left, Side::Right] {
        let keyspace = db.keyspace(side.name()).expect("a keyspace");
        collect(&db.snapshot(), &keyspace, side, &mut states);
    }
    let tail_cut = db.recovery().log.tail_cut.is_some();
    db.close().expect("closes");
    Found { states, tail_cut }
}

/// Restores a backup of one writer, reads it and removes it again; the error is that of restoring.
pub(crate) fn restore(backup: &Path, target: &Path) -> Result<State, String> {
    let restored = mainstay::restore(backup, target, mainstay::RestoreOptions::default());
    restored.map_err(|error| error.to_string())?;
    let state = read(target, 1, false).states.remove(0);
    std::fs::remove_dir_all(target).expect("remove what was restored");
    Ok(state)
}

fn collect(snapshot: &Snapshot, keyspace: &impl AsKeyspace, side: Side, states: &mut [State]) {
    for entry in snapshot.iter(keyspace) {
        let (key, value) = entry.expect("an entry");
        let writer =
            std::str::from_utf8(&key[..2]).ok().and_then(|text| text.parse::<usize>().ok());
        let state = writer.and_then(|writer| states.get_mut(writer));
        let state = state.unwrap_or_else(|| panic!("nobody wrote {key:?}"));
        state.insert((side, key.to_vec()), value.to_vec());
    }
}
