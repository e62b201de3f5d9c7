//! Names that vCPUs wait for, and how one sees that nobody will ever signal them: without time.

use std::{collections::BTreeMap, mem::replace};

/// What has been signalled, and where each vCPU stands.
#[derive(Debug)]
pub(in crate::mock) struct Barriers {
    signals: BTreeMap<String, u64>,
    standing: Box<[Standing]>,
}

/// Where a vCPU stands in its script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mock) enum Standing {
    /// It plays.
    Playing,
    /// It needs so many signals of this name.
    Waiting(String, u64),
    /// Its script is over.
    Halted,
}

/// What becomes of a vCPU that cannot go on by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mock) enum Parked {
    /// What it waits for has been signalled already.
    Over,
    /// Another vCPU may still signal it.
    Rest,
    /// Every vCPU has come to its end.
    AllHalted,
    /// Every vCPU waits for another one.
    Stuck(String),
}

impl Barriers {
    pub(super) fn new(vcpus: u32) -> Self {
        Self {
            signals: BTreeMap::new(),
            standing: (0..vcpus).map(|_| Standing::Playing).collect(),
        }
    }

    pub(super) fn signal(&mut self, name: &str) {
        let count = self.signals.entry(name.to_owned()).or_default();
        *count += 1;
    }

    /// Takes down where a vCPU stands. That all stand still is said once, to the last of them.
    pub(super) fn park(&mut self, vcpu: u32, standing: Standing) -> Parked {
        let over = !self.is_still(&standing);
        let next = if over { Standing::Playing } else { standing };
        let at = usize::try_from(vcpu).unwrap_or(usize::MAX);
        let before = self
            .standing
            .get_mut(at)
            .map(|place| replace(place, next.clone()));
        if over {
            Parked::Over
        } else if before == Some(next) || self.standing.iter().any(|other| !self.is_still(other)) {
            Parked::Rest
        } else if self.standing.iter().all(|other| *other == Standing::Halted) {
            Parked::AllHalted
        } else {
            Parked::Stuck(self.who_waits())
        }
    }

    /// Whether there have been so many signals of this name.
    pub(in crate::mock) fn signalled(&self, name: &str, count: u64) -> bool {
        self.signals.get(name).is_some_and(|known| *known >= count)
    }

    /// Whether a vCPU that stands so cannot go on by itself.
    fn is_still(&self, standing: &Standing) -> bool {
        match standing {
            Standing::Playing => false,
            Standing::Waiting(name, count) => !self.signalled(name, *count),
            Standing::Halted => true,
        }
    }

    fn who_waits(&self) -> String {
        let waiting =
            self.standing
                .iter()
                .enumerate()
                .filter_map(|(vcpu, standing)| match standing {
                    Standing::Waiting(name, _) => Some(format!("vCPU {vcpu} for `{name}`")),
                    Standing::Playing | Standing::Halted => None,
                });
        waiting.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str, count: u64) -> Standing {
        Standing::Waiting(name.to_owned(), count)
    }

    #[test]
    fn the_nth_wait_is_over_after_the_nth_signal() {
        let mut barriers = Barriers::new(2);
        assert_eq!(barriers.park(0, waiting("a", 1)), Parked::Rest);
        barriers.signal("a");
        assert_eq!(barriers.park(0, waiting("a", 1)), Parked::Over);
        assert_eq!(barriers.park(0, waiting("a", 2)), Parked::Rest);
        assert_eq!(
            barriers.park(1, waiting("a", 1)),
            Parked::Over,
            "for each vCPU"
        );
    }

    #[test]
    fn a_vcpu_whose_wait_is_over_is_not_still_even_before_it_knows() {
        let mut barriers = Barriers::new(2);
        barriers.park(0, waiting("a", 1));
        barriers.signal("a");
        assert_eq!(barriers.park(1, Standing::Halted), Parked::Rest);
    }

    #[test]
    fn those_who_wait_for_each_other_are_named() {
        let mut barriers = Barriers::new(3);
        assert_eq!(barriers.park(0, Standing::Halted), Parked::Rest);
        assert_eq!(barriers.park(1, waiting("a", 1)), Parked::Rest);
        let stuck = "vCPU 1 for `a`, vCPU 2 for `b`".to_owned();
        assert_eq!(barriers.park(2, waiting("b", 1)), Parked::Stuck(stuck));
    }

    #[test]
    fn a_world_in_which_all_have_halted_is_at_its_end() {
        let mut barriers = Barriers::new(2);
        assert_eq!(barriers.park(1, Standing::Halted), Parked::Rest);
        assert_eq!(barriers.park(0, Standing::Halted), Parked::AllHalted);
        assert_eq!(
            barriers.park(1, Standing::Halted),
            Parked::Rest,
            "said once"
        );
    }
}
