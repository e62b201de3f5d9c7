//! One breakpoint of a judge, as it was placed, and which hits are its own.

use oriel_machine::Wants;
use oriel_protocol::{Access, Gpa, HardwarePoint, events::Breakpoint};

/// One breakpoint of a judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// An INT3 in RAM.
    Int3(Gpa),
    /// What debug registers watch.
    Hardware(HardwarePoint),
}

impl Placed {
    /// Whether this is what was hit. An INT3 is met by its guest-physical address, a hardware point
    /// by the linear one.
    pub fn is_met_by(&self, hit: &Breakpoint) -> bool {
        match self {
            Self::Int3(gpa) => hit.access == Access::EXECUTE && *gpa == hit.gpa,
            Self::Hardware(point) => {
                (point.gva(), point.length()) == (hit.gva, hit.length)
                    && point.access().contains(hit.access)
            }
        }
    }

    /// Adds it to what all want.
    pub fn add_to(&self, wants: &mut Wants) {
        match self {
            Self::Int3(gpa) => wants.breakpoints.push(*gpa),
            Self::Hardware(point) => wants.hardware.push(*point),
        }
    }
}
