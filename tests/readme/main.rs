//! The program in the README is the one in `program.txt`, and it works.

#[allow(clippy::print_stdout, reason = "it shows what it does")]
mod example {
    include!("program.txt");

    pub(super) fn run() -> mainstay::Result<()> {
        main()
    }
}

/// The only test of this binary: it changes the process's directory, where the program makes its data.
#[test]
fn the_readme_shows_a_program_that_works() {
    let readme = include_str!("../../README.md");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(include_str!("program.txt")), "they differ");

    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    example::run().unwrap();
    let db = mainstay::Db::open("data").unwrap();
    assert_eq!(db.get("ada").unwrap(), None);
    assert_eq!(db.get("visits").unwrap().unwrap(), b"\x01");
    assert_eq!(db.keyspace("users").unwrap().iter().unwrap().count(), 2);
}
