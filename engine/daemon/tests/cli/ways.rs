//! `oriel plugin test` on a thousand random scenarios, each of which expects what came of it natively in
//! the SDK's mock engine; without swaps, which no scenario asks for. Under the whole engine, with all that is
//! left behind, they are compared in `tests/whole/ways.rs`.

use std::fs;

use oriel_tests::scripts::{self, Script};
use serde_json::Value as Json;

use super::{oriel, plugin, plugins::empty, status, stderr};

/// As in `tests/whole/ways.rs`.
const SEED: u64 = 0x0c1e_1000;
const CASES: usize = 1000;

#[test]
fn a_thousand_random_scenarios_go_under_plugin_test_as_they_go_natively() {
    let folder = empty("ways");
    let tests = folder.join("tests");
    fs::create_dir(&tests).expect("a directory");
    let mut expected = 0;
    let scripts = scripts::some(CASES, SEED).into_iter();
    for (at, script) in scripts.map(Script::unswapped).enumerate() {
        let (played, _) = script.natively().expect("a policy that begins");
        let text = script.expecting(&played);
        expected += text.matches("expect = ").count();
        fs::write(tests.join(format!("{at:04}.toml")), text).expect("a scenario");
    }
    let (folder, plugin) = (folder.display().to_string(), plugin("oriel-scripted"));
    let output = oriel(&["plugin", "test", &folder, "--plugin", &plugin, "--json"]);
    let tested: Json = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let scenarios = tested["scenarios"].as_array().expect("a list");
    let wrong: Vec<_> = scenarios
        .iter()
        .filter(|one| one["passed"] != true)
        .collect();
    assert!(
        wrong.is_empty(),
        "seed {SEED:#x}: {} of them, {:#}",
        wrong.len(),
        wrong[0]
    );
    let checks = scenarios.iter().filter_map(|one| one["checks"].as_array());
    assert_eq!(checks.map(Vec::len).sum::<usize>(), expected);
    assert!(expected > 10 * CASES, "{expected} expectations");
    assert_eq!((status(&output), scenarios.len()), (0, CASES));
}
