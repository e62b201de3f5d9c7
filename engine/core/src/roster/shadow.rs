//! A revision in the shadow: it sits beside the one in force, hears the same events, and nobody
//! obeys it. What it would change is refused, what it stores is thrown away.

use std::sync::Arc;

use oriel_protocol::{Grant, Right};

use super::{
    RosterError, Shadow, ShadowReport,
    change::Change,
    handover::{ask_all, ended, take_away},
    staged::{Office, Stage, Staged},
};
use crate::{
    engine::Candidate,
    panel::{Role, Trial},
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
    take_away(shared, staged.owner, Some(change.from.owner));
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
    let looks = policies::commands(&rights).intersection(again.grant.commands);
    let grant = Grant {
        commands: looks,
        ..again.grant.clone()
    };
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
    let (staged, trial) = (staged.clone(), trial.clone());
    let seated = ask_all(shared, move |vcpu, panel, desk| {
        let slot = panel.slot().clone();
        if let Some(force) = panel.seat_of(beside) {
            force.role = Role::Compared(trial.clone());
        }
        let role = Role::OnTrial(trial.clone());
        panel.seat_before(beside, staged.seat(vcpu, &slot, role));
        ((), desk)
    });
    seated.map(drop)
}
