//! What a policy arms and does to vCPUs: page rights, breakpoints, exceptions, pauses.

use std::collections::BTreeSet;

use super::{Command, MockEngine};
use crate::{Access, BreakpointPlace, Control, Exception, Inject, Intercept, PageAccess, Refusal};

impl PageAccess for MockEngine {
    fn get_page_access(&mut self, gpa: u64) -> Result<Access, Refusal> {
        self.admit(Command::GetPageAccess)?;
        let page = self.page(gpa)?;
        let trap = self.armed.pages.get(&page);
        Ok(trap.map_or(Access::all(), |(allowed, _)| *allowed))
    }

    fn set_page_access(&mut self, gpa: u64, allowed: Access, tag: u64) -> Result<(), Refusal> {
        self.admit(Command::SetPageAccess)?;
        let page = self.page(gpa)?;
        if allowed == Access::all() {
            self.armed.pages.remove(&page);
        } else {
            self.armed.pages.insert(page, (allowed, tag));
        }
        Ok(())
    }
}

impl Intercept for MockEngine {
    fn intercept_cr(&mut self, vcpu: u32, cr: u8, on: bool) -> Result<(), Refusal> {
        self.admit(Command::InterceptCr)?;
        self.vcpu(vcpu)?;
        if !matches!(cr, 0 | 3 | 4) {
            return Err(Refusal::NotFound);
        }
        let crs = &mut self.armed.crs;
        if on {
            crs.insert((vcpu, cr));
        } else {
            crs.remove(&(vcpu, cr));
        }
        Ok(())
    }

    fn intercept_msr(&mut self, vcpu: u32, msr: u32, on: bool) -> Result<(), Refusal> {
        self.admit(Command::InterceptMsr)?;
        self.vcpu(vcpu)?;
        let msrs = &mut self.armed.msrs;
        if on {
            msrs.insert((vcpu, msr));
        } else {
            msrs.remove(&(vcpu, msr));
        }
        Ok(())
    }

    fn single_step(&mut self, vcpu: u32, on: bool) -> Result<(), Refusal> {
        self.admit(Command::SingleStep)?;
        self.vcpu(vcpu)?;
        let steps = &mut self.armed.steps;
        if on {
            steps.insert(vcpu);
        } else {
            steps.remove(&vcpu);
        }
        Ok(())
    }

    fn set_breakpoint(&mut self, vcpu: u32, at: BreakpointPlace, tag: u64) -> Result<(), Refusal> {
        self.admit(Command::SetBreakpoint)?;
        self.vcpu(vcpu)?;
        self.unused(tag)?;
        self.armed.breakpoints.insert(tag, (vcpu, at));
        Ok(())
    }

    fn set_hardware_breakpoint(&mut self, gva: u64, tag: u64) -> Result<(), Refusal> {
        self.admit(Command::SetHardwareBreakpoint)?;
        self.set_point(tag, (gva, 1, Access::EXECUTE))
    }

    fn set_watchpoint(
        &mut self,
        gva: u64,
        length: u8,
        on: Access,
        tag: u64,
    ) -> Result<(), Refusal> {
        self.admit(Command::SetWatchpoint)?;
        let watches = on == Access::WRITE || on == Access::READ | Access::WRITE;
        let fits = matches!(length, 1 | 2 | 4 | 8) && gva.is_multiple_of(length.into());
        if !watches || !fits {
            return Err(Refusal::Invalid);
        }
        self.set_point(tag, (gva, length, on))
    }

    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal> {
        self.admit(Command::ClearBreakpoint)?;
        let breakpoint = self.armed.breakpoints.remove(&tag).map(drop);
        let point = self.armed.points.remove(&tag).map(drop);
        breakpoint.or(point).ok_or(Refusal::NotFound)
    }

    fn breakpoints(&mut self) -> Result<Vec<u64>, Refusal> {
        self.admit(Command::Breakpoints)?;
        let (breakpoints, points) = (&self.armed.breakpoints, &self.armed.points);
        let tags: BTreeSet<u64> = breakpoints.keys().chain(points.keys()).copied().collect();
        Ok(tags.into_iter().collect())
    }
}

impl Inject for MockEngine {
    fn inject(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal> {
        self.admit(Command::Inject)?;
        self.vcpu(vcpu)?;
        if exception.vector > 31 {
            return Err(Refusal::Invalid);
        }
        self.injected.push((vcpu, exception));
        Ok(())
    }
}

impl Control for MockEngine {
    fn pause(&mut self, vcpu: u32) -> Result<(), Refusal> {
        self.admit(Command::Pause)?;
        self.vcpu(vcpu)?;
        self.paused.insert(vcpu);
        Ok(())
    }

    fn pause_others(&mut self) -> Result<(), Refusal> {
        self.admit(Command::PauseOthers)?;
        let others = (0..self.info().vcpus).filter(|vcpu| *vcpu != self.judging);
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
    /// A tag names one breakpoint only.
    fn unused(&self, tag: u64) -> Result<(), Refusal> {
        let known =
            self.armed.breakpoints.contains_key(&tag) || self.armed.points.contains_key(&tag);
        if known { Err(Refusal::Invalid) } else { Ok(()) }
    }

    /// Takes a debug register, of which there are four; the same point takes one only.
    fn set_point(&mut self, tag: u64, point: (u64, u8, Access)) -> Result<(), Refusal> {
        const REGISTERS: usize = 4;
        self.unused(tag)?;
        let points = &mut self.armed.points;
        let mut taken: Vec<_> = points.values().chain([&point]).collect();
        taken.sort_unstable_by_key(|(gva, length, on)| (*gva, *length, on.bits()));
        taken.dedup();
        if taken.len() > REGISTERS {
            return Err(Refusal::Limit);
        }
        points.insert(tag, point);
        Ok(())
    }

    /// The number of the page of an address, if it is RAM.
    fn page(&self, gpa: u64) -> Result<u64, Refusal> {
        self.memory.peek(gpa, 1)?;
        Ok(gpa / 4096)
    }
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
        let again = engine.set_breakpoint(1, BreakpointPlace::Gva(0x2000), 7);
        assert_eq!(again, Err(Refusal::Invalid));
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
