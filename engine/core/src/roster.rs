//! The policies of a running VM, and their revisions: loads, unloads, swaps and rolls back.
//!
//! A roster belongs to the operator's side. It never judges, and it never touches a vCPU: what is
//! to change on one is an errand in its mailbox, which its own thread does between two events.
//!
//! ```text
//!   shadow     it hears events beside the old revision, and nobody obeys it
//!   canary     one event in so many is its own, if it only observes
//!   stage      instances made, `init` called, `save` and `restore` rehearsed    nothing has changed
//!   arm        what it wants is armed, beside what the old one has armed
//!   move       each vCPU: `save` of the old → `restore` of the new, its seat is taken
//!   close      what the old one has armed is undone; its saved state is kept for a rollback
//! ```
//! Until the last vCPU has moved, going back is a message to those that have.
//!
//! | module | owns | never |
//! |---|---|---|
//! | `book` | which policies and revisions there are, and who is changing them | does anything |
//! | `change` | the steps from one revision to the next, and taking them back | touches a panel |
//! | `staged` | a revision before it judges | is seen by a vCPU |
//! | `handover` | moving vCPUs, on their own threads | decides which |
//! | `visit` | asking another thread, and calling it off | knows what for |
//! | `seating` | policies that come | replaces one |
//! | `clock` | the clock's move | touches a vCPU |
//! | `shadow` | a revision that nobody obeys | changes anything |
//! | `canary` | a revision that hears a part of the events | decides what becomes of it |
//! | `probation` | going back by itself | decides what a failure is |
//! | `entry` | entering a change into the book, and telling of it | makes it |
//! | `order` | orders in the audit trail | carries one out |

mod book;
mod canary;
mod change;
mod clock;
mod entry;
mod error;
mod handover;
mod options;
mod order;
mod probation;
mod seating;
mod shadow;
mod staged;
mod view;
mod visit;

use std::sync::Arc;

pub(crate) use book::Posts;
pub use book::{Numbered, Numbers};
pub use error::RosterError;
pub use options::{Canary, OnRefusal, Probation, Shadow, Share, SwapOptions};
pub use view::{CanaryReport, Past, Posted, ShadowReport, Standing, Swapped};

use crate::{
    audit::{Orderer, Verb},
    engine::Candidate,
    handle::VmHandle,
    policy_judge::FailureReport,
    record::Action,
    shared::Shared,
};
use book::{Post, Revision};
use change::{Change, From};
use handover::Given;

/// The policies of a running VM.
#[derive(Clone, Debug)]
pub struct Roster {
    shared: Arc<Shared>,
    /// Who gives the orders.
    by: Orderer,
}

/// Told of the policies in force after every change, on the thread that made it, before whoever
/// asked for it is answered.
pub type OnChange = Arc<dyn Fn(&[Posted]) + Send + Sync>;

/// What asks for a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Operator,
    Itself,
}

impl Roster {
    pub(crate) const fn of(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            by: Orderer::Handle,
        }
    }

    /// Has somebody told after every change, a rollback that nobody asked for included.
    pub fn on_change(&self, told: OnChange) {
        self.shared.posts.book().on_change = Some(told);
    }

    /// The policies in force, in the order in which they are asked.
    pub fn list(&self) -> Vec<Posted> {
        self.shared.posts.book().in_force()
    }

    /// The revisions of a policy that are known, the oldest first.
    ///
    /// # Errors
    /// [`RosterError::Unknown`].
    pub fn history(&self, name: &str) -> Result<Vec<Past>, RosterError> {
        let mut book = self.shared.posts.book();
        let revisions = book.post(name)?.revisions.iter();
        Ok(revisions.filter_map(Revision::past).collect())
    }

    /// The last failures of a policy, the oldest first.
    ///
    /// # Errors
    /// [`RosterError::Unknown`].
    pub fn failures(&self, name: &str) -> Result<Vec<FailureReport>, RosterError> {
        self.shared.posts.book().post(name)?;
        // Where it has not begun yet it has not failed either.
        let conduct = self.shared.conducts.of(name);
        Ok(conduct.map(|conduct| conduct.reports()).unwrap_or_default())
    }

    /// Loads a policy; it is asked after all others.
    ///
    /// # Errors
    /// [`RosterError`]; then nothing has changed.
    pub fn load(&self, candidate: Candidate) -> Result<Posted, RosterError> {
        let name = candidate.name.clone();
        let order = (Verb::Load, &*name, order::code(&candidate));
        self.audited(order, || self.take_in(candidate))
    }

    fn take_in(&self, candidate: Candidate) -> Result<Posted, RosterError> {
        let _changing = self.shared.posts.begin()?;
        let name = candidate.name.to_string();
        if self.shared.posts.book().post(&name).is_ok() {
            return Err(RosterError::Taken(name));
        }
        let candidate = Arc::new(candidate);
        let number = self.shared.posts.book().first_number(&name);
        let (owner, clock) = seating::seat(&self.shared, &candidate, number)?;
        self.enrol(&candidate);
        let numbered = Numbered {
            current: number,
            newest: number,
        };
        let post = Post::new((owner, numbered), candidate, clock, self.shared.now());
        self.shared.posts.book().posts.push(post);
        self.changed(&name, (Action::Load, 0, number), "");
        let posted = self.list().into_iter().find(|one| one.name == name);
        posted.ok_or(RosterError::Unknown(name))
    }

    /// Takes a policy away, and undoes what it has armed.
    ///
    /// # Errors
    /// [`RosterError`]; then nothing has changed.
    pub fn unload(&self, name: &str) -> Result<(), RosterError> {
        self.audited((Verb::Unload, name, Default::default()), || {
            self.let_go(name)
        })
    }

    fn let_go(&self, name: &str) -> Result<(), RosterError> {
        let _changing = self.shared.posts.begin()?;
        let (owner, current, clock) = {
            let mut book = self.shared.posts.book();
            let post = book.post(name)?;
            (post.owner, post.current, post.clock.clone())
        };
        if let Some(over) = handover::ended(&self.shared) {
            return Err(over);
        }
        handover::take_away(&self.shared, owner, None);
        drop(clock.stop(&self.shared));
        self.shared.ledger.close(owner);
        self.shared.posts.book().remove(name);
        self.changed(name, (Action::Unload, current, 0), "");
        Ok(())
    }

    /// Puts a new revision in the place of the policy that has its name. Returns once every vCPU
    /// has moved, or none. It goes on with the store of the last revision that had its
    /// `store-schema`, and with its own if there is none.
    ///
    /// # Errors
    /// [`RosterError`]; then the old revision judges as before.
    pub fn swap(&self, candidate: Candidate, how: &SwapOptions) -> Result<Swapped, RosterError> {
        let name = candidate.name.clone();
        let order = (Verb::Swap, &*name, order::way(&candidate, how));
        self.audited(order, || self.replace(candidate, how))
    }

    fn replace(&self, mut candidate: Candidate, how: &SwapOptions) -> Result<Swapped, RosterError> {
        let _changing = self.shared.posts.begin()?;
        let name = candidate.name.to_string();
        let (from, number) = self.leave(&name, |post| Ok(post.newest + 1))?;
        // The store is the policy's, not the revision's.
        if let Some(kept) = self.shared.posts.book().post(&name)?.store_of(&candidate) {
            candidate.store = kept;
        }
        let change = Change {
            candidate: Arc::new(candidate),
            number,
            from,
            given: None,
            how: how.clone(),
            trial: how.probation.map(probation::trial),
        };
        let trial = change.trial.clone();
        let swapped = self.carry_out(change, (Action::Swap, Standing::Past), "");
        match (&swapped, trial, how.probation) {
            (Ok(swapped), Some(trial), Some(probation)) => {
                probation::begin(self, swapped, (probation, trial))?;
            }
            (Err(_), Some(trial), _) => self.shared.posts.look_away(&trial),
            (Ok(_) | Err(_), ..) => {}
        }
        swapped
    }

    /// Puts an earlier revision back, with the state that it had when it was left: this one, or
    /// the one before the current.
    ///
    /// # Errors
    /// [`RosterError`]; then the current revision judges as before.
    pub fn rollback(&self, name: &str, to: Option<u64>) -> Result<Swapped, RosterError> {
        self.audited((Verb::Rollback, name, order::back(to)), || {
            let _changing = self.shared.posts.begin()?;
            self.go_back(name, to, (By::Operator, "rolled back by the operator"))
        })
    }

    /// Ends the quarantine of a policy.
    ///
    /// # Errors
    /// [`RosterError::Unknown`], [`RosterError::NotInQuarantine`].
    pub fn release(&self, name: &str) -> Result<(), RosterError> {
        self.audited((Verb::Release, name, Default::default()), || {
            self.shared.posts.book().post(name)?;
            let released = self.vm().let_out(name);
            released.map_err(|_| RosterError::NotInQuarantine(name.to_owned()))
        })
    }

    fn vm(&self) -> VmHandle {
        VmHandle {
            shared: self.shared.clone(),
        }
    }

    /// Goes back to an earlier revision, while a change is begun.
    fn go_back(
        &self,
        name: &str,
        to: Option<u64>,
        (by, why): (By, &str),
    ) -> Result<Swapped, RosterError> {
        let (from, number) = self.leave(name, |post| match to {
            Some(wanted) => Ok(wanted),
            None => post
                .earlier()
                .ok_or_else(|| RosterError::NoEarlier(name.to_owned())),
        })?;
        let (candidate, saved) = {
            let mut book = self.shared.posts.book();
            let post = book.post(name)?;
            let current = post.current;
            let target = post.revision(number).filter(|one| one.number != current);
            let target = target.ok_or_else(|| RosterError::NoRevision {
                name: name.to_owned(),
                wanted: number,
            })?;
            (target.candidate.again(), target.saved.clone())
        };
        let candidate = candidate.ok_or_else(|| RosterError::NoPolicy(name.to_owned()))?;
        let how = SwapOptions {
            // A state that it has made itself it takes; if not, it must come back all the same
            // when nobody is there to be asked.
            state: match by {
                By::Operator => OnRefusal::Abort,
                By::Itself => OnRefusal::Fresh,
            },
            together: schema_differs(&from.candidate, &candidate),
            ..SwapOptions::default()
        };
        let change = Change {
            candidate: Arc::new(candidate),
            number,
            from,
            given: Some(Given { saved, by: number }),
            how,
            trial: None,
        };
        self.carry_out(change, (Action::Rollback, Standing::RolledBack), why)
    }

    /// The revision that is left by a change, and the number of the one that comes.
    fn leave(
        &self,
        name: &str,
        number: impl FnOnce(&Post) -> Result<u64, RosterError>,
    ) -> Result<(From, u64), RosterError> {
        let most = self.shared.settings.changes_per_minute;
        let mut book = self.shared.posts.book();
        let post = book.post(name)?;
        post.pace(most)?;
        let number = number(post)?;
        let current = post.current;
        let candidate = post.revision(current).map(|one| one.candidate.clone());
        let from = From {
            owner: post.owner,
            first: post.first,
            number: current,
            candidate: candidate.ok_or_else(|| RosterError::Unknown(name.to_owned()))?,
            clock: post.clock.clone(),
        };
        Ok((from, number))
    }
}

fn schema_differs(one: &Candidate, other: &Candidate) -> bool {
    change::schema(one) != change::schema(other)
}
