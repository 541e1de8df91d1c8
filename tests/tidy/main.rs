//! Style as an ordinary test.
//!
//! Every rule is a function from the files of the repository to complaints, in one module with the
//! samples that show that it can fail. The files are read from the tree as it stands, so this needs
//! no tool but cargo.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops on the first surprise"
)]

mod crates;
mod dead_files;
mod documents;
mod lengths;
mod source;
mod tree;
mod words;

use tree::Tree;

/// Fails with all complaints at once.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn crates_depend_in_one_direction() {
    assert_none(&crates::edges(&Tree::of_repository()));
}

#[test]
fn every_outside_crate_is_on_the_list() {
    assert_none(&crates::outside(&Tree::of_repository(), crates::LIST));
}

#[test]
fn files_and_functions_stay_short() {
    assert_none(&lengths::long(&Tree::of_repository(), lengths::LIST));
}

#[test]
fn words_are_those_of_the_glossary() {
    assert_none(&words::banned(&Tree::of_repository()));
}

#[test]
fn every_source_file_is_part_of_a_crate() {
    assert_none(&dead_files::unreachable(&Tree::of_repository()));
}

#[test]
fn every_document_is_linked_and_every_link_leads_somewhere() {
    assert_none(&documents::links(&Tree::of_repository()));
}

#[test]
fn every_promise_names_a_test_that_exists() {
    assert_none(&documents::promises(&Tree::of_repository()));
}

#[test]
fn no_crate_needs_a_newer_compiler_than_we_state() {
    assert_none(&crates::compilers(&Tree::of_repository(), &crates::metadata()));
}
