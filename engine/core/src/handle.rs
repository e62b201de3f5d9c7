//! How other threads reach a running VM. A handle owns nothing of it: what it asks for is a letter
//! to the thread that does.

mod guest;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use oriel_machine::{End, paging::Walks};
use oriel_protocol::{
    Admission, Moment, Refusal, Request, VcpuCall,
    commands::{self, VcpuReply, service::Severity, vcpu::GetRegisters},
    x86::Control,
};

use crate::{
    audit::{self, Audited, Command, Who},
    engine::Outcome,
    mail::{Mail, Pauser},
    metrics::Metric,
    policy_judge::{FailureReport, Standing},
    record::{self, Alert, CLOCK, Record},
    resolve::{self, Resolved},
    roster::{Roster, RosterError},
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
        self.note("stop", None, Ok(()));
        self.shared.end(&End::Cancelled);
    }

    /// Takes a vCPU out of the guest; returns once it is out.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is no such vCPU, [`Refusal::Gone`] if it has ended,
    /// [`Refusal::Busy`] if it does not come out in time; the pause holds all the same.
    pub fn pause(&self, vcpu: u32, within: Duration) -> Result<(), Refusal> {
        let answer = self.hold(vcpu, within);
        self.note("pause", Some(vcpu), answer);
        answer
    }

    fn hold(&self, vcpu: u32, within: Duration) -> Result<(), Refusal> {
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
        let by = Pauser::Operator;
        let answer = self.shared.post_to_vcpu(vcpu, Mail::Resume { by });
        self.note("resume", Some(vcpu), answer);
        answer
    }

    /// Writes into the audit trail what the operator has done, which nothing keeps it from doing.
    fn note(&self, name: &'static str, on: Option<u32>, answer: Result<(), Refusal>) {
        if let Some(audit) = &self.shared.audit {
            let command = Command {
                who: Who::operator(),
                moment: self.shared.outside(),
                name,
                on,
                arguments: serde_json::Map::new(),
            };
            audit.note(command, answer);
        }
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
        let call = request.into_call();
        let opened = self.announce(judge, vcpu, &call)?;
        let answer = self.admitted(judge, vcpu, call, within);
        if let Some(entry) = opened {
            entry.answered(answer.as_ref().map(drop).map_err(|&no| no));
        }
        R::from_reply(answer?).ok_or(Refusal::Invalid)
    }

    fn announce(
        &self,
        judge: usize,
        vcpu: u32,
        call: &VcpuCall,
    ) -> Result<Option<audit::Entry>, Refusal> {
        let Some(audit) = &self.shared.audit else {
            return Ok(None);
        };
        let caller = self.shared.owners.get(judge).ok_or(Refusal::NotFound)?;
        let command = Command {
            who: caller.who().through_handle(),
            moment: self.shared.outside(),
            name: call.id().name(),
            on: Some(vcpu),
            arguments: call.arguments(),
        };
        audit.open(command).map(Some)
    }

    /// The gate, as a desk has it, and what is behind it.
    fn admitted(
        &self,
        judge: usize,
        vcpu: u32,
        call: VcpuCall,
        within: Duration,
    ) -> Result<VcpuReply, Refusal> {
        let caller = self.shared.owners.get(judge).ok_or(Refusal::NotFound)?;
        let Admission::Pages(span) = caller.grant.admit_vcpu(&call)? else {
            return self.shared.ask(judge, vcpu, call, within);
        };
        let control = self.shared.control_of(judge, vcpu, within)?;
        let memory = self.shared.machine.memory();
        let pieces = resolve::pieces(memory, &mut Walks::default(), &control, &span)?;
        caller.grant.admit_pages(&span, &pieces)?;
        match resolve::resolve(memory, call, &pieces) {
            Resolved::Answered(answer) => answer,
            Resolved::Instead(call) => self.shared.ask(judge, vcpu, call, within),
        }
    }

    /// The policies of the VM, to be changed while it runs.
    pub fn roster(&self) -> Roster {
        Roster::of(self.shared.clone())
    }

    /// The place of the KVMI tool of this name, for its connection to be hooked to.
    pub fn tool(&self, name: &str) -> Option<tool::Port> {
        let named = |seat: &&Arc<tool::Seat>| seat.name() == name;
        let seat = self.shared.tools.iter().find(named)?;
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
        match self.roster().release(policy) {
            Ok(()) => Ok(()),
            Err(RosterError::NotInQuarantine(_)) => Err(Refusal::Invalid),
            Err(_) => Err(Refusal::NotFound),
        }
    }

    /// The same, without a word in the audit trail.
    pub(crate) fn let_out(&self, policy: &str) -> Result<(), Refusal> {
        self.shared.conducts.of(policy)?.release()?;
        let moment = Moment {
            vcpu: record::CLOCK,
            seq: 0,
            time_ns: self.shared.now(),
        };
        self.shared.tell(|| {
            Record::Alert(Alert {
                judge: Some(policy.into()),
                moment,
                severity: Severity::Info,
                message: "out of quarantine, by the operator's word".to_owned(),
                fields: Vec::new(),
                by_engine: true,
            })
        });
        Ok(())
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

impl Shared {
    /// Has a vCPU's thread run a command that has passed the gate, for a thread that has no
    /// mailbox of its own.
    pub(crate) fn ask(
        &self,
        caller: usize,
        vcpu: u32,
        call: VcpuCall,
        within: Duration,
    ) -> Result<VcpuReply, Refusal> {
        let (send, receive) = std::sync::mpsc::sync_channel::<Result<VcpuReply, Refusal>>(1);
        let reply = Box::new(move |answer| {
            // Whoever asked may have stopped waiting.
            let _ = send.try_send(answer);
        });
        self.post_to_vcpu(
            vcpu,
            Mail::Call {
                caller,
                call,
                reply,
            },
        )?;
        receive.recv_timeout(within).unwrap_or(Err(Refusal::Busy))
    }

    /// The control registers of a vCPU, by which addresses are translated for this judge.
    pub(crate) fn control_of(
        &self,
        caller: usize,
        vcpu: u32,
        within: Duration,
    ) -> Result<Control, Refusal> {
        let call = VcpuCall::GetRegisters(GetRegisters { msrs: Vec::new() });
        resolve::control(self.ask(caller, vcpu, call, within)?)
    }

    /// The moment of what belongs to no event.
    pub(crate) fn outside(&self) -> Moment {
        Moment {
            vcpu: CLOCK,
            seq: 0,
            time_ns: self.now(),
        }
    }
}
