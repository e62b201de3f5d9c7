//! Stops and resumes vCPUs.

use oriel_protocol::commands::vm::{PauseOthers, PauseVcpu, Resume};

use crate::{
    bindings::oriel::introspection::{control::Host, types::Refusal},
    state::State,
};

impl Host for State {
    fn pause(&mut self, vcpu: u32) -> Result<(), Refusal> {
        let wait = true;
        Ok(self.vm(PauseVcpu { vcpu, wait })?)
    }

    fn pause_others(&mut self) -> Result<(), Refusal> {
        Ok(self.vm(PauseOthers {})?)
    }

    fn resume(&mut self) -> Result<(), Refusal> {
        Ok(self.vm(Resume {})?)
    }
}
