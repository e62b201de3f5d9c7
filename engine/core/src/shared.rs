//! What all threads of one VM share. It holds; it does nothing by itself.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_machine::{End, Machine};
use oriel_policy::Store;
use oriel_protocol::{EventSet, Grant, Refusal};

use crate::{
    engine::Outcome,
    ledger::Ledger,
    mail::Mail,
    mailbox::Mailbox,
    metrics::Metrics,
    record::{Record, Sink},
    time::Time,
    tool::Seat,
};

/// What all threads of one VM share.
pub struct Shared {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) ledger: Ledger,
    /// One a vCPU, then one a clock, then one a tool.
    pub(crate) mailboxes: Vec<Mailbox<Mail>>,
    /// How many vCPUs there are.
    pub(crate) vcpus: u32,
    pub(crate) callers: Vec<Caller>,
    pub(crate) sink: Option<Arc<dyn Sink>>,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    pub(crate) time: Time,
    pub(crate) end: OnceLock<End>,
    /// Events judged on vCPUs that have left.
    pub(crate) judged: AtomicU64,
    /// Accesses to trapped pages that went through unjudged; touched only by those.
    pub(crate) unjudged: AtomicU64,
}

/// Who asks: what the gate needs to know of a judge.
#[derive(Debug)]
pub struct Caller {
    /// Its name in records.
    pub name: Arc<str>,
    /// What it may do.
    pub grant: Grant,
    /// The kinds that it answers, and so can arm.
    pub judges: EventSet,
    /// What it remembers.
    pub store: Arc<Store>,
    /// Where it is hooked, if it is a KVMI tool.
    pub tool: Option<Arc<Seat>>,
}

/// Bounds on waiting.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a judge's command waits for another vCPU before it is `busy`.
    pub other_vcpu: Duration,
    /// How long a vCPU waits for its turn with an instance that all vCPUs share.
    pub turn: Duration,
    /// CPU time that all policies together have for one event.
    pub round: Duration,
    /// The VM begins paused, until every vCPU is resumed.
    pub held: bool,
}

impl Default for Settings {
    fn default() -> Self {
        // A kick takes some 50 µs, but on a crowded host its tail reaches tens of milliseconds.
        Self {
            other_vcpu: Duration::from_millis(200),
            turn: Duration::from_secs(1),
            round: Duration::from_millis(20),
            held: false,
        }
    }
}

impl Shared {
    /// Nanoseconds since the VM started.
    pub fn now(&self) -> u64 {
        self.time.now()
    }

    /// Tells whoever listens.
    pub fn tell(&self, record: impl FnOnce() -> Record) {
        if let Some(sink) = &self.sink {
            sink.put(record());
        }
    }

    /// Sends a letter to a vCPU.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such vCPU, [`Refusal::Gone`] if it has ended.
    pub(crate) fn post_to_vcpu(&self, vcpu: u32, mail: Mail) -> Result<(), Refusal> {
        if vcpu < self.vcpus {
            self.post(vcpu, mail)
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// Sends a letter to a mailbox, a vCPU's or a clock's.
    pub(crate) fn post(&self, vcpu: u32, mail: Mail) -> Result<(), Refusal> {
        let mailbox = usize::try_from(vcpu)
            .ok()
            .and_then(|vcpu| self.mailboxes.get(vcpu));
        mailbox
            .ok_or(Refusal::NotFound)?
            .post(mail)
            .map_err(|unread| {
                unread.refuse(Refusal::Gone);
                Refusal::Gone
            })
    }

    /// How the VM has ended, so far.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            end: self.end.get().cloned().unwrap_or(End::Cancelled),
            events: self.judged.load(Ordering::Relaxed),
            unjudged: self.unjudged.load(Ordering::Relaxed),
            ran: self.time.elapsed(),
        }
    }

    /// The KVMI tools that there are places for.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.callers
            .iter()
            .filter_map(|caller| caller.tool.as_ref())
    }

    /// When the next of the tools that are still hooked has to be gone; none: all are.
    pub(crate) fn tools_gone_by(&self) -> Option<Instant> {
        self.tools().filter_map(|seat| seat.gone_by()).min()
    }

    /// Hangs up on tools that have had their time.
    pub(crate) fn hang_up_overdue(&self) {
        self.tools().for_each(|seat| seat.hang_up_overdue());
    }

    /// Tells every vCPU that a tool is gone.
    pub(crate) fn tell_hung_up(&self) {
        for vcpu in 0..self.vcpus {
            // One that has ended waits for nobody.
            let _ = self.post(vcpu, Mail::HungUp);
        }
    }

    /// Ends the VM: the first reason counts, and every vCPU is told.
    pub fn end(&self, end: &End) {
        if self.end.set(end.clone()).is_ok() {
            for mailbox in &self.mailboxes {
                // A vCPU that reads no more has ended already.
                let _ = mailbox.post(Mail::Stop(end.clone()));
            }
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Shared({}, {} vCPUs)",
            self.machine.identity().name,
            self.vcpus
        )
    }
}
