//! What one #DB is about: whose step or point it was, and what of it is the guest's own.
//!
//! ```text
//!   DR6   BT  BS  BD      B3 B2 B1 B0        (SDM vol. 3, section 18.2.3)
//!         │   │   │       └─ a point of ours, where we have one in that register
//!         │   └───┼───────── a step of ours, where we step; else the guest's
//!         └───────┴───────── the guest's
//! ```
//! VMX gives the cause of this one #DB, and SVM runs the vCPU with an empty DR6 meanwhile, so no
//! bit is of an earlier one.

use oriel_protocol::HardwarePoint;

use super::{debug_registers::DebugRegisters, exit::DebugExit};

/// DR6.B0 to B3.
pub(super) const MET: u64 = 0xf;
/// DR6.BD.
pub(super) const DETECTED: u64 = 1 << 13;
/// DR6.BT.
const TASK_SWITCH: u64 = 1 << 15;

/// What one #DB is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Causes {
    /// The points of ours that were met.
    pub(super) met: Vec<HardwarePoint>,
    /// An instruction that we stepped is over.
    pub(super) stepped: bool,
    /// The guest takes a #DB too, with these bits in DR6.
    pub(super) own: Option<u64>,
}

impl Causes {
    /// What an exit says, of a vCPU that had these registers and was stepped or not.
    pub(super) fn of(exit: DebugExit, registers: &DebugRegisters, steps: bool) -> Self {
        let (mut met, stepped) = (registers.met(exit), steps && exit.is_step());
        let step = if stepped { 0 } else { DebugExit::SINGLE_STEP };
        let others = exit.dr6 & (DETECTED | TASK_SWITCH | step);
        let ours = stepped || !met.is_empty();
        // With no cause at all it is INT1's.
        let own = (others != 0 || !ours).then_some(others);
        if own.is_some() {
            // Its handler goes first; behind that the instruction is reached again.
            met.retain(|point| !point.executes());
        }
        Self { met, stepped, own }
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::Access;

    use super::*;

    /// The bits of DR6 that are always set.
    const FIXED: u64 = 0xffff_0ff0;
    const BS: u64 = DebugExit::SINGLE_STEP;

    fn points() -> [HardwarePoint; 2] {
        let code = HardwarePoint::execute(0x1000).unwrap();
        [code, HardwarePoint::new(0x2000, 8, Access::WRITE).unwrap()]
    }

    fn causes(dr6: u64, steps: bool) -> (Vec<HardwarePoint>, bool, Option<u64>) {
        let exit = DebugExit {
            exception: 1,
            pc: 0x1000,
            dr6: FIXED | dr6,
        };
        let Causes { met, stepped, own } = Causes::of(exit, &DebugRegisters::of(points()), steps);
        (met, stepped, own)
    }

    #[test]
    fn a_step_and_what_was_met_on_it_are_all_ours() {
        let [code, data] = points();
        assert_eq!(causes(1, false), (vec![code], false, None));
        assert_eq!(
            causes(1, true),
            (vec![code], false, None),
            "before it is stepped"
        );
        assert_eq!(causes(BS, true), (vec![], true, None));
        assert_eq!(causes(BS | 2, true), (vec![data], true, None));
        assert_eq!(causes(BS | 3, true), (vec![code, data], true, None));
    }

    #[test]
    fn a_trap_flag_of_the_guests_own_is_given_back() {
        let [_, data] = points();
        assert_eq!(causes(BS, false), (vec![], false, Some(BS)));
        assert_eq!(
            causes(BS | 2, false),
            (vec![data], false, Some(BS)),
            "its access was watched for all the same"
        );
        assert_eq!(
            causes(BS | 1, false),
            (vec![], false, Some(BS)),
            "the code is reached again behind its handler"
        );
    }

    #[test]
    fn what_only_the_guest_can_have_done_is_given_back_with_its_bits() {
        for bits in [DETECTED, TASK_SWITCH, DETECTED | TASK_SWITCH] {
            assert_eq!(causes(bits, true), (vec![], false, Some(bits)));
        }
        assert_eq!(causes(0, true), (vec![], false, Some(0)), "INT1");
        assert_eq!(
            causes(0xc, false),
            (vec![], false, Some(0)),
            "empty registers"
        );
    }
}
