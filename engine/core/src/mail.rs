//! The letters that go to a vCPU's thread. Each carries its own answer's way home.

use std::sync::Arc;

use oriel_guest::{Index, Sight};
use oriel_machine::End;
use oriel_protocol::{
    Refusal,
    commands::{VcpuCall, VcpuReply},
    kvmi::EventReply,
    linux::Told,
};

use crate::{desk::Desk, judge::Judge, panel::Panel};

/// Where an answer goes.
pub(crate) type ReplyTo<T> = Box<dyn FnOnce(T) + Send>;

/// A letter to a vCPU's thread.
pub(crate) enum Mail {
    /// Run a command of this judge.
    Call {
        /// Whose.
        caller: usize,
        /// What.
        call: VcpuCall,
        /// Where the answer goes.
        reply: ReplyTo<Result<VcpuReply, Refusal>>,
    },
    /// Stay out of the guest until every pause has ended.
    Pause {
        /// Which pause.
        by: Pauser,
        /// Told when it is out.
        reply: ReplyTo<Result<(), Refusal>>,
    },
    /// End a pause.
    Resume {
        /// Which.
        by: Pauser,
    },
    /// The answer to a letter that this vCPU sent.
    Answer(u64, Answer),
    /// Your turn with a shared instance may have come.
    Turn,
    /// A tool wants a `pause` event of its own.
    Attend {
        /// Which judge it is.
        caller: usize,
        /// Told when the vCPU is out.
        reply: ReplyTo<Result<(), Refusal>>,
    },
    /// Say what the vCPU shows of the guest's kernel.
    Look(ReplyTo<Option<Sight>>),
    /// A tool has answered an event.
    Verdict {
        /// Which judge it is.
        caller: usize,
        /// Which event.
        seq: u32,
        /// What it said.
        reply: EventReply,
    },
    /// A tool is gone, and what it had armed is undone.
    HungUp,
    /// Do something between two events.
    Errand(Errand),
    /// A clock's judge is called no more.
    Retire(Retirement),
    /// The VM ends.
    Stop(End),
}

/// What a vCPU's thread does between two events, with its judges. Whoever sent it learns from what
/// the errand holds: one that is never run is dropped.
pub(crate) type Errand = Box<dyn FnOnce(&mut Panel, Box<Desk>) -> Box<Desk> + Send>;

/// Where a clock's judge goes that is called no more.
pub(crate) type Retirement = ReplyTo<Box<dyn Judge>>;

/// Whose pause it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pauser {
    /// The operator's or embedder's.
    Operator,
    /// A judge's that runs on this vCPU; it ends with the judge's call.
    Judge {
        /// The vCPU on which it judges.
        vcpu: u32,
    },
}

/// What comes back to a vCPU that asked another.
pub(crate) enum Answer {
    /// Of a command.
    Call(Result<VcpuReply, Refusal>),
    /// Of a pause.
    Pause(Result<(), Refusal>),
    /// Of a look at what a vCPU shows.
    Look(Option<Sight>),
    /// Which kernel the guest runs.
    Kernel(Told<Arc<Index>>),
}

impl Mail {
    /// Answers a letter that nobody will act on.
    pub(crate) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Call { reply, .. } => reply(Err(refusal)),
            Self::Pause { reply, .. } | Self::Attend { reply, .. } => reply(Err(refusal)),
            Self::Look(reply) => reply(None),
            Self::Resume { .. } | Self::Answer(..) | Self::Turn | Self::Stop(_) => {}
            Self::Verdict { .. } | Self::HungUp | Self::Errand(_) | Self::Retire(_) => {}
        }
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call { call, .. } => write!(out, "Call({})", call.id().name()),
            Self::Pause { by, .. } => write!(out, "Pause({by:?})"),
            Self::Resume { by } => write!(out, "Resume({by:?})"),
            Self::Answer(ticket, _) => write!(out, "Answer({ticket})"),
            Self::Turn => out.write_str("Turn"),
            Self::Look(_) => out.write_str("Look"),
            Self::Attend { caller, .. } => write!(out, "Attend({caller})"),
            Self::Verdict { caller, seq, .. } => write!(out, "Verdict({caller}, {seq})"),
            Self::HungUp => out.write_str("HungUp"),
            Self::Errand(_) => out.write_str("Errand"),
            Self::Retire(_) => out.write_str("Retire"),
            Self::Stop(end) => write!(out, "Stop({end})"),
        }
    }
}
