//! Puts a VM together: ledger, mailboxes, owners, a station a vCPU. Nothing runs yet.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64},
};

use oriel_machine::{Kicker, Machine, Parts, Vcpu};
use oriel_policy::Host;
use oriel_protocol::{EventKind, EventSet};

use super::{Candidate, Engine, StartError};
use crate::{
    absent::Nobody,
    clock::{Called, Clock},
    handle::VmHandle,
    holdings::Holdings,
    judge::Bench,
    ledger::Ledger,
    mailboxes::Mailboxes,
    metrics::Metrics,
    owners::{Caller, Owners},
    policy_judge::Conducts,
    record::{Record, Start},
    roster::{Numbers, Posts},
    shared::Shared,
    station::Station,
    time::Time,
    tool,
};

/// A VM with all that its threads need. If its stations are dropped, what was armed is undone.
#[derive(Debug)]
pub struct Assembly {
    /// Reaches it from any thread.
    pub handle: VmHandle,
    /// For each vCPU, by its number.
    pub stations: Vec<Station>,
    /// For each judge that the clock calls.
    pub clocks: Vec<Clock>,
}

impl Engine {
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
        let count = u32::try_from(vcpus.len()).unwrap_or(u32::MAX);
        let shared = Arc::new(Shared {
            ledger: Ledger::new(machine.clone(), holdings)?,
            mailboxes: mailboxes(&vcpus, &candidates),
            vcpus: count,
            watched: AtomicU32::new(count),
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
            kernel: Arc::default(),
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
