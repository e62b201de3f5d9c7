//! The union of what all judges hold, kept by the difference: how many hold an INT3 is counted, and
//! of a page only what was touched is added up again.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    mem::take,
    sync::Arc,
};

use oriel_machine::{Changed, Wants};
use oriel_protocol::{Access, Gpa};

use super::draft::Trail;
use crate::holdings::Holdings;

/// What all judges hold together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Union {
    wants: Wants,
    /// How many tags, of all judges, an INT3 has.
    held: BTreeMap<Gpa, usize>,
}

impl Union {
    /// Added up from the start.
    pub(super) fn of(all: &[Arc<Holdings>]) -> Self {
        let mut union = Self {
            wants: rest(all),
            ..Self::default()
        };
        for one in all {
            one.int3s().for_each(|gpa| union.hold(gpa));
            for frame in one.frames() {
                union.trap(frame, all);
            }
        }
        union
    }

    /// What the machine is to report.
    pub(super) const fn wants(&self) -> &Wants {
        &self.wants
    }

    /// Takes in what one of them has changed, with everybody's holdings as they are now. Says what of
    /// the wants is another now, where it is INT3s and pages only.
    pub(super) fn take_in(&mut self, trail: &Trail, all: &[Arc<Holdings>]) -> Option<Changed> {
        if trail.all {
            *self = Self::of(all);
            return None;
        }
        let changed = Changed {
            breakpoints: self.count(&trail.int3s),
            frames: trail
                .frames
                .iter()
                .copied()
                .filter(|frame| self.trap(*frame, all))
                .collect(),
        };
        if trail.rest {
            self.wants = Wants {
                breakpoints: take(&mut self.wants.breakpoints),
                pages: take(&mut self.wants.pages),
                ..rest(all)
            };
            return None;
        }
        Some(changed)
    }

    /// Counts them; where there is one now, or none any more.
    fn count(&mut self, int3s: &[(Gpa, bool)]) -> BTreeSet<Gpa> {
        let touched = int3s.iter().map(|(gpa, _)| *gpa);
        let was = |gpa: &Gpa| self.wants.breakpoints.contains(gpa);
        let before: BTreeMap<Gpa, bool> = touched.map(|gpa| (gpa, was(&gpa))).collect();
        for (gpa, there) in int3s {
            match there {
                true => self.hold(*gpa),
                false => self.let_go(*gpa),
            }
        }
        let moved = before
            .iter()
            .filter(|(gpa, was)| self.wants.breakpoints.contains(gpa) != **was);
        moved.map(|(gpa, _)| *gpa).collect()
    }

    fn hold(&mut self, gpa: Gpa) {
        *self.held.entry(gpa).or_default() += 1;
        self.wants.breakpoints.insert(gpa);
    }

    fn let_go(&mut self, gpa: Gpa) {
        let Entry::Occupied(mut held) = self.held.entry(gpa) else {
            return;
        };
        *held.get_mut() -= 1;
        if *held.get() == 0 {
            held.remove();
            self.wants.breakpoints.remove(&gpa);
        }
    }

    /// Adds up what goes through at a frame; whether that is another than before.
    fn trap(&mut self, frame: u64, all: &[Arc<Holdings>]) -> bool {
        let rules = all.iter().filter_map(|one| one.allowed(frame));
        let pages = &mut self.wants.pages;
        let before = match rules.reduce(Access::intersection) {
            Some(allowed) => pages.insert(frame, allowed),
            None => pages.remove(&frame),
        };
        before != pages.get(&frame).copied()
    }
}

/// What all want but for INT3s and pages.
fn rest(all: &[Arc<Holdings>]) -> Wants {
    let mut wants = Wants::default();
    all.iter().for_each(|one| one.add_rest_to(&mut wants));
    wants.singlestep.sort_unstable();
    wants.singlestep.dedup();
    wants
}

#[cfg(test)]
mod tests;
