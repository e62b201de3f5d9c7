//! `oriel policy explain`

use anyhow::Context;
use oriel_policy::{Effective, Standing, inspect};
use oriel_protocol::{EventKind, Right};
use serde::Serialize;

use crate::{
    args::ExplainArgs,
    exit::Exit,
    load,
    output::say,
    plan::{self, PolicyPlan},
};

/// What is printed as JSON.
#[derive(Serialize)]
struct Explained<'a> {
    policy: &'a str,
    #[serde(flatten)]
    effective: &'a Effective,
}

/// Prints what a policy may hear and do in the end, and who says no to the rest.
pub(crate) fn run(args: &ExplainArgs, json: bool) -> anyhow::Result<Exit> {
    let policy = plan::to_explain(args)?;
    let file = policy.file.display();
    let bytes = std::fs::read(&policy.file).with_context(|| format!("{file} cannot be read"))?;
    let inspection = inspect(&bytes).with_context(|| format!("{file} is not a policy"))?;
    let effective = Effective::of(&inspection, &load::granted(&policy, &inspection));
    if json {
        let explained = Explained {
            policy: &policy.name,
            effective: &effective,
        };
        say(format_args!(
            "{}",
            serde_json::to_string_pretty(&explained)?
        ));
    } else {
        print(&policy, &effective);
    }
    Ok(Exit::Success)
}

fn print(policy: &PolicyPlan, effective: &Effective) {
    say(format_args!("{} ({})", policy.name, policy.file.display()));
    say(format_args!("{:<22}{:<6}no by", "right", "may"));
    for standing in &effective.rights {
        row(Right::name(standing.what), standing);
    }
    say(format_args!("{:<22}{:<6}no by", "event", "hears"));
    for standing in &effective.events {
        row(EventKind::name(standing.what), standing);
    }
    print_bounds(effective);
    let lacking: Vec<_> = effective.lacking().map(Right::name).collect();
    if !lacking.is_empty() {
        say(format_args!(
            "it is not loaded: it imports {}, to which somebody says no",
            lacking.join(", ")
        ));
    }
}

fn row<T>(name: &str, standing: &Standing<T>) {
    let may = if standing.in_effect() { "yes" } else { "no" };
    let no: Vec<_> = standing.no.iter().map(|one| one.name()).collect();
    say(format_args!(
        "{}",
        format!("  {name:<20}{may:<6}{}", no.join(", ")).trim_end()
    ));
}

fn print_bounds(effective: &Effective) {
    let Some(bounds) = &effective.bounds else {
        return;
    };
    say(format_args!("within"));
    let mut list = vec![("msrs", bounds.msrs.as_ref())];
    if let Some(read) = &bounds.read {
        list.push(("read-physical", Some(&read.physical)));
        list.push(("read-virtual", Some(&read.linear)));
    }
    if let Some(write) = &bounds.write {
        list.push(("write-physical", Some(&write.physical)));
        list.push(("write-virtual", Some(&write.linear)));
    }
    for (key, ranges) in list {
        let Some(ranges) = ranges else { continue };
        let words: Vec<_> = ranges.words().collect();
        let words = if words.is_empty() {
            "none".to_owned()
        } else {
            words.join(", ")
        };
        say(format_args!("  {key:<20}{words}"));
    }
}
