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
pub(crate) enum Home {
    /// With this vCPU.
    Vcpu(Option<Instance>),
    /// In one place for all vCPUs.
    Vm(Arc<Turn>),
    /// With the clock.
    Clock(Option<Instance>),
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
    /// What an instance made here is for.
    pub(crate) fn place(&self, vcpu: u32) -> Place {
        match self {
            Self::Vcpu(_) => Place::Vcpu(vcpu),
            Self::Vm(_) => Place::Vm,
            Self::Clock(_) => Place::Tick,
        }
    }

    /// Takes the instance; none if there is none at the moment, and the caller makes one.
    ///
    /// Whoever takes must put, whatever becomes of the instance.
    pub(crate) fn take(
        &mut self,
        desk: Box<Desk>,
    ) -> (Result<Option<Instance>, Failure>, Box<Desk>) {
        match self {
            Self::Vcpu(instance) | Self::Clock(instance) => (Ok(instance.take()), desk),
            Self::Vm(turn) => turn.take(desk),
        }
    }

    /// Puts it back; none if it is gone.
    pub(crate) fn put(&mut self, instance: Option<Instance>, desk: &Desk) {
        match self {
            Self::Vcpu(home) | Self::Clock(home) => *home = instance,
            Self::Vm(turn) => turn.put(instance, desk),
        }
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
