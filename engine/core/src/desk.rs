//! Where a judge sits: everything that it reaches of the VM goes over here, through the gate.
//!
//! A desk belongs to one vCPU and owns its state while the vCPU is out of the guest. It is lent
//! to each judge in turn, and says each time who is asking.

mod control;
mod gate;
mod guest_os;
mod halt;
mod identity;
mod intercept;
pub(crate) mod memory;
mod registers;
mod services;
mod staged;
mod unsupported;

use std::{
    any::Any,
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use oriel_machine::{End, Hold, Vcpu, paging::Walks};
use oriel_protocol::{
    Moment, Refusal, Request,
    commands::{self, VcpuCall, VcpuReply},
};

use crate::{
    audit,
    mail::{Errand, Mail, Pauser, Retirement},
    mailbox::Mailbox,
    owners::{Caller, Callers},
    shared::Shared,
    tool,
};
use staged::Staged;

/// One vCPU's desk.
pub struct Desk {
    /// The number of its vCPU, and of its mailbox.
    index: u32,
    vcpu: Box<dyn Vcpu>,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox<Mail>>,
    /// Who is asking: the number of the judge.
    caller: usize,
    /// Everybody who may ask, as of when the newest of them did.
    callers: Callers,
    moment: Moment,
    /// Register writes of the event being judged.
    staged: Staged,
    /// The others are kept out of the guest for the judge's call.
    hold: Option<Hold>,
    /// vCPUs that the judge's call has paused.
    paused: Vec<u32>,
    /// Who keeps this vCPU out of the guest.
    pausers: Vec<Pauser>,
    /// Judges that asked to act before the guest is entered.
    attention: VecDeque<usize>,
    /// The tool whose answer the vCPU is waiting for.
    answering: Option<usize>,
    ending: Option<End>,
    /// What is to be done between two events, in order.
    errands: VecDeque<Errand>,
    /// A clock is to stop.
    retiring: Option<Retirement>,
    /// Page walks that judges have asked for.
    walks: Walks,
    /// Reads of the judge's call, where there is an audit trail.
    reads: Option<audit::Reads>,
}

impl Desk {
    pub(crate) fn new(vcpu: Box<dyn Vcpu>, shared: Arc<Shared>) -> Box<Self> {
        let index = vcpu.index();
        let mailbox = shared
            .mailboxes
            .get(index)
            .expect("a desk is set up behind its mailbox");
        Box::new(Self {
            index,
            vcpu,
            callers: shared.owners.all(),
            shared,
            mailbox,
            caller: 0,
            moment: Moment {
                vcpu: index,
                seq: 0,
                time_ns: 0,
            },
            staged: Staged::default(),
            hold: None,
            paused: Vec::new(),
            pausers: Vec::new(),
            attention: VecDeque::new(),
            answering: None,
            ending: None,
            errands: VecDeque::new(),
            retiring: None,
            walks: Walks::default(),
            reads: None,
        })
    }

    /// The vCPU whose desk it is.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The event that is being judged.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// What all threads share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The vCPU itself, for its own thread.
    pub(crate) fn machine_vcpu(&mut self) -> &mut dyn Vcpu {
        &mut *self.vcpu
    }

    /// Begins a judge's call.
    pub(crate) fn open(&mut self, caller: usize, moment: Moment) {
        self.ask_as(caller);
        self.moment = moment;
    }

    /// From now on this one asks; answers who did before.
    fn ask_as(&mut self, caller: usize) -> usize {
        if caller >= self.callers.len() {
            self.callers = self.shared.owners.all();
        }
        std::mem::replace(&mut self.caller, caller)
    }

    /// Ends a judge's call, and with it what belongs to the call.
    #[inline]
    pub(crate) fn close(&mut self) {
        if self.reads.is_some() || self.hold.is_some() || !self.paused.is_empty() {
            self.end_call();
        }
    }

    #[inline(never)]
    fn end_call(&mut self) {
        // What was read goes into the audit trail now.
        self.reads = None;
        self.hold = None;
        let by = Pauser::Judge { vcpu: self.index() };
        for vcpu in std::mem::take(&mut self.paused) {
            // One that has ended needs no resuming.
            let _ = self.shared.post(vcpu, Mail::Resume { by });
        }
    }

    /// Whether there is anything to do before the guest is entered, but register writes.
    #[inline]
    pub(crate) fn has_business(&self) -> bool {
        let letters = self.mailbox.has_letters() || !self.errands.is_empty();
        letters || self.ending.is_some() || self.is_paused() || self.wants_attention()
    }

    /// Register writes become real. Called before the guest is entered.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.staged.is_empty() {
            self.settle_staged();
        }
    }

    #[inline(never)]
    fn settle_staged(&mut self) {
        if let Err(refusal) = self.staged.settle(&mut *self.vcpu) {
            tracing::error!(vcpu = self.index(), %refusal, "the machine refused register writes of a judge");
        }
    }

    /// Why the VM ends, once it does.
    pub(crate) fn take_ending(&mut self) -> Option<End> {
        self.ending.take()
    }

    /// Whether the VM ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether somebody keeps this vCPU out of the guest.
    pub(crate) fn is_paused(&self) -> bool {
        !self.pausers.is_empty()
    }

    /// Keeps the vCPU out of the guest from the start, until the operator resumes it.
    pub(crate) fn hold_at_start(&mut self) {
        self.pausers.push(Pauser::Operator);
    }

    /// Whether a judge asked to act before the guest is entered.
    pub(crate) fn wants_attention(&self) -> bool {
        !self.attention.is_empty()
    }

    /// The next judge that asked to act.
    pub(crate) fn take_attention(&mut self) -> Option<usize> {
        self.attention.pop_front()
    }

    /// What is to be done next between two events.
    pub(crate) fn take_errand(&mut self) -> Option<Errand> {
        self.errands.pop_front()
    }

    /// Whether a clock is to stop, and who is told.
    pub(crate) const fn take_retiring(&mut self) -> Option<Retirement> {
        self.retiring.take()
    }

    /// A number for a question to another thread, which is nobody else's.
    pub(crate) fn new_ticket(&self) -> u64 {
        self.shared.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that the judge of this call has its event open, or has it no longer.
    pub(crate) fn set_answering(&mut self, open: bool) {
        self.answering = open.then_some(self.caller);
    }

    /// Takes back the register writes of the judge of this call.
    pub(crate) fn forget_writes(&mut self) {
        self.staged.forget(self.caller);
    }

    /// Reads the mailbox until it is empty.
    pub(crate) fn drain(&mut self) {
        while let Some(mail) = self.mailbox().take() {
            self.serve(mail);
        }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox<Mail> {
        &self.mailbox
    }

    /// Reads no more: letters that came too late are answered, and later ones go back.
    pub(crate) fn shut(&self) {
        self.shared.mailboxes.close(self.index);
    }

    /// Acts on one letter.
    pub(crate) fn serve(&mut self, mail: Mail) {
        match mail {
            Mail::Call {
                caller,
                call,
                reply,
            } => reply(self.run_for(caller, call)),
            Mail::Pause { by, reply } => {
                self.pausers.push(by);
                reply(Ok(()));
            }
            Mail::Resume { by } => self.end_pause(by),
            Mail::Attend { caller, reply } => {
                self.attention.push_back(caller);
                reply(Ok(()));
            }
            Mail::Look(reply) => reply(self.sight()),
            Mail::Errand(errand) => self.errands.push_back(errand),
            Mail::Retire(reply) => self.retiring = Some(reply),
            Mail::Stop(end) => self.ending = Some(end),
            // An answer that comes after its deadline, and a turn that nobody waits for.
            Mail::Answer(..) | Mail::Turn | Mail::Verdict { .. } | Mail::HungUp => {}
        }
    }

    /// Runs a command of another judge, which its own desk has let through the gate.
    fn run_for(&mut self, caller: usize, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        let mine = self.ask_as(caller);
        let tool = self.asking().ok().and_then(|caller| caller.tool.clone());
        let answer = match tool {
            Some(seat) => tool::rules::run(&seat, self, call),
            None => call.run(self),
        };
        self.caller = mine;
        answer
    }

    /// The revision of the policy that asks; 0 of what has none.
    pub(crate) fn revision(&self) -> u64 {
        self.asking().map_or(0, |caller| caller.revision)
    }

    /// Whether the judge that asks is one that nobody obeys.
    pub(crate) fn is_on_trial(&self) -> bool {
        self.asking().is_ok_and(|caller| caller.on_trial)
    }

    /// Whether the judge that asks has its event open on this vCPU.
    pub(crate) fn is_answering(&self) -> bool {
        self.answering == Some(self.caller)
    }

    /// The number of the judge that asks.
    pub(crate) const fn caller(&self) -> usize {
        self.caller
    }

    /// Serves letters until every tool has gone, or has had its time to.
    pub(crate) fn linger(&mut self) {
        while let Some(until) = self.shared.tools_gone_by() {
            match self.mailbox().wait(Some(until)) {
                Some(mail) => self.serve(mail),
                None => self.shared.hang_up_overdue(),
            }
        }
    }

    /// The name of a judge.
    fn name_of(&self, judge: usize) -> Option<Arc<str>> {
        let caller = self.shared.owners.get(judge)?;
        Some(caller.name.clone())
    }

    fn asking(&self) -> Result<&Caller, Refusal> {
        let caller = self.callers.get(self.caller).ok_or(Refusal::Gone)?;
        Ok(caller)
    }

    /// Runs a command for the VM.
    ///
    /// # Errors
    /// [`Refusal::Denied`] at the gate, or whatever the command refuses with.
    pub fn vm<R: Request<Scope = commands::Vm>>(
        &mut self,
        request: R,
    ) -> Result<R::Reply, Refusal> {
        let reply = oriel_policy::Desk::vm(self, request.into_call())?;
        R::from_reply(reply).ok_or(Refusal::Invalid)
    }

    /// Runs a command for a vCPU.
    ///
    /// # Errors
    /// [`Refusal::Denied`] at the gate, or whatever the command refuses with.
    pub fn on<R: Request<Scope = commands::Vcpu>>(
        &mut self,
        vcpu: u32,
        request: R,
    ) -> Result<R::Reply, Refusal> {
        let reply = oriel_policy::Desk::vcpu(self, vcpu, request.into_call())?;
        R::from_reply(reply).ok_or(Refusal::Invalid)
    }

    /// Asks for a service.
    ///
    /// # Errors
    /// [`Refusal::Denied`] at the gate, or whatever the service refuses with.
    pub fn service<R: Request<Scope = commands::Service>>(
        &mut self,
        request: R,
    ) -> Result<R::Reply, Refusal> {
        let reply = oriel_policy::Desk::service(self, request.into_call())?;
        R::from_reply(reply).ok_or(Refusal::Invalid)
    }

    /// The desk that was lent to a policy.
    pub(crate) fn back(lent: Box<dyn oriel_policy::Desk>) -> Box<Self> {
        let lent: Box<dyn Any> = lent;
        lent.downcast()
            .expect("a policy gives back the desk that it was lent")
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Desk(vCPU {})", self.index())
    }
}
