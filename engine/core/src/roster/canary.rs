//! A revision that hears a part of the events, and the old one the others: all of some vCPUs, or one
//! in so many on each. It is obeyed in what it hears; whether it goes on from there, it shows here.
//!
//! By vCPU it is the move itself, begun and held. One in so many is a trial before it: instances of
//! its own sit beside the old ones with a copy of their state, and are gone afterwards; what they
//! have put into the store stays.

use std::{sync::Arc, time::Duration};

use oriel_protocol::{EventKind, events::EventClass};

use super::{
    Canary, CanaryReport, RosterError, Share,
    change::{Change, schema},
    handover::{Handover, Moved, Sharer, ask_in_turn, ended, move_back, move_vcpus, take_away},
    staged::{Office, Stage, Staged, hosted},
};
use crate::{engine::Candidate, panel::Trial, shared::Shared};

/// What can be said of it without trying.
///
/// # Errors
/// [`RosterError::NoVcpu`], [`RosterError::CanaryTogether`], [`RosterError::NoShare`],
/// [`RosterError::Judges`].
pub(super) fn check(change: &Change, shared: &Shared) -> Result<(), RosterError> {
    let Some(Canary { share, .. }) = &change.how.canary else {
        return Ok(());
    };
    if let Some(why) = why_together(change, share) {
        return Err(RosterError::CanaryTogether(why));
    }
    match share {
        Share::Vcpus(some) => match some.iter().find(|vcpu| **vcpu >= shared.vcpus) {
            Some(&vcpu) => Err(RosterError::NoVcpu(vcpu)),
            None => Ok(()),
        },
        Share::OneIn(..=1) => Err(RosterError::NoShare(one_in(share).unwrap_or(0))),
        Share::OneIn(_) => {
            let from = &change.from;
            only_observes(from.number, &from.candidate)?;
            only_observes(change.number, &change.candidate)
        }
    }
}

/// Why two revisions cannot be in force at a time.
fn why_together(change: &Change, share: &Share) -> Option<&'static str> {
    let wanted = change.wants_together();
    let one_instance = matches!(share, Share::Vcpus(_)) && change.has_one_instance();
    wanted
        .or_else(|| one_instance.then_some("one instance is for all of them"))
        .or_else(|| {
            let differs = schema(&change.from.candidate) != schema(&change.candidate);
            differs.then_some("its store has another schema")
        })
}

const fn one_in(share: &Share) -> Option<u32> {
    match share {
        Share::OneIn(many) => Some(*many),
        Share::Vcpus(_) => None,
    }
}

/// An event that nobody answers can be anybody's.
fn only_observes(revision: u64, candidate: &Candidate) -> Result<(), RosterError> {
    let judged = candidate.judges.iter().filter(is_answered);
    let kinds: Vec<_> = judged.map(EventKind::name).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    Err(RosterError::Judges {
        revision,
        kinds: kinds.join(", "),
    })
}

fn is_answered(kind: &EventKind) -> bool {
    kind.class() != EventClass::Notice
}

/// Has it hear one event in so many for a while, if that is asked for.
///
/// # Errors
/// [`RosterError::Failed`] if it fails, and what staging it fails with.
pub(super) fn try_out(
    shared: &Arc<Shared>,
    change: &Change,
) -> Result<Option<CanaryReport>, RosterError> {
    let canary = change.how.canary.as_ref();
    let Some((one_in, lasts)) = canary.and_then(|one| Some((one_in(&one.share)?, one.lasts)))
    else {
        return Ok(None);
    };
    let (handover, _office) = stage(shared, change)?;
    let (trial, new) = (Trial::bounded(0, 0), handover.to.owner);
    shared.posts.watch(new, &trial);
    let seated = seat(shared, &handover, (one_in, &trial));
    let well = seated.is_ok() && trial.wait(lasts);
    shared.posts.look_away(&trial);
    take_away(shared, new, None);
    seated?;
    match ended(shared) {
        Some(over) => Err(over),
        None if well => Ok(Some(report(&trial))),
        None => Err(RosterError::Failed(trial.first())),
    }
}

fn report(trial: &Trial) -> CanaryReport {
    let [events, ..] = trial.counts();
    CanaryReport { events }
}

/// Instances of its own, armed, with all the rights that it will have. The clock calls none.
fn stage(shared: &Arc<Shared>, change: &Change) -> Result<(Arc<Handover>, Office), RosterError> {
    let again = change.candidate.again();
    let again = again.ok_or_else(|| RosterError::NoPolicy(change.candidate.name.to_string()))?;
    let candidate = Arc::new(Candidate {
        tick: None,
        ..again
    });
    let mut office = Office::open(shared, &*hosted(&candidate)?);
    let stage = Stage::revision(change.number, Some(change.from.first));
    let staged = Staged::new(&mut office, candidate, stage)?;
    change.rehearse(&staged, &mut office)?;
    staged.arm()?;
    Ok((Arc::new(change.handover(staged)), office))
}

/// Seats it beside the old one on every vCPU.
fn seat(
    shared: &Arc<Shared>,
    handover: &Arc<Handover>,
    (one_in, trial): (u32, &Arc<Trial>),
) -> Result<(), RosterError> {
    let (handover, trial) = (handover.clone(), trial.clone());
    let seated = ask_in_turn(shared, move |vcpu, panel, desk| {
        let sharer = Sharer {
            one_in,
            trial: &trial,
        };
        handover.sit_beside((panel, vcpu), sharer, desk)
    });
    seated?.into_iter().collect()
}

/// Moves some vCPUs, watches it judge there for a while, then moves the others.
pub(super) fn move_some_first(
    shared: &Arc<Shared>,
    handover: &Arc<Handover>,
    (some, lasts): (&[u32], Duration),
) -> Result<Vec<Moved>, RosterError> {
    let (some, rest): (Vec<u32>, Vec<u32>) =
        (0..shared.vcpus).partition(|vcpu| some.contains(vcpu));
    let trial = Trial::bounded(0, 0);
    shared.posts.watch(handover.to.owner, &trial);
    let moved = move_vcpus(shared, handover, &some).and_then(|moved| {
        let well = trial.wait(lasts);
        let failed = || ended(shared).unwrap_or_else(|| RosterError::Failed(trial.first()));
        let others = match (well, ended(shared)) {
            (true, None) => move_vcpus(shared, handover, &rest),
            (false, _) | (_, Some(_)) => Err(failed()),
        };
        match others {
            Ok(others) => Ok(moved.into_iter().chain(others).collect()),
            Err(error) => {
                move_back(shared, handover.to.owner, moved);
                Err(error)
            }
        }
    });
    shared.posts.look_away(&trial);
    moved
}
