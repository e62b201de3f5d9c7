//! A revision on probation: if it fails too often in its first time, it is rolled back by itself.

use std::sync::Arc;

use super::{By, Probation, Roster, RosterError, Swapped, order};
use crate::{
    audit::{Orderer, Verb},
    panel::Trial,
};

/// What counts the failures of a revision, from before its first event.
pub(super) fn trial(probation: Probation) -> Arc<Trial> {
    Trial::bounded(0, probation.failures.into())
}

/// Waits beside a revision that has just come into force.
pub(super) fn begin(
    roster: &Roster,
    swapped: &Swapped,
    (probation, trial): (Probation, Arc<Trial>),
) -> Result<(), RosterError> {
    let (name, number) = (swapped.name.clone(), swapped.to);
    let posts = &roster.shared.posts;
    let watching = roster.clone();
    let watched = trial.clone();
    let thread = crate::engine::thread("probation", move || {
        let well = watched.wait(probation.lasts);
        watching.shared.posts.look_away(&watched);
        if !well {
            watching.go_back_from(&name, number, &watched);
        }
    });
    let thread = thread
        .map_err(RosterError::Thread)
        .inspect_err(|_| posts.look_away(&trial))?;
    posts.keep(thread);
    Ok(())
}

impl Roster {
    /// Goes back from a revision that has failed, unless somebody was quicker.
    fn go_back_from(&self, name: &str, number: u64, trial: &Arc<Trial>) {
        let _changing = self.shared.posts.begin_in_turn();
        let in_force = self.shared.posts.book().post(name).map(|post| post.current);
        if in_force.ok() != Some(number) {
            return;
        }
        let why = format!("it failed on probation: {}", trial.first());
        let itself = self.ordered_by(Orderer::Probation);
        let back = itself.audited((Verb::Rollback, name, order::why(&why)), || {
            itself.go_back(name, None, (By::Itself, &why))
        });
        match back {
            Ok(swapped) => {
                tracing::warn!(policy = name, from = swapped.from, to = swapped.to, %why, "rolled back");
            }
            Err(RosterError::Ended) => {}
            Err(error) => {
                tracing::error!(policy = name, %error, %why, "it could not be rolled back")
            }
        }
    }
}
