//! How other threads reach a running VM. A handle owns nothing of it: what it asks for is a letter
//! to the thread that does.

use std::{sync::Arc, time::Duration};

use oriel_machine::End;
use oriel_protocol::{
    Moment, Refusal, Request,
    commands::{self, VcpuReply, service::Severity},
};

use crate::{
    engine::Outcome,
    mail::{Mail, Pauser},
    policy_judge::{FailureReport, Standing},
    record::{self, Alert, Record},
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

    /// The last failures of the policy of this name, oldest first.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such policy.
    pub fn failures(&self, policy: &str) -> Result<Vec<FailureReport>, Refusal> {
        Ok(self.shared.conducts.of(policy)?.reports())
    }

    /// Whether the policy of this name is asked.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such policy.
    pub fn standing(&self, policy: &str) -> Result<Standing, Refusal> {
        Ok(self.shared.conducts.of(policy)?.standing())
    }

    /// Lets the policy of this name out of quarantine: it is asked again, and its strikes are
    /// forgotten. One that is detached has to be loaded again.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such policy, [`Refusal::Invalid`] if it is not in
    /// quarantine.
    pub fn release(&self, policy: &str) -> Result<(), Refusal> {
        self.shared.conducts.of(policy)?.release()?;
        let moment = Moment {
            vcpu: record::CLOCK,
            seq: 0,
            time_ns: self.shared.now(),
        };
        self.shared.tell(|| {
            Record::Alert(Alert {
                judge: policy.into(),
                moment,
                severity: Severity::Info,
                message: "out of quarantine, by the operator's word".to_owned(),
                fields: Vec::new(),
                by_engine: true,
            })
        });
        Ok(())
    }

    /// What policies have counted and measured, by the judge's number and the metric's name.
    pub fn metrics(&self) -> std::collections::BTreeMap<(usize, String), crate::metrics::Metric> {
        self.shared.metrics.snapshot()
    }
}
