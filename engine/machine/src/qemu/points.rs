//! What the stub stops at, and for whom: managed breakpoints with the virtual addresses that they
//! were found at, hardware points, vCPUs that are stepped. Speaks to nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use oriel_protocol::{Gpa, Gva, HardwarePoint};

use super::gdb::Point;
use crate::Wants;

/// The bytes under breakpoints that QEMU keeps in guest memory: under KVM it writes INT3s there.
#[derive(Debug, Default)]
pub(super) struct Originals(RwLock<BTreeMap<Gpa, u8>>);

impl Originals {
    pub(super) fn insert(&self, gpa: Gpa, byte: u8) {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        bytes.insert(gpa, byte);
    }

    pub(super) fn remove(&self, gpa: Gpa) {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        bytes.remove(&gpa);
    }

    /// Lays them over what was read from `gpa` on.
    pub(super) fn lay_over(&self, gpa: Gpa, read: &mut [u8]) {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let end = gpa.saturating_add(read.len() as u64);
        for (at, byte) in bytes.range(gpa..end) {
            let offset = usize::try_from(at - gpa).unwrap_or(usize::MAX);
            if let Some(place) = read.get_mut(offset) {
                *place = *byte;
            }
        }
    }

    /// Which of them lie in a range.
    pub(super) fn within(&self, gpa: Gpa, length: u64) -> Vec<Gpa> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let range = bytes.range(gpa..gpa.saturating_add(length));
        range.map(|(at, _)| *at).collect()
    }
}

/// What is armed.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// What all judges want together.
    pub(super) wants: Wants,
    /// Managed breakpoints, with the virtual addresses that the stub stops at.
    pub(super) managed: BTreeMap<Gpa, BTreeSet<Gva>>,
    pub(super) hardware: Vec<HardwarePoint>,
    /// The bytes that QEMU's own INT3s hide.
    pub(super) originals: Arc<Originals>,
}

/// What a new union changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) gone: Vec<Gpa>,
    pub(super) new: BTreeSet<Gpa>,
    pub(super) points_gone: Vec<HardwarePoint>,
    pub(super) points_new: Vec<HardwarePoint>,
}

impl Points {
    /// What is to be done to have this armed.
    pub(super) fn difference(&self, wants: &Wants, hardware: &[HardwarePoint]) -> Difference {
        let wanted = &wants.breakpoints;
        let placed = self.managed.keys().copied();
        Difference {
            gone: placed.filter(|gpa| !wanted.contains(gpa)).collect(),
            new: wanted
                .iter()
                .copied()
                .filter(|gpa| !self.managed.contains_key(gpa))
                .collect(),
            points_gone: without(&self.hardware, hardware),
            points_new: without(hardware, &self.hardware),
        }
    }

    /// The virtual addresses that nothing but these breakpoints are at.
    pub(super) fn addresses_of(&self, gone: &[Gpa]) -> BTreeSet<Gva> {
        let (gone, stays): (Vec<_>, Vec<_>) =
            self.managed.iter().partition(|(gpa, _)| gone.contains(gpa));
        let stays: BTreeSet<_> = stays.iter().flat_map(|(_, gvas)| gvas.iter()).collect();
        let gone = gone.iter().flat_map(|(_, gvas)| gvas.iter());
        gone.filter(|gva| !stays.contains(gva)).copied().collect()
    }

    /// Everything that the stub stops at.
    pub(super) fn all(&self) -> Vec<Point> {
        let software: BTreeSet<Gva> = self.managed.values().flatten().copied().collect();
        let software = software.into_iter().map(Point::Software);
        let hardware = self.hardware.iter().copied().map(Point::Hardware);
        software.chain(hardware).collect()
    }

    /// What the stub stops at before the instruction at this address.
    pub(super) fn at(&self, gva: Gva) -> Vec<Point> {
        let is_there = |point: &Point| match point {
            Point::Software(at) => *at == gva,
            Point::Hardware(point) => point.executes() && point.gva() == gva,
        };
        self.all().into_iter().filter(is_there).collect()
    }
}

fn without(all: &[HardwarePoint], these: &[HardwarePoint]) -> Vec<HardwarePoint> {
    let left = all.iter().filter(|point| !these.contains(point));
    left.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_done() {
        let point = HardwarePoint::execute(0x10).unwrap();
        let points = Points {
            managed: BTreeMap::from([
                (1, BTreeSet::from([0x1001])),
                (2, BTreeSet::from([0x1001, 0x2002])),
            ]),
            hardware: vec![point],
            ..Points::default()
        };
        let wants = Wants {
            breakpoints: BTreeSet::from([1, 3]),
            ..Wants::default()
        };
        let expected = Difference {
            gone: vec![2],
            new: BTreeSet::from([3]),
            points_gone: vec![point],
            points_new: vec![],
        };
        assert_eq!(points.difference(&wants, &[]), expected);
        assert_eq!(points.addresses_of(&[2]), BTreeSet::from([0x2002]));
        assert_eq!(points.at(0x10), [Point::Hardware(point)]);
        assert_eq!(points.all().len(), 3);
    }

    #[test]
    fn hidden_bytes_show_through() {
        let originals = Originals::default();
        originals.insert(0x12, 0x55);
        let mut read = [0xcc; 4];
        originals.lay_over(0x10, &mut read);
        assert_eq!(read, [0xcc, 0xcc, 0x55, 0xcc]);
        assert!(originals.within(0x10, 2).is_empty());
        assert_eq!(originals.within(0x10, 3), [0x12]);
        originals.remove(0x12);
        assert!(originals.within(0, u64::MAX).is_empty());
    }
}
