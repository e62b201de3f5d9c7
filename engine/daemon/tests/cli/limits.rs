//! What operators let a policy use, and what answers for it, as they write it down.

use super::{assert_error, directory, file, oriel, plugin, status, stderr};

/// Runs the attack on the mock machine under the zoo's policy, with this in its `[[policy]]`.
fn zoo(conditions: &str, settings: &str) -> std::process::Output {
    let directory = directory();
    let plugin = plugin("oriel-zoo");
    let text = format!(
        "[vm]\nmachine = \"mock\"\nguest = \"builtin:msr-attack\"\nround-ms = 1000\n\
         [[policy]]\nfile = {plugin:?}\nname = \"zoo\"\ngrant = \"all\"\n{conditions}\n\
         [policy.config]\n{settings}\n"
    );
    oriel(&["run", &file(&directory, "config.toml", text)])
}

#[test]
fn limits_of_a_configuration_hold() {
    let output = zoo("limits = { logs = 3 }", "act = \"log-flood\"\ntimes = 10");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("line 2 of the flood"), "{told}");
    assert!(!told.contains("line 3 of the flood"), "{told}");
    assert!(
        told.contains("about zoo") && told.contains("7 log lines"),
        "{told}"
    );
}

#[test]
fn limits_and_modes_that_there_are_not_are_refused_by_name() {
    for (conditions, words) in [
        (
            "limits = { memroy-bytes = 1 }",
            &["memroy-bytes", "memory-bytes"][..],
        ),
        ("limits = { event-ms = 0 }", &["event-ms", "zoo"]),
        ("on-failure = { msr = \"opne\" }", &["opne"]),
        ("pause-limit = 3", &["allow-pause = true"]),
    ] {
        assert_error(&zoo(conditions, ""), words);
    }
}

#[test]
fn an_operators_failure_mode_stands_above_the_manifests() {
    let settings = "act = \"trap\"";
    let open = zoo("on-failure = { default = \"open\" }", settings);
    assert!(
        stderr(&open).contains("continue answers for it"),
        "{}",
        stderr(&open)
    );
    let closed = zoo("", settings);
    assert!(
        stderr(&closed).contains("deny answers for it"),
        "{}",
        stderr(&closed)
    );
    let detach = zoo("on-failure = { default = \"detach\" }", settings);
    let told = stderr(&detach);
    assert_eq!(told.matches("answers for it").count(), 1, "{told}");
    assert!(told.contains("about zoo: detached"), "{told}");
}

#[test]
fn a_pause_that_is_not_allowed_is_said_at_the_start() {
    let modes = "on-failure = { msr = \"pause\" }";
    let refused = zoo(modes, "act = \"trap\"");
    let told = stderr(&refused);
    assert!(told.contains("allow-pause = true"), "{told}");
    assert!(told.contains("deny answers for it"), "{told}");
    let allowed = format!("{modes}\nallow-pause = true\npause-limit = 0.01");
    let told = stderr(&zoo(&allowed, "act = \"trap\""));
    assert!(!told.contains("allow-pause"), "{told}");
    assert!(told.contains("waits for the operator"), "{told}");
}

#[test]
fn an_instance_that_has_grown_is_replaced_between_two_events_and_nothing_else_changes() {
    let directory = directory();
    let guard = plugin("msr-guard");
    let text = format!(
        "[vm]\nmachine = \"mock\"\nguest = \"builtin:msr-attack\"\n\
         [[policy]]\nfile = {guard:?}\ngrant = \"all\"\nlimits = {{ renew-bytes = 1 }}\n"
    );
    let config = file(&directory, "config.toml", text);
    let journal = directory
        .path()
        .join("renewed.journal")
        .display()
        .to_string();
    let ran = oriel(&["run", &config, "--record", &journal]);
    assert_eq!(status(&ran), 0, "{}", stderr(&ran));
    let stat = oriel(&["journal", "stat", &journal]);
    let said = String::from_utf8_lossy(&stat.stdout).into_owned();
    // One is made before the guest runs, and is as large.
    assert!(said.contains("revision 1: 4 instances"), "{said}");
    assert!(said.contains("0 failed"), "{said}");

    let replayed = oriel(&["replay", &journal, "--policy", &guard]);
    let said = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert_eq!(status(&replayed), 0, "{said}{}", stderr(&replayed));
}
