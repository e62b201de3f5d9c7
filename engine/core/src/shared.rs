//! What all threads of one VM share. It holds; it does nothing by itself.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_machine::{End, Machine};
use oriel_protocol::Refusal;

use crate::{
    audit::Audit,
    engine::Outcome,
    journal::Journal,
    kernel::Kernel,
    ledger::Ledger,
    mail::Mail,
    mailboxes::Mailboxes,
    metrics::Metrics,
    owners::Owners,
    policy_judge::Conducts,
    record::{Record, Sink},
    roster::Posts,
    time::Time,
    tool::Seat,
};

/// What all threads of one VM share.
pub struct Shared {
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) ledger: Ledger,
    pub(crate) mailboxes: Mailboxes,
    /// How many vCPUs there are.
    pub(crate) vcpus: u32,
    /// How many of them have a station yet.
    pub(crate) watched: AtomicU32,
    pub(crate) owners: Owners,
    /// The KVMI tools that there are places for, which are there from the start.
    pub(crate) tools: Vec<Arc<Seat>>,
    pub(crate) posts: Posts,
    pub(crate) sink: Option<Arc<dyn Sink>>,
    /// Where every command is written down; none: nowhere.
    pub(crate) audit: Option<Arc<Audit>>,
    /// Where every call of a policy is written down; none: nowhere.
    pub(crate) journal: Option<Arc<Journal>>,
    /// What is known of the guest's kernel, for all who ask.
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) metrics: Metrics,
    /// How the policies behave.
    pub(crate) conducts: Conducts,
    pub(crate) settings: Settings,
    pub(crate) time: Time,
    pub(crate) end: OnceLock<End>,
    /// Events judged on vCPUs that have left.
    pub(crate) judged: AtomicU64,
    /// The last number that was given to a question of one thread to another.
    pub(crate) tickets: AtomicU64,
    /// Accesses to trapped pages that went through unjudged; touched only by those.
    pub(crate) unjudged: AtomicU64,
}

/// Bounds on waiting and keeping.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a judge's command waits for another vCPU before it is `busy`.
    pub other_vcpu: Duration,
    /// How long a vCPU waits for its turn with an instance that all vCPUs share.
    pub turn: Duration,
    /// CPU time that all policies together have for one event.
    pub round: Duration,
    /// How long a judge's command waits until it is known which kernel the guest runs, before it
    /// is `busy`. That is found out once a boot.
    pub kernel: Duration,
    /// How long a vCPU has to come and have a policy changed on it.
    pub moving: Duration,
    /// How many changes of one policy are made in a minute, at the most.
    pub changes_per_minute: usize,
    /// How many reports of failures are kept of each policy.
    pub failures_kept: usize,
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
            // A tenth of a second where memory is mapped; the rest is for crowded hosts.
            kernel: Duration::from_secs(5),
            moving: Duration::from_secs(10),
            changes_per_minute: 60,
            failures_kept: 16,
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
        self.mailboxes.post(vcpu, mail)
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

    /// When the next of the tools that are still hooked has to be gone; none: all are.
    pub(crate) fn tools_gone_by(&self) -> Option<Instant> {
        self.tools.iter().filter_map(|seat| seat.gone_by()).min()
    }

    /// Hangs up on tools that have had their time.
    pub(crate) fn hang_up_overdue(&self) {
        self.tools.iter().for_each(|seat| seat.hang_up_overdue());
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
            for mailbox in self.mailboxes.all() {
                // A vCPU that reads no more has ended already.
                let _ = mailbox.post(Mail::Stop(end.clone()));
            }
            self.posts.call_off();
        }
    }

    /// A vCPU is out of the guest, and has no station any more. Behind the last of them everything that
    /// was armed is undone, and not before: the others still meet it.
    pub(crate) fn unwatch(&self) {
        if self.watched.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ledger.clear();
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
