//! `oriel plugin inspect`

use anyhow::Context;
use oriel_policy::{Inspection, Manifest, inspect};

use super::code;
use crate::output::say;
use crate::{args::InspectArgs, exit::Exit};

/// Prints what a plugin hears, what it may do, and what its manifest says.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<Exit> {
    let file = args.file.display();
    let bytes = code::read(&args.file)?;
    let inspection = inspect(&bytes).with_context(|| format!("{file} is not a policy"))?;
    if args.json {
        say(format_args!(
            "{}",
            serde_json::to_string_pretty(&inspection)?
        ));
    } else {
        print(&inspection);
    }
    Ok(Exit::Success)
}

fn print(inspection: &Inspection) {
    let manifest = &inspection.manifest;
    let name = if manifest.name.is_empty() {
        "(no name)"
    } else {
        &manifest.name
    };
    say(format_args!("{name} {} {}", manifest.version, by(manifest)));
    if !manifest.description.is_empty() {
        say(format_args!("  {}", manifest.description));
    }
    say(format_args!("digest    {}", inspection.digest));
    say(format_args!(
        "size      {} bytes, {}",
        inspection.size,
        if inspection.signed {
            "signed"
        } else {
            "not signed"
        }
    ));
    print_reach(inspection);
    print_manifest(inspection);
}

/// What the binary hears and may do.
pub(super) fn print_reach(inspection: &Inspection) {
    say(format_args!(
        "hears     {}",
        list(inspection.hears.iter().map(|kind| kind.name()))
    ));
    say(format_args!(
        "exports   {}",
        list(inspection.exports.iter().map(String::as_str))
    ));
    say(format_args!(
        "may do    {}",
        if inspection.functions.is_empty() {
            "nothing"
        } else {
            ""
        }
    ));
    for (right, functions) in &inspection.functions {
        say(format_args!(
            "  {:<20} {}",
            right.name(),
            functions.join(", ")
        ));
    }
}

fn by(manifest: &Manifest) -> String {
    if manifest.vendor.is_empty() {
        String::new()
    } else {
        format!("by {}", manifest.vendor)
    }
}

fn print_manifest(inspection: &Inspection) {
    if !inspection.has_manifest {
        say(format_args!("manifest  none: defaults hold"));
        return;
    }
    let manifest = &inspection.manifest;
    say(format_args!(
        "settings  {}",
        if manifest.config.is_empty() {
            "none"
        } else {
            ""
        }
    ));
    for (key, parameter) in &manifest.config {
        let default = parameter
            .default
            .as_ref()
            .map(|value| format!(" = {}", json(value)))
            .unwrap_or_default();
        let required = if parameter.required {
            " (required)"
        } else {
            ""
        };
        say(format_args!(
            "  {:<20} {}{default}{required}  {}",
            key,
            json(&parameter.kind),
            parameter.doc
        ));
    }
    let (times, amounts) = (json(&manifest.deadlines), json(&manifest.limits));
    say(format_args!("limits    {times} {amounts}"));
    say(format_args!("on failure {}", json(&manifest.on_failure)));
    say(format_args!("instances {}", json(&manifest.instances)));
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

/// As the manifest writes it.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
