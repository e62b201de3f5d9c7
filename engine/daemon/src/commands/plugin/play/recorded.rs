//! A plugin that is asked what a policy of a journal was asked.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context, bail};
use oriel_engine::journal::{
    Recording,
    replay::{Cast, Code},
};
use oriel_policy::{Host, HostSettings};

use super::super::code;
use crate::{
    args::PlayArgs,
    commands::{
        journal::{bytes, warn_of},
        replay::{Events, Show, Style, show},
    },
    exit::Exit,
    plan::{settings, table},
};

/// Asks it, and says what it answers.
pub(super) fn run(args: &PlayArgs, journal: &Path) -> anyhow::Result<Exit> {
    let recording = Recording::read(&bytes(journal)?);
    let recording = recording.with_context(|| journal.display().to_string())?;
    warn_of(journal, &recording.ending);
    let host = Arc::new(Host::new(HostSettings::default())?);
    let file = args.stage.file.display().to_string();
    let plugin = host.load(&file, &code::read(&args.stage.file)?);
    let plugin = plugin.with_context(|| format!("{file} is not a policy"))?;
    let its_own = &plugin.inspection().manifest.name;
    let name = policy(args.policy.as_deref(), its_own, &recording)?;
    let given = args
        .stage
        .config
        .as_deref()
        .map(|file| settings(&table(file)?));
    let given = given.transpose()?.map(|given| (name.clone(), given));
    let cast = Cast {
        host,
        codes: vec![Code {
            name: None,
            file,
            plugin,
        }],
        settings: BTreeMap::from_iter(given),
    };
    let style = Style {
        json: args.json,
        events: Events::All,
    };
    show(&recording.of_policy(&name), &cast, Show::new(style, None))
}

/// Which policy of the journal it plays.
fn policy(said: Option<&str>, its_own: &str, recording: &Recording) -> anyhow::Result<String> {
    let there = recording.policies();
    let wanted = said.or_else(|| there.contains(its_own).then_some(its_own));
    let only = || there.first().filter(|_| there.len() == 1).copied();
    match wanted.or_else(only) {
        Some(name) if there.contains(name) => Ok(name.to_owned()),
        Some(name) => bail!(
            "the journal has no policy {name:?}; it has {}",
            list(recording)
        ),
        None => bail!(
            "say which policy it plays, by --policy: the journal has {}",
            list(recording)
        ),
    }
}

fn list(recording: &Recording) -> String {
    let names: Vec<_> = recording.policies().into_iter().collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}
