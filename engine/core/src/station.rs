//! A vCPU's place of judgement: its desk and its panel together.
//!
//! The engine's own threads have one each; a VMM that owns its vCPU loop has one for each of its
//! vCPUs, and goes through the same steps in that loop:
//! ```text
//!   ready ──► board ──► the guest ──► judge ──┐
//!               ▲ │                           │
//!               │ └──► leave                  │
//!               └─────────────────────────────┘
//! ```
//! A station that is dropped without having left ends the VM: its vCPU must not run on without it.
//! Behind the last one, whichever way it went, what was armed in the guest is undone.

use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};

use oriel_machine::{End, Vcpu};
use oriel_policy::Slot;
use oriel_protocol::{Event, EventKind, Moment, Verdict};

use crate::{
    desk::Desk,
    engine::Candidate,
    judge::Bench,
    mail::Mail,
    panel::{Panel, Role, Seat},
    record::{Alert, Record},
    shared::Shared,
    unjudged::Tally,
};

/// A vCPU's desk and panel.
pub struct Station {
    index: u32,
    /// Out only while a judge has it.
    desk: Option<Box<Desk>>,
    panel: Panel,
    shared: Arc<Shared>,
    unjudged: Tally,
    left: bool,
}

impl Station {
    pub(crate) fn new(
        vcpu: Box<dyn Vcpu>,
        shared: &Arc<Shared>,
        slot: Arc<Slot>,
        candidates: &[Candidate],
    ) -> Self {
        let index = vcpu.index();
        let make = |(owner, one): (usize, &Candidate)| Seat {
            owner,
            name: one.name.clone(),
            revision: shared.owners.get(owner).map_or(0, |caller| caller.revision),
            judge: (one.make)(Bench::Vcpu(index), &slot),
            role: Role::default(),
        };
        let panel = Panel::new(
            index,
            shared.clone(),
            slot.clone(),
            candidates.iter().enumerate().map(make).collect(),
        );
        let mut desk = Desk::new(vcpu, shared.clone());
        if shared.settings.held {
            desk.hold_at_start();
        }
        Self {
            index,
            desk: Some(desk),
            panel,
            shared: shared.clone(),
            unjudged: Tally::default(),
            left: false,
        }
    }

    /// Lets every judge get ready, before the first event; stays here while the VM is held at its
    /// start, because tools hook meanwhile; tells of the vCPU.
    pub fn ready(&mut self) {
        self.lend(|panel, desk| ((), panel.ready(desk)));
        self.stay_out();
        if !self.desk().is_ending() {
            self.notice(EventKind::CreateVcpu);
        }
    }

    /// What comes before each entry into the guest: reads the mailbox, has policies change places, stays here while somebody
    /// keeps the vCPU out, lets judges act that have asked to, and makes their register writes
    /// real. The verdict is the one that the entry is to carry out; none if it has been. Says how
    /// the VM ends if the guest is not to be entered any more; then [`leave`](Self::leave).
    pub fn board(&mut self, verdict: Option<&Verdict>) -> Option<End> {
        self.tell_unjudged(Tally::due);
        let desk = self.desk();
        // This order loses no letter: one that comes after the look has kicked again.
        desk.machine_vcpu().acknowledge_kick();
        let crashes = verdict == Some(&Verdict::Crash);
        if desk.has_business() || crashes {
            return self.see_to_business(verdict);
        }
        desk.settle();
        None
    }

    /// Reads the mailbox and does what is asked, until the guest is to be entered or the VM ends.
    #[inline(never)]
    fn see_to_business(&mut self, verdict: Option<&Verdict>) -> Option<End> {
        loop {
            let desk = self.desk();
            // As above.
            desk.machine_vcpu().acknowledge_kick();
            desk.drain();
            self.run_errands();
            let desk = self.desk();
            if let Some(end) = desk.take_ending() {
                return Some(end);
            }
            if desk.is_paused() {
                self.notice(EventKind::Pause);
                self.stay_out();
                continue;
            }
            if verdict == Some(&Verdict::Crash) {
                return Some(End::Stopped);
            }
            if !desk.wants_attention() {
                break;
            }
            if verdict.is_some() {
                // It is carried out first, and nothing further is run.
                desk.machine_vcpu().kicker().kick();
                break;
            }
            self.attend();
        }
        self.desk().settle();
        None
    }

    /// Does what is to be done between two events. A verdict that has not been carried out yet has
    /// been given, so nothing here can change it.
    fn run_errands(&mut self) {
        while let Some(errand) = self.desk().take_errand() {
            self.lend(|panel, desk| ((), errand(panel, desk)));
        }
    }

    /// Stays out of the guest until the last pause is over, or the VM ends.
    fn stay_out(&mut self) {
        loop {
            self.run_errands();
            // A notice may have read the mailbox, so this comes before any waiting.
            let desk = self.desk();
            if !desk.is_paused() || desk.is_ending() {
                return;
            }
            if desk.wants_attention() {
                self.attend();
            } else if let Some(mail) = desk.mailbox().wait(None) {
                desk.serve(mail);
            }
        }
    }

    /// Tells the operator what has gone through unjudged, if the tally has an alert.
    fn tell_unjudged(&mut self, alert: fn(&mut Tally, Moment) -> Option<Alert>) {
        if let Some(unjudged) = self.desk().machine_vcpu().take_unjudged() {
            self.shared
                .unjudged
                .fetch_add(unjudged.count, Ordering::Relaxed);
            self.unjudged.add(unjudged);
        }
        if self.unjudged.waits() {
            self.tell_tally(alert);
        }
    }

    #[cold]
    fn tell_tally(&mut self, alert: fn(&mut Tally, Moment) -> Option<Alert>) {
        let moment = Moment {
            vcpu: self.desk().index(),
            seq: self.events(),
            time_ns: self.shared.now(),
        };
        if let Some(alert) = alert(&mut self.unjudged, moment) {
            self.shared.tell(|| Record::Alert(alert));
        }
    }

    /// Lets judges act that asked for it while the vCPU ran. The VM ends if one of them says so.
    fn attend(&mut self) {
        while let Some(judge) = self.desk().take_attention() {
            let ruling = self.lend(|panel, desk| panel.attend(judge, desk));
            if *ruling.verdict() == Verdict::Crash {
                return self.desk().serve(Mail::Stop(End::Stopped));
            }
            // Commands come before the next pause, whoever sent them.
            self.desk().drain();
        }
    }

    /// Ends introspection of this vCPU, and with it the VM for the others: tells the judges, and
    /// answers the letters that come too late. Behind the last vCPU, undoes what was armed.
    pub fn leave(mut self, end: &End) {
        self.left = true;
        self.tell_unjudged(Tally::last);
        self.shared
            .judged
            .fetch_add(self.events(), Ordering::Relaxed);
        self.shared.end(end);
        self.notice(EventKind::Unhook);
        // It goes on answering as long as a tool undoes what it did.
        self.desk().linger();
    }

    /// The vCPU, if the machine has made it of this type.
    pub fn vcpu<V: Vcpu>(&mut self) -> Option<&mut V> {
        let vcpu: &mut dyn Any = self.desk().machine_vcpu();
        vcpu.downcast_mut()
    }

    /// Asks everybody whose business the event is, and adds up their verdicts.
    pub fn judge(&mut self, event: &Event) -> Verdict {
        self.lend(|panel, desk| panel.judge(desk, event))
            .into_verdict()
    }

    /// Tells everybody who listens of something that takes no answer.
    pub fn notice(&mut self, kind: EventKind) {
        self.lend(|panel, desk| ((), panel.notice(kind, desk)));
    }

    /// How many accesses to trapped pages have gone through unjudged, on all vCPUs so far. The
    /// sink has the alerts.
    pub fn unjudged(&self) -> u64 {
        self.shared.unjudged.load(Ordering::Relaxed)
    }

    /// How many events passed the filters.
    pub fn events(&self) -> u64 {
        self.panel.events()
    }

    /// The desk, between two judges.
    pub fn desk(&mut self) -> &mut Desk {
        self.desk
            .as_mut()
            .expect("a judge gives the desk back with its answer")
    }

    fn lend<T>(&mut self, call: impl FnOnce(&mut Panel, Box<Desk>) -> (T, Box<Desk>)) -> T {
        let desk = self
            .desk
            .take()
            .expect("a judge gives the desk back with its answer");
        let (answer, desk) = call(&mut self.panel, desk);
        self.desk = Some(desk);
        answer
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if !self.left {
            let reason = "the thread of a vCPU has gone without a word: this is a bug in Oriel, or in the VMM that it is part of";
            self.shared.end(&End::Failed(reason.to_owned()));
        }
        self.give_up();
    }
}

impl Station {
    /// Lets the vCPU go, then says so: whoever disarms waits for those in the guest, and must not wait
    /// for this one. A judge that has panicked has taken the desk with it.
    fn give_up(&mut self) {
        self.shared.mailboxes.close(self.index);
        self.desk = None;
        self.shared.unwatch();
    }
}

impl std::fmt::Debug for Station {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Station({:?})", self.panel)
    }
}
