use super::*;

const COMMANDS: [&[&str]; 29] = [
    &[],
    &["demo"],
    &["import"],
    &["export"],
    &["get"],
    &["insert"],
    &["remove"],
    &["scan"],
    &["keyspaces"],
    &["load"],
    &["inspect"],
    &["wal"],
    &["wal", "dump"],
    &["wal", "stats"],
    &["wal", "verify"],
    &["wal", "archive"],
    &["store"],
    &["store", "verify"],
    &["store", "rebuild"],
    &["backup"],
    &["restore"],
    &["diff"],
    &["bench"],
    &["bench", "limits"],
    &["bench", "write"],
    &["bench", "read"],
    &["bench", "mixed"],
    &["bench", "recover"],
    &["bench", "tail"],
];

#[test]
fn every_command_has_help_and_examples() {
    let scratch = Scratch::new();
    for command in COMMANDS {
        let run = scratch.run(&[command, &["--help"]].concat()).ends(0);
        let is_group = matches!(command, [] | ["wal"] | ["store"] | ["bench"]);
        assert!(is_group || run.text().contains("Examples:"), "{command:?}: {}", run.text());
        assert!(!run.text().contains('\u{1b}'), "colours without a terminal");
    }
    let help = scratch.run(&["--help"]).ends(0);
    assert!(help.text().contains("Exit codes:") && !help.text().contains("crash-child"));
}

#[test]
fn a_wrong_command_line_ends_with_64_and_does_nothing() {
    let scratch = Scratch::new();
    scratch.run(&[]).ends(64);
    scratch.run(&["frobnicate"]).ends(64).says("frobnicate");
    scratch.run(&["get", "data"]).ends(64).says("<KEY>");
    scratch.run(&["insert", "data", "key"]).ends(64);
    scratch.run(&["insert", "data", "a\\q", "v", "--escaped"]).ends(64).says("not an escape");
    scratch.run(&["import", "data", "file.unknown"]).ends(64).says("--format");
    scratch.run(&["import", "data", "x.csv", "--batch", "0"]).ends(64).says("at least 1");
    scratch.run(&["import", "data", "x.csv", "--delimiter", "ab"]).ends(64).says("byte");
    scratch.run(&["scan", "data", "--from", "b", "--to", "a"]).ends(64).says("behind");
    scratch.run(&["scan", "data", "--from", "b", "--prefix", "a"]).ends(64);
    assert!(!scratch.path("data").exists());
}

#[test]
fn completions_are_printed_for_every_shell() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = scratch.run(&["completions", shell]).ends(0);
        assert!(run.text().contains("mainstay") && run.text().contains("import"), "{shell}");
    }
}
