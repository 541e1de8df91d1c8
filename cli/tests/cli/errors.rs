use super::*;

#[test]
fn a_database_that_is_not_there_is_not_made_by_reading() {
    let scratch = Scratch::new();
    for args in [
        &["get", "data", "k"][..],
        &["remove", "data", "k"],
        &["scan", "data"],
        &["export", "data"],
        &["keyspaces", "data"],
        &["inspect", "data"],
        &["wal", "verify", "data"],
        &["wal", "dump", "data"],
        &["wal", "archive", "data", "archive"],
        &["store", "verify", "data"],
        &["store", "rebuild", "data"],
        &["backup", "data", "copy"],
    ] {
        scratch.run(args).ends(3).says("data");
        assert!(!scratch.path("data").exists(), "{args:?}");
    }
}

#[test]
fn something_else_than_a_database_is_named() {
    let scratch = Scratch::new();
    scratch.write("file", "x");
    scratch.run(&["get", "file", "k"]).ends(3).says("file");
    scratch.run(&["insert", "file", "k", "v"]).ends(3).says("file");
    scratch.run(&["inspect", "file"]).ends(3).says("file");
    fs::create_dir(scratch.path("foreign")).expect("mkdir");
    scratch.write("foreign/notes.txt", "x");
    scratch.run(&["get", "foreign", "k"]).ends(3).says("foreign");
    scratch.run(&["inspect", "foreign"]).ends(3);
}

#[test]
fn keys_and_names_out_of_bounds_are_usage_errors() {
    let scratch = Scratch::with_people();
    scratch.run(&["insert", "data", "", "v"]).ends(64).says("key");
    scratch.run(&["insert", "data", &"k".repeat(65_537), "v"]).ends(64).says("65536");
    scratch.run(&["insert", "data", "k", "v", "--keyspace", ""]).ends(64).says("keyspace");
}
