//! `oriel plugin check`: whether a plugin is as Oriel calls it, and what is odd about it.

mod lints;
mod world;

use oriel_policy::{Inspection, LoadError, inspect, undeclared};
use serde::Serialize;

use super::{code, print_json};
use crate::{args::CheckArgs, exit::Exit, output::say};

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// Why it cannot be loaded, or would not be called.
    errors: Vec<String>,
    /// What is odd.
    lints: Vec<lints::Lint>,
}

/// Checks it.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let bytes = code::read(&args.file)?;
    let found = examine(&bytes)?;
    if args.json {
        print_json(&found)?;
    } else {
        print(&args.file.display().to_string(), &found);
    }
    let wrong = !found.errors.is_empty() || (args.strict && !found.lints.is_empty());
    Ok(if wrong { Exit::Error } else { Exit::Success })
}

fn examine(bytes: &[u8]) -> anyhow::Result<Found> {
    match inspect(bytes) {
        Ok(inspection) => Ok(Found {
            errors: errors(bytes, &inspection)?,
            lints: lints::of(bytes, &inspection)?,
        }),
        Err(error) => Ok(Found {
            errors: vec![crate::chain(&anyhow::Error::new(error))],
            lints: Vec::new(),
        }),
    }
}

/// What would keep it from being loaded or called.
fn errors(bytes: &[u8], inspection: &Inspection) -> anyhow::Result<Vec<String>> {
    let mut errors = world::misfits(bytes, inspection)?;
    errors.extend(undeclared(inspection).map(|right| LoadError::Undeclared(right).to_string()));
    Ok(errors)
}

fn print(file: &str, found: &Found) {
    for error in &found.errors {
        say(format_args!("error: {error}"));
    }
    for lint in &found.lints {
        say(format_args!("odd: {} [{}]", lint.message, lint.name));
    }
    if found.errors.is_empty() {
        let odd = if found.lints.is_empty() {
            "nothing is odd"
        } else {
            "see above for what is odd"
        };
        say(format_args!("{file} is as Oriel calls it; {odd}"));
    }
}
