//! A VM under introspection, from its start to its end.

use std::{
    sync::{Arc, atomic::AtomicU64},
    thread::JoinHandle,
    time::Duration,
};

use oriel_machine::{ArmError, End, Kicker, Machine, Parts, Vcpu};
use oriel_policy::{Host, Slot, Store};
use oriel_protocol::{EventKind, EventSet, Filter, Grant, Observation};
use thiserror::Error;

use crate::{
    absent::Nobody,
    clock::{Called, Clock},
    handle::VmHandle,
    holdings::Holdings,
    judge::{Bench, Judge},
    ledger::Ledger,
    mail::Mail,
    mailbox::Mailbox,
    metrics::Metrics,
    record::{Record, Sink, Start},
    shared::{Caller, Settings, Shared},
    station::Station,
    thread,
    time::Time,
    tool,
};

/// A judge to be: what the engine asks for when the VM starts.
pub struct Candidate {
    /// As records show it; one of a name on a VM.
    pub name: Arc<str>,
    /// What it may see and do.
    pub grant: Grant,
    /// The kinds that it can answer, now or when it arms them later.
    pub judges: EventSet,
    /// What it judges from the start. Kinds that the grant lacks are left out.
    pub filters: Vec<Filter>,
    /// What it only observes.
    pub observations: Vec<Observation>,
    /// What it remembers.
    pub store: Arc<Store>,
    /// How often the clock calls it; none: never.
    pub tick: Option<Duration>,
    /// Where it is hooked, if it is a KVMI tool.
    pub tool: Option<Arc<tool::Seat>>,
    /// Makes the judge of one vCPU, or of the clock; its thread calls policies with this slot.
    pub make: MakeJudge,
}

/// Makes the judge of one vCPU, or of the clock.
pub type MakeJudge = Box<dyn Fn(Bench, &Arc<Slot>) -> Box<dyn Judge> + Send + Sync>;

/// A VM with all that its threads need.
#[derive(Debug)]
pub struct Assembly {
    /// Reaches it from any thread.
    pub handle: VmHandle,
    /// For each vCPU, by its number.
    pub stations: Vec<Station>,
    /// For each judge that the clock calls.
    pub clocks: Vec<Clock>,
}

/// What a VM is started with.
pub struct Engine {
    host: Arc<Host>,
    parts: Parts,
    candidates: Vec<Candidate>,
    sink: Option<Arc<dyn Sink>>,
    settings: Settings,
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

/// How a VM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// Events judged, on all vCPUs.
    pub events: u64,
    /// Accesses to trapped pages that went through unjudged, on all vCPUs.
    pub unjudged: u64,
    /// How long it ran.
    pub ran: Duration,
}

impl Engine {
    /// An engine for this VM, whose policies live in this host.
    pub fn new(host: Arc<Host>, parts: Parts) -> Self {
        Self {
            host,
            parts,
            candidates: Vec::new(),
            sink: None,
            settings: Settings::default(),
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
        let mut running = Running {
            shared: handle.shared,
            threads: Vec::new(),
        };
        for mut station in stations {
            let name = format!("vcpu-{}", station.desk().index());
            running.launch(name, move || thread::run(station))?;
        }
        for clock in clocks {
            running.launch("clock".to_owned(), move || clock.run())?;
        }
        Ok(running)
    }

    /// Arms what the judges listen to, for a VMM that has vCPU loops of its own: it gets a
    /// station for each vCPU.
    ///
    /// # Errors
    /// [`StartError`]; then nothing is armed.
    pub fn assemble(self) -> Result<Assembly, StartError> {
        check_names(&self.candidates)?;
        let Self {
            host,
            parts,
            candidates,
            sink,
            settings,
        } = self;
        let Parts { machine, vcpus } = parts;
        let reported = reported(&*machine);
        let holdings = candidates.iter().map(|one| declared(one, reported));
        let holdings = holdings.collect();
        let shared = Arc::new(Shared {
            ledger: Ledger::new(machine.clone(), holdings)?,
            mailboxes: mailboxes(&vcpus, &candidates),
            vcpus: u32::try_from(vcpus.len()).unwrap_or(u32::MAX),
            callers: candidates.iter().map(caller).collect(),
            machine,
            time: Time::start(sink.is_some()),
            sink,
            metrics: Metrics::default(),
            settings,
            end: std::sync::OnceLock::new(),
            judged: AtomicU64::new(0),
            unjudged: AtomicU64::new(0),
        });
        seat_tools(&shared);
        shared.tell(|| Record::Start(start_record(&shared)));
        let stations = vcpus
            .into_iter()
            .map(|vcpu| Station::new(vcpu, &shared, host.slot(), &candidates));
        let stations = stations.collect();
        Ok(Assembly {
            stations,
            clocks: clocks(&host, &shared, &candidates),
            handle: VmHandle { shared },
        })
    }
}

/// One for each vCPU, then one for each clock, then one for each tool.
fn mailboxes(vcpus: &[Box<dyn Vcpu>], candidates: &[Candidate]) -> Vec<Mailbox<Mail>> {
    let kickers = vcpus.iter().map(|vcpu| vcpu.kicker());
    let nobody = candidates
        .iter()
        .filter(|one| one.tick.is_some())
        .map(|_| -> Arc<dyn Kicker> { Arc::new(Nobody) });
    let tools = candidates
        .iter()
        .filter_map(|one| one.tool.clone())
        .map(|seat| -> Arc<dyn Kicker> { seat });
    let all = kickers.chain(nobody).chain(tools);
    all.map(Mailbox::new).collect()
}

/// Tells each tool's seat where it is.
fn seat_tools(shared: &Arc<Shared>) {
    let tools = shared.tools().count();
    let first = shared.mailboxes.len() - tools;
    let seats = shared.callers.iter().enumerate();
    let seats = seats.filter_map(|(caller, one)| Some((caller, one.tool.as_ref()?)));
    for ((caller, seat), mailbox) in seats.zip(first..) {
        let mailbox = u32::try_from(mailbox).unwrap_or(u32::MAX);
        seat.place(tool::Place { caller, mailbox }, shared);
    }
}

/// The kinds that a machine raises.
fn reported(machine: &dyn Machine) -> EventSet {
    let kinds = EventKind::ALL.iter().copied();
    kinds
        .filter(|&kind| machine.capabilities().reports(kind))
        .collect()
}

/// A clock for each judge that wants one.
fn clocks(host: &Host, shared: &Arc<Shared>, candidates: &[Candidate]) -> Vec<Clock> {
    let ticking = candidates
        .iter()
        .enumerate()
        .filter_map(|(at, one)| Some((at, one, one.tick?)));
    let clocks = ticking
        .zip(shared.vcpus..)
        .map(|((at, one, period), mailbox)| {
            let judge = (one.make)(Bench::Clock, &host.slot());
            Clock::new(
                shared,
                mailbox,
                at,
                Called {
                    name: one.name.clone(),
                    judge,
                    period,
                },
            )
        });
    clocks.collect()
}

fn check_names(candidates: &[Candidate]) -> Result<(), StartError> {
    for (at, candidate) in candidates.iter().enumerate() {
        if candidates[..at]
            .iter()
            .any(|other| other.name == candidate.name)
        {
            return Err(StartError::TwoOfOneName(candidate.name.to_string()));
        }
    }
    Ok(())
}

fn declared(candidate: &Candidate, reported: EventSet) -> Holdings {
    if let Some(seat) = &candidate.tool {
        return seat.holdings(reported);
    }
    let granted = |kind| candidate.grant.events.contains(kind);
    Holdings::declared(
        candidate
            .filters
            .iter()
            .filter(|filter| granted(filter.kind))
            .copied()
            .collect(),
        candidate
            .observations
            .iter()
            .filter(|seen| granted(seen.kind))
            .copied()
            .collect(),
    )
}

fn caller(candidate: &Candidate) -> Caller {
    Caller {
        name: candidate.name.clone(),
        grant: candidate.grant.clone(),
        judges: candidate.judges,
        store: candidate.store.clone(),
        tool: candidate.tool.clone(),
    }
}

fn start_record(shared: &Shared) -> Start {
    Start {
        identity: shared.machine.identity().clone(),
        vcpus: shared.vcpus,
        judges: shared
            .callers
            .iter()
            .map(|caller| caller.name.clone())
            .collect(),
    }
}

/// A VM that runs.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    fn launch(
        &mut self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        // Sync Wasm calls run on this stack: room for a policy's and the host's below it.
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .stack_size(4 << 20);
        match thread.spawn(body) {
            Ok(handle) => self.threads.push(handle),
            Err(source) => {
                // Those that run already are told to stop, and waited for in `drop`.
                self.shared.end(&End::Cancelled);
                return Err(StartError::Thread { name, source });
            }
        }
        Ok(())
    }

    /// A handle for other threads.
    pub fn handle(&self) -> VmHandle {
        VmHandle {
            shared: self.shared.clone(),
        }
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Outcome {
        self.join();
        let outcome = self.shared.outcome();
        self.shared.tell(|| Record::End(outcome.clone()));
        outcome
    }

    /// Waits for the threads, then takes back what the judges have armed.
    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has ended the VM already (`EndsOnPanic`, and stations that are dropped).
            let _ = thread.join();
        }
        self.shared.ledger.clear();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.end(&End::Cancelled);
            self.join();
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Running({:?})", self.shared)
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

impl std::fmt::Debug for Candidate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Candidate({})", self.name)
    }
}
