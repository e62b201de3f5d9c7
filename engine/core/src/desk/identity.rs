//! Commands that say what is being watched.

use oriel_protocol::{
    Capabilities, Handle, Identity, Refusal,
    commands::vm::{
        CheckCommand, CheckEvent, GetCapabilities, GetGuestInfo, GetIdentity, GetMaxGfn,
        GetVersion, Version,
    },
    page,
};

use super::Desk;

impl Handle<GetVersion> for Desk {
    fn handle(&mut self, _: GetVersion) -> Result<Version, Refusal> {
        Ok(Version {
            version: 1,
            ..Version::default()
        })
    }
}

impl Handle<CheckCommand> for Desk {
    fn handle(&mut self, request: CheckCommand) -> Result<(), Refusal> {
        self.asking()?.grant.admit(request.command)
    }
}

impl Handle<CheckEvent> for Desk {
    fn handle(&mut self, request: CheckEvent) -> Result<(), Refusal> {
        if self.asking()?.grant.events.contains(request.event) {
            Ok(())
        } else {
            Err(Refusal::Denied)
        }
    }
}

impl Handle<GetGuestInfo> for Desk {
    fn handle(&mut self, _: GetGuestInfo) -> Result<u32, Refusal> {
        Ok(self.shared.vcpus)
    }
}

impl Handle<GetMaxGfn> for Desk {
    fn handle(&mut self, _: GetMaxGfn) -> Result<u64, Refusal> {
        Ok(self.shared.machine.memory().end().div_ceil(page::PAGE_SIZE))
    }
}

impl Handle<GetIdentity> for Desk {
    fn handle(&mut self, _: GetIdentity) -> Result<Identity, Refusal> {
        Ok(self.shared.machine.identity().clone())
    }
}

impl Handle<GetCapabilities> for Desk {
    fn handle(&mut self, _: GetCapabilities) -> Result<Capabilities, Refusal> {
        Ok(self.shared.machine.capabilities().clone())
    }
}
