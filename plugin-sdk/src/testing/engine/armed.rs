//! What a policy arms and does to vCPUs: page rights, breakpoints, exceptions, pauses.

use std::collections::BTreeSet;

use super::{Armed, Command, MockEngine, Placed};
use crate::{
    Access, BreakpointPlace, Control, EventKind, Exception, Inject, Intercept, PageAccess, Refusal,
};

/// The most debug registers of a VM.
const REGISTERS: usize = 4;
/// The vector that nobody injects.
const NMI: u8 = 2;

impl PageAccess for MockEngine {
    fn get_page_access(&mut self, gpa: u64) -> Result<Access, Refusal> {
        self.admit(Command::GetPageAccess)?;
        let trap = self.armed.pages.get(&(gpa / 4096));
        Ok(trap.map_or(Access::all(), |(allowed, _)| *allowed))
    }

    fn set_page_access(&mut self, gpa: u64, allowed: Access, tag: u64) -> Result<(), Refusal> {
        self.admit_arming(Command::SetPageAccess, EventKind::Page)?;
        if !self.guest().is_ram(gpa, 1) {
            return Err(Refusal::NotFound);
        }
        self.change(|armed| {
            if allowed == Access::all() {
                armed.pages.remove(&(gpa / 4096));
            } else {
                armed.pages.insert(gpa / 4096, (allowed, tag));
            }
            Ok(())
        })
    }
}

impl Intercept for MockEngine {
    fn intercept_cr(&mut self, vcpu: u32, cr: u8, on: bool) -> Result<(), Refusal> {
        self.admit_on_vcpu(Command::InterceptCr, EventKind::Cr, vcpu)?;
        if !matches!(cr, 0 | 3 | 4) {
            return Err(Refusal::Invalid);
        }
        self.change(|armed| switch(&mut armed.crs, (vcpu, cr), on))
    }

    fn intercept_msr(&mut self, vcpu: u32, msr: u32, on: bool) -> Result<(), Refusal> {
        self.admit_on_vcpu(Command::InterceptMsr, EventKind::Msr, vcpu)?;
        self.change(|armed| switch(&mut armed.msrs, (vcpu, msr), on))
    }

    fn single_step(&mut self, vcpu: u32, on: bool) -> Result<(), Refusal> {
        self.admit_on_vcpu(Command::SingleStep, EventKind::Singlestep, vcpu)?;
        self.change(|armed| switch(&mut armed.steps, vcpu, on))
    }

    fn set_breakpoint(&mut self, vcpu: u32, at: BreakpointPlace, tag: u64) -> Result<(), Refusal> {
        self.admit_on_vcpu(Command::SetBreakpoint, EventKind::Breakpoint, vcpu)?;
        let placed = self.place(vcpu, at)?;
        self.change(|armed| {
            armed.place(tag, placed)?;
            armed.breakpoints.insert(tag, (vcpu, at));
            Ok(())
        })
    }

    fn set_hardware_breakpoint(&mut self, gva: u64, tag: u64) -> Result<(), Refusal> {
        self.admit_arming(Command::SetHardwareBreakpoint, EventKind::Breakpoint)?;
        self.set_point(tag, (gva, 1, Access::EXECUTE))
    }

    fn set_watchpoint(
        &mut self,
        gva: u64,
        length: u8,
        on: Access,
        tag: u64,
    ) -> Result<(), Refusal> {
        self.admit_arming(Command::SetWatchpoint, EventKind::Breakpoint)?;
        let watches = on == Access::WRITE || on == Access::READ | Access::WRITE;
        let fits = matches!(length, 1 | 2 | 4 | 8) && gva.is_multiple_of(length.into());
        if !watches || !fits {
            return Err(Refusal::Invalid);
        }
        self.set_point(tag, (gva, length, on))
    }

    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal> {
        self.admit(Command::ClearBreakpoint)?;
        self.change(|armed| {
            armed.breakpoints.remove(&tag);
            armed.points.remove(&tag);
            armed.placed.remove(&tag).map(drop).ok_or(Refusal::NotFound)
        })
    }

    fn breakpoints(&mut self) -> Result<Vec<u64>, Refusal> {
        self.admit(Command::Breakpoints)?;
        Ok(self.armed.placed.keys().copied().collect())
    }
}

impl Inject for MockEngine {
    fn inject(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal> {
        self.admit_on(Command::Inject, vcpu)?;
        if exception.vector > 31 || exception.vector == NMI {
            return Err(Refusal::Invalid);
        }
        self.guest().raise(vcpu, exception)?;
        self.injected.push((vcpu, exception));
        Ok(())
    }
}

impl Control for MockEngine {
    fn pause(&mut self, vcpu: u32) -> Result<(), Refusal> {
        self.admit_on(Command::Pause, vcpu)?;
        self.guest().general(vcpu)?;
        self.paused.insert(vcpu);
        Ok(())
    }

    fn pause_others(&mut self) -> Result<(), Refusal> {
        self.admit(Command::PauseOthers)?;
        let vcpus = self.guest().identity().vcpus;
        let others = (0..vcpus).filter(|vcpu| *vcpu != self.judging);
        self.paused.extend(others);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Refusal> {
        self.admit(Command::Resume)?;
        self.paused.clear();
        Ok(())
    }
}

impl MockEngine {
    /// As [`admit`](Self::admit), for a command that arms a kind: the policy must judge it.
    fn admit_arming(&mut self, command: Command, kind: EventKind) -> Result<(), Refusal> {
        self.admit(command)?;
        let judged = self.judged.as_ref();
        let may = judged.is_none_or(|judged| judged.contains(&kind));
        may.then_some(()).ok_or(Refusal::Denied)
    }

    fn admit_on_vcpu(
        &mut self,
        command: Command,
        kind: EventKind,
        vcpu: u32,
    ) -> Result<(), Refusal> {
        self.admit_on(command, vcpu)?;
        self.guest().general(vcpu)?;
        let judged = self.judged.as_ref();
        let may = judged.is_none_or(|judged| judged.contains(&kind));
        may.then_some(()).ok_or(Refusal::Denied)
    }

    /// Changes what is armed, if the guest can report that.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Armed) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut next = self.armed.clone();
        change(&mut next)?;
        self.guest().arm(&next)?;
        self.armed = next;
        Ok(())
    }

    /// Undoes all that is armed, as for a revision that goes.
    pub(in crate::testing) fn disarm(&mut self) {
        // A guest can always report nothing.
        let _ = self.change(|armed| {
            *armed = Armed::default();
            Ok(())
        });
    }

    /// How a breakpoint is placed there: where a guest-virtual address leads to no RAM, by a debug
    /// register.
    fn place(&mut self, vcpu: u32, at: BreakpointPlace) -> Result<Placed, Refusal> {
        let gpa = match at {
            BreakpointPlace::Gpa(gpa) => gpa,
            BreakpointPlace::Gva(gva) => self.guest().lead(vcpu, None, gva)?,
        };
        if self.guest().is_ram(gpa, 1) {
            return Ok(Placed::Code(gpa));
        }
        match at {
            BreakpointPlace::Gva(gva) => Ok(Placed::Point(gva, 1, Access::EXECUTE)),
            BreakpointPlace::Gpa(_) => Err(Refusal::NotFound),
        }
    }

    fn set_point(&mut self, tag: u64, point: (u64, u8, Access)) -> Result<(), Refusal> {
        self.change(|armed| {
            armed.place(tag, Placed::Point(point.0, point.1, point.2))?;
            armed.points.insert(tag, point);
            Ok(())
        })
    }
}

impl Armed {
    /// A tag names one place only, and of debug registers there are four; the same point takes one.
    fn place(&mut self, tag: u64, placed: Placed) -> Result<(), Refusal> {
        if *self.placed.entry(tag).or_insert(placed) != placed {
            return Err(Refusal::Conflict);
        }
        let points = self.placed.values().filter_map(|placed| match placed {
            Placed::Point(gva, length, on) => Some((*gva, *length, on.bits())),
            Placed::Code(_) => None,
        });
        let taken: BTreeSet<_> = points.collect();
        (taken.len() <= REGISTERS)
            .then_some(())
            .ok_or(Refusal::Limit)
    }
}

fn switch<T: Ord>(armed: &mut BTreeSet<T>, what: T, on: bool) -> Result<(), Refusal> {
    if on {
        armed.insert(what);
    } else {
        armed.remove(&what);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letting_everything_through_ends_the_trap() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        engine.set_page_access(0x1234, Access::READ, 7)?;
        assert_eq!(engine.get_page_access(0x1fff), Ok(Access::READ));
        engine.set_page_access(0x1000, Access::all(), 0)?;
        assert!(engine.armed.pages.is_empty());
        Ok(())
    }

    #[test]
    fn a_tag_is_one_breakpoint_only() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        engine.set_breakpoint(0, BreakpointPlace::Gpa(0x1000), 7)?;
        engine.set_breakpoint(1, BreakpointPlace::Gpa(0x1000), 7)?;
        let other = engine.set_breakpoint(1, BreakpointPlace::Gpa(0x2000), 7);
        assert_eq!(other, Err(Refusal::Conflict));
        let nowhere = engine.set_breakpoint(1, BreakpointPlace::Gva(0x2000), 8);
        assert_eq!(nowhere, Err(Refusal::NotFound));
        assert_eq!(engine.breakpoints()?, [7]);
        engine.clear_breakpoint(7)?;
        assert_eq!(engine.clear_breakpoint(7), Err(Refusal::NotFound));
        Ok(())
    }

    #[test]
    fn a_fifth_debug_register_is_a_limit_and_a_point_that_none_can_watch_is_invalid()
    -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        let both = Access::READ | Access::WRITE;
        engine.set_watchpoint(0x1008, 8, both, 1)?;
        engine.set_watchpoint(0x1008, 8, both, 2)?;
        for gva in 1..4 {
            engine.set_hardware_breakpoint(gva, 10 + gva)?;
        }
        let fifth = engine.set_hardware_breakpoint(9, 20);
        assert_eq!(fifth, Err(Refusal::Limit));
        assert_eq!(engine.breakpoints()?, [1, 2, 11, 12, 13]);
        engine.clear_breakpoint(11)?;
        engine.set_hardware_breakpoint(9, 20)?;
        for (gva, length, on) in [
            (0x1004, 8, both),
            (0, 3, both),
            (0, 1, Access::READ),
            (0, 1, Access::EXECUTE),
        ] {
            let refused = engine.set_watchpoint(gva, length, on, 30);
            assert_eq!(refused, Err(Refusal::Invalid), "{gva} {length} {on:?}");
        }
        Ok(())
    }

    #[test]
    fn pausing_the_others_leaves_the_vcpu_that_is_judged() -> Result<(), Refusal> {
        let mut engine = MockEngine::new(3);
        engine.judging = 1;
        engine.pause_others()?;
        assert!(engine.paused.iter().eq(&[0, 2]));
        Ok(())
    }
}
