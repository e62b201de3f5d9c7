//! Arms events while the guest runs.

use oriel_protocol::{
    self as table,
    commands::{vcpu, vm},
};

use crate::{
    bindings::oriel::introspection::{
        intercept::{Host, Place},
        types::{Access, Refusal},
    },
    state::State,
};

impl Host for State {
    fn cr(&mut self, vcpu: u32, cr: u8, on: bool) -> Result<(), Refusal> {
        let (cr, enable) = (cr.into(), on);
        Ok(self.vcpu(vcpu, vcpu::ControlCr { cr, enable })?)
    }

    fn msr(&mut self, vcpu: u32, msr: u32, on: bool) -> Result<(), Refusal> {
        let enable = on;
        Ok(self.vcpu(vcpu, vcpu::ControlMsr { msr, enable })?)
    }

    fn singlestep(&mut self, vcpu: u32, on: bool) -> Result<(), Refusal> {
        let enable = on;
        Ok(self.vcpu(vcpu, vcpu::ControlSinglestep { enable })?)
    }

    fn set_breakpoint(&mut self, vcpu: u32, at: Place, tag: u64) -> Result<(), Refusal> {
        let place = at.into();
        Ok(self.vcpu(vcpu, vcpu::SetBreakpoint { place, tag })?)
    }

    fn set_hardware_breakpoint(&mut self, gva: u64, tag: u64) -> Result<(), Refusal> {
        Ok(self.vm(vm::SetHardwarePoint {
            gva,
            length: 1,
            access: table::Access::EXECUTE,
            tag,
        })?)
    }

    fn set_watchpoint(
        &mut self,
        gva: u64,
        length: u8,
        on: Access,
        tag: u64,
    ) -> Result<(), Refusal> {
        let access = table::Access::from(on);
        // That is what the other function is for.
        if access.contains(table::Access::EXECUTE) {
            return Err(Refusal::Invalid);
        }
        Ok(self.vm(vm::SetHardwarePoint {
            gva,
            length,
            access,
            tag,
        })?)
    }

    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal> {
        Ok(self.vm(vm::ClearBreakpoint { tag })?)
    }

    fn breakpoints(&mut self) -> Result<Vec<u64>, Refusal> {
        Ok(self.vm(vm::ListBreakpoints {})?)
    }
}

impl From<Place> for vcpu::Place {
    fn from(place: Place) -> Self {
        match place {
            Place::Gva(gva) => Self::Gva(gva),
            Place::Gpa(gpa) => Self::Gpa(gpa),
        }
    }
}
