//! The probe: an instance that is made only to be asked for its filters. It may write to its
//! log, which goes to the engine's; everything else refuses.

use std::sync::Arc;

use oriel_protocol::{
    Filter, Observation, Refusal, ServiceCall, VcpuCall, VmCall,
    commands::{
        ServiceReply, VcpuReply, VmReply,
        service::{Level, WriteLog},
    },
};

use crate::{Desk, Failure, Instance, Place, Slot, meter::Meter, policy::Linked};

/// What a policy wants to hear and see.
pub(crate) struct Asked {
    pub(crate) filters: Vec<Filter>,
    pub(crate) observations: Vec<Observation>,
}

/// Asks a policy.
pub(crate) fn ask(
    policy: &Arc<Linked>,
    meter: &Arc<Meter>,
    slot: &Arc<Slot>,
) -> Result<Asked, Failure> {
    let desk = Box::new(ProbeDesk {
        policy: policy.name.clone(),
    });
    let (probe, desk) = Instance::begin(policy, meter, Place::Probe, slot, desk);
    probe?.ask(slot, desk).0
}

/// Refuses everything but the log.
struct ProbeDesk {
    policy: String,
}

impl Desk for ProbeDesk {
    fn vm(&mut self, _: VmCall) -> Result<VmReply, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn vcpu(&mut self, _: u32, _: VcpuCall) -> Result<VcpuReply, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        match call {
            ServiceCall::WriteLog(line) => {
                self.write(&line);
                Ok(ServiceReply::WriteLog(()))
            }
            ServiceCall::RaiseAlert(_) | ServiceCall::RecordMetric(_) => Err(Refusal::Unavailable),
            ServiceCall::StoreGet(_) | ServiceCall::StoreSet(_) => Err(Refusal::Unavailable),
            ServiceCall::StoreRemove(_) | ServiceCall::StoreKeys(_) => Err(Refusal::Unavailable),
            ServiceCall::StoreAdd(_) | ServiceCall::StoreCompareAndSwap(_) => {
                Err(Refusal::Unavailable)
            }
        }
    }
}

impl ProbeDesk {
    fn write(&self, line: &WriteLog) {
        let (policy, message) = (&self.policy, &line.message);
        match line.level {
            Level::Trace => tracing::trace!(policy, "{message}"),
            Level::Debug => tracing::debug!(policy, "{message}"),
            Level::Info => tracing::info!(policy, "{message}"),
            Level::Warn => tracing::warn!(policy, "{message}"),
            Level::Error => tracing::error!(policy, "{message}"),
        }
    }
}
