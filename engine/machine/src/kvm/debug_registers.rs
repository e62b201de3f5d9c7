//! Hardware points as KVM loads them into debug registers (SDM vol. 3, section 18.2; KVM API,
//! 4.87). The guest's own registers are KVM's to keep meanwhile.

use oriel_protocol::{Access, HardwarePoint};

use super::exit::DebugExit;

/// DR7 without a point: bit 10 is fixed, and bit 9 asks for exact data breakpoints.
const NONE: u64 = 0x600;

/// What each of DR0 to DR3 watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DebugRegisters([Option<HardwarePoint>; HardwarePoint::MOST]);

impl DebugRegisters {
    /// Has these points, of which there is room for all.
    pub(super) fn of(points: impl IntoIterator<Item = HardwarePoint>) -> Self {
        let mut registers = Self::default();
        registers
            .0
            .iter_mut()
            .zip(points)
            .for_each(|(register, point)| *register = Some(point));
        registers
    }

    /// Whether nothing is watched.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// DR0 to DR7 as KVM takes them.
    pub(super) fn values(&self) -> [u64; 8] {
        let mut values = [0; 8];
        values[7] = NONE;
        for (at, point) in self.points() {
            values[at] = point.gva();
            values[7] |= control(point) << (16 + 4 * at) | 1 << (2 * at + 1);
        }
        values
    }

    /// The points that this exit says were met. Of two that watch the same bytes, the one that
    /// says more of the access stands for both.
    pub(super) fn met(&self, exit: DebugExit) -> Vec<HardwarePoint> {
        let met = self.points().filter(|(at, _)| exit.dr6 & 1 << at != 0);
        let met: Vec<_> = met.map(|(_, point)| point).collect();
        let says_more = |of: &HardwarePoint| {
            let writes = HardwarePoint::new(of.gva(), of.length(), Access::WRITE);
            of.access() == HardwarePoint::READ_WRITE
                && met.iter().any(|other| Some(*other) == writes)
        };
        met.iter()
            .copied()
            .filter(|point| !says_more(point))
            .collect()
    }

    fn points(&self) -> impl Iterator<Item = (usize, HardwarePoint)> {
        let all = self.0.iter().copied().enumerate();
        all.filter_map(|(at, point)| Some((at, point?)))
    }
}

/// R/W and LEN of a point: what is watched for, and how many bytes (SDM vol. 3, section 18.2.4).
fn control(point: HardwarePoint) -> u64 {
    let watched_for = match point.access() {
        Access::WRITE => 0b01,
        HardwarePoint::READ_WRITE => 0b11,
        _ => 0b00,
    };
    let length = match point.length() {
        2 => 0b01,
        8 => 0b10,
        4 => 0b11,
        _ => 0b00,
    };
    length << 2 | watched_for
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(gva: u64, length: u8, access: Access) -> HardwarePoint {
        HardwarePoint::new(gva, length, access).unwrap()
    }

    fn exit(dr6: u64) -> DebugExit {
        DebugExit {
            exception: 1,
            pc: 0,
            dr6,
        }
    }

    #[test]
    fn each_register_has_its_own_bits_in_dr7() {
        let registers = DebugRegisters::of([
            HardwarePoint::execute(0xffff_ffff_8100_0001).unwrap(),
            watch(0x2000, 1, Access::WRITE),
            watch(0x3002, 2, HardwarePoint::READ_WRITE),
            watch(0x4008, 8, Access::WRITE),
        ]);
        // G0 to G3; R/W 00, 01, 11, 01; LEN 00, 00, 01, 10.
        let dr7 = 0x600 | 0xaa | 0b0001 << 20 | 0b0111 << 24 | 0b1001 << 28;
        assert_eq!(
            registers.values(),
            [0xffff_ffff_8100_0001, 0x2000, 0x3002, 0x4008, 0, 0, 0, dr7]
        );
        let long = DebugRegisters::of([watch(0x2004, 4, Access::WRITE)]);
        assert_eq!(long.values()[7], 0x600 | 0b10 | 0b1101 << 16);
        assert_eq!(DebugRegisters::default().values()[7], 0x600);
    }

    #[test]
    fn bits_of_dr6_name_points_and_bits_of_registers_that_watch_nothing_do_not() {
        let (first, second) = (
            HardwarePoint::execute(0x1000).unwrap(),
            watch(0x2000, 4, Access::WRITE),
        );
        let registers = DebugRegisters::of([first, second]);
        assert_eq!(registers.met(exit(0xffff_0ff1)), [first]);
        assert_eq!(registers.met(exit(0xffff_4ff2)), [second]);
        assert_eq!(registers.met(exit(0xffff_0fff)), [first, second]);
        assert_eq!(registers.met(exit(0xffff_4ff0)), []);
        assert_eq!(registers.met(exit(0xffff_0ffc)), []);
    }

    #[test]
    fn a_write_that_two_points_watch_for_is_met_once_and_a_read_is_not_a_write() {
        let writes = watch(0x2000, 4, Access::WRITE);
        let both = watch(0x2000, 4, HardwarePoint::READ_WRITE);
        let registers = DebugRegisters::of([both, writes]);
        assert_eq!(registers.met(exit(0b11)), [writes]);
        assert_eq!(registers.met(exit(0b01)), [both]);
    }
}
