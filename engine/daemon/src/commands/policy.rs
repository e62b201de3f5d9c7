//! `oriel policy …`: orders for a running VM, over its control socket.

mod show;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value as Json, json};

use crate::{
    args::{LoadArgs, PolicyArgs, PolicyCommand, SwapArgs, TermArgs},
    client,
    commands::explain,
    config::{GrantConfig, PolicyConfig},
    control::encode,
    exit::Exit,
    output::{say, warn},
    plan::{self, Usage},
};

/// What is asked, and how the answer is shown.
struct Question {
    method: &'static str,
    path: String,
    body: Option<Json>,
    show: fn(&Json) -> Vec<String>,
}

/// Gives an order, and shows what came of it.
pub(crate) fn run(args: &PolicyArgs) -> anyhow::Result<Exit> {
    if let PolicyCommand::Explain(explain) = &args.command
        && explain.is_typed()
    {
        return explain::run(explain, args.json);
    }
    let socket = args.control.as_deref();
    let socket = socket.ok_or_else(|| {
        Usage::new("which VM? Add `--control PATH`, or set ORIEL_CONTROL to its control socket")
    })?;
    let question = question(&args.command)?;
    let answer = question.ask(socket)?;
    if args.json {
        say(format_args!("{answer:#}"));
    } else {
        for line in (question.show)(&answer) {
            say(format_args!("{line}"));
        }
    }
    if let Some(warning) = answer["warning"].as_str() {
        warn(format_args!(
            "oriel: the change is made, but would be lost in a crash: {warning}"
        ));
    }
    Ok(Exit::Success)
}

impl Question {
    fn new(method: &'static str, path: String, show: fn(&Json) -> Vec<String>) -> Self {
        Self {
            method,
            path,
            body: None,
            show,
        }
    }

    fn with(mut self, body: Json) -> Self {
        self.body = Some(body);
        self
    }

    fn ask(&self, socket: &Path) -> anyhow::Result<Json> {
        client::ask(socket, self.method, &self.path, self.body.as_ref())
    }
}

fn question(command: &PolicyCommand) -> anyhow::Result<Question> {
    Ok(match command {
        PolicyCommand::List => Question::new("GET", "/v1/policies".to_owned(), show::list),
        PolicyCommand::Load(args) => {
            Question::new("POST", "/v1/policies".to_owned(), show::loaded).with(load(args)?)
        }
        PolicyCommand::Unload(args) => {
            Question::new("DELETE", path(&args.name, ""), show::unloaded)
        }
        PolicyCommand::Swap(args) => {
            Question::new("POST", path(&args.name, "/swap"), show::swapped).with(swap(args)?)
        }
        PolicyCommand::Rollback(args) => {
            let to = args.to.map_or_else(|| json!({}), |to| json!({ "to": to }));
            Question::new("POST", path(&args.name, "/rollback"), show::swapped).with(to)
        }
        PolicyCommand::History(args) => {
            Question::new("GET", path(&args.name, "/history"), show::history)
        }
        PolicyCommand::Failures(args) => {
            Question::new("GET", path(&args.name, "/failures"), show::failures)
        }
        PolicyCommand::Explain(args) => {
            Question::new("GET", path(&args.name, "/explain"), show::explained)
        }
        PolicyCommand::Release(args) => {
            Question::new("POST", path(&args.name, "/release"), show::released)
        }
    })
}

fn path(name: &str, rest: &str) -> String {
    format!("/v1/policies/{}{rest}", encode(name))
}

fn load(args: &LoadArgs) -> anyhow::Result<Json> {
    let said = PolicyConfig::typed(&args.policy);
    let name = plan::named(said.name, &said.file)?;
    let mut body = component(&said.file)?;
    body.insert("name".to_owned(), name.into());
    body.extend(terms(&args.terms)?);
    Ok(body.into())
}

fn swap(args: &SwapArgs) -> anyhow::Result<Json> {
    let mut body = match &args.file {
        Some(file) => component(file)?,
        None => Map::new(),
    };
    body.extend(terms(&args.terms)?);
    let mut put = |key: &str, value: Option<Json>| {
        body.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("together", args.together.then_some(true.into()));
    put("state", args.state.clone().map(Json::from));
    put("shadow", args.shadow.map(|lasts| {
        json!({ "seconds": lasts.as_secs_f64(), "disagreements": args.disagreements.unwrap_or(0) })
    }));
    put("canary", args.canary_for.map(|lasts| canary(args, lasts)));
    put("probation", args.probation.map(|lasts| {
        json!({ "seconds": lasts.as_secs_f64(), "failures": args.failures.unwrap_or(0) })
    }));
    Ok(body.into())
}

fn canary(args: &SwapArgs, lasts: Duration) -> Json {
    let seconds = lasts.as_secs_f64();
    match args.canary_one_in {
        Some(many) => json!({ "seconds": seconds, "one-in": many }),
        None => json!({ "seconds": seconds, "vcpus": args.canary }),
    }
}

/// The bytes of a file, and where they are from.
fn component(file: &PathBuf) -> anyhow::Result<Map<String, Json>> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.clone());
    Ok(Map::from_iter([
        ("file".to_owned(), whole.display().to_string().into()),
        ("component".to_owned(), BASE64_STANDARD.encode(bytes).into()),
    ]))
}

fn terms(args: &TermArgs) -> anyhow::Result<Map<String, Json>> {
    let mut terms = Map::new();
    if let Some(list) = &args.grant {
        terms.insert("grant".to_owned(), json!(GrantConfig::typed(list)));
    }
    if let Some(file) = &args.config {
        let table = serde_json::to_value(plan::table(file)?);
        let table = table.with_context(|| format!("{} cannot be sent", file.display()))?;
        terms.insert("config".to_owned(), table);
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn typed(words: &[&str]) -> Question {
        let words = ["oriel", "policy"].iter().chain(words);
        let Command::Policy(args) = Args::try_parse_from(words).unwrap().command else {
            panic!("not about policies");
        };
        question(&args.command).unwrap()
    }

    #[test]
    fn a_swap_is_sent_with_all_that_was_typed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let name = file.path().display().to_string();
        let question = typed(&[
            "swap",
            "a/b",
            &name,
            "--together",
            "--state",
            "fresh",
            "--grant",
            "msr, alert",
            "--shadow",
            "1.5",
            "--disagreements",
            "3",
            "--canary",
            "0,2",
            "--canary-for",
            "4",
            "--probation",
            "60",
        ]);
        assert_eq!(question.path, "/v1/policies/a%2Fb/swap");
        let expected = json!({
            "file": name, "component": "b25l", "grant": "msr, alert",
            "together": true, "state": "fresh",
            "shadow": {"seconds": 1.5, "disagreements": 3},
            "canary": {"seconds": 4.0, "vcpus": [0, 2]},
            "probation": {"seconds": 60.0, "failures": 0},
        });
        assert_eq!(question.body, Some(expected));
    }

    #[test]
    fn a_swap_may_change_the_terms_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "lock = true\n").unwrap();
        let config = file.path().display().to_string();
        let question = typed(&["swap", "guard", "--config", &config]);
        assert_eq!(question.body, Some(json!({"config": {"lock": true}})));
    }

    #[test]
    fn half_a_canary_is_none() {
        for words in [
            ["policy", "swap", "a", "--canary", "0"],
            ["policy", "swap", "a", "--canary-for", "1"],
            ["policy", "swap", "a", "--canary-one-in", "9"],
            ["policy", "swap", "a", "--disagreements", "1"],
        ] {
            assert!(Args::try_parse_from(["oriel"].iter().chain(&words)).is_err());
        }
        let two = "oriel policy swap a --canary 0 --canary-one-in 9 --canary-for 1";
        assert!(Args::try_parse_from(two.split(' ')).is_err());
        let all = "oriel policy swap a --canary-one-in 1 --canary-for 1";
        assert!(Args::try_parse_from(all.split(' ')).is_err());
    }

    #[test]
    fn a_canary_of_one_event_in_so_many_is_sent() {
        let question = typed(&["swap", "a", "--canary-one-in", "9", "--canary-for", "1"]);
        let canary = json!({"canary": {"seconds": 1.0, "one-in": 9}});
        assert_eq!(question.body, Some(canary));
    }
}
