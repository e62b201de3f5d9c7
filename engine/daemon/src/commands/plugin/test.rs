//! `oriel plugin test`: the native tests, then the plugin itself against the project's scenarios.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use oriel_machine::mock::Scenario;
use serde::Serialize;

use super::{
    build,
    native::{self, Native},
    print_json,
    project::{self, Project, configuration},
    stage::{self, Stage},
    verdicts::Verdicts,
};
use crate::{
    args::TestArgs,
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
    let (native, file) = made(args)?;
    let scenarios = Stages::of(&file).play_all(&project::scenarios(&args.directory)?)?;
    let tested = Tested {
        passed: native != Native::Failed && scenarios.iter().all(|one| one.verdicts.passed),
        native,
        file,
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

/// The plugin that is to be tested, and what came of the native tests of its project.
fn made(args: &TestArgs) -> anyhow::Result<(Native, PathBuf)> {
    if let Some(plugin) = &args.plugin {
        return Ok((Native::Skipped, plugin.clone()));
    }
    let project = Project::open(&args.directory)?;
    let native = if args.no_native {
        Native::Skipped
    } else {
        native::run(&project)?
    };
    let built = build::build(&project, &project.plugin())?;
    Ok((native, built.file))
}

/// A plugin on its stages, one for each configuration: it is compiled once for all scenarios that
/// have the same.
struct Stages<'a> {
    plugin: &'a Path,
    open: BTreeMap<Option<PathBuf>, Stage>,
}

impl<'a> Stages<'a> {
    const fn of(plugin: &'a Path) -> Self {
        Self {
            plugin,
            open: BTreeMap::new(),
        }
    }

    fn play_all(mut self, files: &[PathBuf]) -> anyhow::Result<Vec<Told>> {
        files.iter().map(|file| self.play(file)).collect()
    }

    fn play(&mut self, file: &Path) -> anyhow::Result<Told> {
        let scenario = Scenario::load(file)?;
        let played = self.stage(configuration(file))?.play(&scenario);
        let played = played.with_context(|| file.display().to_string())?;
        Ok(Told {
            name: scenario.identity().name.clone(),
            file: file.to_owned(),
            verdicts: Verdicts::of(&scenario, &played),
        })
    }

    fn stage(&mut self, config: Option<PathBuf>) -> anyhow::Result<&Stage> {
        if !self.open.contains_key(&config) {
            let stage = Stage::open(&stage::freely(self.plugin, config.clone()))?;
            self.open.insert(config.clone(), stage);
        }
        self.open.get(&config).context("a stage that is open")
    }
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
