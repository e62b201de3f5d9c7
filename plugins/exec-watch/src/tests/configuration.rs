//! What an operator may choose, and what the manifest says of it.

use oriel_sdk::testing::Bench;
use serde_json::Value;

use super::*;
use crate::ExecWatch;
use crate::rules::Rules;

fn refused(config: Config) -> String {
    let begun = Bench::<ExecWatch>::new(config);
    begun.err().map(String::from).unwrap_or_default()
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    let forbid = |text: &str| Config::new().with("forbid", vec![text.to_owned()]);
    for (config, words) in [
        (Config::new(), "there is nothing to tell"),
        (all().with("mode", "deny"), "nothing is to be denied"),
        (
            all().with("mode", "kill"),
            "`mode` must be one of alert, deny",
        ),
        (
            all().with("errno", 0_u64),
            "`errno` is a number from 1 to 133",
        ),
        (
            all().with("errno", 512_u64),
            "`errno` is a number from 1 to 133",
        ),
        (
            all().with("errno", 8_u64),
            "has a shell run the file by itself",
        ),
        (
            forbid("bin/ls"),
            "`forbid` holds \"bin/ls\": a path begins with /",
        ),
        (forbid("/bin/*/ls"), "a * may end it"),
        (forbid("/usr/../bin/ls"), "has no `..`"),
        (forbid(""), "a path begins with /"),
        (all().with("alow", true), "there is no setting `alow`"),
    ] {
        let said = refused(config);
        assert!(said.contains(words), "{said}");
    }
    for good in ["*", "/*", "/bin/ls", "/usr/bin/..x*", "/memfd:*"] {
        assert_eq!(refused(forbid(good)), "", "{good}");
    }
}

#[test]
fn the_manifest_has_the_settings_of_the_policy_and_their_defaults() -> Result<(), Failure> {
    let manifest: Value = serde_json::from_str(include_str!("../../oriel.json"))?;
    let schema = manifest["config"].as_object().ok_or("no `config`")?;
    let mut config = Config::new();
    for (key, setting) in schema {
        let default = &setting["default"];
        config = match (default.as_bool(), default.as_str(), default.as_u64()) {
            (Some(_), _, _) => config.with(key, true),
            (_, Some(text), _) => config.with(key, text),
            (_, _, Some(number)) => config.with(key, number),
            _ => config.with(key, Vec::<String>::new()),
        };
    }
    let rules = Rules::read(&mut config)?;
    assert_eq!(rules, Rules::read(&mut all())?);
    config.finish()?;
    assert_eq!(schema.len(), 5);
    assert_eq!(schema["report-all"]["default"], false);
    Ok(())
}
