//! How a desk comes to the guest's kernel: by the index that all share, and by what vCPUs show where
//! there is none yet. Waits for either with a deadline, and serves its mailbox meanwhile.

use std::sync::Arc;

use oriel_guest::{Guest, Index, Sight, Unknown};
use oriel_protocol::{Refusal, linux::Told};

use crate::{
    desk::Desk,
    mail::{Answer, Mail},
};

impl Desk {
    /// Asks the guest something.
    pub(super) fn ask_guest<T>(
        &mut self,
        ask: impl FnOnce(&Guest<'_>) -> Result<T, Unknown>,
    ) -> Result<Told<T>, Refusal> {
        let index = match self.kernel()? {
            Ok(index) => index,
            Err(why) => return Ok(Err(why)),
        };
        let guest = index.guest(self.shared.machine.memory());
        Ok(ask(&guest).map_err(|unknown| unknown.to_string()))
    }

    /// What this vCPU shows of the guest's kernel; none where the desk has no vCPU.
    pub(in crate::desk) fn sight(&mut self) -> Option<Sight> {
        Sight::ask(self.index, &mut *self.vcpu)
    }

    /// The same, of what says which task it runs.
    pub(super) fn glance(&mut self) -> Option<Sight> {
        Sight::glance(self.index, &mut *self.vcpu)
    }

    fn kernel(&mut self) -> Result<Told<Arc<Index>>, Refusal> {
        let control = self.vcpu.control().ok();
        let own = control.map(|control| Sight::by(self.index, &control));
        let shared = &self.shared;
        if let Some(index) = shared.kernel.current(&*shared.machine, own) {
            return Ok(Ok(index));
        }
        let sights = self.sights();
        let (ticket, home) = self.ticket();
        let reply = Box::new(move |made| home(Answer::Kernel(made)));
        let shared = &self.shared;
        shared.kernel.find(&shared.machine, sights, reply);
        match self.await_for(ticket, self.shared.settings.kernel)? {
            Answer::Kernel(made) => Ok(made),
            Answer::Call(_) | Answer::Pause(_) | Answer::Look(_) => Err(Refusal::Invalid),
        }
    }

    /// This vCPU's own where it is in long mode; else what all vCPUs show.
    fn sights(&mut self) -> Vec<Sight> {
        let own = self.sight();
        if own.is_some_and(|sight| sight.is_long()) {
            return own.into_iter().collect();
        }
        let me = self.index;
        let others = (0..self.shared.vcpus).filter(|vcpu| *vcpu != me);
        let others: Vec<_> = others.filter_map(|vcpu| self.look(vcpu)).collect();
        own.into_iter().chain(others).collect()
    }

    /// What another vCPU shows.
    fn look(&mut self, vcpu: u32) -> Option<Sight> {
        let (ticket, home) = self.ticket();
        let reply = Box::new(move |sight| home(Answer::Look(sight)));
        self.shared.post_to_vcpu(vcpu, Mail::Look(reply)).ok()?;
        match self.await_answer(ticket).ok()? {
            Answer::Look(sight) => sight,
            Answer::Call(_) | Answer::Pause(_) | Answer::Kernel(_) => None,
        }
    }
}
