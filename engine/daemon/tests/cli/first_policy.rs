//! `docs/first-policy.md`, followed literally in an empty directory, for each language there is.

use std::{env, path::Path, process::Command};

use super::{
    languages::{javascript_is_required_or_there, python_is_required_or_there},
    plugins::{c_is_required_or_there, empty, target},
};

const PAGE: &str = include_str!("../../../../docs/first-policy.md");

/// The blocks of the page: the words behind the fence, and what is inside.
fn blocks() -> impl Iterator<Item = (Vec<&'static str>, &'static str)> {
    let fenced = PAGE.split("```").skip(1).step_by(2);
    fenced.map(|block| {
        let (words, text) = block.split_once('\n').expect("a block has lines");
        (words.split_whitespace().collect(), text)
    })
}

/// The commands for a language: those for it, and those for all.
fn script(language: &str) -> String {
    let is_for_it = |words: &[&str]| matches!(words, ["sh"]) || *words == ["sh", language];
    let commands = blocks().filter(|(words, _)| is_for_it(words));
    commands.map(|(_, text)| text).collect()
}

/// What the page says that there will be to see.
fn expected() -> impl Iterator<Item = &'static str> {
    let shown = blocks().filter(|(words, _)| *words == ["text", "expected"]);
    shown.map(|(_, text)| text.trim())
}

/// Follows the page in an empty directory, with the program in the path.
fn follow(language: &str) {
    let folder = empty(&format!("first-{language}"));
    let program = Path::new(env!("CARGO_BIN_EXE_oriel"));
    let beside = program.parent().expect("a directory").to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(std::iter::once(beside).chain(env::split_paths(&path)));
    let output = Command::new("sh")
        .args(["-exc", &script(language)])
        .current_dir(&folder)
        .env("PATH", path.expect("a path"))
        .env("CARGO_TARGET_DIR", target(&folder))
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaints}");
    for line in expected() {
        assert!(said.contains(line), "{line:?} is not in: {said}");
    }
    let events = std::fs::read_to_string(folder.join("lstar-guard/events.jsonl")).expect("events");
    assert!(events.contains("\"verdict\":\"deny\""), "{events}");
}

#[test]
fn the_page_has_commands_for_each_language_and_something_to_see() {
    assert!(script("rust").contains("oriel plugin new lstar-guard\n"));
    for language in ["c", "python", "js"] {
        assert!(script(language).contains(&format!("--lang {language}\n")));
    }
    for language in ["rust", "c", "python", "js"] {
        assert_eq!(script(language).matches("plugin new").count(), 1);
    }
    assert!(expected().count() > 1);
}

#[test]
fn the_page_names_the_releases_that_are_tried_out() {
    let python = format!("componentize-py=={}`", oriel_build::python::RELEASE);
    let javascript = format!("componentize-js@{}`", oriel_build::javascript::RELEASE);
    assert!(PAGE.contains(&python) && PAGE.contains(&javascript));
}

#[test]
fn the_first_policy_in_rust_is_as_its_page_says() {
    follow("rust");
}

#[test]
fn the_first_policy_in_c_is_as_its_page_says() {
    if c_is_required_or_there() {
        follow("c");
    }
}

#[test]
fn the_first_policy_in_python_is_as_its_page_says() {
    if python_is_required_or_there() {
        follow("python");
    }
}

#[test]
fn the_first_policy_in_javascript_is_as_its_page_says() {
    if javascript_is_required_or_there() {
        follow("js");
    }
}
