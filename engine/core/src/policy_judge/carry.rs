//! What a policy carries from one revision to the next.

use oriel_policy::{Failure, Saved};

use super::{PolicyJudge, Uncalled};
use crate::desk::Desk;

impl PolicyJudge {
    /// What its instance hands over; none if it never does.
    pub(super) fn hand_over(
        &mut self,
        desk: Box<Desk>,
    ) -> (Result<Option<Saved>, Failure>, Box<Desk>) {
        if !self.policy.has_state() {
            return (Ok(None), desk);
        }
        let mut saved = Ok(None);
        let (uncalled, mut desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.save(slot, desk);
            saved = answer.map(Some);
            lent
        });
        if uncalled.is_none() {
            self.note_saved(&saved, &mut desk);
        }
        (answered(uncalled, saved), desk)
    }

    /// Gives its instance what another revision has handed over.
    pub(super) fn take_over(
        &mut self,
        saved: Saved,
        revision: u64,
        desk: Box<Desk>,
    ) -> (Result<(), Failure>, Box<Desk>) {
        let mut taken = Ok(());
        let noted = self.tape.is_some().then(|| saved.clone());
        let (uncalled, mut desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.restore(saved, revision, slot, desk);
            taken = answer;
            lent
        });
        if let (None, Some(saved)) = (&uncalled, noted) {
            self.note_restored((saved, revision), &taken, &mut desk);
        }
        (answered(uncalled, taken), desk)
    }
}

/// What came of a call, or why there was none.
fn answered<T>(uncalled: Option<Box<Uncalled>>, answer: Result<T, Failure>) -> Result<T, Failure> {
    match uncalled.map(|reason| *reason) {
        None => answer,
        Some(Uncalled::Failed(failure)) => Err(failure),
        Some(Uncalled::Resting) => Err(Failure::Dead),
    }
}
