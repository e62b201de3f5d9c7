//! Two revisions of a policy that share a vCPU's events: whose each one is. Owns the count; never
//! asks anybody.
//!
//! What either of them listens to is counted, whether it is heard or not: every n-th is the new
//! one's, the others are the old one's. So the turn does not wait for what its owner does not want,
//! and what comes to each is what would come to it alone, thinned out. `seq` cannot say whose turn
//! it is: it counts only what is heard.

use std::sync::Arc;

use super::{Listener, Trial};

/// Two revisions that share a vCPU's events.
pub(super) struct Sharing {
    owners: Pair,
    one_in: u32,
    met: u64,
    /// Where it is counted what was the new one's.
    trial: Arc<Trial>,
}

/// The owner's numbers of the two.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) old: usize,
    pub(crate) new: usize,
}

impl Sharing {
    /// One in so many is the new one's.
    pub(super) const fn new(owners: Pair, one_in: u32, trial: Arc<Trial>) -> Self {
        Self {
            owners,
            one_in,
            met: 0,
            trial,
        }
    }

    /// Whether this is one of the two.
    pub(super) const fn has(&self, owner: usize) -> bool {
        self.owners.old == owner || self.owners.new == owner
    }

    /// Who of the two is passed over this time; none if it concerns neither. `meets` says whether
    /// it concerns a listener.
    pub(super) fn passed_over(
        &mut self,
        listeners: &[Listener],
        meets: impl Fn(&Listener) -> bool,
    ) -> Option<usize> {
        let mut ours = listeners.iter().filter(|one| self.has(one.owner()));
        if !ours.any(meets) {
            return None;
        }
        self.met += 1;
        let is_new = self.met.is_multiple_of(self.one_in.into());
        if !is_new {
            return Some(self.owners.new);
        }
        self.trial.count_event();
        Some(self.owners.old)
    }
}
