//! The clock of a policy, when the revision changes: the old one's stops, the new one's starts, and
//! what the instance of the one hands over goes to that of the other.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use oriel_policy::Place;

use super::{RosterError, handover::Handover, staged::Office};
use crate::{
    clock::{Called, Clock},
    engine::Candidate,
    judge::{Bench, Judge},
    mail::Mail,
    shared::Shared,
};

/// Where the clock of a policy is found: its mailbox, if it has a clock.
#[derive(Debug, Default)]
pub(super) struct Whereabouts(Mutex<Option<u32>>);

impl Whereabouts {
    pub(super) fn at(mailbox: Option<u32>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(mailbox)))
    }

    fn set(&self, mailbox: Option<u32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = mailbox;
    }

    /// Stops the clock; answers whom it has called.
    pub(super) fn stop(&self, shared: &Shared) -> Option<Box<dyn Judge>> {
        let mailbox = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let (send, receive) = mpsc::sync_channel(1);
        let reply = Box::new(move |judge| {
            // Whoever asked is waiting below.
            let _ = send.send(judge);
        });
        // A clock that has ended with the VM drops the letter.
        let _ = shared.post(mailbox, Mail::Retire(reply));
        receive.recv().ok()
    }

    /// Starts a clock for this judge.
    pub(super) fn start(
        &self,
        shared: &Arc<Shared>,
        (caller, candidate): (usize, &Candidate),
        judge: Box<dyn Judge>,
    ) -> Result<(), RosterError> {
        let Some(period) = candidate.tick else {
            return Ok(());
        };
        let mailbox = shared.mailboxes.add();
        let name = candidate.name.clone();
        let called = Called {
            name,
            judge,
            period,
        };
        let clock = Clock::new(shared, mailbox, caller, called);
        let thread = crate::engine::thread("clock", move || clock.run());
        shared.posts.keep(thread.map_err(RosterError::Thread)?);
        self.set(Some(mailbox));
        // If the VM has ended meanwhile, nobody has told this clock.
        if let Some(end) = shared.end.get() {
            let _ = shared.post(mailbox, Mail::Stop(end.clone()));
        }
        Ok(())
    }
}

/// Puts the clock of the new revision in the place of the old one's. If it does not take the old
/// one's state, the old one goes on.
pub(super) fn hand_over(
    handover: &Handover,
    office: &mut Office,
    (old, clock): (&Candidate, &Whereabouts),
) -> Result<(), RosterError> {
    let shared = office.shared.clone();
    let mut before = clock.stop(&shared);
    let to = &handover.to;
    let wanted = to.candidate.tick.is_some();
    let mut after = wanted.then(|| to.judge(Bench::Clock, office.slot()));
    let carried = match (&mut before, &mut after) {
        (Some(before), Some(after)) => office.lend(handover.from, |desk, _| {
            handover.carry(Place::Tick, (before, after), desk)
        }),
        (None, _) | (_, None) => Ok(()),
    };
    let started = carried.and_then(|()| match after {
        Some(judge) => clock.start(&shared, (to.owner, &to.candidate), judge),
        None => Ok(()),
    });
    started.inspect_err(|_| {
        if let Some(judge) = before {
            let back = clock.start(&shared, (handover.from, old), judge);
            back.unwrap_or_else(|error| tracing::error!(%error, "a policy is without its clock"));
        }
    })
}
