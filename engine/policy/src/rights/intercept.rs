//! Arms events while the guest runs.

use oriel_protocol::commands::{vcpu, vm};

use crate::{
    bindings::oriel::introspection::{
        intercept::{Host, Place},
        types::Refusal,
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
