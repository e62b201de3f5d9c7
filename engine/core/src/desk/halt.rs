//! A vCPU that is kept out of the guest in the middle of an event, for the operator to decide.

use std::time::Instant;

use super::Desk;
use crate::mail::Pauser;

impl Desk {
    /// Keeps the vCPU out of the guest, serving its mailbox, until the operator resumes it: true;
    /// or until then, or until the VM ends: false. What the judge's call has paused goes on.
    pub(crate) fn wait_for_operator(&mut self, until: Instant) -> bool {
        self.close();
        let before = self.operators_pauses();
        self.pausers.push(Pauser::Operator);
        while self.operators_pauses() > before && !self.is_ending() {
            match self.mailbox().wait(Some(until)) {
                Some(mail) => self.serve(mail),
                None => break,
            }
        }
        let resumed = self.operators_pauses() <= before;
        if !resumed {
            self.end_pause(Pauser::Operator);
        }
        resumed
    }

    fn operators_pauses(&self) -> usize {
        let operators = |pauser: &&Pauser| **pauser == Pauser::Operator;
        self.pausers.iter().filter(operators).count()
    }

    /// Ends one pause of this pauser's, if there is one.
    pub(super) fn end_pause(&mut self, by: Pauser) {
        if let Some(at) = self.pausers.iter().position(|pauser| *pauser == by) {
            self.pausers.swap_remove(at);
        }
    }
}
