//! What comes of `KVM_SET_GUEST_DEBUG`: breakpoints and single steps.

use super::{Mechanism, by, within};
use crate::kvm::{
    habits::Habits,
    pending::{BREAKPOINT_VERDICTS, STEP_VERDICTS},
};

/// Whether INT3s can be placed on a host of these habits.
///
/// # Errors
/// Why not.
pub(in crate::kvm) const fn int3s(habits: Habits) -> Result<(), &'static str> {
    match (habits.breaks, habits.steps) {
        (true, true) => Ok(()),
        (false, _) => Err("this KVM does not bring out an INT3"),
        (true, false) => Err("this KVM cannot step over an INT3"),
    }
}

/// Whether a debug register can watch for execution: to go on, its instruction is stepped.
///
/// # Errors
/// Why not.
pub(in crate::kvm) const fn code_points(habits: Habits) -> Result<(), &'static str> {
    match (habits.code_points, habits.steps) {
        (true, true) => Ok(()),
        (false, _) => Err("its hardware breakpoints do not fire"),
        (true, false) => Err("it cannot step over a hardware breakpoint"),
    }
}

pub(super) fn breakpoints(habits: Habits) -> Result<Mechanism, &'static str> {
    const INT3: &str = "INT3, over which reads show the original byte";
    const POINTS: &str = "four debug registers by KVM_SET_GUEST_DEBUG, which hide the guest's own while one is in use (#DBs by its DR7 then come only from code that KVM emulates)";
    const BOTH: &str = "INT3, over which reads show the original byte; four debug registers by KVM_SET_GUEST_DEBUG, which hide the guest's own while one is in use (#DBs by its DR7 then come only from code that KVM emulates)";
    let points = code_points(habits).is_ok() || habits.data_points;
    let how = match (int3s(habits), points) {
        (Ok(()), true) => BOTH,
        (Ok(()), false) => INT3,
        (Err(_), true) => POINTS,
        (Err(reason), false) => return Err(reason),
    };
    Ok(within(how, BREAKPOINT_VERDICTS, breakpoint_limits(habits)))
}

/// What of breakpoints is not to be had here.
fn breakpoint_limits(habits: Habits) -> Vec<&'static str> {
    let mut limits = Vec::new();
    match int3s(habits) {
        Err(reason) => limits.push(reason),
        Ok(()) if !habits.breaks_user || !habits.steps_user => limits.push("this KVM keeps INT3s of 64-bit user code and of real mode to the guest: its own handler runs, unseen"),
        Ok(()) => {}
    }
    match code_points(habits) {
        Err(reason) => limits.push(reason),
        Ok(()) if !habits.code_points_user => {
            limits.push("its hardware breakpoints do not fire in 64-bit user code");
        }
        Ok(()) => {}
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
