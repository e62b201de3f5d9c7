//! Where an instance lives between two calls: with its vCPU, or in one place for all of them.
//!
//! A vCPU that waits for its turn with a shared instance serves its mailbox meanwhile, and the
//! instance's deadline starts when it gets it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use oriel_policy::{Failure, Instance, Place};

use crate::{desk::Desk, mail::Mail};

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
#[derive(Default)]
pub(crate) struct Turn(Mutex<Bench>);

#[derive(Default)]
struct Bench {
    instance: Option<Instance>,
    /// The vCPU whose turn it is.
    holder: Option<u32>,
    waiting: VecDeque<u32>,
}

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

    /// What an instance made here is for.
    pub(crate) const fn place(&self, vcpu: u32) -> Place {
        match &self.kind {
            Kind::Vcpu => Place::Vcpu(vcpu),
            Kind::Vm(_) => Place::Vm,
            Kind::Clock => Place::Tick,
        }
    }

    /// Waits for the turn, if turns are taken. Whoever enters must leave.
    pub(crate) fn enter(&mut self, desk: Box<Desk>) -> (Result<(), Failure>, Box<Desk>) {
        let Kind::Vm(turn) = &self.kind else {
            return (Ok(()), desk);
        };
        let (taken, desk) = turn.take(desk);
        let taken = taken.map(|instance| {
            self.instance = instance;
            self.entered = true;
        });
        (taken, desk)
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

    /// Takes the instance away for good.
    pub(crate) const fn vacate(&mut self) -> Option<Instance> {
        self.instance.take()
    }
}

impl Turn {
    fn take(&self, mut desk: Box<Desk>) -> (Result<Option<Instance>, Failure>, Box<Desk>) {
        let deadline = Instant::now() + desk.shared().settings.turn;
        let me = desk.index();
        self.lock().waiting.push_back(me);
        loop {
            if let Some(instance) = self.claim(me) {
                return (Ok(instance), desk);
            }
            match desk.mailbox().wait(Some(deadline)) {
                Some(mail) => desk.serve(mail),
                None => {
                    self.give_up(me, &desk);
                    return (
                        Err(Failure::Stalled {
                            bound: desk.shared().settings.turn,
                        }),
                        desk,
                    );
                }
            }
        }
    }

    /// The instance, if it is this vCPU's turn: the outer `Some` says so.
    fn claim(&self, me: u32) -> Option<Option<Instance>> {
        let mut bench = self.lock();
        if bench.holder.is_some() || bench.waiting.front() != Some(&me) {
            return None;
        }
        bench.waiting.pop_front();
        bench.holder = Some(me);
        Some(bench.instance.take())
    }

    /// Stops waiting; the next in line may be waiting for just that.
    fn give_up(&self, me: u32, desk: &Desk) {
        let mut bench = self.lock();
        bench.waiting.retain(|&vcpu| vcpu != me);
        call_next(bench, desk);
    }

    fn put(&self, instance: Option<Instance>, desk: &Desk) {
        let mut bench = self.lock();
        bench.instance = instance;
        bench.holder = None;
        call_next(bench, desk);
    }

    fn lock(&self) -> MutexGuard<'_, Bench> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn call_next(bench: MutexGuard<'_, Bench>, desk: &Desk) {
    let next = if bench.holder.is_none() {
        bench.waiting.front().copied()
    } else {
        None
    };
    drop(bench);
    if let Some(next) = next {
        // One that has ended waits no more.
        let _ = desk.shared().post(next, Mail::Turn);
    }
}
