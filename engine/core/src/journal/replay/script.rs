//! The desk of an instance that is replayed: it knows what was said in this call, and the store.

use std::sync::Arc;

use oriel_policy::Desk;
use oriel_protocol::{
    Refusal, ServiceCall, VcpuCall, VmCall,
    commands::{ServiceReply, VcpuReply, VmReply},
};

use super::stage::{Stage, about};
use crate::journal::entry::{Said, said};

/// What is known of one call.
pub(super) struct Script {
    /// What was said, but for what has been said again.
    said: Vec<Option<Said>>,
    exact: bool,
    stage: Arc<Stage>,
    /// Commands that could not be answered, by name.
    pub(super) unanswered: Vec<&'static str>,
    pub(super) simulated: u64,
}

impl Script {
    pub(super) fn new(exact: bool, stage: &Arc<Stage>) -> Self {
        Self {
            said: Vec::new(),
            exact,
            stage: stage.clone(),
            unanswered: Vec::new(),
            simulated: 0,
        }
    }

    /// Another call.
    pub(super) fn turn(&mut self, bytes: &[u8]) {
        self.said.clear();
        if !bytes.is_empty() {
            self.said.extend(said(bytes).into_iter().map(Some));
        }
        self.unanswered.clear();
        self.simulated = 0;
    }

    /// The call is over: what was written then and is not written now makes a difference.
    pub(super) fn close(&mut self) {
        let Self { said, stage, .. } = self;
        if self.exact {
            return;
        }
        for left in said.drain(..).flatten() {
            if let Said::Service(call, _) = &left
                && let Some(about) = about(call)
            {
                stage.stray(about);
            }
        }
    }

    /// Whether everything that was said has been said again.
    pub(super) fn is_through(&self) -> bool {
        self.said.iter().all(Option::is_none)
    }

    /// Takes out what was said that is like this.
    fn find(&mut self, is_like: impl Fn(&Said) -> bool) -> Option<Said> {
        let like = |said: &&mut Option<Said>| said.as_ref().is_some_and(&is_like);
        self.said.iter_mut().find(like).and_then(Option::take)
    }

    fn cannot<T>(&mut self, command: &'static str) -> Result<T, Refusal> {
        self.unanswered.push(command);
        Err(Refusal::Unavailable)
    }

    /// A command that is not the store's, and was not made then.
    fn anew(&mut self, call: &ServiceCall) -> Result<ServiceReply, Refusal> {
        match call {
            // In the same call it would have been made then, had it not been one too many.
            ServiceCall::RaiseAlert(_) if self.exact => Err(Refusal::Limit),
            ServiceCall::RaiseAlert(_) => Ok(ServiceReply::RaiseAlert(())),
            ServiceCall::WriteLog(_) => Ok(ServiceReply::WriteLog(())),
            ServiceCall::RecordMetric(_) => Ok(ServiceReply::RecordMetric(())),
            ServiceCall::StoreGet(_)
            | ServiceCall::StoreSet(_)
            | ServiceCall::StoreRemove(_)
            | ServiceCall::StoreKeys(_)
            | ServiceCall::StoreAdd(_)
            | ServiceCall::StoreCompareAndSwap(_) => self.cannot(call.id().name()),
        }
    }
}

impl Desk for Script {
    fn vm(&mut self, call: VmCall) -> Result<VmReply, Refusal> {
        match self.find(|said| matches!(said, Said::Vm(known, _) if *known == call)) {
            Some(Said::Vm(_, answer)) => answer,
            Some(_) | None => self.cannot(call.id().name()),
        }
    }

    fn vcpu(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        let like =
            |said: &Said| matches!(said, Said::Vcpu(on, known, _) if (*on, known) == (vcpu, &call));
        match self.find(like) {
            Some(Said::Vcpu(_, _, answer)) => answer,
            Some(_) | None => self.cannot(call.id().name()),
        }
    }

    fn service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        let known = self.find(|said| matches!(said, Said::Service(known, _) if *known == call));
        let known = match known {
            Some(Said::Service(_, answer)) => Some(answer),
            Some(_) | None => None,
        };
        let Some(about) = about(&call) else {
            return known.unwrap_or_else(|| self.anew(&call));
        };
        match known {
            Some(answer) if self.exact || !self.stage.has_strayed(&about) => {
                self.stage.learn(&call, &answer);
                answer
            }
            None if self.exact => self.cannot(call.id().name()),
            Some(_) | None => {
                if known.is_none() {
                    self.stage.stray(about);
                }
                self.simulated += 1;
                self.stage.run(call)
            }
        }
    }
}
