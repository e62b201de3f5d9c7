//! What is wanted, in the form in which vCPUs ask for it.
//!
//! A managed breakpoint is an address in here and not a byte in memory, which is all that the
//! overlay of a real machine pretends: reads and the guest itself see the original byte, a write
//! goes to it, and stepping over runs it.

use oriel_protocol::{
    Access, EventData, EventKind, Gpa, Gva, HardwarePoint,
    events::{Breakpoint, Page},
    page::frame,
};

use crate::{ArmError, Wants, points};

/// The union of what all judges want.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Armed {
    wants: Wants,
    /// What debug registers watch, each once.
    hardware: Vec<HardwarePoint>,
    /// Fetching an instruction can be an event, so each one's address must be known.
    watches_code: bool,
}

impl Armed {
    /// # Errors
    /// [`ArmError::Unsupported`] names what this machine does not have, [`ArmError::Full`] what it
    /// has not enough of.
    pub(super) fn new(
        wants: &Wants,
        vcpus: u32,
        ram_end: Gpa,
        before: &Self,
    ) -> Result<Self, ArmError> {
        if let Some(gpa) = wants.breakpoints.iter().find(|gpa| **gpa >= ram_end) {
            return Err(absent(
                format!("a breakpoint at {gpa:#x}"),
                "no RAM is there",
            ));
        }
        if let Some(vcpu) = wants.singlestep.iter().find(|vcpu| **vcpu >= vcpus) {
            return Err(absent(
                format!("single-step of vCPU {vcpu}"),
                "there is no such vCPU",
            ));
        }
        let fetches = wants
            .pages
            .values()
            .any(|allowed| !allowed.contains(Access::EXECUTE));
        let hardware = points::fit(&wants.hardware, &before.hardware)?;
        let stops = !wants.breakpoints.is_empty() || hardware.iter().any(|point| point.executes());
        Ok(Self {
            watches_code: stops || fetches,
            hardware,
            wants: wants.clone(),
        })
    }

    /// Whether fetching an instruction can be an event.
    pub(super) const fn watches_code(&self) -> bool {
        self.watches_code
    }

    /// Whether this vCPU is stepped.
    pub(super) fn steps(&self, vcpu: u32) -> bool {
        self.wants.kind(EventKind::Singlestep) && self.wants.singlestep.contains(&vcpu)
    }

    /// Whether an event that tells this is to be reported.
    #[inline]
    pub(super) fn reports(&self, data: &EventData) -> bool {
        self.wants.kind(data.kind()) && self.meets(data)
    }

    fn meets(&self, data: &EventData) -> bool {
        let wants = &self.wants;
        match data {
            EventData::Cr(it) => it.old != it.new && wants.crs.contains(u64::from(it.cr)),
            EventData::Msr(it) => wants.msr_writes.contains(u64::from(it.msr)),
            EventData::MsrRead(it) => wants.msr_reads.contains(u64::from(it.msr)),
            EventData::Pio(it) if it.write => wants.pio_writes.contains(u64::from(it.port)),
            EventData::Pio(it) => wants.pio_reads.contains(u64::from(it.port)),
            EventData::Mmio(it) if it.write => wants.mmio_writes.contains(it.gpa),
            EventData::Mmio(it) => wants.mmio_reads.contains(it.gpa),
            EventData::Breakpoint(it) if it.access != Access::EXECUTE => true,
            EventData::Breakpoint(it) => !it.managed || self.breaks(it),
            EventData::Page(it) => self.forbids(it),
            EventData::Xsetbv(_) | EventData::Hypercall(_) | EventData::Descriptor(_) => true,
            EventData::Cpuid(_) | EventData::Trap(_) | EventData::Singlestep(_) => true,
            EventData::CreateVcpu(_) | EventData::Pause(_) | EventData::Unhook(_) => true,
            EventData::Reset(_) | EventData::Shutdown(_) => true,
            EventData::CommandError(_) => false,
        }
    }

    fn breaks(&self, at: &Breakpoint) -> bool {
        let point = HardwarePoint::execute(at.gva);
        self.wants.breakpoints.contains(&at.gpa)
            || self.hardware.iter().any(|armed| Some(*armed) == point)
    }

    /// The points that an access to so many bytes meets. Of two that watch the same bytes, the one
    /// that says more of the access stands for both.
    pub(super) fn watched(&self, access: Access, gva: Gva, size: u8) -> Vec<HardwarePoint> {
        let mut met: Vec<HardwarePoint> = Vec::new();
        let watching = self.hardware.iter().filter(|point| !point.executes());
        for point in watching.filter(|point| point.is_met_by(access, gva, size.into())) {
            let same = |other: &&mut HardwarePoint| {
                (other.gva(), other.length()) == (point.gva(), point.length())
            };
            match met.iter_mut().find(same) {
                Some(other) if point.access() == Access::WRITE => *other = *point,
                Some(_) => {}
                None => met.push(*point),
            }
        }
        met
    }

    /// Whether any debug register is in use.
    #[inline]
    pub(super) const fn has_points(&self) -> bool {
        !self.hardware.is_empty()
    }

    fn forbids(&self, touch: &Page) -> bool {
        self.traps(touch.gpa, touch.access)
    }

    /// Whether these kinds of access are trapped at an address.
    pub(super) fn traps(&self, gpa: Gpa, access: Access) -> bool {
        let allowed = self.wants.pages.get(&frame(gpa));
        allowed.is_some_and(|allowed| !allowed.contains(access))
    }
}

fn absent(what: String, reason: &str) -> ArmError {
    ArmError::Unsupported {
        what,
        reason: reason.to_owned(),
    }
}
