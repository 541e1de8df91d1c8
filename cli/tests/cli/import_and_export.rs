use super::*;

#[test]
fn a_csv_file_with_bad_rows() {
    let scratch = Scratch::new();
    scratch.write("people.csv", "name,year\nada,1815\nalan\n\"grace\",1906\nada,1816\n,1\n");
    let run = scratch.run(&["import", "data", "people.csv", "--json"]).ends(1);
    let summary = run.json();
    assert_eq!((&summary["stored"], &summary["rejected"]), (&Json::from(3), &Json::from(2)));
    assert_eq!(summary["repeated"], 1);
    let rejected = fs::read_to_string(scratch.path("people.csv.rejected")).expect("the rows");
    assert_eq!(
        rejected,
        "line\treason\trow\n3\t1 columns where 2 are expected\talan\n6\tthe key is empty\t,1\n"
    );
    let value = scratch.run(&["get", "data", "ada"]).ends(0);
    assert_eq!(value.text(), "{\"name\":\"ada\",\"year\":\"1816\"}\n");
    // Without the bad rows nothing is left of the file of rejected ones.
    scratch.write("people.csv", "name,year\nada,1815\n");
    scratch.run(&["import", "data", "people.csv"]).ends(0);
    assert!(!scratch.path("people.csv.rejected").exists());
}

#[test]
fn rejected_rows_can_be_tolerated_up_to_a_number() {
    let scratch = Scratch::new();
    scratch.write("x.tsv", "k\tv\na\t1\nbad\nb\t2\nbad\nc\t3\n");
    let run = |most: &str| {
        scratch.run(&["import", "data", "x.tsv", "--value", "v", "--max-rejects", most, "--json"])
    };
    assert_eq!(run("2").ends(0).json()["stored"], 3);
    let stopped = run("1").ends(1).json();
    assert_eq!((&stopped["stopped"], &stopped["stored"]), (&Json::from(true), &Json::from(2)));
}

#[test]
fn a_file_that_would_be_replaced_by_its_rejected_rows_is_refused() {
    let scratch = Scratch::new();
    scratch.write("x.tsv", "k\tv\n");
    scratch.run(&["import", "data", "x.tsv", "--rejects", "x.tsv"]).ends(64).says("replace");
    assert_eq!(fs::read(scratch.path("x.tsv")).expect("still there"), b"k\tv\n");
}

#[test]
fn missing_files_and_columns_are_named_and_no_database_is_made() {
    let scratch = Scratch::new();
    scratch.run(&["import", "data", "no.csv"]).ends(3).says("no.csv");
    scratch.run(&["import", "data", ".", "--format", "csv"]).ends(3).says("directory");
    scratch.write("x.csv", "a,b\n1,2\n");
    let run = scratch.run(&["import", "data", "x.csv", "--key", "c"]).ends(64);
    run.says("the header has a, b");
    scratch
        .run(&["import", "data", "x.csv", "--rejects", "no/such/dir"])
        .ends(3)
        .says("no/such/dir");
    assert!(!scratch.path("data").exists());
}

#[test]
fn every_format_from_standard_input() {
    let scratch = Scratch::new();
    for (format, key, input) in [
        ("csv", "k", "k,v\ncsv,1\n"),
        ("tsv", "k", "k\tv\ntsv\t1\n"),
        ("ndjson", "k", "{\"k\":\"ndjson\",\"v\":1}\n"),
    ] {
        let args = ["import", "data", "-", "--format", format, "--key", key, "--value", "v"];
        scratch.run_with(&args, input.as_bytes()).ends(0);
        assert_eq!(scratch.run(&["get", "data", format]).ends(0).text(), "1\n");
    }
    scratch.run_with(&["import", "data", "-", "--format", "lines"], b"lines\t1").ends(0);
    assert_eq!(scratch.run(&["get", "data", "lines"]).ends(0).text(), "1\n");
    let numbered = ["import", "data", "-", "--format", "lines", "--key", "number"];
    scratch.run_with(&numbered, b"first\nsecond\n").ends(0);
    assert_eq!(scratch.run(&["get", "data", "000000000002"]).ends(0).text(), "second\n");
    let buffered = ["import", "data", "-", "--format", "pairs", "--durability", "buffered"];
    scratch.run_with(&[&buffered[..], &["--batch", "1"]].concat(), b"p\\n\t1\nq\t2\n").ends(0);
    assert_eq!(scratch.run(&["get", "data", "p\\n", "--escaped"]).ends(0).text(), "1\n");
}

/// Export and import give back every byte, in each format.
#[test]
fn every_byte_comes_back() {
    let scratch = Scratch::new();
    let mut pairs = String::new();
    for byte in 0..=255_u8 {
        pairs.push_str(&format!("k\\x{byte:02x}\tv\\x{byte:02x}\\x0d\\x0a\n"));
    }
    pairs.push_str("Ä \"quoted\", and\\t\\\\ more\tempty follows\nempty\t\n");
    scratch.run_with(&["import", "one", "-", "--format", "pairs"], pairs.as_bytes()).ends(0);
    let original = scratch.run(&["export", "one"]).ends(0).out;
    assert_eq!(original.iter().filter(|byte| **byte == b'\n').count(), 258);
    let csv_columns = ["--key", "key", "--value", "value"];
    for (format, columns) in [("pairs", &[][..]), ("ndjson", &[]), ("csv", &csv_columns)] {
        let exported = scratch.run(&["export", "one", "--format", format]).ends(0).out;
        let args = ["import", format, "-", "--format", format];
        scratch.run_with(&[&args[..], columns].concat(), &exported).ends(0);
        let again = scratch.run(&["export", format]).ends(0).out;
        assert!(again == original, "{format} lost something");
    }
}

#[test]
fn export_to_a_file_replaces_nothing() {
    let scratch = Scratch::with_people();
    scratch.run(&["export", "data", "--output", "people.pairs"]).ends(0);
    let exported = fs::read_to_string(scratch.path("people.pairs")).expect("the file");
    assert_eq!(exported, "ada\t1815\nalan\t1912\ngrace\t1906\n");
    scratch.run(&["export", "data", "--output", "people.pairs"]).ends(3).says("people.pairs");
}

#[test]
fn an_output_that_is_closed_is_an_ordinary_end() {
    let scratch = Scratch::new();
    let rows: String = (0..50_000).map(|row| format!("key-{row}\tvalue\n")).collect();
    scratch.run_with(&["import", "data", "-", "--format", "lines"], rows.as_bytes()).ends(0);
    let mut command = scratch.command();
    command.args(["scan", "data"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
