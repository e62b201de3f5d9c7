//! Verdict → plan: what is to be done to the vCPU before it enters the guest again.

use oriel_protocol::{Value, Verdict};

use super::pending::{Access, Break, Pending, Plan, Reach, Touch, can_raise};
use crate::End;

/// What this verdict means for what awaits it.
pub fn plan(pending: Pending, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    if !pending.allowed().contains(kind.set()) {
        return Plan::Impossible(kind);
    }
    match (verdict, pending) {
        (Verdict::Inject(exception), _) if !can_raise(exception) => Plan::Impossible(kind),
        (Verdict::Crash, _) => Plan::End(End::Stopped),
        (verdict, Pending::MsrWrite { msr, old, new }) => msr_write(msr, old, new, verdict),
        (verdict, Pending::MsrRead { value, .. }) => msr_read(value, verdict),
        (verdict, Pending::Access(access)) => device(access, verdict),
        (verdict, Pending::Breakpoint(int3)) => breakpoint(int3, verdict),
        (verdict, Pending::Page(touch)) => page(touch, verdict),
        (Verdict::Inject(exception), Pending::Step | Pending::Watched(_)) => {
            Plan::RaiseHere(exception)
        }
        (Verdict::Continue, Pending::Step | Pending::Watched(_) | Pending::Trap(_)) => Plan::Enter,
        (Verdict::Continue, Pending::Reset) => Plan::Reset,
        (Verdict::Continue, Pending::Shutdown { end, .. }) => Plan::End(end),
        (_, Pending::Step | Pending::Watched(_) | Pending::Trap(_)) => Plan::Impossible(kind),
        (_, Pending::Reset | Pending::Shutdown { .. }) => Plan::Impossible(kind),
    }
}

fn msr_write(msr: u32, old: Option<u64>, new: u64, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue => Plan::WriteMsr { msr, value: new },
        // Keeping what is there is no write at all: it can neither fault nor have side effects.
        Verdict::Replace(Value::Word(value)) if old == Some(value) => Plan::DropWrite,
        Verdict::Replace(Value::Word(value)) => Plan::WriteMsr { msr, value },
        Verdict::Skip => Plan::DropWrite,
        Verdict::Deny => Plan::Fault,
        Verdict::Retry => Plan::Again,
        Verdict::Inject(exception) => Plan::Raise(exception),
        Verdict::Replace(Value::Leaf(_)) | Verdict::Crash | Verdict::Emulate(_) => {
            Plan::Impossible(kind)
        }
        Verdict::Step => Plan::Impossible(kind),
    }
}

fn msr_read(value: Option<u64>, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue => value.map_or(Plan::Fault, Plan::AnswerRead),
        Verdict::Replace(Value::Word(value)) => Plan::AnswerRead(value),
        Verdict::Skip => Plan::DropRead,
        Verdict::Deny => Plan::Fault,
        Verdict::Retry => Plan::Again,
        Verdict::Inject(exception) => Plan::Raise(exception),
        Verdict::Replace(Value::Leaf(_)) | Verdict::Crash | Verdict::Emulate(_) => {
            Plan::Impossible(kind)
        }
        Verdict::Step => Plan::Impossible(kind),
    }
}

fn device(access: Access, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue => Plan::Perform(access),
        Verdict::Replace(Value::Word(value)) => Plan::PerformWith(access, value),
        Verdict::Skip => Plan::Ignore(access),
        Verdict::Replace(Value::Leaf(_)) | Verdict::Crash | Verdict::Emulate(_) => {
            Plan::Impossible(kind)
        }
        Verdict::Deny | Verdict::Retry | Verdict::Inject(_) | Verdict::Step => {
            Plan::Impossible(kind)
        }
    }
}

fn breakpoint(int3: Break, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue if int3.managed => Plan::GoOver(int3),
        Verdict::Continue => Plan::RaiseInt3(int3),
        Verdict::Skip => Plan::PassOver(int3),
        Verdict::Deny => Plan::FaultHere,
        Verdict::Retry => Plan::Enter,
        Verdict::Inject(exception) => Plan::RaiseHere(exception),
        Verdict::Replace(_) | Verdict::Crash | Verdict::Emulate(_) | Verdict::Step => {
            Plan::Impossible(kind)
        }
    }
}

fn page(touch: Touch, verdict: Verdict) -> Plan {
    match touch.reach {
        Reach::Before { .. } => page_before(touch, verdict),
        Reach::Load { .. } => page_load(verdict),
        Reach::Store => page_store(touch, verdict),
    }
}

fn page_before(touch: Touch, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue | Verdict::Step => Plan::GoThrough(touch),
        Verdict::Emulate(bytes) => Plan::Plant(touch, bytes),
        Verdict::Replace(Value::Word(value)) => Plan::StoreInstead(touch, value),
        Verdict::Skip => Plan::StepBehind(touch),
        Verdict::Deny => Plan::FaultHere,
        Verdict::Retry => Plan::Enter,
        Verdict::Inject(exception) => Plan::RaiseHere(exception),
        Verdict::Replace(Value::Leaf(_)) | Verdict::Crash => Plan::Impossible(kind),
    }
}

fn page_load(verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue | Verdict::Step => Plan::Load(None),
        Verdict::Emulate(bytes) => Plan::Load(Some(bytes)),
        Verdict::Skip => Plan::DropRead,
        Verdict::Deny => Plan::FaultBefore,
        Verdict::Retry => Plan::Again,
        Verdict::Inject(exception) => Plan::Raise(exception),
        Verdict::Replace(_) | Verdict::Crash => Plan::Impossible(kind),
    }
}

fn page_store(touch: Touch, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    match verdict {
        Verdict::Continue => Plan::Put(touch, touch.value.unwrap_or_default()),
        Verdict::Replace(Value::Word(value)) => Plan::Put(touch, value),
        Verdict::Skip => Plan::Enter,
        Verdict::Replace(Value::Leaf(_)) | Verdict::Crash | Verdict::Emulate(_) => {
            Plan::Impossible(kind)
        }
        Verdict::Deny | Verdict::Retry | Verdict::Inject(_) | Verdict::Step => {
            Plan::Impossible(kind)
        }
    }
}

#[cfg(test)]
mod tests;
