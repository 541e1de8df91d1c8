use super::*;

#[test]
fn the_demo_passes_and_keeps_its_directory_when_asked() {
    let scratch = Scratch::new();
    let run = scratch.run(&["demo", "--kills", "2", "--dir", "demo", "--seed", "1"]).ends(0);
    assert!(run.text().contains("34,924 rows"), "{run:?}");
    assert!(run.lines().last().is_some_and(|line| line.starts_with("OK: 2 kills")), "{run:?}");
    let row = scratch.run(&["get", "demo", "0041", "--keyspace", "unicode"]).ends(0);
    assert!(row.text().contains("LATIN CAPITAL LETTER A"), "{row:?}");
    scratch.run(&["demo", "--dir", "demo"]).ends(64).says("not empty");
}
