//! What a judge has armed one by one, perhaps by the thousand: breakpoints, hardware points and
//! pages.
//!
//! Copies share what they have (`shards`): a command changes a copy, while panels look at the
//! original.

use oriel_machine::Wants;
use oriel_protocol::{
    Access, Gpa, HardwarePoint, Refusal, commands::vm::PageRule, events::Breakpoint, page,
};

use super::{Placed, bounded, shards::Shards};

/// What a judge has armed one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// By their tags.
    breakpoints: Shards<u64, Placed>,
    /// The INT3s among them, with their tags, by where they are.
    int3s: Shards<(Gpa, u64), ()>,
    /// The hardware points among them.
    points: Shards<u64, HardwarePoint>,
    /// By their frames.
    pages: Shards<u64, PageRule>,
}

impl Places {
    /// Places a breakpoint; whether there was none of this tag.
    pub(super) fn set_breakpoint(&mut self, tag: u64, placed: Placed) -> Result<bool, Refusal> {
        if let Some(known) = self.breakpoints.get(&tag) {
            return if *known == placed {
                Ok(false)
            } else {
                Err(Refusal::Conflict)
            };
        }
        bounded(self.breakpoints.len())?;
        self.breakpoints.insert(tag, placed);
        match placed {
            Placed::Int3(gpa) => self.int3s.insert((gpa, tag), ()),
            Placed::Hardware(point) => self.points.insert(tag, point),
        }
        Ok(true)
    }

    pub(super) fn clear_breakpoint(&mut self, tag: u64) -> Option<Placed> {
        let placed = self.breakpoints.remove(&tag)?;
        match placed {
            Placed::Int3(gpa) => drop(self.int3s.remove(&(gpa, tag))),
            Placed::Hardware(_) => drop(self.points.remove(&tag)),
        }
        Some(placed)
    }

    /// The tags of the breakpoints, in order.
    pub(super) fn tags(&self) -> Vec<u64> {
        let mut tags: Vec<_> = self.breakpoints.iter().map(|(tag, _)| *tag).collect();
        tags.sort_unstable();
        tags
    }

    /// Says what goes through at a page; all three kinds of access end the trap.
    pub(super) fn set_page(&mut self, rule: PageRule) -> Result<(), Refusal> {
        let frame = page::frame(rule.gpa);
        if rule.allowed == Access::ALL {
            self.pages.remove(&frame);
            return Ok(());
        }
        if self.pages.get(&frame).is_none() {
            bounded(self.pages.len())?;
        }
        self.pages.insert(frame, rule);
        Ok(())
    }

    /// The rule for a frame, if there is one.
    pub(super) fn rule(&self, frame: u64) -> Option<&PageRule> {
        self.pages.get(&frame)
    }

    /// The lowest tag of what was hit. An INT3 is met by its guest-physical address, a hardware
    /// point by the linear one.
    pub(super) fn tag_of(&self, hit: &Breakpoint) -> Option<u64> {
        let here = (hit.gpa, 0)..=(hit.gpa, u64::MAX);
        let executed = hit.access == Access::EXECUTE;
        let int3 = executed.then(|| self.int3s.first(here)).flatten();
        let points = self.points.iter();
        let met = points.filter(|(_, point)| is_met_by(point, hit));
        let tags = int3.map(|(_, tag)| *tag).into_iter();
        tags.chain(met.map(|(tag, _)| *tag)).min()
    }

    /// Where INT3s are, once for each tag.
    pub(crate) fn int3s(&self) -> impl Iterator<Item = Gpa> {
        self.int3s.iter().map(|((gpa, _), ())| *gpa)
    }

    /// The frames that have a rule.
    pub(crate) fn frames(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().map(|(frame, _)| *frame)
    }

    /// Adds the hardware points to what all want.
    pub(super) fn add_points_to(&self, wants: &mut Wants) {
        let mut points: Vec<_> = self.points.iter().collect();
        points.sort_unstable_by_key(|(tag, _)| **tag);
        wants
            .hardware
            .extend(points.into_iter().map(|(_, point)| *point));
    }
}

fn is_met_by(point: &HardwarePoint, hit: &Breakpoint) -> bool {
    (point.gva(), point.length()) == (hit.gva, hit.length) && point.access().contains(hit.access)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int3(gpa: Gpa) -> Breakpoint {
        Breakpoint {
            gva: 0,
            gpa,
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        }
    }

    #[test]
    fn of_several_tags_at_one_address_the_lowest_is_told_as_long_as_it_is_there() {
        let mut places = Places::default();
        for tag in [9, 4, 7] {
            assert_eq!(places.set_breakpoint(tag, Placed::Int3(0x10)), Ok(true));
        }
        assert_eq!(places.set_breakpoint(4, Placed::Int3(0x10)), Ok(false));
        let told = [4, 7, 9].map(|tag| {
            let told = places.tag_of(&int3(0x10));
            places.clear_breakpoint(tag);
            told
        });
        assert_eq!(told, [Some(4), Some(7), Some(9)]);
        assert_eq!(places, Places::default());
    }

    #[test]
    fn a_change_of_a_copy_is_not_seen_in_the_original() {
        let mut original = Places::default();
        assert_eq!(original.set_breakpoint(1, Placed::Int3(0x10)), Ok(true));
        let mut copy = original.clone();
        copy.clear_breakpoint(1);
        assert_eq!(original.tag_of(&int3(0x10)), Some(1));
        assert_eq!(copy.tag_of(&int3(0x10)), None);
    }

    #[test]
    fn there_is_no_room_for_more_than_the_most_and_what_is_there_can_change() {
        let mut places = Places::default();
        for frame in 0..super::super::ARMED_MAX as u64 {
            let gpa = frame * page::PAGE_SIZE;
            let (allowed, tag) = (Access::READ, 1);
            assert_eq!(places.set_page(PageRule { gpa, allowed, tag }), Ok(()));
        }
        let rule = |gpa| PageRule {
            gpa,
            allowed: Access::NONE,
            tag: 2,
        };
        assert_eq!(places.set_page(rule(u64::MAX)), Err(Refusal::Limit));
        assert_eq!(places.set_page(rule(0)), Ok(()));
    }
}
