//! `oriel plugin run`: one scenario under one plugin, or what a policy of a journal was asked, with every
//! verdict.

mod recorded;

use anyhow::bail;
use oriel_engine::{Record, lines};
use serde_json::{Value as Json, json};

use super::{
    stage::{Played, Stage},
    verdicts::Verdicts,
};
use crate::{
    args::PlayArgs,
    exit::Exit,
    guest,
    output::{plain, say},
};

/// Plays it, and says what came of it.
pub(super) fn run(args: &PlayArgs) -> anyhow::Result<Exit> {
    match (&args.journal, &args.scenario) {
        (Some(journal), _) => recorded::run(args, journal),
        (None, Some(scenario)) => scripted(args, scenario),
        (None, None) => bail!("say what is to be judged: --scenario or --journal"),
    }
}

fn scripted(args: &PlayArgs, scenario: &str) -> anyhow::Result<Exit> {
    let scenario = guest::scenario(scenario)?;
    let played = Stage::open(&args.stage)?.play(&scenario)?;
    let verdicts = Verdicts::of(&scenario, &played);
    let lines = played
        .records
        .iter()
        .map(|record| lines::line(scenario.identity(), record));
    if args.json {
        lines.for_each(|line| say(format_args!("{line}")));
        say(format_args!(
            "{}",
            last_line(scenario.identity().name.as_str(), &verdicts)
        ));
    } else {
        print(&played, lines);
        say(format_args!("{}", verdicts.summary()));
        verdicts
            .complaints()
            .for_each(|complaint| say(format_args!("  {complaint}")));
    }
    Ok(if verdicts.passed {
        Exit::Success
    } else {
        Exit::Error
    })
}

/// A line like the event lines before it.
fn last_line(vm: &str, verdicts: &Verdicts) -> Json {
    json!({
        "v": lines::VERSION, "type": "expectations", "vm": vm, "passed": verdicts.passed,
        "checks": verdicts.checks, "failures": verdicts.failures, "end": verdicts.end,
    })
}

/// Events and what was said about them, in words.
fn print(played: &Played, lines: impl Iterator<Item = String>) {
    for (record, line) in played.records.iter().zip(lines) {
        // Our own lines are JSON.
        let line: Json = serde_json::from_str(&line).unwrap_or_default();
        match record {
            Record::Event(_) => event(&line),
            Record::Alert(alert) => say(format_args!(
                "  alert: {} {}",
                plain(&alert.message),
                line["fields"]
            )),
            Record::Log(log) => say(format_args!("  log: {}", plain(&log.message))),
            Record::Failure(failed) => say(format_args!("  failed: {}", plain(&failed.failure))),
            Record::Refusal(no) => say(format_args!(
                "  refused {}: {}",
                no.command.name(),
                no.refusal
            )),
            Record::Report { vcpu, value, .. } => {
                say(format_args!("vCPU {vcpu} reports {value:#x}"))
            }
            Record::Start(_) | Record::Tool(_) | Record::Policy(_) | Record::End(_) => {}
        }
    }
}

fn event(line: &Json) {
    let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let data: Vec<_> = line["data"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"')))
        .collect();
    say(format_args!(
        "vCPU {} #{} {:<10} {} → {} ({})",
        line["vcpu"],
        line["seq"],
        word("kind"),
        data.join(", "),
        word("verdict"),
        word("effect")
    ));
}
