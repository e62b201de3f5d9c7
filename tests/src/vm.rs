//! A VM that runs while a test talks to it.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    time::Duration,
};

use oriel_engine::{Candidate, Engine, Running, Settings, Sink, VmHandle, record, tool::HookError};
use oriel_machine::{Outlet, Parts, mock::Scenario, outlet};

use crate::{Ran, host, tool::Tool};

/// Far longer than anything takes, so that nothing but a hang meets it.
pub const FOREVER: Duration = Duration::from_secs(60);

/// A scenario out of its text.
///
/// # Panics
/// If the text is wrong.
pub fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "test").expect("a scenario of ours is well formed")
}

/// A VM that runs.
pub struct Vm {
    running: Running,
    told: Arc<record::Kept>,
    said: Arc<outlet::Kept>,
}

impl Vm {
    /// Starts a machine under these judges.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(
        build: impl FnOnce(Arc<dyn Outlet>) -> Parts,
        judges: Vec<Candidate>,
        settings: Settings,
    ) -> Self {
        let (said, told) = (
            Arc::new(outlet::Kept::default()),
            Arc::new(record::Kept::default()),
        );
        let engine = Engine::new(host(), build(said.clone()))
            .sink(told.clone() as Arc<dyn Sink>)
            .settings(settings);
        let engine = judges.into_iter().fold(engine, Engine::judge);
        let running = engine.start().expect("a VM that can be started");
        Self {
            running,
            told,
            said,
        }
    }

    /// Starts a machine whose vCPUs are kept out of the guest until [`go`](Self::go).
    pub fn held(build: impl FnOnce(Arc<dyn Outlet>) -> Parts, judges: Vec<Candidate>) -> Self {
        let settings = Settings {
            held: true,
            ..Settings::default()
        };
        Self::start(build, judges, settings)
    }

    /// The same for a scenario.
    ///
    /// # Panics
    /// If the scenario is wrong.
    pub fn of(scenario: &Scenario, judges: Vec<Candidate>) -> Self {
        let build = |outlet| scenario.build(outlet).expect("a scenario of ours");
        Self::held(build, judges)
    }

    /// Reaches it from any thread.
    pub fn handle(&self) -> VmHandle {
        self.running.handle()
    }

    /// Lets the first `vcpus` vCPUs go.
    ///
    /// # Panics
    /// If one has ended.
    pub fn go(&self, vcpus: u32) {
        for vcpu in 0..vcpus {
            self.handle().resume(vcpu).expect("a vCPU that waits");
        }
    }

    /// Hooks a tool to the seat of this name.
    ///
    /// # Panics
    /// If the seat does not take it.
    pub fn hook(&self, name: &str) -> Tool {
        let port = self.handle().tool(name).expect("a seat of this name");
        let dialect = port.settings().dialect;
        let (tool, theirs, ended) = Tool::pair(dialect);
        port.hook(theirs, ended).expect("a seat that is free");
        tool
    }

    /// Tries to hook a socket to the seat of this name.
    ///
    /// # Errors
    /// As the seat refuses it.
    ///
    /// # Panics
    /// If there is no such seat.
    pub fn try_hook(&self, name: &str, socket: OwnedFd) -> Result<(), HookError> {
        let port = self.handle().tool(name).expect("a seat of this name");
        port.hook(socket, |_| ())
    }

    /// What the engine has told so far.
    pub fn told(&self) -> Vec<oriel_engine::Record> {
        self.told.records()
    }

    /// What the guest has reported so far.
    pub fn reports(&self) -> Vec<u64> {
        let reports = self.said.reports().into_iter();
        reports.map(|(_, value)| value).collect()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn wait(self) -> Ran {
        let Self {
            running,
            told,
            said,
        } = self;
        let (send, receive) = mpsc::channel();
        // Whoever waits may have given up.
        std::thread::spawn(move || send.send(running.wait()));
        let outcome = receive.recv_timeout(2 * FOREVER).expect("the VM ends");
        Ran {
            outcome,
            records: told.records(),
            reports: said.reports().into_iter().map(|(_, value)| value).collect(),
        }
    }

    /// Ends it, and waits for that.
    pub fn stop(self) -> Ran {
        self.handle().stop();
        self.wait()
    }
}
