//! Which events are a policy's business by what it has armed while the guest ran.

use oriel_protocol::{
    Access, Event, EventData, EventKind,
    events::{Breakpoint, Page},
};

use crate::testing::engine::{Armed, Placed};

impl Armed {
    /// Whether it has asked for this control register or MSR.
    pub(super) fn asks_for(&self, vcpu: u32, event: &Event) -> bool {
        if let EventData::Cr(it) = event.data {
            return self.crs.contains(&(vcpu, it.cr));
        }
        if let EventData::Msr(it) = event.data {
            return self.msrs.contains(&(vcpu, it.msr));
        }
        false
    }

    /// The policy's own name for what was hit. None: it is none of its business.
    pub(super) fn tag(&self, vcpu: u32, event: &Event) -> Option<u64> {
        if let EventData::Breakpoint(hit) = &event.data
            && hit.managed
        {
            return self.breakpoint(hit);
        }
        if let EventData::Page(touch) = &event.data {
            return self.page(touch);
        }
        let stepped = event.kind() != EventKind::Singlestep || self.steps.contains(&vcpu);
        stepped.then_some(0)
    }

    fn breakpoint(&self, hit: &Breakpoint) -> Option<u64> {
        let mut placed = self.placed.iter();
        placed
            .find(|(_, placed)| placed.is_met_by(hit))
            .map(|(tag, _)| *tag)
    }

    fn page(&self, touch: &Page) -> Option<u64> {
        let (allowed, tag) = self.pages.get(&(touch.gpa / 4096))?;
        (!Access::from(*allowed).contains(touch.access)).then_some(*tag)
    }
}

impl Placed {
    fn is_met_by(self, hit: &Breakpoint) -> bool {
        match self {
            Self::Code(gpa) => hit.access == Access::EXECUTE && gpa == hit.gpa,
            Self::Point(gva, length, on) => {
                (gva, length) == (hit.gva, hit.length) && Access::from(on).contains(hit.access)
            }
        }
    }
}
