//! Policies that come, and policies that go, while the VM runs.

use std::sync::Arc;

use super::{
    RosterError,
    clock::Whereabouts,
    handover::{ended, visit},
    staged::{Office, Stage, Staged, hosted},
};
use crate::{
    engine::Candidate,
    judge::Bench,
    panel::{Role, Seat},
    shared::Shared,
};

/// Seats a policy on every vCPU; answers its owner's number, and where its clock is.
pub(super) fn seat(
    shared: &Arc<Shared>,
    candidate: &Arc<Candidate>,
) -> Result<(usize, Arc<Whereabouts>), RosterError> {
    if let Some(over) = ended(shared) {
        return Err(over);
    }
    let mut office = Office::open(shared, &*hosted(candidate)?);
    let stage = Stage::revision(1, None);
    let staged = Arc::new(Staged::new(&mut office, candidate.clone(), stage)?);
    staged.arm()?;
    let visits = (0..shared.vcpus).map(|vcpu| {
        let staged = staged.clone();
        visit(shared, vcpu, move |panel, desk| {
            let slot = panel.slot().clone();
            panel.seat(Seat {
                owner: staged.owner,
                name: staged.candidate.name.clone(),
                revision: staged.number,
                judge: staged.judge(Bench::Vcpu(vcpu), &slot),
                role: Role::InForce,
            });
            ((), desk)
        })
    });
    let visits: Vec<_> = visits.collect();
    let seated = (0..).zip(visits).try_for_each(|(vcpu, visit)| {
        let stuck = || ended(shared).unwrap_or(RosterError::Stuck(vcpu));
        visit.wait(shared).ok_or_else(stuck)
    });
    let clock = Whereabouts::at(None);
    let started = seated.and_then(|()| {
        let ticks = candidate.tick.is_some();
        let judge = ticks.then(|| staged.judge(Bench::Clock, office.slot()));
        judge.map_or(Ok(()), |judge| {
            clock.start(shared, (staged.owner, candidate), judge)
        })
    });
    if let Err(error) = started {
        // Nobody is left who would need it, where a vCPU cannot be reached.
        let _ = unseat(shared, staged.owner);
        return Err(error);
    }
    staged.keep();
    Ok((staged.owner, clock))
}

/// Takes a policy away from every vCPU.
pub(super) fn unseat(shared: &Arc<Shared>, owner: usize) -> Result<(), RosterError> {
    let visits = (0..shared.vcpus)
        // What is taken away is dropped by whoever waits, not on the vCPU's thread.
        .map(|vcpu| visit(shared, vcpu, move |panel, desk| (panel.unseat(owner), desk)));
    let visits: Vec<_> = visits.collect();
    let mut left = Ok(());
    for (vcpu, visit) in (0..).zip(visits) {
        if visit.wait(shared).is_none() {
            left = Err(ended(shared).unwrap_or(RosterError::Stuck(vcpu)));
        }
    }
    left
}
