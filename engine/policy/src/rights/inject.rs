//! Raises exceptions in the guest.

use oriel_protocol::commands::vcpu::InjectException;

use crate::{
    bindings::oriel::introspection::{
        inject::Host,
        types::{Exception, Refusal},
    },
    state::State,
};

impl Host for State {
    fn raise(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal> {
        let exception = exception.into();
        Ok(self.vcpu(vcpu, InjectException { exception })?)
    }
}
