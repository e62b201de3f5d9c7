//! What a VM under introspection is started with. Its parts and its threads are made below.

mod assembly;
mod candidate;
mod running;

use std::sync::Arc;

use oriel_machine::{ArmError, Parts};
use oriel_policy::Host;
use thiserror::Error;

use crate::{audit::Audit, journal::Journal, record::Sink, roster::Numbers, shared::Settings};
pub use assembly::Assembly;
pub(crate) use assembly::{declared, reported};
pub use candidate::{Candidate, MakeJudge};
pub(crate) use running::thread;
pub use running::{Outcome, Running};

/// What a VM is started with.
pub struct Engine {
    host: Arc<Host>,
    parts: Parts,
    candidates: Vec<Candidate>,
    sink: Option<Arc<dyn Sink>>,
    audit: Option<Arc<Audit>>,
    journal: Option<Arc<Journal>>,
    settings: Settings,
    numbers: Numbers,
}

/// Why a VM was not started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Two judges of one name.
    #[error("two judges are called {0:?}: give one of them another name (`--policy NAME=FILE`)")]
    TwoOfOneName(String),
    /// The machine cannot report what a judge listens to.
    #[error("not everything that the judges listen to can be reported")]
    Arm(#[from] ArmError),
    /// No thread.
    #[error("the thread {name} does not start")]
    Thread {
        /// Its name.
        name: String,
        /// What the host said.
        source: std::io::Error,
    },
}

impl Engine {
    /// An engine for this VM, whose policies live in this host.
    pub fn new(host: Arc<Host>, parts: Parts) -> Self {
        Self {
            host,
            parts,
            candidates: Vec::new(),
            sink: None,
            audit: None,
            journal: None,
            settings: Settings::default(),
            numbers: Numbers::default(),
        }
    }

    /// Adds a judge; they are asked in the order in which they are added.
    #[must_use]
    pub fn judge(mut self, candidate: Candidate) -> Self {
        self.candidates.push(candidate);
        self
    }

    /// Tells this sink what happens.
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Writes every command of every judge to this trail.
    #[must_use]
    pub fn audit(mut self, audit: Arc<Audit>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Writes every call of a policy to this journal, for replay.
    #[must_use]
    pub fn record(mut self, journal: Arc<Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Counts the revisions of policies on from these, so that no number names two things.
    #[must_use]
    pub fn numbered(mut self, numbers: Numbers) -> Self {
        self.numbers = numbers;
        self
    }

    /// With other bounds on waiting.
    #[must_use]
    pub const fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts the VM: arms what the judges listen to, then lets the vCPUs go, a thread each.
    ///
    /// # Errors
    /// [`StartError`]; then nothing runs.
    pub fn start(self) -> Result<Running, StartError> {
        let Assembly {
            handle,
            stations,
            clocks,
        } = self.assemble()?;
        let mut running = Running::new(handle);
        for mut station in stations {
            let name = format!("vcpu-{}", station.desk().index());
            running.launch(name, move || crate::thread::run(station))?;
        }
        for clock in clocks {
            running.launch("clock".to_owned(), move || clock.run())?;
        }
        Ok(running)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Engine({:?}, {} judges)",
            self.parts,
            self.candidates.len()
        )
    }
}
