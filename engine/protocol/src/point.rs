//! Hardware points: addresses that the processor's debug registers watch. Says what one is; arms
//! nothing.

use crate::{Access, Gva};

/// An address that a debug register watches, on every vCPU of a VM (SDM vol. 3, section 18.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwarePoint {
    gva: Gva,
    length: u8,
    access: Access,
}

impl HardwarePoint {
    /// The most that a VM has at a time: DR0 to DR3.
    pub const MOST: usize = 4;

    /// What a processor can watch for besides execution. One that only reads cannot be told from
    /// one that does both.
    pub const READ_WRITE: Access = Access::READ.union(Access::WRITE);

    /// A point at a linear address that a processor can watch: execution is watched for by one
    /// byte; writes, or reads and writes, by 1, 2, 4 or 8 bytes at a multiple of their number. The
    /// address is canonical with 48 or 57 bits.
    pub fn new(gva: Gva, length: u8, access: Access) -> Option<Self> {
        let fits = match access {
            Access::EXECUTE => length == 1,
            Access::WRITE | Self::READ_WRITE => matches!(length, 1 | 2 | 4 | 8),
            _ => false,
        };
        let aligned = fits && gva.is_multiple_of(length.into());
        (aligned && is_canonical(gva)).then_some(Self {
            gva,
            length,
            access,
        })
    }

    /// A point that is met before the instruction at this address runs.
    pub fn execute(gva: Gva) -> Option<Self> {
        Self::new(gva, 1, Access::EXECUTE)
    }

    /// The linear address.
    pub const fn gva(self) -> Gva {
        self.gva
    }

    /// Bytes: 1, 2, 4 or 8.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// What it watches for: execution, writes, or reads and writes.
    pub const fn access(self) -> Access {
        self.access
    }

    /// Whether it is met before an instruction, not behind an access.
    pub const fn executes(self) -> bool {
        self.access.contains(Access::EXECUTE)
    }

    /// Whether it is met by an access to so many bytes.
    pub fn is_met_by(self, access: Access, gva: Gva, length: u64) -> bool {
        let behind = |first: Gva, length: u64| u128::from(first) + u128::from(length);
        self.access.intersects(access)
            && u128::from(gva) < behind(self.gva, self.length.into())
            && u128::from(self.gva) < behind(gva, length)
    }
}

/// Whether bits 56 to 63 are alike, as five-level paging has it. Whether four-level paging is in
/// force changes with the guest.
const fn is_canonical(gva: Gva) -> bool {
    let top = gva.cast_signed() >> 56;
    top == 0 || top == -1
}

#[cfg(test)]
mod tests {
    use super::*;

    const RW: Access = HardwarePoint::READ_WRITE;

    #[test]
    fn a_point_is_what_a_debug_register_can_watch() {
        for (gva, length, access, fits) in [
            (0x1001, 1, Access::EXECUTE, true),
            (0x1000, 2, Access::EXECUTE, false),
            (0x1000, 8, Access::WRITE, true),
            (0x1004, 8, Access::WRITE, false),
            (0x1004, 4, RW, true),
            (0x1002, 3, RW, false),
            (0x1000, 0, Access::WRITE, false),
            (0x1000, 1, Access::READ, false),
            (0x1000, 1, Access::ALL, false),
            (0x1000, 1, Access::NONE, false),
            (0xffff_ffff_8100_0000, 1, Access::EXECUTE, true),
            (0x00ff_0000_0000_0000, 1, Access::EXECUTE, true),
            (0x0100_0000_0000_0000, 1, Access::EXECUTE, false),
        ] {
            let point = HardwarePoint::new(gva, length, access);
            assert_eq!(point.is_some(), fits, "{gva:#x} {length} {access:?}");
        }
    }

    #[test]
    fn any_byte_that_is_shared_meets_it() {
        let point = HardwarePoint::new(0x1004, 4, Access::WRITE).unwrap();
        for (gva, length, met) in [
            (0x1000, 4, false),
            (0x1000, 5, true),
            (0x1007, 1, true),
            (0x1008, 8, false),
            (u64::MAX, 8, false),
        ] {
            assert_eq!(
                point.is_met_by(Access::WRITE, gva, length),
                met,
                "{gva:#x} {length}"
            );
        }
        assert!(!point.is_met_by(Access::READ, 0x1004, 4));
    }
}
