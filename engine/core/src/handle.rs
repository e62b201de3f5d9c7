//! How other threads reach a running VM. A handle owns nothing of it: what it asks for is a letter
//! to the thread that does.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use oriel_machine::End;
use oriel_protocol::{
    Refusal, Request,
    commands::{self, VcpuReply},
};

use crate::{
    engine::Outcome,
    mail::{Mail, Pauser},
    metrics::Metric,
    record::Record,
    shared::Shared,
    tool,
};

/// Reaches a running VM from any thread.
#[derive(Clone, Debug)]
pub struct VmHandle {
    pub(crate) shared: Arc<Shared>,
}

impl VmHandle {
    /// Ends introspection, for a VMM whose vCPU loops are over: takes back what the judges have
    /// armed, and tells how the VM has ended. What threads still hold of it does nothing more.
    pub fn finish(&self) -> Outcome {
        self.shared.end(&End::Cancelled);
        self.shared.ledger.clear();
        let outcome = self.shared.outcome();
        self.shared.tell(|| Record::End(outcome.clone()));
        outcome
    }

    /// Ends the VM.
    pub fn stop(&self) {
        self.shared.end(&End::Cancelled);
    }

    /// Takes a vCPU out of the guest; returns once it is out.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such vCPU, [`Refusal::Gone`] if it has ended,
    /// [`Refusal::Busy`] if it does not come out in time; the pause holds all the same.
    pub fn pause(&self, vcpu: u32, within: Duration) -> Result<(), Refusal> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        let reply = Box::new(move |answer| {
            // Whoever asked may have stopped waiting.
            let _ = send.try_send(answer);
        });
        self.shared.post_to_vcpu(
            vcpu,
            Mail::Pause {
                by: Pauser::Operator,
                reply,
            },
        )?;
        receive.recv_timeout(within).unwrap_or(Err(Refusal::Busy))
    }

    /// Ends one pause of a vCPU.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such vCPU, [`Refusal::Gone`] if it has ended.
    pub fn resume(&self, vcpu: u32) -> Result<(), Refusal> {
        self.shared.post_to_vcpu(
            vcpu,
            Mail::Resume {
                by: Pauser::Operator,
            },
        )
    }

    /// Runs a command on a vCPU's thread as the judge of this number, whose grant counts.
    ///
    /// # Errors
    /// [`Refusal::Denied`] at the gate, [`Refusal::Busy`] if no answer comes in time, or what the
    /// command refuses with.
    pub fn run<R>(
        &self,
        judge: usize,
        vcpu: u32,
        request: R,
        within: Duration,
    ) -> Result<R::Reply, Refusal>
    where
        R: Request<Scope = commands::Vcpu>,
    {
        self.shared
            .callers
            .get(judge)
            .ok_or(Refusal::NotFound)?
            .grant
            .admit(R::ID)?;
        let (send, receive) = std::sync::mpsc::sync_channel::<Result<VcpuReply, Refusal>>(1);
        let reply = Box::new(move |answer| {
            // Whoever asked may have stopped waiting.
            let _ = send.try_send(answer);
        });
        self.shared.post_to_vcpu(
            vcpu,
            Mail::Call {
                caller: judge,
                call: request.into_call(),
                reply,
            },
        )?;
        let answer = receive.recv_timeout(within).unwrap_or(Err(Refusal::Busy))?;
        R::from_reply(answer).ok_or(Refusal::Invalid)
    }

    /// The place of the KVMI tool of this name, for its connection to be hooked to.
    pub fn tool(&self, name: &str) -> Option<tool::Port> {
        let named = |seat: &&Arc<tool::Seat>| seat.name() == name;
        let seat = self.shared.tools().find(named)?;
        Some(tool::Port::new(seat.clone(), self.shared.clone()))
    }

    /// What policies have counted and measured, by the judge's number and the metric's name; and
    /// what the engine counts itself, without a judge: `unjudged`, the accesses to trapped pages
    /// that went through before anybody could judge them.
    pub fn metrics(&self) -> BTreeMap<(Option<usize>, String), Metric> {
        let judges = self.shared.metrics.snapshot().into_iter();
        let judges = judges.map(|((judge, name), metric)| ((Some(judge), name), metric));
        let unjudged = Metric::Count(self.shared.unjudged.load(Ordering::Relaxed));
        let own = [((None, "unjudged".to_owned()), unjudged)];
        judges.chain(own).collect()
    }
}
