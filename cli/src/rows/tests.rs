use super::*;
use proptest::prelude::*;

fn rows(text: &[u8], shape: &Shape) -> Vec<Parsed> {
    Rows::new(text, shape).expect("shape").map(|row| row.expect("no I/O here")).collect()
}

fn pairs_of(parsed: &[Parsed]) -> Vec<(u64, String, String)> {
    parsed
        .iter()
        .map(|parsed| match parsed {
            Parsed::Row(row) => (
                row.line,
                String::from_utf8_lossy(&row.key).into_owned(),
                String::from_utf8_lossy(&row.value).into_owned(),
            ),
            Parsed::Rejected(bad) => (bad.line, "REJECTED".to_owned(), bad.reason.clone()),
        })
        .collect()
}

fn check(text: &str, shape: &Shape, expected: &[(u64, &str, &str)]) {
    let found = pairs_of(&rows(text.as_bytes(), shape));
    let expected: Vec<_> =
        expected.iter().map(|(line, key, value)| (*line, (*key).into(), (*value).into())).collect();
    assert_eq!(found, expected, "of {text:?}");
}

fn shape(format: Format, key: Option<&str>, value: Option<&str>) -> Shape {
    Shape { key: key.map(str::to_owned), value: value.map(str::to_owned), ..Shape::new(format) }
}

#[test]
fn csv_by_name_and_by_number() {
    let text = "name,year\nada,1815\r\n\nalan,\"19\n12\"\n";
    check(
        text,
        &shape(Format::Csv, Some("name"), Some("2")),
        &[(2, "ada", "1815"), (4, "alan", "19\n12")],
    );
    check(
        text,
        &shape(Format::Csv, Some("year"), None),
        &[
            (2, "1815", r#"{"name":"ada","year":"1815"}"#),
            (4, "19\n12", r#"{"name":"alan","year":"19\n12"}"#),
        ],
    );
    let bare = Shape { header: false, ..shape(Format::Csv, None, None) };
    check("a,b\n", &bare, &[(1, "a", r#"["a","b"]"#)]);
}

#[test]
fn csv_rows_that_do_not_fit_are_rejected_with_their_line() {
    let by_name = shape(Format::Csv, Some("k"), Some("v"));
    check(
        "k,v\n1,2,3\n,x\n1\ngood,yes\n",
        &by_name,
        &[
            (2, "REJECTED", "3 columns where 2 are expected"),
            (3, "REJECTED", "the key is empty"),
            (4, "REJECTED", "1 columns where 2 are expected"),
            (5, "good", "yes"),
        ],
    );
    check(
        "k,v\na\rb,c\nd,e\n",
        &by_name,
        &[(2, "REJECTED", "a carriage return stands outside of quotes"), (3, "d", "e")],
    );
}

#[test]
fn a_quote_that_is_never_closed_costs_one_row() {
    let by_name = shape(Format::Csv, Some("k"), Some("v"));
    check(
        "k,v\na,\"b\nc,d\ne,f\n",
        &by_name,
        &[(2, "REJECTED", "a quote is never closed"), (3, "c", "d"), (4, "e", "f")],
    );
    check("k,v\na,\"b", &by_name, &[(2, "REJECTED", "a quote is never closed")]);
    let mut bounded = by_name.clone();
    bounded.limits.row_bytes = 8;
    check(
        "k,v\na,\"b\nc,d\ne,f\ng,h\"\n",
        &bounded,
        &[
            (2, "REJECTED", "a quote is not closed within 8 bytes"),
            (3, "c", "d"),
            (4, "e", "f"),
            (5, "g", "h\""),
        ],
    );
}

#[test]
fn a_column_that_is_not_there_is_named() {
    for (selector, header, part) in
        [("nope", true, "the header has k, v"), ("3", true, "the header"), ("k", false, "a number")]
    {
        let shape = Shape { header, ..shape(Format::Csv, Some(selector), None) };
        match Rows::new(&b"k,v\n1,2\n"[..], &shape) {
            Err(ShapeError::Unfit(reason)) => assert!(reason.contains(part), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tsv_knows_no_quotes() {
    let text = "k\tv\n\"a\t5\" pipe\n";
    check(text, &shape(Format::Tsv, Some("k"), Some("v")), &[(2, "\"a", "5\" pipe")]);
}

#[test]
fn ndjson_fields() {
    let text = "{\"id\": 18446744073709551617, \"name\": \"\\u00c4da\"}\n\n{\"id\":null}\n[1]\n{\n";
    check(
        text,
        &shape(Format::Ndjson, Some("id"), Some("name")),
        &[
            (1, "18446744073709551617", "Äda"),
            (3, "REJECTED", "field id is not text or a number, so it cannot be a key"),
            (4, "REJECTED", "not a JSON object: invalid type: sequence, expected a map"),
            (5, "REJECTED", "not a JSON object: EOF while parsing an object at column 1"),
        ],
    );
    check(" {\"id\":7} \n", &shape(Format::Ndjson, Some("id"), None), &[(1, "7", "{\"id\":7}")]);
    check(
        "{\"id\":7}\n",
        &shape(Format::Ndjson, Some("no"), None),
        &[(1, "REJECTED", "there is no field no")],
    );
}

#[test]
fn ndjson_as_exported() {
    let parsed = rows(
        b"{\"key_hex\":\"00ff\",\"value\":\"x\"}\n{\"key\":\"k\",\"value_hex\":\"0\"}\n",
        &shape(Format::Ndjson, None, None),
    );
    let first = Row { line: 1, key: vec![0, 255], value: b"x".to_vec() };
    assert_eq!(parsed[0], Parsed::Row(first));
    assert!(matches!(&parsed[1], Parsed::Rejected(bad) if bad.reason.contains("odd number")));
}

#[test]
fn lines_and_pairs() {
    check(
        "a\tb\tc\nword\n\n",
        &shape(Format::Lines, None, None),
        &[(1, "a", "b\tc"), (2, "word", ""), (3, "REJECTED", "the key is empty")],
    );
    check(
        "x\n\n",
        &shape(Format::Lines, Some("number"), None),
        &[(1, "000000000001", "x"), (2, "000000000002", "")],
    );
    check(
        "a\\tb\t\\x41\nword\n\\q\tx\n",
        &shape(Format::Pairs, None, None),
        &[
            (1, "a\tb", "A"),
            (2, "REJECTED", "no tab stands between key and value"),
            (3, "REJECTED", "key: \\q is not an escape"),
        ],
    );
    let with_value = shape(Format::Lines, None, Some("1"));
    assert!(matches!(Rows::new(&b""[..], &with_value), Err(ShapeError::Unfit(_))));
}

#[test]
fn limits_hold_and_the_next_row_is_read() {
    for format in [Format::Csv, Format::Tsv, Format::Lines, Format::Pairs, Format::Ndjson] {
        let mut shape = Shape { header: false, ..Shape::new(format) };
        shape.limits = Limits { key_bytes: 4, value_bytes: 30, row_bytes: 40 };
        let good = match format {
            Format::Csv => "k,v",
            Format::Ndjson => "{\"key\":\"k\",\"value\":\"v\"}",
            _ => "k\tv",
        };
        let text = format!("{}\n{good}\n", "x".repeat(41));
        let parsed = rows(text.as_bytes(), &shape);
        assert_eq!(parsed.len(), 2, "{format:?}");
        match &parsed[0] {
            Parsed::Rejected(bad) => assert_eq!((bad.line, bad.text.len()), (1, 40), "{format:?}"),
            Parsed::Row(row) => panic!("{row:?}"),
        }
        assert!(matches!(&parsed[1], Parsed::Row(row) if row.line == 2 && row.key == b"k"));
    }
    let mut shape = shape(Format::Lines, None, None);
    shape.limits = Limits { key_bytes: 2, value_bytes: 2, row_bytes: 40 };
    check(
        "abc\tx\nab\txyz\nab\txy\n",
        &shape,
        &[
            (1, "REJECTED", "a key of 3 bytes; the limit is 2"),
            (2, "REJECTED", "a value of 3 bytes; the limit is 2"),
            (3, "ab", "xy"),
        ],
    );
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_beginning_alone() {
    let text = "\u{feff}k,v\n\u{feff}a,b\n";
    check(text, &shape(Format::Csv, Some("k"), Some("v")), &[(2, "\u{feff}a", "b")]);
}

#[test]
fn the_reader_failing_ends_the_rows() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let reader = (&b"a\tb\n"[..]).chain(Failing);
    let mut rows = Rows::new(reader, &Shape::new(Format::Lines)).unwrap();
    assert!(matches!(rows.next(), Some(Ok(Parsed::Row(_)))));
    assert!(matches!(rows.next(), Some(Err(_))));
    assert!(rows.next().is_none());
}

fn any_format() -> impl Strategy<Value = Format> {
    prop_oneof![
        Just(Format::Csv),
        Just(Format::Tsv),
        Just(Format::Ndjson),
        Just(Format::Lines),
        Just(Format::Pairs)
    ]
}

/// Text that is likely to be interesting to the parsers.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\"".to_vec()),
        Just(b",".to_vec()),
        Just(b"\t".to_vec()),
        Just(b"{\"key\":\"".to_vec()),
        Just(b"\",\"value\":1}".to_vec()),
        Just(b"\\x".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_rejected(
        format in any_format(),
        text in any_text(),
        header: bool,
        row_bytes in 1_usize..64,
    ) {
        let mut shape = Shape { header, ..Shape::new(format) };
        shape.limits = Limits { key_bytes: 16, value_bytes: 64, row_bytes };
        let Ok(parsed) = Rows::new(&text[..], &shape) else { return Ok(()) };
        let mut line_before = 0;
        for parsed in parsed {
            let line = match parsed.unwrap() {
                Parsed::Row(row) => {
                    prop_assert!((1..=16).contains(&row.key.len()) && row.value.len() <= 64);
                    row.line
                }
                Parsed::Rejected(bad) => {
                    prop_assert!(!bad.reason.is_empty());
                    bad.line
                }
            };
            prop_assert!(line > line_before, "{} after {}", line, line_before);
            line_before = line;
        }
    }

    /// Every line of the input that is not blank is in a row or in a rejected one.
    #[test]
    fn no_line_is_lost(texts in proptest::collection::vec("[a-z\"]{1,6}(\t[a-z\"\\\\]{0,6})?", 0..20)) {
        let text = texts.iter().map(|line| format!("{line}\n")).collect::<String>();
        for format in [Format::Tsv, Format::Lines, Format::Pairs, Format::Ndjson] {
            let shape = Shape { header: false, ..Shape::new(format) };
            prop_assert_eq!(rows(text.as_bytes(), &shape).len(), texts.len());
        }
    }

    /// What the csv crate writes comes back, and so does every byte in it.
    #[test]
    fn csv_written_by_the_csv_crate_comes_back(
        expected in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 1..8), proptest::collection::vec(any::<u8>(), 0..8)),
            0..20,
        ),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["key", "value"]).unwrap();
        for (key, value) in &expected {
            writer.write_record([key, value]).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let shape = shape(Format::Csv, Some("key"), Some("value"));
        let found: Vec<_> = rows(&text, &shape)
            .into_iter()
            .map(|parsed| match parsed {
                Parsed::Row(row) => (row.key, row.value),
                Parsed::Rejected(bad) => panic!("{bad:?}"),
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}
