//! Entering a change into the book, and telling of it.

use std::sync::Arc;

use super::{
    Roster, RosterError, Standing, Swapped,
    book::Revision,
    change::{Change, Made},
    staged::named,
};
use crate::{
    engine::Candidate,
    record::{Action, Record, Turnover},
    thread::chain,
};

impl Roster {
    /// Makes a change and enters it into the book.
    pub(super) fn carry_out(
        &self,
        change: Change,
        (action, standing): (Action, Standing),
        why: &str,
    ) -> Result<Swapped, RosterError> {
        let (name, from, to) = (
            change.candidate.name.to_string(),
            change.from.number,
            change.number,
        );
        let (candidate, before) = (change.candidate.clone(), change.from.candidate.clone());
        let made = change.make(&self.shared).inspect_err(|error| {
            // A canary that has failed was found under the name meanwhile.
            self.enrol(&before);
            self.tell(&name, (Action::Refused, from, to), &chain(error));
        })?;
        let swapped = self.enter((&name, from, to), candidate, (standing, why), made)?;
        self.changed(&name, (action, from, to), why);
        Ok(swapped)
    }

    fn enter(
        &self,
        (name, from, to): (&str, u64, u64),
        candidate: Arc<Candidate>,
        (standing, why): (Standing, &str),
        made: Made,
    ) -> Result<Swapped, RosterError> {
        let now = self.shared.now();
        self.enrol(&candidate);
        let mut book = self.shared.posts.book();
        let post = book.post(name)?;
        if let Some(old) = post.revision(from) {
            old.standing = standing;
            old.saved = made.notes.saved;
            old.detail = if why.is_empty() {
                format!("replaced by {to}")
            } else {
                why.to_owned()
            };
        }
        post.revisions.retain(|one| one.number != to);
        post.revisions.push_back(Revision {
            number: to,
            candidate,
            standing: Standing::InForce,
            since_ns: now,
            saved: Default::default(),
            detail: format!("replaced {from}"),
        });
        post.owner = made.owner;
        post.current = to;
        post.newest = post.newest.max(to);
        post.trim();
        Ok(Swapped {
            name: name.to_owned(),
            from,
            to,
            fresh: made.notes.fresh.iter().map(|place| named(*place)).collect(),
            stall_ns: u64::try_from(made.notes.stall.as_nanos()).unwrap_or(u64::MAX),
            shadow: made.shadow,
            canary: made.canary,
        })
    }

    /// From now on what is said of the policy of this name is said of this revision, and its limits
    /// are those of the store.
    pub(super) fn enrol(&self, candidate: &Candidate) {
        if let Some(hosted) = &candidate.hosted {
            let limits = hosted.policy.limits();
            candidate.store.bound(limits.store_keys, limits.store_bytes);
            self.shared.conducts.enrol(&candidate.name, &hosted.conduct);
        }
    }

    /// Tells everybody of a change that was made.
    pub(super) fn changed(&self, name: &str, what: (Action, u64, u64), detail: &str) {
        self.tell(name, what, detail);
        let (told, in_force) = {
            let book = self.shared.posts.book();
            (book.on_change.clone(), book.in_force())
        };
        if let Some(told) = told {
            told(&in_force);
        }
    }

    fn tell(&self, name: &str, (action, from, to): (Action, u64, u64), detail: &str) {
        self.shared.tell(|| {
            Record::Policy(Turnover {
                judge: Arc::from(name),
                time_ns: self.shared.now(),
                action,
                from,
                to,
                detail: detail.to_owned(),
            })
        });
    }
}
