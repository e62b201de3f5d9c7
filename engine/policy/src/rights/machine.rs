//! What is being watched, and what it can do.

use oriel_protocol::{
    self as table,
    commands::vm::{GetCapabilities, GetGuestInfo, GetIdentity, GetMaxGfn},
    page::PAGE_SIZE,
};

use crate::{
    bindings::oriel::introspection::{
        machine::{Arch, Capability, Host, Info, Support},
        types::Refusal,
    },
    state::State,
    words::same,
};

same!(table::Support => Support: No Partly Yes);

impl Host for State {
    fn get_info(&mut self) -> Result<Info, Refusal> {
        let identity = self.vm(GetIdentity {})?;
        Ok(Info {
            uuid: identity.uuid.to_string(),
            name: identity.name,
            arch: match identity.arch {
                table::Arch::X86_64 => Arch::X8664,
            },
            vcpus: self.vm(GetGuestInfo {})?,
            memory_end: self.vm(GetMaxGfn {})?.saturating_mul(PAGE_SIZE),
        })
    }

    fn capabilities(&mut self) -> Result<Vec<Capability>, Refusal> {
        let capabilities = self.vm(GetCapabilities {})?;
        Ok(capabilities.iter().map(Capability::from).collect())
    }
}

impl From<&table::Capability> for Capability {
    fn from(known: &table::Capability) -> Self {
        let detail = [&*known.mechanism, &known.reason];
        let said: Vec<_> = detail.into_iter().filter(|part| !part.is_empty()).collect();
        Self {
            name: known.name.clone().into_owned(),
            support: known.support.into(),
            detail: said.join(": "),
        }
    }
}
