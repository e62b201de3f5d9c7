//! Policies in languages that bring an interpreter. Each build takes many seconds, so a project shows all that one
//! can show.

use std::{fs, process::Output};

use super::{
    assert_error,
    plugins::{EVERY_KIND, Project, is_required_or},
    status, stderr,
};

/// Whether policies in Python can be built here.
pub(super) fn python_is_required_or_there() -> bool {
    is_required_or("python", oriel_build::python::is_here())
}

/// Whether policies in JavaScript can be built here.
pub(super) fn javascript_is_required_or_there() -> bool {
    is_required_or("js", oriel_build::javascript::is_here())
}

/// A value of an MSR, then one that is another in its lowest bit alone, then the first again.
const LOWEST_BIT: &str = r#"
name = "lowest-bit"

[[step]]
event = "msr"
msr = {MSR}
value = "{VALUE}0"
expect = { verdict = "continue", value = "{VALUE}0" }

[[step]]
event = "msr"
msr = {MSR}
value = "{VALUE}1"
expect = { verdict = "deny", value = "{VALUE}0" }

[[step]]
event = "msr"
msr = {MSR}
value = "{VALUE}0"
expect = { verdict = "continue", value = "{VALUE}0" }

[[step]]
finish = 0
"#;

/// MSRs, and all but the last digit of what is written: the kernel's entry; and, to the MSR below it, which takes any
/// value, one that a double rounds whether or not it takes it for signed.
const WRITES: [(&str, &str); 2] = [
    ("0xc0000082", "0xffffffff81e0008"),
    ("0xc0000081", "0x900000000000000"),
];

/// One event, with this value.
fn one_write(value: u64) -> String {
    format!(
        "name = \"one\"\n[[step]]\nevent = \"msr\"\nmsr = \"lstar\"\nvalue = {value}\n\n[[step]]\nfinish = 0\n"
    )
}

/// The project judges every kind, passes its tests and keeps LSTAR to the last bit.
fn judges_every_kind(project: &Project) {
    for (number, (msr, value)) in WRITES.iter().enumerate() {
        let text = LOWEST_BIT.replace("{VALUE}", value).replace("{MSR}", msr);
        let file = project.path().join(format!("tests/bit-{number}.toml"));
        fs::write(file, text).expect("a file of the project");
    }
    let tested = project.json(&["plugin", "test"]);
    assert_eq!(tested["passed"], true, "{tested}");
    assert_eq!(tested["native"], "passed");
    let scenarios = tested["scenarios"].as_array().expect("scenarios");
    assert_eq!(scenarios.len(), 1 + WRITES.len());

    let built = project.json(&["plugin", "build", "--out", "guard.wasm"]);
    assert_eq!(built["plugin"]["hears"].as_array().map(Vec::len), Some(15));
    assert_eq!(
        built["plugin"]["asks"],
        serde_json::json!(["alert", "log", "metrics", "store"])
    );
    let checked = project.json(&["plugin", "check", "--strict", "guard.wasm"]);
    assert_eq!(checked, serde_json::json!({ "errors": [], "lints": [] }));
}

/// Plays a write of this value under what was built.
fn play(project: &Project, value: u64) -> String {
    let scenario = project.path().join("one.toml");
    fs::write(&scenario, one_write(value)).expect("a file of the project");
    let played = project.oriel(&["plugin", "run", "guard.wasm", "--scenario", "one.toml"]);
    assert_eq!(status(&played), 1, "it fails: {}", stderr(&played));
    String::from_utf8_lossy(&played.stdout).into_owned()
}

#[test]
fn a_project_in_python_judges_every_kind_to_the_last_bit_and_says_where_it_fails() {
    if !python_is_required_or_there() {
        return;
    }
    let project = Project::new("py-kinds", &["--lang", "python", "--listens", EVERY_KIND]);
    let failing = "        if new == 666:\n            raise KeyError(\"six\")\n        \
                   if new == 667:\n            print(\"six\")\n        try:\n            first =";
    let change = |text: &str| {
        let text = text.replacen("        try:\n            first =", failing, 1);
        text.replace("first=LSTAR,", "first=LSTAR - 1,")
    };
    project.with("src/policy.py", change, || {
        judges_every_kind(&project);
        let failed = play(&project, 666);
        assert!(failed.contains("/policy.py:"), "{failed}");
        assert!(failed.contains("KeyError: 'six'"), "{failed}");
        let asked = play(&project, 667);
        assert!(asked.contains("stdout_get_stdout"), "{asked}");
    });
}

#[test]
fn what_is_wrong_with_a_project_in_python_is_said_in_words() {
    if !python_is_required_or_there() {
        return;
    }
    let project = Project::new("py-broken", &["--lang", "python", "--listens", "cpuid"]);
    let build = || project.oriel(&["plugin", "build"]);
    let source = "src/policy.py";
    let output = project.with(
        source,
        |text| text.replace("def judge(", "def judge"),
        build,
    );
    assert_error(
        &output,
        &[
            "SyntaxError",
            "does not become a component",
            "policy `py-broken`",
        ],
    );
    let output = project.with(
        source,
        |text| text.replace("class Judge", "class Huge"),
        build,
    );
    assert_error(&output, &["has no attribute 'JudgeCpuid'"]);
    wrong_worlds(&project, build);
}

/// What is wrong with a world is the same in all languages.
fn wrong_worlds(project: &Project, build: impl Fn() -> Output) {
    let newer = |text: &str| text.replace("0.1.0", "0.9.0");
    let output = project.with("wit/world.wit", newer, &build);
    assert_error(&output, &["0.9.0"]);
    let undeclared = |text: &str| text.replace("\"metrics\"", "\"store\"");
    let output = project.with("oriel.json", undeclared, &build);
    assert_error(&output, &["imports `metrics`", "does not declare"]);
}

#[test]
fn a_project_in_javascript_judges_every_kind_to_the_last_bit_and_says_where_it_fails() {
    if !javascript_is_required_or_there() {
        return;
    }
    let project = Project::new("js-kinds", &["--lang", "js", "--listens", EVERY_KIND]);
    // What is wasted is kept for a while, so that no collection of the young gets it.
    let failing = "    if (written === 668n) {\n      \
                   for (let i = 0; i < 200; i++) kept[next++ % 4000] = new Array(64).fill(next);\n      \
                   return { tag: \"continue\" };\n    }\n    if (written === 666n) throw new RangeError(\"six\");\n    \
                   if (written === 667n) fetch(\"http://nowhere/\");\n    if (isFirst";
    let change = |text: &str| {
        let text = text.replacen("    if (isFirst", failing, 1);
        let text = text.replace("first: LSTAR,", "first: LSTAR - 1,");
        text.replace(
            "const LSTAR",
            "const kept = [];\nlet next = 0;\nconst LSTAR",
        )
    };
    project.with("src/policy.js", change, || {
        judges_every_kind(&project);
        let failed = play(&project, 666);
        assert!(failed.contains("policy.js:"), "{failed}");
        assert!(failed.contains("RangeError: six"), "{failed}");
        let asked = play(&project, 667);
        assert!(asked.contains("it trapped"), "{asked}");
        outlives_its_waste(&project);
    });
}

/// Events that waste, together, many times what its engine can hold: none of them fails.
fn outlives_its_waste(project: &Project) {
    let wasteful = "event = \"msr\"\nrepeat = 2000";
    let scenario = one_write(668).replace("event = \"msr\"", wasteful);
    let file = project.path().join("waste.toml");
    fs::write(file, scenario).expect("a file of the project");
    let played = project.oriel(&["plugin", "run", "guard.wasm", "--scenario", "waste.toml"]);
    let said = String::from_utf8_lossy(&played.stdout);
    assert_eq!(status(&played), 0, "{}", said.lines().last().unwrap_or(""));
    assert!(said.contains("#2000 msr"), "all of them");
}

#[test]
fn what_is_wrong_with_a_project_in_javascript_is_said_in_words() {
    if !javascript_is_required_or_there() {
        return;
    }
    let project = Project::new("js-broken", &["--lang", "js", "--listens", "cpuid"]);
    let build = || project.oriel(&["plugin", "build"]);
    let source = "src/policy.js";
    let output = project.with(
        source,
        |text| text.replace("throw error;", "throw error)"),
        build,
    );
    assert_error(
        &output,
        &["policy.js:", "SyntaxError", "it is no JavaScript"],
    );
    let output = project.with(
        source,
        |text| text.replace("const judgeCpuid", "const huge"),
        build,
    );
    assert_error(&output, &["judgeCpuid", "does not become a component"]);
    wrong_worlds(&project, build);
}

#[test]
fn a_project_in_two_languages_is_none() {
    let project = Project::new("two", &["--lang", "python"]);
    fs::write(project.path().join("src/policy.js"), "").expect("a file of the project");
    let output = project.oriel(&["plugin", "build"]);
    assert_error(&output, &["two languages", "keep one"]);
}

#[test]
fn what_is_missing_is_named_with_what_to_install() {
    for (language, words) in [
        ("python", ["componentize-py", "pip install"]),
        ("js", ["ComponentizeJS", "npm install"]),
    ] {
        let project = Project::new(&format!("no-{language}"), &["--lang", language]);
        let output = project.without_tools(&["plugin", "build"]);
        assert_error(&output, &words);
    }
}
