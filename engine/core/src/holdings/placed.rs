//! One breakpoint of a judge, as it was placed.

use oriel_protocol::{Gpa, HardwarePoint};

/// One breakpoint of a judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// An INT3 in RAM.
    Int3(Gpa),
    /// What debug registers watch.
    Hardware(HardwarePoint),
}
