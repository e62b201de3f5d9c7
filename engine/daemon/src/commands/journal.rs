//! `oriel journal`

use std::{collections::BTreeMap, fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use oriel_engine::journal::{
    Entry,
    entry::{Header, Seat},
    lines,
    recording::{self, Ending, Recording, Records},
};
use serde_json::{Value as Json, json};

use crate::{
    args::{CutArgs, JournalCommand, JournalFile, ShowArgs},
    exit::Exit,
    output::{say, warn},
};

/// Looks at a journal.
pub(crate) fn run(command: &JournalCommand) -> anyhow::Result<Exit> {
    match command {
        JournalCommand::Show(args) => show(args),
        JournalCommand::Stat(args) => stat(args),
        JournalCommand::Cut(args) => cut(args),
        JournalCommand::Verify(args) => verify(args),
    }
}

/// The bytes of a journal.
pub(crate) fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// Says where a journal ends that does not end as it should.
pub(crate) fn warn_of(file: &Path, ending: &Ending) {
    if !matches!(ending, Ending::Whole { lost: 0, .. }) {
        warn(format_args!("oriel: {}: {ending}", file.display()));
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<Exit> {
    let file = &args.journal.file;
    let recording = Recording::read(&bytes(file)?).with_context(|| file.display().to_string())?;
    for entry in &recording.entries {
        if args.journal.json {
            say(format_args!("{}", lines::json(entry, args.commands)));
        } else {
            say(format_args!("{}", lines::words(entry)));
            if args.commands {
                let commands = lines::commands(entry);
                commands
                    .iter()
                    .for_each(|line| say(format_args!("    {line}")));
            }
        }
    }
    warn_of(file, &recording.ending);
    Ok(Exit::Success)
}

/// What a journal holds, counted.
#[derive(Default)]
struct Counts {
    calls: u64,
    events: u64,
    missed: u64,
    failures: u64,
    lost: u64,
    commands: u64,
    until_ns: u64,
    /// Bytes of the records of calls.
    bytes: u64,
    policies: BTreeMap<(String, u64), u64>,
}

impl Counts {
    fn add(&mut self, entry: &Entry, length: usize) {
        self.until_ns = self.until_ns.max(entry.time_ns().unwrap_or(0));
        match entry {
            Entry::Begun(begun) => {
                let part = (begun.policy.clone(), begun.revision);
                *self.policies.entry(part).or_default() += 1;
            }
            Entry::Called(called) => {
                self.calls += 1;
                self.bytes += length as u64;
                self.events += u64::from(lines::is_judged(called));
                self.failures += u64::from(lines::has_failed(&called.outcome));
                self.commands += lines::commands(entry).len() as u64;
            }
            Entry::Missed(_) => self.missed += 1,
            Entry::Lost { count, .. } => self.lost += count,
            Entry::Header(_) | Entry::Gone { .. } | Entry::End { .. } => {}
        }
    }

    fn json(&self, header: &Header, ending: &Ending) -> Json {
        let policies = self.policies.iter();
        let policies = policies.map(|((name, revision), instances)| {
            json!({ "name": name, "revision": revision, "instances": instances })
        });
        json!({
            "vm": header.name, "vcpus": header.vcpus, "arch": header.arch, "engine": header.engine,
            "began_s": header.began_s, "until_ns": self.until_ns, "calls": self.calls,
            "events": self.events, "missed": self.missed, "failures": self.failures,
            "commands": self.commands, "lost": self.lost, "call_bytes": self.bytes,
            "policies": policies.collect::<Vec<_>>(), "ending": ending.to_string(),
        })
    }
}

fn stat(args: &JournalFile) -> anyhow::Result<Exit> {
    let file = args.file.display();
    let bytes = bytes(&args.file)?;
    let (header, mut records) = Records::of(&bytes).with_context(|| file.to_string())?;
    let mut counts = Counts::default();
    for record in records.by_ref() {
        counts.add(&record.entry, record.frame.len());
    }
    let ending = records.ending();
    if args.json {
        say(format_args!("{}", counts.json(&header, &ending)));
        return Ok(Exit::Success);
    }
    say(format_args!(
        "vm        {} ({} vCPUs)",
        header.name, header.vcpus
    ));
    say(format_args!(
        "lasts     {:.3} s",
        counts.until_ns as f64 / 1e9
    ));
    for ((name, revision), instances) in &counts.policies {
        say(format_args!(
            "policy    {name}, revision {revision}: {instances} instances"
        ));
    }
    say(format_args!(
        "events    {} answered, {} missed",
        counts.events, counts.missed
    ));
    say(format_args!(
        "calls     {}, of which {} failed",
        counts.calls, counts.failures
    ));
    say(format_args!("commands  {}", counts.commands));
    say(format_args!(
        "bytes     {} a call",
        counts.bytes / counts.calls.max(1)
    ));
    say(format_args!("lost      {} calls", counts.lost));
    say(format_args!("ending    {ending}"));
    Ok(Exit::Success)
}

/// One that is not whole is an error, after what there is to say of it.
fn verify(args: &JournalFile) -> anyhow::Result<Exit> {
    let file = args.file.display();
    let bytes = bytes(&args.file)?;
    let (header, mut records) = Records::of(&bytes).with_context(|| file.to_string())?;
    let count = records.by_ref().count() + 1;
    let ending = records.ending();
    let is_whole = matches!(ending, Ending::Whole { lost: 0, .. });
    if args.json {
        let (read, of) = (records.position(), bytes.len());
        say(format_args!(
            "{}",
            json!({
                "whole": is_whole, "vm": header.name, "records": count, "bytes_read": read,
                "bytes": of, "ending": ending.to_string(),
            })
        ));
    } else {
        say(format_args!(
            "{file}: {count} records of {}: {ending}",
            header.name
        ));
    }
    Ok(if is_whole { Exit::Success } else { Exit::Error })
}

fn cut(args: &CutArgs) -> anyhow::Result<Exit> {
    let file = &args.journal.file;
    let bytes = bytes(file)?;
    let (header, mut records) = Records::of(&bytes).with_context(|| file.display().to_string())?;
    let mut kept = recording::beginning(&bytes).to_vec();
    kept.extend(recording::framed(&Entry::Header(Box::new(header))));
    let mut knife = Knife::new(args);
    let mut counts = [0_u64; 2];
    let mut lost = 0;
    for record in records.by_ref() {
        if let Entry::Lost { count, .. } = &record.entry {
            lost += count;
        }
        let keeps = knife.keeps(&record.entry);
        if keeps {
            kept.extend_from_slice(record.frame);
        }
        if let Some(count) = counts.get_mut(usize::from(keeps)) {
            *count += 1;
        }
    }
    let detail = "cut here".to_owned();
    kept.extend(recording::framed(&Entry::End { detail, lost }));
    let out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.out);
    let written = out.and_then(|mut out| out.write_all(&kept));
    written.with_context(|| format!("--out {} cannot be written", args.out.display()))?;
    warn_of(file, &records.ending());
    let [left, kept] = counts;
    if args.journal.json {
        say(format_args!(
            "{}",
            json!({ "kept": kept, "left_out": left })
        ));
    } else {
        say(format_args!("{kept} records kept, {left} left out"));
    }
    Ok(Exit::Success)
}

/// What of a journal is kept.
struct Knife<'a> {
    args: &'a CutArgs,
    until_ns: u64,
    /// Instances of other policies, and of other vCPUs.
    left: std::collections::BTreeSet<u64>,
}

impl<'a> Knife<'a> {
    fn new(args: &'a CutArgs) -> Self {
        let until = args.until.map(|until| until.as_nanos());
        let until_ns = until.map_or(u64::MAX, |until| u64::try_from(until).unwrap_or(u64::MAX));
        Self {
            args,
            until_ns,
            left: std::collections::BTreeSet::new(),
        }
    }

    fn keeps(&mut self, entry: &Entry) -> bool {
        let in_time = entry.time_ns().is_none_or(|time| time <= self.until_ns);
        in_time
            && match entry {
                Entry::Begun(begun) => {
                    let keeps = self.is_meant(&begun.policy, begun.seat);
                    if !keeps {
                        self.left.insert(begun.instance);
                    }
                    keeps
                }
                Entry::Missed(missed) => self.is_meant(&missed.policy, missed.seat),
                Entry::Called(called) => !self.left.contains(&called.instance),
                Entry::Gone { instance } => !self.left.contains(instance),
                Entry::Lost { .. } => true,
                Entry::Header(_) | Entry::End { .. } => false,
            }
    }

    fn is_meant(&self, policy: &str, seat: Seat) -> bool {
        let policy_is = self
            .args
            .policy
            .as_deref()
            .is_none_or(|only| only == policy);
        let vcpu_is = match (self.args.vcpu, seat) {
            (Some(only), Seat::Vcpu(vcpu)) => only == vcpu,
            // An instance that vCPUs share is what all of its events have made of it.
            (Some(_) | None, _) => true,
        };
        policy_is && vcpu_is
    }
}
