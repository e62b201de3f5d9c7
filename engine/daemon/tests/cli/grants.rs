//! What is granted, what is explained, and what is written down about it.

use std::io::Read;

use serde_json::Value as Json;

use super::{assert_error, assert_usage, directory, file, mock, oriel, plugin, status, stderr};

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn guard() -> String {
    format!("guard={}", plugin("msr-guard"))
}

/// Runs the attack under the guard, with an audit trail in this file.
fn audited(trail: &str, more: &[&str]) -> std::process::Output {
    let guard = guard();
    let mut flags = vec!["--policy", guard.as_str(), "--audit", trail];
    flags.extend(more);
    mock("msr-attack", &flags)
}

#[test]
fn a_policy_is_explained_in_words_and_as_json() {
    let guard = guard();
    let explain = |more: &[&str]| {
        let mut arguments = vec!["policy", "explain", "guard", "--policy", guard.as_str()];
        arguments.extend(more);
        let output = oriel(&arguments);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        stdout(&output)
    };
    let words = explain(&["--grant", "guard=msr"]);
    let line = |name: &str| {
        let line = words
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("store")[..3], ["store", "no", "grant"], "{words}");
    assert_eq!(line("log")[..2], ["log", "yes"], "{words}");
    assert!(words.contains("it is not loaded"), "{words}");
    let json: Json = serde_json::from_str(&explain(&["--json"])).expect("JSON");
    let of = |list: &str, name: &str| {
        let list = json[list].as_array().expect("a list");
        list.iter()
            .find(|one| one["name"] == name)
            .expect("it is there")["no"]
            .clone()
    };
    assert_eq!(json["policy"], "guard");
    assert_eq!(of("rights", "store"), serde_json::json!([]));
    assert_eq!(of("events", "msr"), serde_json::json!([]));
    let memory = of("rights", "memory-write");
    let no = memory.as_array().expect("a list");
    assert!(
        no.contains(&"imports".into()) && no.contains(&"grant".into()),
        "{memory}"
    );
}

#[test]
fn a_policy_of_the_configuration_is_explained_with_its_ranges() {
    let directory = directory();
    let text = format!(
        "[[policy]]\nname = \"guard\"\nfile = {:?}\n[policy.grant]\nmsrs = [\"0xc0000082\"]\nread-physical = [\"4096-8191\"]\n",
        plugin("msr-guard"),
    );
    let config = file(&directory, "oriel.toml", text);
    let output = oriel(&["policy", "explain", "guard", "--config", &config]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let words = stdout(&output);
    assert!(
        words.contains("0xc0000082") && words.contains("0x1000-0x1fff"),
        "{words}"
    );
    let other = oriel(&["policy", "explain", "other", "--config", &config]);
    assert_usage(&other, &["other", "guard"]);
}

#[test]
fn a_policy_hears_only_the_msrs_of_its_grant() {
    let directory = directory();
    let run = |msrs: &str| {
        let text = format!(
            "[vm]\nmachine = \"mock\"\nguest = \"builtin:msr-attack\"\nevents = \"-\"\n\
             [[policy]]\nfile = {:?}\n[policy.grant]\nmsrs = {msrs}\n",
            plugin("msr-guard"),
        );
        let output = oriel(&["run", &file(&directory, "oriel.toml", text)]);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        output
    };
    assert!(stdout(&run("[\"0xc0000082\"]")).contains("\"verdict\":\"deny\""));
    let deaf = run("[\"0x10\"]");
    assert!(!stdout(&deaf).contains("\"kind\":\"msr\""));
    assert!(
        stderr(&deaf).contains("0xc0000082"),
        "it is told: {}",
        stderr(&deaf)
    );
}

#[test]
fn what_is_wrong_with_a_grant_is_named() {
    let directory = directory();
    for (grant, named) in [
        ("msr = []", "msr"),
        ("msrs = [\"lstar\"]", "lstar"),
        ("read-virtual = [\"2-1\"]", "read-virtual"),
    ] {
        let text = format!(
            "[vm]\nmachine = \"mock\"\nguest = \"builtin:hello\"\n\
             [[policy]]\nfile = {:?}\n[policy.grant]\n{grant}\n",
            plugin("msr-guard"),
        );
        assert_error(
            &oriel(&["run", &file(&directory, "oriel.toml", text)]),
            &[named],
        );
    }
}

#[test]
fn a_trail_is_written_and_found_whole() {
    let directory = directory();
    let trail = directory.path().join("trail.jsonl").display().to_string();
    let output = audited(&trail, &[]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(&trail).expect("a trail");
    assert!(
        text.contains("\"who\":\"guard\"") && text.contains("raise-alert"),
        "{text}"
    );
    let verified = oriel(&["audit", "verify", &trail]);
    assert_eq!(status(&verified), 0, "{}", stderr(&verified));
    let last = text.lines().last().expect("a last line");
    let last: Json = serde_json::from_str(last).expect("JSON");
    let hash = last["hash"].as_str().expect("a hash");
    assert!(stdout(&verified).contains(hash), "{}", stdout(&verified));
    assert_error(&audited(&trail, &[]), &["trail.jsonl", "move it away"]);
}

#[test]
fn a_trail_that_was_changed_or_cut_is_told_by_its_line() {
    let directory = directory();
    let trail = directory.path().join("trail.jsonl").display().to_string();
    assert_eq!(status(&audited(&trail, &["--audit-full", "drop"])), 0);
    let text = std::fs::read_to_string(&trail).expect("a trail");
    let verify = |text: &str| oriel(&["audit", "verify", &file(&directory, "copy", text)]);
    let changed = text.replacen("\"answer\":\"ok\"", "\"answer\":\"no\"", 1);
    let at = text
        .lines()
        .position(|line| line.contains("\"answer\":\"ok\""));
    let line = format!("line {}", at.expect("a command that went well") + 1);
    assert_error(&verify(&changed), &[&line, "does not follow"]);
    let lines: Vec<_> = text.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n") + "\n";
    assert_error(
        &verify(&cut),
        &["ends without a closing line", "killed or cut"],
    );
    let torn = &text[..text.len() - 9];
    assert_error(&verify(torn), &["in the middle of line", "killed or cut"]);
    assert_error(&oriel(&["audit", "verify", "no/such"]), &["no/such"]);
}

/// The program, killed without a word if the test fails.
struct Killed(std::process::Child);

impl Killed {
    fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn a_trail_whose_writer_was_killed_says_so() {
    let directory = directory();
    let trail = directory.path().join("trail.jsonl").display().to_string();
    let scenario = "[[step]]\nserial = \"up\"\n[[step]]\nidle = 60000\n[[step]]\nfinish = 0\n";
    let guest = file(&directory, "sleeper.toml", scenario);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_oriel"))
        .args([
            "run",
            "--machine",
            "mock",
            "--guest",
            &guest,
            "--audit",
            &trail,
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = child.stdout.take().expect("it is piped");
    let mut running = Killed(child);
    // The guest runs, so the trail has begun.
    said.read_exact(&mut [0; 2]).expect("up");
    running.kill();
    let verified = oriel(&["audit", "verify", &trail]);
    assert_error(&verified, &["ends without a closing line, after line 1"]);
}
