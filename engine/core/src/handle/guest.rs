//! Asking what the guest's memory means, for the operator. Owns going round the vCPUs for what they
//! show; the index is the one that the policies share.

use std::{sync::mpsc, time::Duration};

use oriel_guest::{Guest, Sight, Unknown};

use super::VmHandle;
use crate::mail::Mail;

impl VmHandle {
    /// Asks the guest something, with what each vCPU shows: one that does not answer in time, or has
    /// ended, is left out. The guest runs meanwhile, unless somebody holds it.
    ///
    /// # Errors
    /// [`Unknown`] where it is no Linux that can be looked at, or as the question answers.
    pub fn ask_guest<T>(
        &self,
        within: Duration,
        ask: impl FnOnce(&Guest<'_>, &[Sight]) -> Result<T, Unknown>,
    ) -> Result<T, Unknown> {
        let sights = (0..self.shared.vcpus).filter_map(|vcpu| self.look(vcpu, within));
        let sights: Vec<_> = sights.collect();
        let machine = &*self.shared.machine;
        let index = self.shared.kernel.index(machine, &sights)?;
        self.note("ask-guest", None, Ok(()));
        ask(&index.guest(machine.memory()), &sights)
    }

    fn look(&self, vcpu: u32, within: Duration) -> Option<Sight> {
        let (send, receive) = mpsc::sync_channel(1);
        let reply = Box::new(move |sight| {
            // Whoever asked may have stopped waiting.
            let _ = send.try_send(sight);
        });
        self.shared.post_to_vcpu(vcpu, Mail::Look(reply)).ok()?;
        receive.recv_timeout(within).ok().flatten()
    }
}
