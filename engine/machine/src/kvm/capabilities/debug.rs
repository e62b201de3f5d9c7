//! What comes of `KVM_SET_GUEST_DEBUG`: breakpoints and single steps.

use super::{Mechanism, by, within};
use crate::kvm::{
    habits::Habits,
    pending::{BREAKPOINT_VERDICTS, STEP_VERDICTS},
};

pub(super) fn breakpoints(habits: Habits) -> Result<Mechanism, &'static str> {
    const INT3: &str = "INT3, over which reads show the original byte";
    const BOTH: &str = "INT3, over which reads show the original byte; four debug registers by KVM_SET_GUEST_DEBUG, which hide the guest's own while one is in use (#DBs by its DR7 then come only from code that KVM emulates)";
    if !habits.breaks {
        return Err("this KVM does not bring out an INT3");
    }
    if !habits.steps {
        return Err("this KVM cannot step over an INT3");
    }
    let points = habits.code_points || habits.data_points;
    let how = if points { BOTH } else { INT3 };
    Ok(within(how, BREAKPOINT_VERDICTS, breakpoint_limits(habits)))
}

/// What of breakpoints is not to be had here.
fn breakpoint_limits(habits: Habits) -> Vec<&'static str> {
    let mut limits = Vec::new();
    if !habits.breaks_user || !habits.steps_user {
        limits.push("this KVM keeps INT3s of 64-bit user code and of real mode to the guest: its own handler runs, unseen");
    }
    match (habits.code_points, habits.code_points_user) {
        (true, true) => {}
        (true, false) => limits.push("its hardware breakpoints do not fire in 64-bit user code"),
        (false, _) => limits.push("its hardware breakpoints do not fire"),
    }
    match (habits.data_points, habits.data_points_user) {
        (true, true) => {}
        (true, false) => limits.push("its watchpoints do not fire in 64-bit user code"),
        (false, _) => limits.push("its watchpoints do not fire: trap the page instead"),
    }
    limits
}

pub(super) fn steps(habits: Habits) -> Result<Mechanism, &'static str> {
    const HOW: &str = "KVM_GUESTDBG_SINGLESTEP with BLOCKIRQ";
    const HOW_OPEN: &str = "KVM_GUESTDBG_SINGLESTEP";
    if !habits.steps {
        return Err("this KVM does not stop after a stepped instruction");
    }
    let mut steps = by(HOW, STEP_VERDICTS);
    if !habits.steps_user {
        steps.limits.push("this KVM does not stop 64-bit user code");
    }
    if !habits.holds_interrupts {
        steps.how = HOW_OPEN;
        let open = "this kernel lacks KVM_GUESTDBG_BLOCKIRQ: interrupts are taken meanwhile";
        steps.limits.push(open);
    }
    Ok(steps)
}
