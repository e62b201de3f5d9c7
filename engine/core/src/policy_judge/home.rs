//! Where an instance lives between two calls: with its vCPU, or in one place for all of them.
//!
//! A vCPU that waits for its turn with a shared instance serves its mailbox meanwhile, and the
//! instance's deadline starts when it gets it.

use std::{sync::Arc, time::Instant};

use oriel_policy::{Failure, Instance, Place};

use crate::{
    desk::Desk,
    mail::Mail,
    turn::{self, Waiter},
};

/// Where an instance lives.
pub(crate) struct Home {
    /// Here while it is this vCPU's turn; with an instance of its own, always.
    instance: Option<Instance>,
    /// It is this vCPU's turn; only then there is one to end.
    entered: bool,
    kind: Kind,
}

enum Kind {
    /// With this vCPU.
    Vcpu,
    /// In one place for all vCPUs.
    Vm(Arc<Turn>),
    /// With the clock.
    Clock,
}

/// An instance that all vCPUs share, one at a time.
pub(crate) type Turn = turn::Turn<Instance>;

impl Home {
    /// With a vCPU.
    pub(crate) const fn vcpu() -> Self {
        Self {
            instance: None,
            entered: false,
            kind: Kind::Vcpu,
        }
    }

    /// In one place for all vCPUs.
    pub(crate) const fn vm(turn: Arc<Turn>) -> Self {
        Self {
            instance: None,
            entered: false,
            kind: Kind::Vm(turn),
        }
    }

    /// With the clock.
    pub(crate) const fn clock() -> Self {
        Self {
            instance: None,
            entered: false,
            kind: Kind::Clock,
        }
    }

    /// Whether there is no instance at hand: not made yet, or not this vCPU's turn.
    pub(crate) const fn is_empty(&self) -> bool {
        self.instance.is_none()
    }

    /// Whether all vCPUs share what is here.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Vm(_))
    }

    /// What an instance made here is for.
    pub(crate) const fn place(&self, vcpu: u32) -> Place {
        match &self.kind {
            Kind::Vcpu => Place::Vcpu(vcpu),
            Kind::Vm(_) => Place::Vm,
            Kind::Clock => Place::Tick,
        }
    }

    /// Waits for the turn, if turns are taken. Whoever enters must leave.
    pub(crate) fn enter(&mut self, mut desk: Box<Desk>) -> (Result<(), Failure>, Box<Desk>) {
        let Kind::Vm(turn) = &self.kind else {
            return (Ok(()), desk);
        };
        let bound = desk.shared().settings.turn;
        let taken = turn.take(&mut *desk, bound).map(|instance| {
            self.instance = instance;
            self.entered = true;
        });
        (taken.ok_or(Failure::Stalled { bound }), desk)
    }

    /// Lets the next one have its turn.
    pub(crate) fn leave(&mut self, desk: &Desk) {
        if !self.entered {
            return;
        }
        self.entered = false;
        if let Kind::Vm(turn) = &self.kind {
            turn.put(self.instance.take(), desk);
        }
    }

    /// The instance, between [`enter`](Self::enter) and [`leave`](Self::leave).
    pub(crate) const fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Puts a new instance here.
    pub(crate) fn settle(&mut self, instance: Instance) {
        self.instance = Some(instance);
    }

    /// Puts an instance here that was made beforehand: into the one place, if all vCPUs share it.
    pub(crate) fn move_in(&mut self, instance: Instance) {
        match &self.kind {
            Kind::Vm(turn) => turn.furnish(instance),
            Kind::Vcpu | Kind::Clock => self.settle(instance),
        }
    }

    /// Takes the instance away for good.
    pub(crate) const fn vacate(&mut self) -> Option<Instance> {
        self.instance.take()
    }
}

impl Waiter for Desk {
    fn number(&self) -> u32 {
        self.index()
    }

    fn serve_one(&mut self, by: Instant) -> bool {
        let letter = self.mailbox().wait(Some(by));
        letter.map(|mail| self.serve(mail)).is_some()
    }

    fn call(&self, waiter: u32) {
        // One that has ended waits no more.
        let _ = self.shared().post(waiter, Mail::Turn);
    }
}
