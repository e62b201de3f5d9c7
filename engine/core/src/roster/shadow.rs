//! A revision in the shadow: it sits beside the one in force, hears the same events, and nobody
//! obeys it. What it would change is refused, what it stores is thrown away.

use std::sync::Arc;

use oriel_protocol::Right;

use super::{
    RosterError, Shadow, ShadowReport,
    change::Change,
    handover::{ended, visit},
    staged::{Office, Stage, Staged},
};
use crate::{
    engine::Candidate,
    judge::Bench,
    panel::{Role, Seat, Trial},
    policies,
    shared::Shared,
};

/// What it may do there: look, and remember until the end.
const RIGHTS: &[Right] = &[
    Right::Machine,
    Right::RegistersRead,
    Right::MemoryRead,
    Right::MemoryWords,
    Right::Log,
    Right::Metrics,
    Right::Store,
    Right::Alert,
];

/// Has it listen for a while.
///
/// # Errors
/// [`RosterError::Disagreed`] or [`RosterError::Failed`] if it does not do well, and what staging
/// it fails with.
pub(super) fn try_out(
    shared: &Arc<Shared>,
    change: &Change,
    shadow: Shadow,
) -> Result<ShadowReport, RosterError> {
    let candidate = Arc::new(shaded(&change.candidate)?);
    let hosted = super::staged::hosted(&candidate)?;
    let mut office = Office::open(shared, &hosted);
    let staged = Staged::new(&mut office, candidate, Stage::trial(change.number))?;
    staged.arm()?;
    let trial = Trial::bounded(shadow.disagreements, 0);
    let staged = Arc::new(staged);
    let seated = seat(shared, &staged, change.from.owner, &trial);
    shared.posts.watch(staged.owner, &trial);
    let well = seated.is_ok() && trial.wait(shadow.lasts);
    shared.posts.look_away(&trial);
    unseat(shared, &staged, change.from.owner);
    seated?;
    let [events, disagreed, failed] = trial.counts();
    let report = ShadowReport {
        events,
        disagreed,
        failed,
    };
    match ended(shared) {
        Some(over) => Err(over),
        None if well => Ok(report),
        None if failed > 0 => Err(RosterError::Failed(trial.first())),
        None => Err(RosterError::Disagreed {
            disagreed,
            events,
            first: trial.first(),
        }),
    }
}

/// The same policy with no right to change anything, and a store that is thrown away.
fn shaded(candidate: &Candidate) -> Result<Candidate, RosterError> {
    let again = candidate.again();
    let again = again.ok_or_else(|| RosterError::NoPolicy(candidate.name.to_string()))?;
    let rights = RIGHTS.iter().copied().collect();
    let mut grant = policies::grant(&rights, again.grant.events);
    grant.commands = grant.commands.intersection(again.grant.commands);
    Ok(Candidate {
        grant,
        // A copy sees the same events as the one it was taken from, and so goes the same way.
        store: Arc::new(again.store.copy()),
        tick: None,
        ..again
    })
}

fn seat(
    shared: &Arc<Shared>,
    staged: &Arc<Staged>,
    beside: usize,
    trial: &Arc<Trial>,
) -> Result<(), RosterError> {
    let visits = (0..shared.vcpus).map(|vcpu| {
        let (staged, trial) = (staged.clone(), trial.clone());
        visit(shared, vcpu, move |panel, desk| {
            let slot = panel.slot().clone();
            if let Some(force) = panel.seat_of(beside) {
                force.role = Role::Compared(trial.clone());
            }
            let seat = Seat {
                owner: staged.owner,
                name: staged.candidate.name.clone(),
                revision: staged.number,
                judge: staged.judge(Bench::Vcpu(vcpu), &slot),
                role: Role::OnTrial(trial),
            };
            panel.seat_before(beside, seat);
            ((), desk)
        })
    });
    let visits: Vec<_> = visits.collect();
    for (vcpu, visit) in (0..).zip(visits) {
        let stuck = || ended(shared).unwrap_or(RosterError::Stuck(vcpu));
        visit.wait(shared).ok_or_else(stuck)?;
    }
    Ok(())
}

fn unseat(shared: &Arc<Shared>, staged: &Arc<Staged>, beside: usize) {
    let visits = (0..shared.vcpus).map(|vcpu| {
        let owner = staged.owner;
        visit(shared, vcpu, move |panel, desk| {
            if let Some(force) = panel.seat_of(beside) {
                force.role = Role::InForce;
            }
            // What is taken away is dropped by whoever waits, not on the vCPU's thread.
            (panel.unseat(owner), desk)
        })
    });
    let visits: Vec<_> = visits.collect();
    for visit in visits {
        // A vCPU that has ended has nobody sitting there.
        let _ = visit.wait(shared);
    }
}
