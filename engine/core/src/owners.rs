//! Who has something to say on a VM, by number. An owner is the place of a tool, an embedder's
//! judge, or one revision of a policy; the gate looks here, and never writes.
//!
//! Numbers are not given twice, so that what a revision has asked for is never taken for another's.

use std::sync::{Arc, PoisonError, RwLock};

use oriel_policy::Store;
use oriel_protocol::{EventSet, Grant};

use crate::{audit::Who, engine::Candidate, tool::Seat};

/// Who asks: what the gate needs to know of a judge.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its name in records.
    pub name: Arc<str>,
    /// What it may do.
    pub grant: Grant,
    /// The kinds that it answers, and so can arm.
    pub judges: EventSet,
    /// What it remembers.
    pub store: Arc<Store>,
    /// Where it is hooked, if it is a KVMI tool.
    pub tool: Option<Arc<Seat>>,
    /// The number of the first revision of it, under which its measurements are kept; its own if
    /// it is the first.
    pub first: usize,
    /// Which revision of a policy it is, from 1; 0 of what has none.
    pub revision: u64,
    /// Nobody obeys it: it only shows what it would do.
    pub on_trial: bool,
}

/// All callers that there are, by number.
pub(crate) type Callers = Arc<Vec<Arc<Caller>>>;

/// Everybody who has something to say on a VM.
#[derive(Debug, Default)]
pub(crate) struct Owners(RwLock<Callers>);

impl Owners {
    /// As they are now.
    pub(crate) fn all(&self) -> Callers {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The one of this number.
    pub(crate) fn get(&self, number: usize) -> Option<Arc<Caller>> {
        self.all().get(number).cloned()
    }

    /// One more; answers its number.
    pub(crate) fn add(&self, caller: Caller) -> usize {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = all.len();
        let mut more = Vec::clone(&all);
        more.push(Arc::new(caller));
        *all = Arc::new(more);
        number
    }
}

impl Caller {
    /// What the gate needs to know of a candidate, which is given this number.
    pub(crate) fn of(candidate: &Candidate, number: usize) -> Self {
        Self {
            name: candidate.name.clone(),
            grant: candidate.grant.clone(),
            judges: candidate.judges,
            store: candidate.store.clone(),
            tool: candidate.tool.clone(),
            first: number,
            revision: u64::from(candidate.hosted.is_some()),
            on_trial: false,
        }
    }
    /// Who it is in the audit trail.
    pub(crate) fn who(&self) -> Who {
        let revision = (self.revision > 0).then_some(self.revision);
        Who::judge(self.name.clone(), revision)
    }
}
