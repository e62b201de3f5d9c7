//! Which kernel the guest runs: found out once a boot, on a thread of its own, for all who ask. Owns
//! the index and who waits for it; never knows what it means, and never waits itself.
//!
//! The index takes a tenth of a second to make. So it is not made on a vCPU's thread: that has letters
//! to read meanwhile, and the time would be the policy's that asked first.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use oriel_guest::{Boots, Index, Sight, Unknown};
use oriel_machine::Machine;
use oriel_protocol::linux::Told;

use crate::mail::ReplyTo;

type Waiting = Vec<ReplyTo<Told<Arc<Index>>>>;

/// What is known of the guest's kernel.
#[derive(Default)]
pub(crate) struct Kernel {
    boots: Boots,
    /// Resets of the guest that were heeded.
    resets: AtomicU64,
    /// Who waits while it is being found out; none: nobody is at it.
    waiting: Mutex<Option<Waiting>>,
}

impl Kernel {
    /// The index, if there is one and this vCPU still runs that kernel.
    pub(crate) fn current(
        &self,
        machine: &dyn Machine,
        sight: Option<Sight>,
    ) -> Option<Arc<Index>> {
        self.heed_resets(machine);
        self.boots.current(machine.memory(), sight)
    }

    /// A kernel that was restarted leaves its image behind, where the next one may not lie: that it is
    /// still there says nothing then.
    fn heed_resets(&self, machine: &dyn Machine) {
        let resets = machine.resets();
        if self.resets.swap(resets, Ordering::Relaxed) != resets {
            self.boots.forget();
        }
    }

    /// The index, made on this thread where there is none. For threads that may wait.
    ///
    /// # Errors
    /// As [`Index::build`].
    pub(crate) fn index(
        &self,
        machine: &dyn Machine,
        sights: &[Sight],
    ) -> Result<Arc<Index>, Unknown> {
        self.heed_resets(machine);
        let made = self.boots.index(machine.memory(), sights);
        // One that came while it was being made.
        self.heed_resets(machine);
        made
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
        let made = self.index(machine, sights);
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
