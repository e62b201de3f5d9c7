//! The corpus of built policies, `tests/data/policies`: each binary that was ever put there loads in
//! today's host, and answers today what it answered then. `cargo xtask corpus-add` adds to it.

use std::{fs, path::PathBuf, sync::Arc};

use oriel_engine::policies;
use oriel_machine::mock::Scenario;
use oriel_policy::{Store, Terms, inspect};
use oriel_tests::{host, play};
use serde_json::Value as Json;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/policies")
}

/// A member: what its line says, its code, and what is played to it.
struct Member {
    line: Json,
    code: Vec<u8>,
    scenario: Scenario,
}

impl Member {
    fn read(line: Json) -> Self {
        let name = line["name"].as_str().expect("a name").to_owned();
        let file = |extension| folder().join(format!("{name}.{extension}"));
        Self {
            code: fs::read(file("wasm")).expect("its code"),
            scenario: Scenario::load(&file("toml")).expect("its scenario"),
            line,
        }
    }

    fn text(&self, key: &str) -> &str {
        self.line[key].as_str().expect(key)
    }

    /// Kind and verdict of each event that it judged.
    fn answers(&self) -> Vec<String> {
        let plugin = host().load(self.text("name"), &self.code);
        let plugin = plugin.expect("what was once a policy is one");
        let inspection = plugin.inspection();
        let terms = Terms {
            name: self.text("name").to_owned(),
            rights: inspection.asks.iter().copied().collect(),
            events: inspection.hears,
            ..Terms::default()
        };
        let policy = host().prepare(&plugin, terms).expect("it fits the host");
        let judge = policies::candidate(&host(), &Arc::new(policy), Arc::<Store>::default());
        let ran = play(&self.scenario, vec![judge]);
        assert!(ran.failures().is_empty(), "{:?}", ran.failures());
        let answers = ran.verdicts().into_iter();
        answers
            .map(|(kind, verdict)| format!("{}:{}", kind.name(), verdict.kind().name()))
            .collect()
    }
}

fn members() -> Vec<Member> {
    let list = fs::read(folder().join("corpus.json")).expect("the list");
    let list: Vec<Json> = serde_json::from_slice(&list).expect("a list");
    list.into_iter().map(Member::read).collect()
}

#[test]
fn every_policy_that_was_ever_built_loads_and_answers_what_it_answered() {
    let members = members();
    assert!(members.len() >= 3);
    for member in members {
        let name = member.text("name");
        let told: Vec<_> = member.line["verdicts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one.as_str().expect("a text"))
            .collect();
        assert_eq!(member.answers(), told, "{name}");
    }
}

#[test]
fn every_member_is_the_one_that_its_line_is_about() {
    let mut files: Vec<_> = fs::read_dir(folder())
        .expect("the corpus")
        .map(|entry| entry.expect("a file").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    let members = members();
    for member in &members {
        let name = member.text("name");
        let inspection = inspect(&member.code).expect("a policy");
        assert_eq!(
            inspection.digest.to_string(),
            member.text("sha256"),
            "{name}"
        );
        assert_eq!(member.line["bytes"], member.code.len(), "{name}");
        assert_eq!(member.text("commit").len(), 40, "{name}");
        assert!(!member.text("source").is_empty() && !member.text("language").is_empty());
        let named = format!("oriel:introspection/lifecycle@{}", member.text("wit"));
        let is_named = member
            .code
            .windows(named.len())
            .any(|window| window == named.as_bytes());
        assert!(is_named, "{name} speaks another version");
        files.retain(|file| !file.ends_with(format!("{name}.wasm")));
    }
    assert_eq!(
        files,
        [""; 0].map(PathBuf::from),
        "binaries that no line is about"
    );
}

#[test]
fn the_corpus_has_what_each_language_makes() {
    let members = members();
    for language in ["rust", "c"] {
        assert!(
            members
                .iter()
                .any(|member| member.text("language") == language)
        );
    }
    let sum: usize = members.iter().map(|member| member.code.len()).sum();
    assert!(sum < 1 << 20, "{sum} bytes");
}
