use super::*;

#[test]
fn a_backup_can_be_restored() {
    let scratch = Scratch::with_people();
    scratch.run(&["backup", "data", "copy"]).ends(0);
    scratch.run(&["insert", "data", "later", "1"]).ends(0);
    scratch.run(&["restore", "copy", "again"]).ends(0);
    let restored = scratch.run(&["export", "again"]).ends(0);
    assert_eq!(restored.text(), "ada\t1815\nalan\t1912\ngrace\t1906\n");
    scratch.run(&["insert", "again", "k", "v"]).ends(0);
    scratch.run(&["wal", "verify", "again"]).ends(0);
    // Neither of them writes over what is there.
    let code = scratch.run(&["backup", "data", "copy"]).code;
    assert!(code == 3 || code == 64, "{code}");
    let code = scratch.run(&["restore", "copy", "again"]).code;
    assert!(code == 3 || code == 64, "{code}");
    scratch.run(&["restore", "data", "elsewhere"]).ends(3);
}

#[test]
fn an_archive_restores_to_any_record() {
    let scratch = Scratch::with_people();
    scratch.run(&["backup", "data", "copy", "--json"]).ends(0);
    let mut lsns = Vec::new();
    for value in ["1", "2", "3"] {
        scratch.run(&["insert", "data", "k", value]).ends(0);
        let inspected = scratch.run(&["inspect", "data", "--json"]).ends(0).json();
        lsns.push(inspected["last_lsn"].as_u64().expect("an LSN").to_string());
        let before = contents(&scratch.path("data"));
        let archived = scratch.run(&["wal", "archive", "data", "archive", "--json"]).ends(0).json();
        assert!(archived["last_lsn"].as_u64() >= inspected["last_lsn"].as_u64(), "{archived}");
        assert!(contents(&scratch.path("data")) == before, "archiving changed the database");
    }
    for (lsn, value) in lsns.iter().zip(["1", "2", "3"]) {
        let to = format!("at-{lsn}");
        let args = ["restore", "copy", &to, "--archive", "archive", "--to-lsn", lsn];
        scratch.run(&args).ends(0);
        assert_eq!(scratch.run(&["get", &to, "k"]).ends(0).text(), format!("{value}\n"));
        assert_eq!(scratch.run(&["get", &to, "ada"]).ends(0).text(), "1815\n");
    }
    scratch.run(&["restore", "copy", "all", "--archive", "archive"]).ends(0);
    assert_eq!(scratch.run(&["get", "all", "k"]).ends(0).text(), "3\n");
    let beyond = ["restore", "copy", "beyond", "--archive", "archive", "--to-lsn", "999999"];
    scratch.run(&beyond).ends(64).says("999999");
    assert!(!scratch.path("beyond").exists());
}

#[test]
fn a_store_is_verified_and_rebuilt() {
    let scratch = Scratch::with_people();
    let verified = scratch.run(&["store", "verify", "data", "--json"]).ends(0).json();
    assert_eq!((&verified["verdict"], &verified["store_kind"]), (&"clean".into(), &"sled".into()));
    let before = scratch.run(&["export", "data"]).ends(0).out;
    scratch.run(&["store", "rebuild", "data"]).ends(0);
    scratch.run(&["store", "verify", "data"]).ends(0);
    assert!(scratch.run(&["export", "data"]).ends(0).out == before, "rebuilding lost something");
}
