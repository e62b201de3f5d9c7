//! What is to be reported: the union of what all judges want, as the engine hands it to a machine.

use std::{collections::BTreeMap, ops::RangeInclusive};

use oriel_protocol::{Access, EventKind, EventSet, Gpa, HardwarePoint};

/// Everything that is to be reported, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The kinds somebody listens to.
    pub events: EventSet,
    /// Control registers whose changes are reported: 0, 3, 4.
    pub crs: Ranges<u64>,
    /// MSRs whose writes are reported.
    pub msr_writes: Ranges<u64>,
    /// MSRs whose reads are reported.
    pub msr_reads: Ranges<u64>,
    /// Ports whose input is reported.
    pub pio_reads: Ranges<u64>,
    /// Ports whose output is reported.
    pub pio_writes: Ranges<u64>,
    /// Guest-physical addresses outside RAM whose loads are reported.
    pub mmio_reads: Ranges<u64>,
    /// Guest-physical addresses outside RAM whose stores are reported.
    pub mmio_writes: Ranges<u64>,
    /// Managed breakpoints.
    pub breakpoints: Vec<Gpa>,
    /// What the debug registers of every vCPU watch: at most [`HardwarePoint::MOST`] different
    /// ones.
    pub hardware: Vec<HardwarePoint>,
    /// For a page frame: what goes through without an event.
    pub pages: BTreeMap<u64, Access>,
    /// vCPUs that are stepped.
    pub singlestep: Vec<u32>,
}

impl Wants {
    /// Whether this kind is wanted at all.
    pub fn kind(&self, kind: EventKind) -> bool {
        self.events.contains(kind)
    }
}

/// A set of numbers as sorted ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges<T>(Vec<RangeInclusive<T>>);

impl Ranges<u64> {
    /// No number.
    pub const NONE: Self = Self(Vec::new());

    /// Every number.
    pub fn all() -> Self {
        Self(vec![0..=u64::MAX])
    }

    /// Puts a range into the set; an empty one changes nothing.
    pub fn insert(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut first, mut last) = range.into_inner();
        self.0.retain(|known| {
            let apart =
                known.end().saturating_add(1) < first || last.saturating_add(1) < *known.start();
            if !apart {
                first = first.min(*known.start());
                last = last.max(*known.end());
            }
            apart
        });
        let at = self.0.partition_point(|known| *known.start() < first);
        self.0.insert(at, first..=last);
    }

    /// Whether the number is in it.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|known| *known.end() < number);
        self.0.get(at).is_some_and(|known| known.contains(&number))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.0.iter()
    }

    /// Puts another set into this one.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|range| self.insert(range.clone()));
    }
}

impl FromIterator<RangeInclusive<u64>> for Ranges<u64> {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut set = Self::NONE;
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_holds_what_its_ranges_hold(
            ranges in proptest::collection::vec((0u64..64, 0u64..64), 0..12),
            number in 0u64..66,
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(first, last)| first..=last).collect();
            let set: Ranges<u64> = ranges.iter().cloned().collect();
            prop_assert_eq!(set.contains(number), ranges.iter().any(|range| range.contains(&number)));
            let parts: Vec<_> = set.iter().collect();
            prop_assert!(parts.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
        }
    }

    #[test]
    fn all_numbers_are_one_range() {
        let mut set = Ranges::all();
        set.insert(5..=9);
        set.insert(0..=u64::MAX);
        assert_eq!(set, Ranges::all());
        assert!(set.contains(u64::MAX));
    }
}
