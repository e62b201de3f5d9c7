//! What is noted while an instance is called: a desk behind the desk, which keeps each command with
//! its answer. It changes no answer.

use std::{any::Any, sync::Arc};

use bincode::Encode;
use oriel_policy::{Failure, Instance, Place, Policy, Slot};
use oriel_protocol::{
    Case, Refusal, ServiceCall, VcpuCall, Verdict, VmCall,
    commands::{ServiceReply, VcpuReply, VmReply},
};

use super::{
    Journal,
    batch::Plain,
    codec,
    entry::{Asked, Begun, Called, Entry, Missed, Outcome, Seen},
    terms,
};
use crate::desk::Desk;

/// What a judge notes of its instances.
pub(crate) struct Tape {
    journal: Arc<Journal>,
    /// Here between two calls, so that no call needs the heap.
    taped: Option<Box<Taped>>,
    /// The instance that was called last, and the number of the call if it is shared.
    instance: u64,
    turn: u64,
}

/// A desk that is being listened to.
#[derive(Default)]
pub(crate) struct Taped {
    desk: Option<Box<Desk>>,
    said: Vec<u8>,
}

impl Tape {
    pub(crate) fn new(journal: &Arc<Journal>) -> Self {
        Self {
            journal: journal.clone(),
            taped: None,
            instance: 0,
            turn: 0,
        }
    }

    /// The desk for a call of this instance, which other vCPUs may share.
    #[inline(never)]
    pub(crate) fn lend(
        &mut self,
        instance: &Instance,
        shared: bool,
        desk: Box<Desk>,
    ) -> Box<Taped> {
        self.instance = instance.number();
        self.turn = if shared { self.journal.turn() } else { 0 };
        let mut taped = self.taped.take().unwrap_or_default();
        taped.desk = Some(desk);
        taped.said.clear();
        taped
    }

    /// Takes the desk back.
    #[inline(never)]
    pub(crate) fn back(&mut self, lent: Box<dyn oriel_policy::Desk>) -> Box<Desk> {
        let (desk, taped) = unwrap(lent);
        self.taped = Some(taped);
        desk
    }

    /// Writes down the call that was made last.
    pub(crate) fn put(&mut self, asked: Asked, outcome: Outcome, desk: &mut Desk) {
        let said = self
            .taped
            .as_mut()
            .map(|taped| std::mem::take(&mut taped.said));
        let mut entry = Entry::Called(Called {
            instance: self.instance,
            turn: self.turn,
            at: desk.moment().into(),
            asked,
            said: said.unwrap_or_default(),
            outcome,
        });
        self.journal.put(&entry, desk);
        // The next call uses the same room.
        if let (Entry::Called(called), Some(taped)) = (&mut entry, &mut self.taped) {
            taped.said = std::mem::take(&mut called.said);
        }
    }

    /// Writes down the call that was made last, which let this event happen.
    #[inline]
    pub(crate) fn put_continued(&mut self, case: &Case<'_>, desk: &mut Desk) {
        let taped = self.taped.as_ref();
        if taped.is_some_and(|taped| !taped.said.is_empty()) {
            return self.put(Asked::Judge(Seen::of(case)), Outcome::Continue, desk);
        }
        let (instance, turn, at) = (self.instance, self.turn, desk.moment().into());
        let plain = || Plain {
            instance,
            turn,
            at,
            seen: Seen::of(case),
        };
        self.journal.leave(plain, desk);
    }

    /// Writes down an event of which no instance was asked.
    pub(crate) fn miss(&self, missed: Missed, desk: &mut Desk) {
        self.journal.put(&Entry::Missed(Box::new(missed)), desk);
    }

    /// Where it is written.
    pub(crate) const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }
}

/// The desk, and what listened to it.
fn unwrap(lent: Box<dyn oriel_policy::Desk>) -> (Box<Desk>, Box<Taped>) {
    let lent: Box<dyn Any> = lent;
    let mut taped: Box<Taped> = lent
        .downcast()
        .expect("a policy gives back the desk that it was lent");
    let desk = taped.desk.take().expect("a desk is lent with what listens");
    (desk, taped)
}

/// Makes an instance, and writes down what came of it.
pub(crate) fn instantiate(
    journal: &Arc<Journal>,
    (policy, place): (&Policy, Place),
    slot: &Arc<Slot>,
    desk: Box<Desk>,
) -> (Result<Instance, Failure>, Box<Desk>) {
    let taped = Box::new(Taped {
        desk: Some(desk),
        said: Vec::new(),
    });
    let (made, lent) = policy.instantiate(place, slot, taped);
    let (mut desk, taped) = unwrap(lent);
    let outcome = match &made {
        Ok(_) => Outcome::Done,
        Err(failure) => failed(failure, None),
    };
    let settings = policy.settings().iter().cloned();
    let rows = oriel_policy::limits::TABLE.iter();
    let entry = Entry::Begun(Box::new(Begun {
        instance: made.as_ref().map_or(0, Instance::number),
        policy: policy.name().to_owned(),
        revision: desk.revision(),
        digest: *policy.plugin().inspection().digest.as_bytes(),
        seat: terms::seat(place),
        on_trial: desk.is_on_trial(),
        settings: settings
            .map(|(key, value)| (key, terms::parameter(value)))
            .collect(),
        limits: rows
            .map(|row| (row.key.to_owned(), row.of(policy.limits())))
            .collect(),
        at: desk.moment().into(),
        said: taped.said,
        outcome,
    }));
    journal.put(&entry, &mut desk);
    (made, desk)
}

/// A failure, and what answered.
pub(crate) fn failed(failure: &Failure, answered: Option<Verdict>) -> Outcome {
    Outcome::Failed {
        class: terms::class(failure),
        reason: failure.to_string(),
        answered,
    }
}

impl Taped {
    /// Notes a command, has it done, and notes the answer. The numbers are those of
    /// [`Said`](super::entry::Said).
    fn note<C: Encode, A: Encode>(
        &mut self,
        call: C,
        does: impl FnOnce(&mut Desk, C) -> Result<A, Refusal>,
    ) -> Result<A, Refusal> {
        let desk = self.desk.as_mut().ok_or(Refusal::Gone)?;
        let before = self.said.len();
        let mut whole = codec::put(&call, &mut self.said);
        let answer = does(desk, call);
        whole &= codec::put(&answer, &mut self.said);
        if !whole {
            self.said.truncate(before);
        }
        answer
    }
}

/// In the order of [`Said`](super::entry::Said).
const VM: u32 = 0;
const VCPU: u32 = 1;
const SERVICE: u32 = 2;

impl oriel_policy::Desk for Taped {
    fn vm(&mut self, call: VmCall) -> Result<VmReply, Refusal> {
        self.note((VM, call), |desk, (_, call)| {
            oriel_policy::Desk::vm(desk, call)
        })
    }

    fn vcpu(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        self.note((VCPU, vcpu, call), |desk, (_, vcpu, call)| {
            oriel_policy::Desk::vcpu(desk, vcpu, call)
        })
    }

    fn service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        self.note((SERVICE, call), |desk, (_, call)| {
            oriel_policy::Desk::service(desk, call)
        })
    }
}
