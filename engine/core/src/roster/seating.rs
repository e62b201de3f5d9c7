//! Policies that come while the VM runs.

use std::sync::Arc;

use super::{
    RosterError,
    clock::Whereabouts,
    handover::{ask_all, ended, take_away},
    staged::{Office, Stage, Staged, hosted},
};
use crate::{engine::Candidate, judge::Bench, panel::Role, shared::Shared};

/// Seats a policy on every vCPU, in its first revision, which has this number; answers its owner's
/// number, and where its clock is.
pub(super) fn seat(
    shared: &Arc<Shared>,
    candidate: &Arc<Candidate>,
    number: u64,
) -> Result<(usize, Arc<Whereabouts>), RosterError> {
    if let Some(over) = ended(shared) {
        return Err(over);
    }
    let mut office = Office::open(shared, &*hosted(candidate)?);
    let stage = Stage::revision(number, None);
    let staged = Arc::new(Staged::new(&mut office, candidate.clone(), stage)?);
    staged.arm()?;
    let seating = staged.clone();
    let seated = ask_all(shared, move |vcpu, panel, desk| {
        let slot = panel.slot().clone();
        panel.seat(seating.seat(vcpu, &slot, Role::InForce));
        ((), desk)
    });
    let clock = Whereabouts::at(None);
    let started = seated.and_then(|_| {
        let ticks = candidate.tick.is_some();
        let judge = ticks.then(|| staged.judge(Bench::Clock, office.slot()));
        judge.map_or(Ok(()), |judge| {
            clock.start(shared, (staged.owner, candidate), judge)
        })
    });
    if let Err(error) = started {
        take_away(shared, staged.owner, None);
        return Err(error);
    }
    staged.keep();
    Ok((staged.owner, clock))
}
