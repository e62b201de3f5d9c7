//! The program as its users meet it: exit statuses, event lines, and what it says when something
//! is wrong. On the mock machine; what needs `/dev/kvm` skips loudly without it.

#[path = "cli/caps.rs"]
mod caps;
#[path = "cli/first_policy.rs"]
mod first_policy;
#[path = "cli/grants.rs"]
mod grants;
#[path = "cli/guest.rs"]
mod guest;
#[path = "cli/journal.rs"]
mod journal;
#[path = "cli/kernels.rs"]
mod kernels;
#[path = "cli/languages.rs"]
mod languages;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/plugins.rs"]
mod plugins;
#[path = "cli/policies.rs"]
mod policies;
#[path = "cli/qemu.rs"]
mod qemu;
#[path = "cli/tools.rs"]
mod tools;
#[path = "cli/ways.rs"]
mod ways;

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value as Json;

fn oriel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oriel"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The plugins that `cargo xtask plugins` has built.
fn plugins() -> PathBuf {
    match std::env::var_os("ORIEL_PLUGINS") {
        Some(directory) => directory.into(),
        None => PathBuf::from(env!("CARGO_BIN_EXE_oriel"))
            .ancestors()
            .nth(2)
            .expect("target")
            .join("plugins"),
    }
}

fn plugin(name: &str) -> String {
    let file = plugins().join(format!("{name}.wasm"));
    assert!(
        file.is_file(),
        "{} is missing: run `cargo xtask plugins`",
        file.display()
    );
    file.display().to_string()
}

/// A file with this content, which lives as long as the directory.
fn file(directory: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, content).expect("a temporary file");
    path.display().to_string()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs a builtin guest on the mock machine with these flags.
fn mock(guest: &str, flags: &[&str]) -> Output {
    let guest = format!("builtin:{guest}");
    let mut arguments = vec!["run", "--machine", "mock", "--guest", &guest];
    arguments.extend(flags);
    oriel(&arguments)
}

/// It failed with status 1, without panicking, and its error has these words.
#[track_caller]
fn assert_error(output: &Output, words: &[&str]) {
    assert_failed(output, 1, words);
}

/// The same with status 2: what was typed makes no sense.
#[track_caller]
fn assert_usage(output: &Output, words: &[&str]) {
    assert_failed(output, 2, words);
}

#[track_caller]
fn assert_failed(output: &Output, expected: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(status(output), expected, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn kvm_is_required_or_there() -> bool {
    let there = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    let required =
        std::env::var("ORIEL_REQUIRE").is_ok_and(|list| list.split(',').any(|one| one == "kvm"));
    if !there && !required {
        eprintln!("SKIPPED: /dev/kvm cannot be used");
    }
    there || required
}

#[test]
fn event_lines_are_json_from_start_to_end() {
    let output = mock(
        "msr-attack",
        &["--policy", &plugin("msr-guard"), "--events", "-"],
    );
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Json> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(
        lines
            .iter()
            .all(|line| line["v"] == 1 && line["vm"].is_string())
    );
    assert_eq!(
        (&lines[0]["type"], &lines[lines.len() - 1]["type"]),
        (&"start".into(), &"end".into())
    );
    let denied = lines
        .iter()
        .find(|line| line["verdict"] == "deny" && line["type"] == "event")
        .expect("a denied write");
    assert_eq!(denied["kind"], "msr");
    assert_eq!(denied["data"]["new"], "0xffffffffc0de0000");
    assert_eq!(denied["judges"][0]["name"], "msr-guard");
    assert_eq!(denied["effect"], "#GP(0)");
    assert!(
        lines
            .iter()
            .any(|line| line["type"] == "alert" && line["judge"] == "msr-guard")
    );
    let seqs: Vec<_> = lines
        .iter()
        .filter(|line| line["type"] == "event")
        .filter_map(|line| line["seq"].as_u64())
        .collect();
    assert_eq!(
        seqs,
        (1..=seqs.len() as u64).collect::<Vec<_>>(),
        "without gaps"
    );
}

#[test]
fn the_demo_ends_well_with_and_without_protection() {
    let plugins = plugins().display().to_string();
    for machine in ["mock", "kvm"] {
        if machine == "kvm" && !kvm_is_required_or_there() {
            continue;
        }
        let protected = oriel(&["demo", "--machine", machine, "--plugins", &plugins]);
        assert_eq!(status(&protected), 0, "{}", stderr(&protected));
        let shown = String::from_utf8_lossy(&protected.stdout).into_owned();
        assert!(
            shown.contains("deny") && shown.contains("0xffffffff81e00080"),
            "{shown}"
        );
        let open = oriel(&["demo", "--machine", machine, "--unprotected"]);
        assert_eq!(status(&open), 0, "{}", stderr(&open));
        assert!(String::from_utf8_lossy(&open.stdout).contains("0xffffffffc0de0000"));
    }
}

#[test]
fn exit_statuses_say_how_the_guest_ended() {
    let directory = directory();
    let scenario = |name: &str, steps: &str| file(&directory, name, steps);
    let shutdown = scenario(
        "shutdown.toml",
        "[[step]]\nevent = \"shutdown\"\ncause = \"triple-fault\"\n",
    );
    let finish = scenario("finish.toml", "[[step]]\nfinish = 0\n");
    for (guest, expected) in [(&finish, 0), (&shutdown, 3)] {
        let output = oriel(&["run", "--machine", "mock", "--guest", guest]);
        assert_eq!(status(&output), expected, "{guest}: {}", stderr(&output));
    }
    let zoo = plugin("oriel-zoo");
    let crash = file(&directory, "crash.toml", "act = \"crash\"\n");
    let stopped = mock(
        "msr-attack",
        &[
            "--policy",
            &zoo,
            "--grant",
            "oriel-zoo=all",
            "--policy-config",
            &format!("oriel-zoo={crash}"),
        ],
    );
    assert_eq!(status(&stopped), 4, "{}", stderr(&stopped));
    assert_eq!(status(&oriel(&["run", "--no-such-flag"])), 2);
}

#[test]
fn a_signal_ends_the_vm_and_is_the_exit_status() {
    let directory = directory();
    let scenario = file(
        &directory,
        "loop.toml",
        "loop = true\n[[step]]\nserial = \"x\"\n",
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_oriel"))
        .args([
            "run",
            "--machine",
            "mock",
            "--guest",
            &scenario,
            "--serial",
            "stdout",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The first byte of the serial line says that the guest runs.
    let mut first = [0];
    std::io::Read::read_exact(&mut child.stdout.take().expect("piped"), &mut first)
        .expect("the guest speaks");
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill")
            .success()
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(128 + 15));
}

#[test]
fn what_is_not_a_policy_is_refused_in_words() {
    let directory = directory();
    let core_module = file(&directory, "core.wasm", b"\0asm\x01\0\0\0");
    let garbage = file(&directory, "garbage.wasm", b"not wasm at all");
    let empty = file(&directory, "empty.wasm", b"");
    let whole = std::fs::read(plugin("msr-guard")).expect("the plugin");
    let cut = file(&directory, "cut.wasm", &whole[..whole.len() / 2]);
    for policy in [&core_module, &garbage, &empty, &cut] {
        let output = mock("hello", &["--policy", policy]);
        assert_error(&output, &[policy]);
        assert_error(&oriel(&["plugin", "inspect", policy]), &[policy]);
    }
    assert_error(&mock("hello", &["--policy", &core_module]), &["component"]);
    let missing = mock("hello", &["--policy", "no/such.wasm"]);
    assert_error(&missing, &["no/such.wasm", "cannot be read"]);
}

#[test]
fn rights_and_names_that_do_not_fit_are_refused_in_words() {
    let guard = plugin("msr-guard");
    assert_error(
        &mock("hello", &["--policy", &plugin("oriel-zoo")]),
        &["memory-read", "--grant"],
    );
    assert_error(
        &mock("hello", &["--policy", &guard, "--grant", "msr-guard=fly"]),
        &["fly", "memory-read"],
    );
    assert_usage(
        &mock("hello", &["--policy", &guard, "--grant", "other=all"]),
        &["other", "msr-guard"],
    );
    assert_error(
        &mock("hello", &["--policy", &guard, "--policy", &guard]),
        &["msr-guard", "two"],
    );
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_in_words() {
    let directory = directory();
    let unknown = file(
        &directory,
        "unknown.toml",
        "[vm]\nmachine = \"mock\"\nguests = \"builtin:hello\"\n",
    );
    assert_error(&oriel(&["run", &unknown]), &[&unknown, "guests"]);
    let malformed = file(&directory, "malformed.toml", "[vm\n");
    assert_error(&oriel(&["run", &malformed]), &[&malformed]);
    assert_error(
        &oriel(&["run", "no/such.toml"]),
        &["no/such.toml", "cannot be read"],
    );
    let setting = file(&directory, "setting.toml", "no-such-setting = 1\n");
    let flag = format!("msr-guard={setting}");
    let output = mock(
        "hello",
        &["--policy", &plugin("msr-guard"), "--policy-config", &flag],
    );
    assert_error(&output, &["no-such-setting"]);
    let typed = file(&directory, "typed.toml", "lock = \"yes\"\n");
    let flag = format!("msr-guard={typed}");
    assert_error(
        &mock(
            "hello",
            &["--policy", &plugin("msr-guard"), "--policy-config", &flag],
        ),
        &["lock", "flag"],
    );
}

#[test]
fn a_guest_that_is_not_there_is_refused_with_those_that_are() {
    assert_error(
        &mock("no-such-guest", &[]),
        &["no-such-guest", "msr-attack"],
    );
    assert_error(
        &oriel(&["run", "--machine", "mock", "--guest", "no/such.toml"]),
        &["no/such.toml"],
    );
    assert_usage(&oriel(&["run", "--machine", "mock"]), &["--guest"]);
    assert_usage(&oriel(&["run", "--guest", "builtin:hello"]), &["--machine"]);
}

#[test]
fn a_whole_configuration_file_runs() {
    let directory = directory();
    let events = directory.path().join("events.jsonl");
    let text = format!(
        "[vm]\nname = \"web-1\"\nmachine = \"mock\"\nguest = \"builtin:msr-attack\"\nevents = {:?}\nserial = \"none\"\n\
         [[policy]]\nfile = {:?}\ngrant = [\"msr\", \"alert\", \"store\"]\n[policy.config]\non-violation = \"keep\"\n",
        events.display().to_string(),
        plugin("msr-guard"),
    );
    let output = oriel(&["run", &file(&directory, "oriel.toml", text)]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let lines = std::fs::read_to_string(&events).expect("event lines");
    assert!(
        lines.contains("\"vm\":\"web-1\"") && lines.contains("\"effect\":\"the old value stays\""),
        "{lines}"
    );
}

#[test]
fn inspection_says_what_a_policy_hears_and_may_do() {
    let output = oriel(&["plugin", "inspect", "--json", &plugin("msr-guard")]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let inspection: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let strings = |key: &str| -> Vec<&str> {
        inspection[key]
            .as_array()
            .expect(key)
            .iter()
            .filter_map(Json::as_str)
            .collect()
    };
    assert!(strings("hears").contains(&"msr") && strings("hears").contains(&"reset"));
    assert!(strings("asks").contains(&"store") && !strings("asks").contains(&"memory-read"));
    assert_eq!(inspection["manifest"]["name"], "msr-guard");
    let words = oriel(&["plugin", "inspect", &plugin("msr-guard")]);
    assert!(String::from_utf8_lossy(&words.stdout).contains("msr-guard"));
}

#[test]
fn guests_that_crash_on_kvm_are_told_in_words() {
    if !kvm_is_required_or_there() {
        return;
    }
    let run = |guest: &str| {
        oriel(&[
            "run",
            "--machine",
            "kvm",
            "--guest",
            guest,
            "--serial",
            "none",
        ])
    };
    let triple = run("builtin:triple-fault");
    assert_eq!(status(&triple), 3, "{}", stderr(&triple));
    assert!(stderr(&triple).contains("triple"), "{}", stderr(&triple));
    let halt = run("builtin:halt");
    assert_eq!(status(&halt), 0, "{}", stderr(&halt));
    let hello = run("builtin:hello");
    assert_eq!(status(&hello), 0, "{}", stderr(&hello));
    let unemulatable = run("builtin:unemulatable");
    assert!(
        matches!(status(&unemulatable), 0 | 3),
        "{}",
        stderr(&unemulatable)
    );
}

#[test]
fn a_reader_that_goes_away_harms_nobody() {
    for arguments in [
        vec!["caps", "--machine", "mock"],
        vec![
            "run",
            "--machine",
            "mock",
            "--guest",
            "builtin:msr-attack",
            "--events",
            "-",
        ],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oriel"))
            .args(&arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(
            child.wait().expect("it ends").code(),
            Some(0),
            "{arguments:?}"
        );
    }
}
