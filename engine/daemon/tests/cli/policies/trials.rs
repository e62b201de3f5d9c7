//! Revisions that are tried before they are trusted, as an operator orders it over the socket; and
//! what the audit trail says of the orders.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;

use super::{
    super::{Json, assert_error, file, oriel, plugin, status, stderr},
    running::{Running, Scene, scene},
};

#[path = "../../../../../tests/src/observer.rs"]
#[expect(
    unreachable_pub,
    reason = "it is a module of `oriel-tests`, for which it is public"
)]
mod observer;
use observer::{Seen, observer};

/// A guest whose two vCPUs write an MSR for ever.
fn writing() -> Scene {
    let scene = scene();
    let text = fs::read_to_string(scene.guest()).expect("a scenario");
    let write = "[[step]]\nevent = \"msr\"\nmsr = \"star\"\nvalue = \"0x7\"\n";
    fs::write(scene.guest(), text + write).expect("a scenario");
    scene
}

/// The zoo's policy, which does this when it judges.
fn zoo(scene: &Scene, act: &str) -> (String, String) {
    let settings = format!("act = \"{act}\"\n");
    let config = file(&scene.directory, &format!("{act}.toml"), settings);
    (plugin("oriel-zoo"), config)
}

/// A VM under the zoo's policy, called `guard`, that lets everything happen.
fn guarded(scene: &Scene, flags: &[&str]) -> Running {
    let running = scene.run(flags);
    let (code, config) = zoo(scene, "continue");
    let loaded = format!("guard={code}");
    running.json(&["load", &loaded, "--grant", "all", "--config", &config]);
    running
}

fn observing(scene: &Scene, seen: Seen) -> String {
    let path: PathBuf = scene.directory.path().join(seen.name());
    let path = path.with_extension("wasm");
    fs::write(&path, observer(seen)).expect("a component");
    path.display().to_string()
}

fn revision(running: &Running) -> Json {
    running.json(&["list"])["policies"][0]["revision"].clone()
}

#[test]
fn a_canary_on_one_vcpu_goes_on_to_the_others_or_back() {
    let scene = writing();
    let running = guarded(&scene, &[]);
    let (_, good) = zoo(&scene, "continue");
    let canary = ["--canary", "1", "--canary-for"];
    let order = |config, lasts| {
        let swap = ["swap", "guard", "--config", config];
        [&swap[..], &canary, &[lasts]].concat()
    };
    let swapped = running.json(&order(&good, "0.05"));
    assert_eq!(
        (&swapped["to"], &swapped["canary"]),
        (&json!(2), &json!(null))
    );
    let (_, traps) = zoo(&scene, "trap");
    let refused = running.order(&order(&traps, "600"));
    // The words of the policy's own panic are among them.
    let said = stderr(&refused);
    assert_eq!(status(&refused), 1, "{said}");
    assert!(
        said.contains("failed on trial") && said.contains("nothing has changed"),
        "{said}"
    );
    assert_eq!(revision(&running), 2);
    let failures = running.json(&["failures", "guard"])["failures"].clone();
    assert_eq!(failures[0]["revision"], 3, "what was refused is told");
    let nowhere = running.order(&["swap", "guard", "--canary", "7", "--canary-for", "1"]);
    assert_error(&nowhere, &["no vCPU 7"]);
    let together = running.order(&[&order(&good, "1")[..], &["--together"]].concat());
    assert_error(&together, &["together", "--shadow"]);
    let judges = ["swap", "guard", "--canary-one-in", "5", "--canary-for", "1"];
    assert_error(
        &running.order(&judges),
        &["judges", "msr", "--canary VCPUS"],
    );
    assert_eq!(running.end(), 128 + 15);
}

#[test]
fn a_canary_of_one_event_in_so_many_goes_on_or_is_gone() {
    let scene = writing();
    let first = format!("guard={}", observing(&scene, Seen::Count));
    let running = scene.run(&["--policy", &first, "--grant", "guard=msr,log"]);
    let share = ["--canary-one-in", "3", "--canary-for"];
    let order = |code, lasts| [&["swap", "guard", code], &share[..], &[lasts]].concat();
    let traps = observing(&scene, Seen::Trap);
    assert_error(&running.order(&order(&traps, "600")), &["failed on trial"]);
    assert_eq!(revision(&running), 1);
    // It traps where it begins with nothing, and so where it does not get the old one's state.
    let heir = observing(&scene, Seen::Heir);
    let swapped = running.json(&order(&heir, "1"));
    assert_eq!(swapped["to"], 2);
    assert!(swapped["canary"]["events"].as_u64() > Some(0), "{swapped}");
    let back = running.said(&["rollback", "guard"]);
    assert!(back.contains("revision 1 judges in place of 2"), "{back}");
    assert_eq!(running.end(), 128 + 15);
}

#[test]
fn a_revision_that_fails_on_probation_goes_back_and_the_history_says_why() {
    let scene = writing();
    let trail = scene
        .directory
        .path()
        .join("trail.jsonl")
        .display()
        .to_string();
    let running = guarded(&scene, &["--audit", &trail]);
    let (_, traps) = zoo(&scene, "trap");
    let order = ["swap", "guard", "--config", &traps, "--probation", "600"];
    assert_eq!(running.json(&order)["to"], 2);
    running.until(|running| revision(running) == 1);
    let history = running.json(&["history", "guard"])["revisions"].clone();
    assert_eq!(history[0]["standing"], "rolled-back");
    let why = history[0]["detail"].as_str().expect("words");
    assert!(why.starts_with("it failed on probation: "), "{why}");
    let failures = running.json(&["failures", "guard"])["failures"].clone();
    assert_eq!(failures[0]["revision"], 2);
    let explained = running.json(&["explain", "guard"]);
    assert_eq!(explained["revision"], 1);
    assert_eq!(running.end(), 128 + 15);
    let orders = orders(&trail);
    assert_eq!(orders[1]["args"]["probation"]["seconds"], 600.0);
    assert_eq!(
        (&orders[2]["who"], &orders[2]["through"], &orders[2]["to"]),
        (&json!("oriel"), &json!("probation"), &json!(1))
    );
}

#[test]
fn all_vcpus_move_together_and_back_again() {
    let scene = writing();
    let running = guarded(&scene, &[]);
    let (_, config) = zoo(&scene, "count");
    let swap = ["swap", "guard", "--config", &config, "--together"];
    assert_eq!(running.json(&swap)["to"], 2);
    assert_eq!(
        running.json(&["swap", "guard", "--state", "fresh"])["to"],
        3
    );
    let back = running.json(&["rollback", "guard", "--to", "1"]);
    assert_eq!((&back["from"], &back["to"]), (&json!(3), &json!(1)));
    let history = running.json(&["history", "guard"])["revisions"].clone();
    let standing = |at: usize| history[at]["standing"].clone();
    assert_eq!(
        [standing(0), standing(1), standing(2)],
        ["past", "rolled-back", "in-force"]
    );
    assert_eq!(running.end(), 128 + 15);
}

/// The orders in a trail.
fn orders(trail: &str) -> Vec<Json> {
    let text = fs::read_to_string(trail).expect("a trail");
    let lines = text.lines();
    let lines = lines.map(|line| serde_json::from_str(line).expect("JSON"));
    lines
        .filter(|line: &Json| line["type"] == "order")
        .collect()
}

#[test]
fn every_order_is_in_the_audit_trail_with_who_gave_it() {
    let scene = scene();
    let trail = scene
        .directory
        .path()
        .join("trail.jsonl")
        .display()
        .to_string();
    let running = scene.run(&["--audit", &trail]);
    let guard = plugin("msr-guard");
    running.json(&["load", &guard]);
    let garbage = file(&scene.directory, "garbage.wasm", "not wasm");
    assert_eq!(status(&running.order(&["swap", "msr-guard", &garbage])), 1);
    running.json(&["swap", "msr-guard", "--together"]);
    assert_eq!(status(&running.order(&["release", "msr-guard"])), 1);
    running.json(&["rollback", "msr-guard"]);
    running.json(&["unload", "msr-guard"]);
    assert_eq!(running.end(), 128 + 15);
    let orders = orders(&trail);
    let told: Vec<_> = orders
        .iter()
        .map(|line| {
            (
                line["order"].as_str().unwrap_or(""),
                line["answer"].as_str().unwrap_or(""),
            )
        })
        .collect();
    let expected = [
        ("load", "ok"),
        ("swap", "refused"),
        ("swap", "ok"),
        ("release", "refused"),
        ("rollback", "ok"),
        ("unload", "ok"),
    ];
    assert_eq!(told, expected);
    let me = Command::new("id").arg("-u").output().expect("id").stdout;
    let me = String::from_utf8(me).expect("a number");
    for line in &orders {
        assert_eq!(
            (&line["who"], &line["through"]),
            (&json!("operator"), &json!("socket"))
        );
        assert_eq!(line["uid"].to_string(), me.trim());
        assert!(line["pid"].as_u64() > Some(0), "{line}");
        assert_eq!(line["policy"], "msr-guard");
    }
    assert!(orders[0]["args"]["digest"].is_string(), "{}", orders[0]);
    let reason = orders[1]["reason"].as_str().expect("words");
    assert!(reason.contains("not WebAssembly"), "{reason}");
    assert_eq!(orders[2]["args"]["together"], true);
    assert_eq!(
        (&orders[2]["from"], &orders[2]["to"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(status(&oriel(&["audit", "verify", &trail])), 0);
}
