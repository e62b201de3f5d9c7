//! The stage: a plugin on the mock machine, in the same host and under the same engine as on any
//! other. Plays scenarios; compares nothing.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use oriel_engine::{Candidate, Engine, Outcome, Record, Sink, VmHandle, record::Kept};
use oriel_machine::{Parts, mock, outlet};
use oriel_policy::{Host, HostSettings, Plugin};

use super::code;
use crate::{
    args::StageArgs,
    config::{GrantConfig, PolicyConfig},
    host, load,
    plan::{self, PolicyPlan},
};

/// How long a scenario may take: far longer than any does that comes to an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plugin, and the terms on which it is played.
pub(super) struct Stage {
    host: Arc<Host>,
    plan: PolicyPlan,
    plugin: Arc<Plugin>,
}

/// What came of a scenario.
pub(super) struct Played {
    pub(super) outcome: Outcome,
    pub(super) records: Vec<Record>,
    /// Of the steps that say what should come of them.
    pub(super) steps: Vec<mock::Outcome>,
}

impl Stage {
    /// The plugin of this file on these terms.
    pub(super) fn open(args: &StageArgs) -> anyhow::Result<Self> {
        Self::with(args, host::settings())
    }

    /// The same in a host of these settings.
    pub(super) fn with(args: &StageArgs, settings: HostSettings) -> anyhow::Result<Self> {
        let host = Host::new(settings).context("the host of policies cannot be set up")?;
        let (plan, code) = (terms(args)?, code::read(&args.file)?);
        Ok(Self {
            plugin: load::plugin(&host, &plan, &code)?,
            host: Arc::new(host),
            plan,
        })
    }

    /// Plays a scenario to its end.
    pub(super) fn play(&self, scenario: &mock::Scenario) -> anyhow::Result<Played> {
        ensure!(
            !scenario.loops(),
            "it says `loop`, so it never ends; take the key out, or name another scenario"
        );
        let kept = Arc::new(Kept::default());
        let (parts, probe) = scenario.build_probed(Arc::new(outlet::Kept::default()))?;
        let candidate = self.candidate(&parts)?;
        let engine = Engine::new(self.host.clone(), parts).sink(kept.clone() as Arc<dyn Sink>);
        let outcome = to_the_end(engine.judge(candidate))?;
        Ok(Played {
            outcome,
            records: kept.records(),
            steps: probe.outcomes(),
        })
    }

    /// The plugin as a judge of this machine.
    pub(super) fn candidate(&self, parts: &Parts) -> anyhow::Result<Candidate> {
        load::loaded(&self.host, &self.plan, &self.plugin, &*parts.machine)
    }

    pub(super) fn host(&self) -> Arc<Host> {
        self.host.clone()
    }
}

fn terms(args: &StageArgs) -> anyhow::Result<PolicyPlan> {
    let mut said = PolicyConfig::of(None, args.file.clone());
    said.grant = Some(GrantConfig::typed(args.grant.as_deref().unwrap_or("all")));
    if let Some(file) = &args.config {
        said.config = plan::table(file)?;
    }
    PolicyPlan::configured(said)
}

/// The terms of a plugin that may do all that it asks for.
pub(super) fn freely(file: &Path, config: Option<PathBuf>) -> StageArgs {
    StageArgs {
        file: file.to_owned(),
        config,
        grant: None,
    }
}

/// Runs it, and stops what does not end.
fn to_the_end(engine: Engine) -> anyhow::Result<Outcome> {
    let running = engine.start().context("the VM was not started")?;
    let watch = Watch::over(running.handle());
    let outcome = running.wait();
    if watch.has_stopped_it() {
        bail!(
            "the scenario did not come to an end within {} s",
            PATIENCE.as_secs()
        );
    }
    Ok(outcome)
}

/// Stops a VM that does not end by itself.
struct Watch {
    over: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watch {
    fn over(vm: VmHandle) -> Self {
        let (over, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let late = told.recv_timeout(PATIENCE).is_err();
            if late {
                vm.stop();
            }
            late
        });
        Self { over, thread }
    }

    fn has_stopped_it(self) -> bool {
        // It has gone if it has stopped the VM.
        let _ = self.over.send(());
        self.thread.join().unwrap_or(false)
    }
}
