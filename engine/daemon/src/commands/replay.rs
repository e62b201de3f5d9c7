//! `oriel replay`

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context;
use oriel_engine::journal::{
    entry::Outcome,
    lines,
    recording::Recording,
    replay::{Cast, Code, How, Judged, Tally, replay},
};
use oriel_policy::{Host, HostSettings, Setting};
use serde_json::{Map, Value as Json, json};

use super::journal::{bytes, warn_of};
use crate::{
    args::ReplayArgs,
    exit::Exit,
    host,
    output::{say, warn},
    plan::{settings, split, table},
};

/// Asks policies again.
pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<Exit> {
    let recording = Recording::read(&bytes(&args.file)?);
    let recording = recording.with_context(|| args.file.display().to_string())?;
    warn_of(&args.file, &recording.ending);
    let host = HostSettings {
        pool: 1024,
        ..host::settings()
    };
    let host = Arc::new(Host::new(host).context("the host of policies cannot be set up")?);
    let against = if args.against.is_empty() {
        None
    } else {
        Some(answers(&recording, &cast(args, &host, &args.against)?)?)
    };
    let style = Style {
        json: args.json,
        events: if args.diff {
            Events::Changed
        } else {
            Events::ForPrograms
        },
    };
    let cast = cast(args, &host, &args.policies)?;
    show(&recording, &cast, Show::new(style, against))
}

/// Replays, and prints what comes of it.
pub(crate) fn show(recording: &Recording, cast: &Cast, mut show: Show) -> anyhow::Result<Exit> {
    let tally = replay(recording, cast, |judged| show.event(judged));
    show.end(&tally.context("the journal cannot be replayed")?);
    Ok(Exit::Success)
}

/// What these policies answer, event by event.
fn answers(recording: &Recording, cast: &Cast) -> anyhow::Result<Vec<Outcome>> {
    let mut answers = Vec::new();
    replay(recording, cast, |judged| {
        answers.push(judged.replayed.clone())
    })
    .context("the journal cannot be replayed with --against")?;
    Ok(answers)
}

fn cast(args: &ReplayArgs, host: &Arc<Host>, typed: &[String]) -> anyhow::Result<Cast> {
    let codes = typed.iter().map(|typed| code(host, typed));
    let configs = args.policy_configs.iter().map(|typed| configured(typed));
    Ok(Cast {
        host: host.clone(),
        codes: codes.collect::<anyhow::Result<_>>()?,
        settings: configs.collect::<anyhow::Result<_>>()?,
    })
}

fn code(host: &Host, typed: &str) -> anyhow::Result<Code> {
    let (name, file) = match typed.split_once('=') {
        Some((name, file)) => (Some(name.to_owned()), file),
        None => (None, typed),
    };
    let code = std::fs::read(file).with_context(|| format!("{file} cannot be read"))?;
    let plugin = host.load(name.as_deref().unwrap_or(file), &code);
    let plugin = plugin.with_context(|| format!("{file} is not a policy"))?;
    let file = file.to_owned();
    Ok(Code { name, file, plugin })
}

fn configured(typed: &str) -> anyhow::Result<(String, BTreeMap<String, Setting>)> {
    let (name, file) = split(typed, "--policy-config NAME=FILE")?;
    let given = settings(&table(Path::new(file))?);
    Ok((name.to_owned(), given.with_context(|| file.to_owned())?))
}

/// In what form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) json: bool,
    pub(crate) events: Events,
}

/// Which events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    /// Those that are answered otherwise.
    Changed,
    /// All of them, where it is JSON.
    ForPrograms,
    /// All of them.
    All,
}

/// What is printed of a replay.
pub(crate) struct Show {
    style: Style,
    /// What is compared with; none: what was recorded.
    against: Option<Vec<Outcome>>,
    at: usize,
    differ: u64,
}

impl Show {
    pub(crate) const fn new(style: Style, against: Option<Vec<Outcome>>) -> Self {
        Self {
            style,
            against,
            at: 0,
            differ: 0,
        }
    }

    fn event(&mut self, judged: &Judged<'_>) {
        let other = match &self.against {
            Some(answers) => answers.get(self.at).unwrap_or(judged.recorded),
            None => judged.recorded,
        };
        self.at += 1;
        let differs = judged.differs_from(other);
        self.differ += u64::from(differs);
        let is_shown = match self.style.events {
            Events::Changed => differs,
            Events::ForPrograms => self.style.json,
            Events::All => true,
        };
        if !is_shown {
            return;
        }
        if self.style.json {
            say(format_args!("{}", line(judged, other)));
        } else {
            say(format_args!("{}", words(judged, other)));
        }
    }

    fn end(&self, tally: &Tally) {
        if self.style.json {
            say(format_args!("{}", self.counts(tally)));
            return;
        }
        let with = if self.against.is_some() {
            "the other code"
        } else {
            "the journal"
        };
        say(format_args!(
            "{} events on {} instances ({} as recorded): {} answered as by {with}, {} otherwise",
            tally.events,
            tally.instances,
            tally.exact,
            tally.events - self.differ,
            self.differ,
        ));
        say(format_args!(
            "{} repeated as recorded, {} of unknown instances, {} calls lost; {} of {} other calls differ",
            tally.repeated,
            tally.unknown,
            tally.lost,
            tally.others_changed,
            tally.others_same + tally.others_changed,
        ));
        say(format_args!(
            "{} commands could not be answered{}, {} were answered by a simulated store",
            tally.unanswered,
            by_name(tally),
            tally.simulated
        ));
        if tally.changed > 0 && tally.exact == tally.instances && tally.lost == 0 {
            warn(format_args!(
                "oriel: the same code answered otherwise: it asks something that is not in the journal"
            ));
        }
    }

    fn counts(&self, tally: &Tally) -> Json {
        json!({
            "type": "counts", "events": tally.events, "same": tally.events - self.differ,
            "changed": self.differ, "repeated": tally.repeated, "unknown": tally.unknown,
            "others_same": tally.others_same, "others_changed": tally.others_changed,
            "unanswered": tally.unanswered, "unanswered_by": tally.unanswered_by,
            "simulated": tally.simulated,
            "instances": tally.instances, "exact": tally.exact, "restarts": tally.restarts,
            "lost": tally.lost,
        })
    }
}

/// Which commands could not be answered.
fn by_name(tally: &Tally) -> String {
    let by = tally.unanswered_by.iter();
    let by: Vec<_> = by.map(|(name, count)| format!("{name} {count}")).collect();
    if by.is_empty() {
        String::new()
    } else {
        format!(" ({})", by.join(", "))
    }
}

fn words(judged: &Judged<'_>, other: &Outcome) -> String {
    let is = lines::outcome_words(judged.replayed);
    let verdicts = if other == judged.replayed {
        is
    } else {
        format!("{} -> {is}", lines::outcome_words(other))
    };
    format!(
        "{} vCPU {} seq {} {}: {verdicts}{}",
        judged.policy,
        judged.moment.vcpu,
        judged.moment.seq,
        judged.kind.name(),
        unanswered(judged.unanswered),
    )
}

fn unanswered(count: u64) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(" ({count} commands could not be answered)")
    }
}

fn line(judged: &Judged<'_>, other: &Outcome) -> Json {
    let how = match judged.how {
        How::Asked => "asked",
        How::Repeated => "repeated",
        How::Unknown => "unknown",
    };
    let mut fields = Map::new();
    for (key, value) in [
        ("type", json!("verdict")),
        ("policy", json!(judged.policy)),
        ("vcpu", json!(judged.moment.vcpu)),
        ("seq", json!(judged.moment.seq)),
        ("time_ns", json!(judged.moment.time_ns)),
        ("kind", json!(judged.kind)),
        ("was", lines::outcome(other)),
        ("is", lines::outcome(judged.replayed)),
        ("how", json!(how)),
        ("unanswered", json!(judged.unanswered)),
    ] {
        fields.insert(key.to_owned(), value);
    }
    Json::Object(fields)
}
