//! One judge's ear for one kind of event.

use std::sync::Arc;

use oriel_protocol::{Event, EventKind, Filter, Observation};

use crate::{desk::Desk, holdings::Holdings};

/// One judge's ear for one kind of event.
pub(super) struct Listener {
    judge: usize,
    holdings: Arc<Holdings>,
    ear: Ear,
}

enum Ear {
    /// It answers.
    Judge(Box<[Filter]>),
    /// It only looks, perhaps not at every one.
    Observe { what: Observation, sampler: Sampler },
}

impl Listener {
    /// The ears of a judge for a kind: none, one, or one to judge and one to observe.
    pub(super) fn of(
        judge: usize,
        holdings: &Arc<Holdings>,
        kind: EventKind,
        vcpu: u32,
    ) -> Vec<Self> {
        let filters = holdings.filters(kind, vcpu);
        let judging = (!filters.is_empty()).then_some(Ear::Judge(filters));
        let observing = holdings
            .observations()
            .iter()
            .filter(|what| what.kind == kind);
        let observing = observing.map(|&what| Ear::Observe {
            what,
            sampler: Sampler::default(),
        });
        let ears = judging.into_iter().chain(observing);
        ears.map(|ear| Self {
            judge,
            holdings: holdings.clone(),
            ear,
        })
        .collect()
    }

    pub(super) const fn judge(&self) -> usize {
        self.judge
    }

    /// What it observes, if it does not judge.
    pub(super) const fn observation(&self) -> Option<&Observation> {
        match &self.ear {
            Ear::Judge(_) => None,
            Ear::Observe { what, .. } => Some(what),
        }
    }

    /// Whether the event is meant, and the judge's own name for what was hit.
    pub(super) fn accepts(&mut self, event: &Event, desk: &Desk) -> Option<u64> {
        let tag = self.holdings.meets(event)?;
        if event.kind() == EventKind::Singlestep && !self.holdings.steps(desk.index()) {
            return None;
        }
        let meant = match &mut self.ear {
            Ear::Judge(filters) => filters.iter().any(|filter| filter.accepts(event, tag)),
            Ear::Observe { what, sampler } => {
                what.scope.covers(event.cr3, event.cpl)
                    && sampler.takes(what, || desk.shared().now())
            }
        };
        meant.then_some(tag.unwrap_or(0))
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
