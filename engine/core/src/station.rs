//! A vCPU's place of judgement: its desk and its panel together.
//!
//! The engine's own threads have one each; a VMM that owns its vCPU loop has one for each of its
//! vCPUs, and calls [`Station::judge`] from that loop.

use std::sync::Arc;

use oriel_machine::Vcpu;
use oriel_policy::Slot;
use oriel_protocol::{Event, EventKind, Verdict};

use crate::{
    desk::Desk,
    engine::Candidate,
    judge::Bench,
    panel::{Panel, Seat},
    shared::Shared,
};

/// A vCPU's desk and panel.
pub struct Station {
    /// Out only while a judge has it.
    desk: Option<Box<Desk>>,
    panel: Panel,
}

impl Station {
    pub(crate) fn new(
        vcpu: Box<dyn Vcpu>,
        shared: &Arc<Shared>,
        slot: Arc<Slot>,
        candidates: &[Candidate],
    ) -> Self {
        let index = vcpu.index();
        let make = |one: &Candidate| Seat {
            name: one.name.clone(),
            judge: (one.make)(Bench::Vcpu(index), &slot),
        };
        let panel = Panel::new(
            index,
            shared.clone(),
            slot.clone(),
            candidates.iter().map(make).collect(),
        );
        let mut desk = Desk::new(vcpu, shared.clone());
        if shared.settings.held {
            desk.hold_at_start();
        }
        Self {
            desk: Some(desk),
            panel,
        }
    }

    /// Lets every judge get ready, before the first event.
    pub fn ready(&mut self) {
        self.lend(|panel, desk| ((), panel.ready(desk)));
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

    /// Lets judges act that asked for it while the vCPU ran; the verdict is `crash` if one of them
    /// wants the VM stopped. To be called when no event waits for its verdict.
    pub fn attend(&mut self) -> Verdict {
        while let Some(judge) = self.desk().take_attention() {
            let ruling = self.lend(|panel, desk| panel.attend(judge, desk));
            if *ruling.verdict() == Verdict::Crash {
                return Verdict::Crash;
            }
            // Commands come before the next pause, whoever sent them.
            self.desk().drain();
        }
        Verdict::Continue
    }

    /// How many events passed the filters.
    pub fn events(&self) -> u64 {
        self.panel.events()
    }

    /// Answers the letters that come too late, from now on.
    pub(crate) fn close(&mut self) {
        self.desk().shut();
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

impl std::fmt::Debug for Station {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Station({:?})", self.panel)
    }
}
