use super::*;

#[test]
fn insert_get_and_remove() {
    let scratch = Scratch::new();
    scratch.run(&["insert", "data", "ada", "1815"]).ends(0);
    assert_eq!(scratch.run(&["get", "data", "ada"]).ends(0).text(), "1815\n");
    assert_eq!(scratch.run(&["get", "data", "ada", "--raw"]).ends(0).text(), "1815");
    let json = scratch.run(&["get", "data", "ada", "--json"]).ends(0).json();
    assert_eq!(json, serde_json::json!({ "key": "ada", "value": "1815" }));
    scratch.run(&["get", "data", "alan"]).ends(1).says("there is no key alan");
    scratch.run(&["remove", "data", "ada"]).ends(0);
    scratch.run(&["remove", "data", "ada"]).ends(1);
    scratch.run(&["get", "data", "ada"]).ends(1);
}

#[test]
fn any_byte_can_be_written_and_read() {
    let scratch = Scratch::new();
    let key = "\\x00\\xff\\n";
    let escaped = ["data", key, "--escaped"];
    scratch.run(&[&["insert"], &escaped[..], &["a\\tb\\x80"]].concat()).ends(0);
    assert_eq!(scratch.run(&[&["get"], &escaped[..]].concat()).ends(0).text(), "a\\tb\\x80\n");
    let raw = scratch.run(&[&["get", "--raw"], &escaped[..]].concat()).ends(0);
    assert_eq!(raw.out, b"a\tb\x80");
    let json = scratch.run(&[&["get", "--json"], &escaped[..]].concat()).ends(0).json();
    assert_eq!(json, serde_json::json!({ "key_hex": "00ff0a", "value_hex": "61096280" }));
    let value: Vec<u8> = (0..=255).collect();
    scratch.write("value", &value);
    scratch.run(&["insert", "data", "all", "--value-file", "value"]).ends(0);
    assert_eq!(scratch.run(&["get", "data", "all", "--raw"]).ends(0).out, value);
    scratch.run_with(&["insert", "data", "all", "--value-file", "-"], b"x").ends(0);
    assert_eq!(scratch.run(&["get", "data", "all", "--raw"]).ends(0).out, b"x");
}

#[test]
fn scan_in_every_direction() {
    let scratch = Scratch::with_people();
    let scan = |args: &[&str]| {
        let run = scratch.run(&[&["scan", "data"], args].concat()).ends(0);
        run.lines().join(" ")
    };
    assert_eq!(scan(&[]), "ada\t1815 alan\t1912 grace\t1906");
    assert_eq!(scan(&["--keys-only", "--prefix", "a"]), "ada alan");
    assert_eq!(scan(&["--keys-only", "--reverse"]), "grace alan ada");
    assert_eq!(scan(&["--keys-only", "--reverse", "--limit", "1"]), "grace");
    assert_eq!(scan(&["--keys-only", "--from", "alan"]), "alan grace");
    assert_eq!(scan(&["--keys-only", "--from", "ada", "--to", "grace"]), "ada alan");
    assert_eq!(scan(&["--limit", "0"]), "");
    assert_eq!(scan(&["--prefix", "z"]), "");
    assert_eq!(scan(&["--json", "--limit", "1"]), r#"{"key":"ada","value":"1815"}"#);
    assert_eq!(scan(&["--json", "--keys-only", "--limit", "1"]), r#"{"key":"ada"}"#);
}

#[test]
fn keyspaces_are_apart() {
    let scratch = Scratch::with_people();
    scratch.run(&["insert", "data", "ada", "user", "--keyspace", "users"]).ends(0);
    assert_eq!(scratch.run(&["get", "data", "ada"]).ends(0).text(), "1815\n");
    let users = ["get", "data", "ada", "--keyspace", "users"];
    assert_eq!(scratch.run(&users).ends(0).text(), "user\n");
    assert_eq!(scratch.run(&["keyspaces", "data"]).ends(0).lines(), ["default", "users"]);
    let names = scratch.run(&["keyspaces", "data", "--json"]).ends(0).json();
    assert_eq!(names, serde_json::json!(["default", "users"]));
    let run = scratch.run(&["scan", "data", "--keyspace", "nope"]).ends(1);
    run.says("there is no keyspace \"nope\"");
}

#[test]
fn load_acknowledges_each_line() {
    let scratch = Scratch::new();
    let run = scratch.run_with(&["load", "data"], b"a\t1\n\tno key\nb\tx\ty\nword\n").ends(1);
    assert_eq!(run.lines(), ["ACK a", "ACK b", "ACK word"]);
    let run = run.says("line 2: the key is empty");
    drop(run);
    let scan = scratch.run(&["scan", "data"]).ends(0);
    assert_eq!(scan.lines(), ["a\t1", "b\tx\\ty", "word\t"]);
}

#[test]
fn reading_changes_no_byte() {
    let scratch = Scratch::with_people();
    let before = contents(&scratch.path("data"));
    for args in [
        &["get", "data", "ada"][..],
        &["scan", "data"],
        &["export", "data"],
        &["keyspaces", "data"],
        &["inspect", "data"],
        &["wal", "dump", "data"],
        &["wal", "stats", "data"],
        &["wal", "verify", "data"],
        &["diff", "data", "data"],
    ] {
        scratch.run(args).ends(0);
        assert!(contents(&scratch.path("data")) == before, "{args:?} changed a byte");
    }
}
