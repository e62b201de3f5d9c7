//! Which kernel the guest runs: found out once a boot, on a thread of its own, for all who ask. Owns
//! the index and who waits for it; never knows what it means, and never waits itself.
//!
//! The index takes a tenth of a second to make. So it is not made on a vCPU's thread: that has letters
//! to read meanwhile, and the time would be the policy's that asked first.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use oriel_guest::{Boots, Index, Sight, Unknown};
use oriel_machine::{GuestMemory, Machine};
use oriel_protocol::linux::Told;

use crate::mail::ReplyTo;

type Waiting = Vec<ReplyTo<Told<Arc<Index>>>>;

/// What is known of the guest's kernel.
#[derive(Default)]
pub(crate) struct Kernel {
    boots: Boots,
    /// Who waits while it is being found out; none: nobody is at it.
    waiting: Mutex<Option<Waiting>>,
}

impl Kernel {
    /// The index, if there is one and this vCPU still runs that kernel.
    pub(crate) fn current(
        &self,
        memory: &dyn GuestMemory,
        sight: Option<Sight>,
    ) -> Option<Arc<Index>> {
        self.boots.current(memory, sight)
    }

    /// The index, made on this thread where there is none. For threads that may wait.
    ///
    /// # Errors
    /// As [`Index::build`].
    pub(crate) fn index(
        &self,
        memory: &dyn GuestMemory,
        sights: &[Sight],
    ) -> Result<Arc<Index>, Unknown> {
        self.boots.index(memory, sights)
    }

    /// Has it made, by what these vCPUs show. Who asks while somebody is at it already waits for that.
    pub(crate) fn find(
        self: &Arc<Self>,
        machine: &Arc<dyn Machine>,
        sights: Vec<Sight>,
        reply: ReplyTo<Told<Arc<Index>>>,
    ) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(others) = waiting.as_mut() {
            others.push(reply);
            return;
        }
        *waiting = Some(vec![reply]);
        let (own, machine) = (Arc::clone(self), Arc::clone(machine));
        let begun = thread::Builder::new()
            .name("kernel".to_owned())
            .spawn(move || own.make(&*machine, &sights));
        if let Err(error) = begun {
            drop(waiting);
            self.answer(&Err(format!("no thread could be started: {error}")));
        }
    }

    fn make(&self, machine: &dyn Machine, sights: &[Sight]) {
        let made = self.index(machine.memory(), sights);
        self.answer(&made.map_err(|unknown| unknown.to_string()));
    }

    fn answer(&self, made: &Told<Arc<Index>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let all = mem::take(&mut *waiting);
        drop(waiting);
        for reply in all.into_iter().flatten() {
            reply(made.clone());
        }
    }
}
