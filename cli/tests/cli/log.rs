use super::*;

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("mkdir");
    for entry in fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// The file of the log's only segment in use.
fn segment(scratch: &Scratch, dir: &str) -> PathBuf {
    let stats = scratch.run(&["wal", "stats", dir, "--json"]).ends(0).json();
    let segments = stats["segments"].as_array().expect("segments").clone();
    let live: Vec<_> = segments.iter().filter(|file| file["state"] == "live").collect();
    assert_eq!(live.len(), 1, "{stats}");
    scratch.path(dir).join(live[0]["file"].as_str().expect("a name"))
}

/// Changes one byte, found by a function over all of the file.
fn flip(path: &Path, place: impl Fn(&[u8]) -> usize) -> usize {
    let mut bytes = fs::read(path).expect("read");
    let at = place(&bytes);
    bytes[at] ^= 0x40;
    fs::write(path, bytes).expect("write");
    at
}

fn find(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).expect("the text is there")
}

#[test]
fn a_whole_log_is_clean() {
    let scratch = Scratch::with_people();
    let run = scratch.run(&["wal", "verify", "data"]).ends(0);
    assert_eq!(run.lines().last(), Some(&"clean"));
    let json = scratch.run(&["wal", "verify", "data", "--json"]).ends(0).json();
    assert_eq!((&json["verdict"], &json["faults"]), (&Json::from("clean"), &Json::Array(vec![])));
    let inspected = scratch.run(&["inspect", "data", "--json"]).ends(0).json();
    assert_eq!(inspected["last_lsn"], json["last_lsn"]);
    assert_eq!(inspected["store_kind"], "sled");
    scratch.run(&["inspect", "data"]).ends(0);
}

#[test]
fn damage_to_what_was_durable_is_shown_with_its_place_and_ends_with_2() {
    let scratch = Scratch::with_people();
    scratch.run(&["insert", "data", "later", "1"]).ends(0);
    let path = segment(&scratch, "data");
    let at = flip(&path, |bytes| find(bytes, b"1912"));
    let before = contents(&scratch.path("data"));
    let json = scratch.run(&["wal", "verify", "data", "--json"]).ends(2).json();
    let fault = &json["faults"][0];
    assert_eq!(
        (&json["verdict"], &fault["kind"]),
        (&Json::from("corrupt"), &Json::from("corrupt"))
    );
    assert!(path.ends_with(fault["file"].as_str().expect("a file")));
    let offset = fault["offset"].as_u64().expect("an offset");
    assert!(offset < at as u64 && at as u64 - offset < 200, "{offset} for {at}");
    assert!(fault["lsn"].as_u64() > Some(0), "{fault}");
    assert!(fault["expected_checksum"] != fault["found_checksum"], "{fault}");
    let table = scratch.run(&["wal", "verify", "data"]).ends(2);
    assert!(table.text().contains("checksum") || table.text().contains("expected"));
    // What lies behind the damage is shown all the same.
    let dump = scratch.run(&["wal", "dump", "data", "--values"]).ends(2);
    assert!(dump.text().contains("later = 1"), "{dump:?}");
    assert!(dump.err.contains("corrupt"), "{dump:?}");
    scratch.run(&["inspect", "data"]).ends(2);
    scratch.run(&["wal", "stats", "data"]).ends(0);
    assert!(contents(&scratch.path("data")) == before, "something was changed");
    scratch.run(&["get", "data", "ada"]).ends(2).says("corrupt");
    scratch.run(&["wal", "archive", "data", "archive"]).ends(2).says("corrupt");
    assert!(!scratch.path("archive").exists(), "an empty archive was left behind");
}

#[test]
fn a_last_write_that_was_cut_off_ends_with_1_and_costs_nothing_acknowledged() {
    let scratch = Scratch::with_people();
    let path = segment(&scratch, "data");
    // The last group of a database that was closed holds no records.
    flip(&path, |bytes| bytes.iter().rposition(|byte| *byte != 0).expect("not blank"));
    let json = scratch.run(&["wal", "verify", "data", "--json"]).ends(1).json();
    assert_eq!(json["verdict"], "torn tail");
    scratch.run(&["inspect", "data"]).ends(1);
    assert_eq!(scratch.run(&["get", "data", "grace"]).ends(0).text(), "1906\n");
    scratch.run(&["insert", "data", "more", "1"]).ends(0);
    scratch.run(&["wal", "verify", "data"]).ends(0);
    assert_eq!(scratch.run(&["scan", "data"]).ends(0).lines().len(), 4);
}

#[test]
fn a_segment_of_another_database_and_a_damaged_manifest_are_told() {
    let scratch = Scratch::with_people();
    scratch.run(&["insert", "other", "k", "v"]).ends(0);
    copy(&scratch.path("data"), &scratch.path("mixed"));
    fs::copy(segment(&scratch, "other"), segment(&scratch, "data")).expect("copy");
    let run = scratch.run(&["wal", "verify", "data"]).ends(3);
    assert!(run.text().contains("belongs to database"), "{run:?}");
    fs::write(scratch.path("mixed/manifest"), vec![0xa5; 8192]).expect("write");
    let run = scratch.run(&["wal", "verify", "mixed"]);
    assert!(run.code == 2 || run.code == 3, "{run:?}");
    assert!(run.text().contains("manifest"), "{run:?}");
    let dump = scratch.run(&["wal", "dump", "mixed"]);
    assert!(dump.text().contains("grace"), "{dump:?}");
}

#[test]
fn dump_shows_records_and_their_changes() {
    let scratch = Scratch::with_people();
    scratch.run(&["remove", "data", "alan"]).ends(0);
    scratch.run(&["insert", "data", "k", "v", "--keyspace", "users"]).ends(0);
    let dump = scratch.run(&["wal", "dump", "data", "--values"]).ends(0);
    let text = dump.text();
    assert!(text.contains("insert default ada = 1815; insert default alan = 1912"), "{text}");
    assert!(text.contains("remove default alan"), "{text}");
    assert!(
        text.contains("create keyspace users") && text.contains("insert users k = v"),
        "{text}"
    );
    let lengths = scratch.run(&["wal", "dump", "data"]).ends(0);
    assert!(lengths.text().contains("insert default ada (4 bytes)"), "{lengths:?}");
    let all = scratch.run(&["wal", "dump", "data", "--json"]).ends(0);
    let records: Vec<Json> =
        all.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let lsns: Vec<_> = records.iter().map(|record| record["lsn"].as_u64()).collect();
    let expected: Vec<_> = (1..=records.len() as u64).map(Some).collect();
    assert_eq!(lsns, expected);
    let some = scratch.run(&["wal", "dump", "data", "--json", "--from", "2", "--limit", "1"]);
    assert_eq!(some.ends(0).lines(), [all.lines()[1]]);
    let none = scratch.run(&["wal", "dump", "data", "--from", "2", "--to", "1"]).ends(0);
    assert!(none.out.is_empty());
}

#[test]
fn diff_finds_the_first_record_that_differs() {
    let scratch = Scratch::with_people();
    copy(&scratch.path("data"), &scratch.path("copy"));
    let diff = |code| scratch.run(&["diff", "data", "copy", "--json"]).ends(code).json();
    let same = diff(0);
    assert_eq!(same["relation"], "same");
    scratch.run(&["insert", "copy", "more", "1"]).ends(0);
    let behind = diff(0);
    assert_eq!(behind["relation"], "first_is_behind");
    assert_eq!(behind["last_common_lsn"], same["last_common_lsn"]);
    scratch.run(&["insert", "data", "more", "2"]).ends(0);
    let differ = diff(1);
    assert_eq!(differ["relation"], "differ");
    let common = same["last_common_lsn"].as_u64().expect("a number");
    assert_eq!(differ["lsn"].as_u64(), Some(common + 1));
    let table = scratch.run(&["diff", "data", "copy"]).ends(1);
    assert!(table.text().contains(&format!("from LSN {}", common + 1)), "{table:?}");
    scratch.run(&["insert", "unrelated", "k", "v"]).ends(0);
    scratch.run(&["diff", "data", "unrelated"]).ends(1);
}

#[test]
fn diff_does_not_take_damage_for_the_end_of_a_log() {
    let scratch = Scratch::with_people();
    scratch.run(&["insert", "data", "later", "1"]).ends(0);
    copy(&scratch.path("data"), &scratch.path("copy"));
    flip(&segment(&scratch, "copy"), |bytes| find(bytes, b"1912"));
    let damaged = scratch.run(&["diff", "data", "copy", "--json"]).ends(2).json();
    assert_eq!(damaged["relation"], "damaged");
    assert_eq!(
        (&damaged["last_common_lsn"], &damaged["first_damage"]),
        (&Json::from(0), &Json::Null)
    );
    let file = damaged["second_damage"]["file"].as_str().expect("a file");
    assert!(segment(&scratch, "copy").ends_with(file), "{damaged}");
    let text = scratch.run(&["diff", "copy", "data"]).ends(2);
    assert!(text.text().contains("the first one is damaged in log/"), "{text:?}");
}
