//! One judge's ear for one kind of event.

use std::sync::Arc;

use oriel_protocol::{Event, EventKind, Filter, Observation};

use crate::{desk::Desk, holdings::Holdings};

/// One judge's ear for one kind of event.
pub(super) struct Listener {
    /// Where its judge sits.
    seat: usize,
    /// Whose it is.
    owner: usize,
    holdings: Arc<Holdings>,
    ear: Ear,
}

enum Ear {
    /// It answers.
    Judge(Box<[Filter]>),
    /// It only looks, perhaps not at every one.
    Observe(Vec<(Observation, Sampler)>),
}

impl Listener {
    /// The ears of a judge for a kind on a vCPU: none, one, or one to judge and one to observe.
    /// What is sampled goes on being sampled as `before`.
    pub(super) fn of(
        (seat, owner): (usize, usize),
        holdings: &Arc<Holdings>,
        (kind, vcpu): (EventKind, u32),
        before: &mut Vec<Self>,
    ) -> Vec<Self> {
        let filters = holdings.filters(kind, vcpu);
        let judging = (!filters.is_empty()).then_some(Ear::Judge(filters));
        let known = before
            .iter()
            .position(|old| old.owner == owner && old.observes());
        // Who has been detached holds nothing any more.
        let known = known.filter(|_| holdings.observations().iter().any(|seen| seen.kind == kind));
        let observing = match known {
            Some(at) => Some(before.swap_remove(at).ear),
            None => Ear::observing(holdings, kind),
        };
        let ears = judging.into_iter().chain(observing);
        ears.map(|ear| Self {
            seat,
            owner,
            holdings: holdings.clone(),
            ear,
        })
        .collect()
    }

    /// Whether it only looks.
    pub(super) const fn observes(&self) -> bool {
        matches!(self.ear, Ear::Observe(_))
    }

    /// Where its judge sits.
    pub(super) const fn seat(&self) -> usize {
        self.seat
    }

    /// Whose it is.
    pub(super) const fn owner(&self) -> usize {
        self.owner
    }

    /// Whether the event is meant, were none left out by sampling; with the judge's own name for what
    /// was hit, if it has one.
    pub(super) fn meets(&self, event: &Event, vcpu: u32) -> Option<Option<u64>> {
        let tag = self.hits(event, vcpu)?;
        let meant = match &self.ear {
            Ear::Judge(filters) => filters.iter().any(|filter| filter.accepts(event, tag)),
            Ear::Observe(wanted) => wanted
                .iter()
                .any(|(what, _)| what.scope.covers(event.cr3, event.cpl)),
        };
        meant.then_some(tag)
    }

    /// Whether the event hits what its judge holds, and the judge's own name for that.
    fn hits(&self, event: &Event, vcpu: u32) -> Option<Option<u64>> {
        let tag = self.holdings.meets(event)?;
        let stepped = event.kind() != EventKind::Singlestep || self.holdings.steps(vcpu);
        stepped.then_some(tag)
    }

    /// Whether the event is meant, and the judge's own name for what was hit.
    pub(super) fn accepts(&mut self, event: &Event, desk: &Desk) -> Option<u64> {
        let tag = self.hits(event, desk.index())?;
        let meant = match &mut self.ear {
            Ear::Judge(filters) => filters.iter().any(|filter| filter.accepts(event, tag)),
            Ear::Observe(wanted) => wanted.iter_mut().any(|(what, sampler)| {
                what.scope.covers(event.cr3, event.cpl)
                    && sampler.takes(what, || desk.shared().now())
            }),
        };
        meant.then_some(tag.unwrap_or(0))
    }
}

impl Ear {
    /// One ear for all that a judge observes of a kind: an event is shown once.
    fn observing(holdings: &Holdings, kind: EventKind) -> Option<Self> {
        let wanted = holdings
            .observations()
            .iter()
            .filter(|what| what.kind == kind);
        let wanted: Vec<_> = wanted.map(|&what| (what, Sampler::default())).collect();
        (!wanted.is_empty()).then_some(Self::Observe(wanted))
    }
}

/// Lets one in so many through, and so many a second.
#[derive(Debug, Default)]
struct Sampler {
    seen: u64,
    second: u64,
    taken: u32,
}

impl Sampler {
    fn takes(&mut self, what: &Observation, now_ns: impl FnOnce() -> u64) -> bool {
        self.seen += 1;
        if what.one_in > 1 && !self.seen.is_multiple_of(what.one_in.into()) {
            return false;
        }
        if what.per_second == 0 {
            return true;
        }
        let second = now_ns() / 1_000_000_000;
        if second != self.second {
            (self.second, self.taken) = (second, 0);
        }
        self.taken += 1;
        self.taken <= what.per_second
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::Scope;

    use super::*;

    fn taken(one_in: u32, per_second: u32, times: &[u64]) -> usize {
        let what = Observation {
            kind: EventKind::Msr,
            one_in,
            per_second,
            scope: Scope::default(),
        };
        let mut sampler = Sampler::default();
        times
            .iter()
            .filter(|&&time| sampler.takes(&what, || time))
            .count()
    }

    #[test]
    fn one_in_n_takes_every_nth() {
        assert_eq!(taken(0, 0, &[0; 10]), 10);
        assert_eq!(taken(1, 0, &[0; 10]), 10);
        assert_eq!(taken(5, 0, &[0; 10]), 2);
    }

    #[test]
    fn a_rate_starts_anew_each_second() {
        assert_eq!(
            taken(
                1,
                2,
                &[0, 1, 2, 1_000_000_000, 1_000_000_001, 1_000_000_002]
            ),
            4
        );
    }
}
