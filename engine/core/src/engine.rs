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
    audit::Audit,
    clock::{Called, Clock},
    handle::VmHandle,
    holdings::Holdings,
    journal::Journal,
    judge::{Bench, Judge},
    ledger::Ledger,
    mailboxes::Mailboxes,
    metrics::Metrics,
    owners::{Caller, Owners},
    policies::Hosted,
    policy_judge::Conducts,
    record::{Record, Sink, Start},
    roster::{Numbers, Posts},
    shared::{Settings, Shared},
    station::Station,
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
    /// What it lives in, if it is a policy: then it can be swapped while the VM runs.
    pub hosted: Option<Arc<Hosted>>,
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
        let mut running = Running {
            shared: handle.shared,
            threads: Vec::new(),
        };
        for mut station in stations {
            let name = format!("vcpu-{}", station.desk().index());
            running.launch(name, move || crate::thread::run(station))?;
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
            audit,
            journal,
            settings,
            numbers,
        } = self;
        for hosted in candidates.iter().filter_map(|one| one.hosted.as_ref()) {
            hosted.note_in(journal.as_ref());
        }
        let Parts { machine, vcpus } = parts;
        let reported = reported(&*machine);
        let holdings = candidates.iter().map(|one| declared(one, reported));
        let holdings = holdings.collect();
        let shared = Arc::new(Shared {
            ledger: Ledger::new(machine.clone(), holdings)?,
            mailboxes: mailboxes(&vcpus, &candidates),
            vcpus: u32::try_from(vcpus.len()).unwrap_or(u32::MAX),
            owners: owners(&candidates, &numbers),
            tools: candidates
                .iter()
                .filter_map(|one| one.tool.clone())
                .collect(),
            posts: Posts::default(),
            tickets: AtomicU64::new(0),
            machine,
            // Entries of several vCPUs are put in order by their times.
            time: Time::start(sink.is_some() || audit.is_some() || journal.is_some()),
            sink,
            audit,
            journal,
            metrics: Metrics::default(),
            conducts: Conducts::default(),
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
        let clocks = clocks(&host, &shared, &candidates);
        shared.posts.enter(candidates, numbers, shared.vcpus);
        Ok(Assembly {
            stations,
            clocks,
            handle: VmHandle { shared },
        })
    }
}

/// One for each vCPU, then one for each clock, then one for each tool.
fn mailboxes(vcpus: &[Box<dyn Vcpu>], candidates: &[Candidate]) -> Mailboxes {
    let kickers = vcpus.iter().map(|vcpu| vcpu.kicker());
    let nobody = candidates
        .iter()
        .filter(|one| one.tick.is_some())
        .map(|_| -> Arc<dyn Kicker> { Arc::new(Nobody) });
    let tools = candidates
        .iter()
        .filter_map(|one| one.tool.clone())
        .map(|seat| -> Arc<dyn Kicker> { seat });
    Mailboxes::new(kickers.chain(nobody).chain(tools))
}

/// Tells each tool's seat where it is.
fn seat_tools(shared: &Arc<Shared>) {
    let first = shared.mailboxes.all().len() - shared.tools.len();
    let callers = shared.owners.all();
    let seats = callers.iter().enumerate();
    let seats = seats.filter_map(|(caller, one)| Some((caller, one.tool.as_ref()?)));
    for ((caller, seat), mailbox) in seats.zip(first..) {
        let mailbox = u32::try_from(mailbox).unwrap_or(u32::MAX);
        seat.place(tool::Place { caller, mailbox }, shared);
    }
}

/// The kinds that a machine raises.
pub(crate) fn reported(machine: &dyn Machine) -> EventSet {
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

/// What a judge holds that has not begun.
pub(crate) fn declared(candidate: &Candidate, reported: EventSet) -> Holdings {
    if let Some(seat) = &candidate.tool {
        return seat.holdings(reported).granted(&candidate.grant);
    }
    let (filters, observations) = (&candidate.filters, &candidate.observations);
    Holdings::declared(filters.clone(), observations.clone()).granted(&candidate.grant)
}

fn owners(candidates: &[Candidate], numbers: &Numbers) -> Owners {
    let owners = Owners::default();
    for (number, candidate) in candidates.iter().enumerate() {
        let known = numbers.get(&*candidate.name).map(|known| known.current);
        let first = Caller::of(candidate, number);
        owners.add(Caller {
            revision: first.revision * known.unwrap_or(1),
            ..first
        });
    }
    owners
}

fn start_record(shared: &Shared) -> Start {
    Start {
        identity: shared.machine.identity().clone(),
        vcpus: shared.vcpus,
        judges: shared
            .owners
            .all()
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

/// Starts a thread that calls policies. Sync Wasm calls run on its stack: room for a policy's and
/// the host's below it.
pub(crate) fn thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.stack_size(4 << 20).spawn(body)
}

impl Running {
    fn launch(
        &mut self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        match thread(&name, body) {
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
        self.shared.posts.join();
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
