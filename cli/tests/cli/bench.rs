use super::*;

/// What a benchmark with `--json` says, run small.
fn measured(scratch: &Scratch, args: &[&str]) -> Json {
    let run = scratch.run(&[&["bench"], args, &["--json"]].concat()).ends(0);
    assert_eq!(run.lines().len(), 1, "{run:?}");
    let left: Vec<_> = fs::read_dir(scratch.dir.path()).expect("list").collect();
    assert!(left.is_empty(), "{left:?}");
    let json = run.json();
    let environment = &json["environment"];
    assert!(environment["cores"].as_u64() > Some(0), "{environment}");
    for name in ["cpu", "file_system", "device", "version"] {
        assert!(environment[name].is_string(), "{name}: {environment}");
    }
    json
}

#[track_caller]
fn number(json: &Json, name: &str) -> f64 {
    json["results"][name].as_f64().unwrap_or_else(|| panic!("{name} is not in {json}"))
}

#[test]
fn limits_are_measured() {
    let scratch = Scratch::new();
    let json = measured(&scratch, &["limits", "--rounds", "1", "--seconds", "0.5"]);
    for name in [
        "record_us",
        "group_64k_us",
        "group_256k_us",
        "group_1m_us",
        "read_bytes_per_second",
        "checksum_bytes_per_second",
        "copy_bytes_per_second",
        "hand_over_us",
        "frames_bytes_per_second",
    ] {
        assert!(number(&json, name) > 0.0, "{name}: {json}");
    }
    assert!(json["settings"]["sync_mode"].is_string());
}

#[test]
fn durable_writes_are_measured_beside_the_limit() {
    let scratch = Scratch::new();
    let args = ["write", "--threads", "3", "--seconds", "0.6", "--rounds", "3", "--limits"];
    let json = measured(&scratch, &args);
    assert!(number(&json, "records") > 0.0 && number(&json, "syncs") > 0.0);
    assert!(number(&json, "ratio_to_limit") > 0.0);
    assert!(number(&json, "p50_us") <= number(&json, "max_us"));
    assert!(number(&json, "records_per_sync") <= 3.0, "{json}");
    assert_eq!(json["results"]["ratios"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_load_writes_every_record_once() {
    let scratch = Scratch::new();
    for (records, rest) in [
        ("500", &["--batch", "30"][..]),
        ("501", &["--tickets", "20", "--threads", "2"]),
        ("502", &["--durability", "buffered", "--store", "memory", "--value-bytes", "1k"]),
        ("503", &["--distribution", "zipfian", "--durability", "buffered", "--batch", "7"]),
    ] {
        let json = measured(&scratch, &[&["write", "--records", records], rest].concat());
        assert_eq!(json["results"]["records"], records.parse::<u64>().expect("a number"));
    }
}

#[test]
fn reads_and_scans_are_measured() {
    let scratch = Scratch::new();
    let small = ["--records", "2000", "--seconds", "0.2"];
    for rest in [
        &["read", "--distribution", "zipfian", "--threads", "2"][..],
        &["read", "--source", "memtable", "--limits", "--rounds", "2"],
        &["read", "--operation", "scan", "--distribution", "sequential"],
        &["mixed", "--durability", "buffered", "--distribution", "zipfian"],
    ] {
        let json = measured(&scratch, &[rest, &small].concat());
        assert!(number(&json, "records_per_second") > 0.0, "{json}");
    }
    scratch.run(&["bench", "read", "--operation", "scan", "--limits"]).ends(64);
}

#[test]
fn recovery_of_a_killed_process_is_measured() {
    let scratch = Scratch::new();
    let json = measured(&scratch, &["recover", "--records", "3000", "--rounds", "2"]);
    assert_eq!(json["results"]["replayed_records"], 3000);
    assert!(number(&json, "open_us") > 0.0 && number(&json, "store_open_us") > 0.0);
}

#[test]
fn following_a_log_is_measured() {
    let scratch = Scratch::new();
    let json = measured(&scratch, &["tail", "--records", "20000", "--rounds", "3"]);
    assert_eq!(json["results"]["records"], 20000);
    assert!(number(&json, "ratio_to_limit") > 0.0);
    assert!(number(&json, "followed_bytes_per_second") > 0.0);
}

#[test]
fn a_table_is_for_people() {
    let scratch = Scratch::new();
    let run = scratch.run(&["bench", "write", "--records", "100"]).ends(0);
    for words in ["throughput", "p99.9", "longest", "records a sync", "machine", "sync_mode"] {
        assert!(run.text().contains(words), "{words}: {run:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let scratch = Scratch::new();
    scratch.run(&["bench"]).ends(64);
    for wrong in [
        ["--threads", "0"],
        ["--key-bytes", "4"],
        ["--value-bytes", "1T"],
        ["--records", "0"],
        ["--seconds", "-1"],
        ["--store", "paper"],
        ["--distribution", "normal"],
    ] {
        scratch.run(&["bench", "write", wrong[0], wrong[1]]).ends(64);
    }
    scratch.run(&["bench", "write", "--directory", "missing"]).ends(3).says("missing");
    assert!(fs::read_dir(scratch.dir.path()).expect("list").next().is_none());
}
