//! `oriel run --record`, `oriel journal`, `oriel replay`.

use std::path::Path;

use super::{Json, directory, file, kvm_is_required_or_there, oriel, plugin, status, stderr};

/// A guest that is watched by the zoo, recorded.
fn recorded(directory: &tempfile::TempDir, config: &str) -> String {
    let journal = directory.path().join("a.journal").display().to_string();
    let config = file(directory, "zoo.toml", config);
    let ran = oriel(&[
        "run",
        "--machine",
        "mock",
        "--guest",
        "builtin:msr-attack-2",
        "--policy",
        &format!("zoo={}", plugin("oriel-zoo")),
        "--grant",
        "zoo=all",
        "--policy-config",
        &format!("zoo={config}"),
        "--record",
        &journal,
    ]);
    assert_eq!(status(&ran), 0, "{}", stderr(&ran));
    journal
}

fn lines(text: &[u8]) -> Vec<Json> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON lines")
}

fn replay(arguments: &[&str]) -> Vec<Json> {
    let zoo = plugin("oriel-zoo");
    let mut all = vec!["replay", "--json", "--policy", &zoo];
    all.extend(arguments);
    let replayed = oriel(&all);
    assert_eq!(status(&replayed), 0, "{}", stderr(&replayed));
    lines(&replayed.stdout)
}

#[test]
fn what_was_recorded_is_whole_shown_counted_and_answered_again() {
    let directory = directory();
    let journal = recorded(&directory, "act = \"deny\"");
    let verified = oriel(&["journal", "verify", &journal, "--json"]);
    assert_eq!(status(&verified), 0, "{}", stderr(&verified));
    assert_eq!(lines(&verified.stdout)[0]["whole"], true);
    let counted = lines(&oriel(&["journal", "stat", &journal, "--json"]).stdout);
    let events = counted[0]["events"].as_u64().expect("a number");
    assert!(events > 0, "{counted:?}");
    let shown = lines(&oriel(&["journal", "show", &journal, "--json", "--commands"]).stdout);
    let judged = shown.iter().filter(|line| line["call"] == "judge");
    assert_eq!(judged.count() as u64, events);
    let words = oriel(&["journal", "show", &journal]);
    assert!(String::from_utf8_lossy(&words.stdout).contains("judges msr msr="));
    let answered = replay(&[&journal]);
    let counts = answered.last().expect("a line of counts");
    assert_eq!(counts["same"], counts["events"], "{counts}");
    assert_eq!(
        (&counts["changed"], &counts["exact"]),
        (&0.into(), &counts["instances"])
    );
}

#[test]
fn a_diff_shows_each_verdict_that_changes() {
    let directory = directory();
    let journal = recorded(&directory, "act = \"deny\"\nmsrs = [\"0xc0000082\"]");
    let config = file(
        &directory,
        "other.toml",
        "act = \"continue\"\nmsrs = [\"0xc0000082\"]",
    );
    let config = format!("zoo={config}");
    let changed = replay(&[&journal, "--diff", "--policy-config", &config]);
    let (counts, changed) = changed.split_last().expect("a line of counts");
    assert_eq!(counts["changed"].as_u64(), Some(changed.len() as u64));
    assert!(!changed.is_empty());
    for line in changed {
        assert_eq!(
            (&line["was"]["verdict"], &line["is"]["verdict"]),
            (&"deny".into(), &"continue".into())
        );
    }
    let zoo = plugin("oriel-zoo");
    let against = replay(&[&journal, "--diff", "--against", &zoo]);
    assert_eq!(
        against.len(),
        1,
        "the same code differs nowhere: {against:?}"
    );
}

#[test]
fn one_that_is_cut_off_is_read_so_far_and_made_whole_again() {
    let directory = directory();
    let journal = recorded(&directory, "act = \"count\"");
    let bytes = std::fs::read(&journal).expect("it is there");
    let half = file(&directory, "half.journal", &bytes[..bytes.len() / 2]);
    let verified = oriel(&["journal", "verify", &half]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(
        (status(&verified), said.contains("cut off")),
        (1, true),
        "{said}"
    );
    let whole = directory.path().join("whole.journal").display().to_string();
    let cut = oriel(&["journal", "cut", &half, "--out", &whole]);
    assert_eq!(status(&cut), 0, "{}", stderr(&cut));
    assert!(stderr(&cut).contains("cut off"));
    assert_eq!(status(&oriel(&["journal", "verify", &whole])), 0);
    let counts = replay(&[&whole]).pop().expect("a line of counts");
    assert_eq!(
        (&counts["changed"], &counts["unknown"]),
        (&0.into(), &0.into())
    );
    let alone = directory.path().join("alone.journal").display().to_string();
    let cut = oriel(&["journal", "cut", &journal, "--out", &alone, "--vcpu", "0"]);
    assert_eq!(status(&cut), 0, "{}", stderr(&cut));
    let judged = replay(&[&alone]);
    assert!(
        judged
            .iter()
            .all(|line| line["vcpu"].is_null() || line["vcpu"] == 0)
    );
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_said() {
    let directory = directory();
    let journal = recorded(&directory, "act = \"continue\"");
    let text = file(&directory, "text", "no journal at all");
    let mut newer = std::fs::read(&journal).expect("it is there");
    newer[8] = 9;
    let newer = file(&directory, "newer.journal", newer);
    let zoo = plugin("oriel-zoo");
    let other = format!("other={zoo}");
    for (arguments, words) in [
        (vec!["journal", "verify", &text], "no journal of Oriel"),
        (vec!["journal", "stat", &newer], "version 9"),
        (vec!["journal", "show", "absent"], "absent"),
        (
            vec!["replay", &journal, "--policy", &other],
            "--policy zoo=FILE.wasm",
        ),
        (vec!["replay", &journal, "--policy", &text], "not a policy"),
        (
            vec![
                "run",
                "--machine",
                "mock",
                "--guest",
                "builtin:hello",
                "--record",
                &journal,
            ],
            "is kept",
        ),
    ] {
        let said = oriel(&arguments);
        assert_eq!(status(&said), 1, "{arguments:?}");
        assert!(
            stderr(&said).contains(words),
            "{arguments:?}: {}",
            stderr(&said)
        );
    }
    assert!(Path::new(&journal).exists());
}

#[test]
fn a_plugin_is_asked_what_a_policy_of_a_journal_was_asked() {
    let directory = directory();
    let journal = recorded(&directory, "act = \"deny\"\nmsrs = [\"0xc0000082\"]");
    let zoo = plugin("oriel-zoo");
    let run = |flags: &[&str]| {
        let asked = ["plugin", "run", &zoo, "--journal", &journal];
        oriel(&[asked.as_slice(), flags].concat())
    };
    let asked = run(&["--json", "--policy", "zoo"]);
    assert_eq!(status(&asked), 0, "{}", stderr(&asked));
    let asked = lines(&asked.stdout);
    let (counts, verdicts) = asked.split_last().expect("a line of counts");
    assert_eq!(counts["events"].as_u64(), Some(verdicts.len() as u64));
    assert_eq!(
        (&counts["changed"], &counts["exact"]),
        (&0.into(), &counts["instances"])
    );
    assert!(verdicts.iter().all(|line| line["is"]["verdict"] == "deny"));
    let words = run(&[]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("zoo vCPU 0 seq 1 msr: deny\n"), "{words}");
    let config = file(&directory, "free.toml", "act = \"continue\"");
    let words = run(&["--config", &config]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("msr: deny -> continue\n"), "{words}");
    let absent = run(&["--policy", "absent"]);
    assert_eq!(status(&absent), 1);
    let said = stderr(&absent);
    assert!(said.contains("no policy \"absent\"; it has zoo"), "{said}");
    for flags in [
        &["--grant", "all"][..],
        &["--scenario", "builtin:every-kind"],
    ] {
        assert_eq!(status(&run(flags)), 2, "{flags:?}");
    }
}

#[test]
fn what_a_journal_cannot_answer_is_counted_by_name() {
    let directory = directory();
    let journal = recorded(&directory, "act = \"continue\"\nmsrs = [\"0xc0000082\"]");
    let config = file(
        &directory,
        "curious.toml",
        "act = \"read-registers\"\nmsrs = [\"0xc0000082\"]",
    );
    let config = format!("zoo={config}");
    let counts = replay(&[&journal, "--policy-config", &config]).pop();
    let counts = counts.expect("a line of counts");
    assert!(counts["unanswered"].as_u64() > Some(0), "{counts}");
    assert_eq!(counts["unanswered_by"]["get-general"], counts["unanswered"]);
    let zoo = plugin("oriel-zoo");
    let words = oriel(&[
        "replay",
        &journal,
        "--policy",
        &zoo,
        "--policy-config",
        &config,
    ]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(
        words.contains("could not be answered (get-general 2), "),
        "{words}"
    );
}

#[test]
fn on_kvm_the_diff_of_a_policy_put_right_shows_its_mistakes_alone() {
    if !kvm_is_required_or_there() {
        return;
    }
    let directory = directory();
    let journal = directory.path().join("storm.journal").display().to_string();
    let config = file(&directory, "quota.toml", "limit = 10");
    let [flawed, mended] = ["quota-flawed", "quota-mended"].map(plugin);
    let ran = oriel(&[
        "run",
        "--machine",
        "kvm",
        "--guest",
        "builtin:msr-storm",
        "--vcpus",
        "2",
        "--policy",
        &format!("quota={flawed}"),
        "--policy-config",
        &format!("quota={config}"),
        "--record",
        &journal,
    ]);
    assert_eq!(status(&ran), 0, "{}", stderr(&ran));
    let diff = |policy: &str| {
        let replayed = oriel(&["replay", &journal, "--policy", policy, "--diff", "--json"]);
        assert_eq!(status(&replayed), 0, "{}", stderr(&replayed));
        lines(&replayed.stdout)
    };
    let same = diff(&flawed);
    assert_eq!(same.len(), 1, "the same code answers the same: {same:?}");
    let changed = diff(&mended);
    let (counts, changed) = changed.split_last().expect("a line of counts");
    assert_eq!(counts["changed"].as_u64(), Some(changed.len() as u64));
    assert!(changed.len() >= 2 * 15, "{counts}");
    for line in changed {
        let verdicts = (&line["was"]["verdict"], &line["is"]["verdict"]);
        assert_eq!(verdicts, (&"continue".into(), &"replace".into()), "{line}");
    }
}
