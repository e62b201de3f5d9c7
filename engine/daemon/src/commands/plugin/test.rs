//! `oriel plugin test`: the native tests, then the plugin itself against the project's scenarios.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use oriel_build::child;
use oriel_machine::mock::Scenario;
use serde::Serialize;

use super::{
    build, print_json,
    project::{Project, configuration},
    stage::{self, Stage},
    verdicts::Verdicts,
};
use crate::{
    args::{Language, TestArgs},
    exit::Exit,
    output::{say, warn},
};

/// What came of it.
#[derive(Serialize)]
struct Tested {
    passed: bool,
    native: Native,
    file: PathBuf,
    scenarios: Vec<Told>,
}

/// What came of the native tests.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Native {
    Passed,
    Failed,
    /// Left out, or there are none in this language.
    Skipped,
}

/// What came of one scenario.
#[derive(Serialize)]
struct Told {
    name: String,
    file: PathBuf,
    #[serde(flatten)]
    verdicts: Verdicts,
}

/// Runs all of it, also after a failure.
pub(super) fn run(args: &TestArgs) -> anyhow::Result<Exit> {
    let project = Project::open(&args.directory)?;
    let native = native(&project, args)?;
    let built = build::build(&project, &project.plugin())?;
    let scenarios = project.scenarios()?;
    let scenarios = scenarios.iter().map(|scenario| play(&built.file, scenario));
    let scenarios = scenarios.collect::<anyhow::Result<Vec<_>>>()?;
    let tested = Tested {
        passed: native != Native::Failed && scenarios.iter().all(|one| one.verdicts.passed),
        native,
        file: built.file,
        scenarios,
    };
    if args.json {
        print_json(&tested)?;
    } else {
        print(&tested);
    }
    Ok(if tested.passed {
        Exit::Success
    } else {
        Exit::Error
    })
}

/// `cargo test`, with all its words on standard error. In C there are none.
fn native(project: &Project, args: &TestArgs) -> anyhow::Result<Native> {
    if args.no_native || project.language == Language::C {
        return Ok(Native::Skipped);
    }
    let mut cargo = child::cargo();
    cargo
        .args(["test", "--quiet", "--manifest-path"])
        .arg(project.folder.join("Cargo.toml"))
        .stdin(Stdio::null())
        .stdout(io::stderr());
    Ok(match child::status(&mut cargo)? {
        0 => Native::Passed,
        _ => Native::Failed,
    })
}

fn play(plugin: &Path, file: &Path) -> anyhow::Result<Told> {
    let scenario = Scenario::load(file)?;
    let terms = stage::freely(plugin, configuration(file));
    let played = Stage::open(&terms)?.play(&scenario);
    let played = played.with_context(|| file.display().to_string())?;
    Ok(Told {
        name: scenario.identity().name.clone(),
        file: file.to_owned(),
        verdicts: Verdicts::of(&scenario, &played),
    })
}

fn print(tested: &Tested) {
    match tested.native {
        Native::Passed => say(format_args!("native tests: passed")),
        Native::Failed => say(format_args!("native tests: FAILED (see above)")),
        Native::Skipped => say(format_args!("native tests: none were run")),
    }
    for told in &tested.scenarios {
        let word = if told.verdicts.passed {
            "passed"
        } else {
            "FAILED"
        };
        say(format_args!(
            "scenario {}: {word}: {}",
            told.name,
            told.verdicts.summary()
        ));
        told.verdicts
            .complaints()
            .for_each(|complaint| say(format_args!("  {complaint}")));
    }
    if tested.scenarios.is_empty() {
        warn(format_args!(
            "oriel: there are no scenarios in tests/; the plugin itself was not run"
        ));
    }
}
