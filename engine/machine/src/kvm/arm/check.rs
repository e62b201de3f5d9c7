//! Whether what is wanted can be had, before anything is changed.

use oriel_protocol::{EventKind, HardwarePoint, page::PAGE_SIZE};

use super::{super::capabilities, Arming, no_ram, unsupported};
use crate::{ArmError, GuestMemory as _, Wants, kvm::habits::Habits, points};

impl Arming {
    /// Everything that the difference between two wants may be of.
    pub(super) fn check(&self, wants: &Wants) -> Result<(), ArmError> {
        check_kinds(wants, self.habits)?;
        check_int3s(wants, self.habits)?;
        check_hardware(wants, self.habits)?;
        self.check_vcpus(wants)?;
        self.check_frames(wants.pages.keys().copied(), wants)?;
        self.check_memory(wants)
    }

    /// Every breakpoint needs memory to be in.
    pub(super) fn check_memory(&self, wants: &Wants) -> Result<(), ArmError> {
        let Some(first) = wants.breakpoints.first() else {
            return Ok(());
        };
        let Some(memory) = &self.memory else {
            return Err(unsupported(
                format!("a breakpoint at {first:#x}"),
                "the VMM has not given the guest's memory",
            ));
        };
        let mut all = wants.breakpoints.iter();
        let stranger = all.find(|gpa| !memory.covers(**gpa, 1));
        stranger.map_or(Ok(()), |gpa| Err(no_ram(*gpa)))
    }

    /// Every one of these frames that is to be trapped has to be RAM, which can be protected.
    pub(super) fn check_frames(
        &self,
        frames: impl Iterator<Item = u64>,
        wants: &Wants,
    ) -> Result<(), ArmError> {
        let mut trapped = frames
            .filter(|frame| wants.pages.contains_key(frame))
            .peekable();
        let Some(first) = trapped.peek() else {
            return Ok(());
        };
        let trap = |frame: &u64| format!("a trap at page frame {frame:#x}");
        let (Some(memory), Some(_)) = (&self.memory, &self.traps) else {
            return Err(unsupported(
                trap(first),
                "the VMM has not given the guest's memory, or who protects it",
            ));
        };
        let is_ram = |frame: u64| {
            frame
                .checked_mul(PAGE_SIZE)
                .is_some_and(|gpa| memory.covers(gpa, PAGE_SIZE))
        };
        match trapped.find(|frame| !is_ram(*frame)) {
            None => Ok(()),
            Some(frame) => Err(unsupported(trap(&frame), "no RAM is there")),
        }
    }

    /// Every vCPU that is to be stepped has to be one.
    fn check_vcpus(&self, wants: &Wants) -> Result<(), ArmError> {
        let stranger = wants.singlestep.iter().find(|vcpu| !self.seats.has(**vcpu));
        match stranger {
            None => Ok(()),
            Some(vcpu) => Err(unsupported(
                format!("single-step of vCPU {vcpu}"),
                "there is no such vCPU",
            )),
        }
    }
}

/// Every kind that is wanted has to be one that can be reported.
fn check_kinds(wants: &Wants, habits: Habits) -> Result<(), ArmError> {
    let asked = [
        (EventKind::Page, !wants.pages.is_empty()),
        (EventKind::Singlestep, !wants.singlestep.is_empty()),
    ];
    let kinds = asked
        .into_iter()
        .filter_map(|(kind, any)| any.then_some(kind));
    for kind in wants.events.iter().chain(kinds) {
        capabilities::mechanism(kind, habits)
            .map_err(|reason| unsupported(format!("`{}`", kind.name()), reason))?;
    }
    Ok(())
}

/// Breakpoints in memory need an INT3 that comes out and can be stepped over. Hardware points may be
/// had where these are not.
pub(super) fn check_int3s(wants: &Wants, habits: Habits) -> Result<(), ArmError> {
    let Some(first) = wants.breakpoints.first() else {
        return Ok(());
    };
    capabilities::int3s(habits)
        .map_err(|reason| unsupported(format!("an INT3 at {first:#x}"), reason))
}

/// Every hardware point has to be one that fires.
fn check_hardware(wants: &Wants, habits: Habits) -> Result<(), ArmError> {
    let check = |point: &HardwarePoint| {
        fires(point, habits).map_err(|reason| unsupported(points::words(point), reason))
    };
    wants.hardware.iter().try_for_each(check)
}

fn fires(point: &HardwarePoint, habits: Habits) -> Result<(), &'static str> {
    match point.executes() {
        true if !habits.code_points => Err("tried out, this KVM does not stop at one"),
        true => capabilities::code_points(habits),
        false if !habits.data_points => Err(
            "tried out, this KVM does not stop behind a watched access; trap the page instead (`page`)",
        ),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::Access;

    use super::*;

    fn wants(kind: EventKind) -> Wants {
        Wants {
            events: [kind].into_iter().collect(),
            ..Wants::default()
        }
    }

    #[test]
    fn what_cannot_be_reported_is_named_with_a_reason() {
        for kind in [EventKind::Cr, EventKind::Descriptor, EventKind::Cpuid] {
            let error = check_kinds(&wants(kind), Habits::VMX_AND_SVM)
                .unwrap_err()
                .to_string();
            assert!(error.contains(kind.name()), "{error}");
            assert!(error.len() > 40, "a reason is given: {error}");
        }
    }

    #[test]
    fn notices_are_the_engines_and_take_no_arming() {
        for kind in [EventKind::CreateVcpu, EventKind::Pause, EventKind::Unhook] {
            assert!(check_kinds(&wants(kind), Habits::VMX_AND_SVM).is_ok());
        }
    }

    #[test]
    fn hardware_points_are_had_where_int3s_do_not_come_out() {
        let unable = Habits {
            breaks: false,
            ..Habits::VMX_AND_SVM
        };
        let listens = wants(EventKind::Breakpoint);
        let hardware = Wants {
            hardware: vec![HardwarePoint::execute(0x1000).unwrap()],
            ..listens.clone()
        };
        let int3 = Wants {
            breakpoints: [0x2000].into(),
            ..listens
        };
        assert!(check_kinds(&hardware, unable).is_ok());
        assert!(
            check_int3s(&hardware, unable).is_ok() && check_hardware(&hardware, unable).is_ok()
        );
        let error = check_int3s(&int3, unable).unwrap_err().to_string();
        assert!(
            error.contains("0x2000") && error.contains("does not bring out"),
            "{error}"
        );
        assert!(check_int3s(&int3, Habits::VMX_AND_SVM).is_ok());
    }

    #[test]
    fn a_point_that_could_not_be_stepped_over_is_refused() {
        let unable = Habits {
            steps: false,
            ..Habits::VMX_AND_SVM
        };
        let at = |access| Wants {
            hardware: vec![HardwarePoint::new(0x1000, 1, access).unwrap()],
            ..Wants::default()
        };
        let code = check_hardware(&at(Access::EXECUTE), unable).unwrap_err();
        assert!(code.to_string().contains("step over"), "{code}");
        assert!(check_hardware(&at(Access::WRITE), unable).is_ok());
    }

    #[test]
    fn traps_are_refused_even_where_nobody_listens() {
        let unable = Habits {
            steps: false,
            ..Habits::VMX_AND_SVM
        };
        let steps = Wants {
            singlestep: vec![0],
            ..Wants::default()
        };
        assert!(check_kinds(&steps, unable).is_err());
    }
}
