//! Verdict → plan: what is to be done to the vCPU before it enters the guest again.

use oriel_protocol::{Value, Verdict};

use super::pending::{Access, Int3, Pending, Plan, Reach, Touch, can_raise};
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
        (Verdict::Inject(exception), Pending::Step) => Plan::RaiseHere(exception),
        (Verdict::Continue, Pending::Step | Pending::Trap(_)) => Plan::Enter,
        (Verdict::Continue, Pending::Reset) => Plan::Reset,
        (Verdict::Continue, Pending::Shutdown { end, .. }) => Plan::End(end),
        (_, Pending::Step | Pending::Trap(_) | Pending::Reset | Pending::Shutdown { .. }) => {
            Plan::Impossible(kind)
        }
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

fn breakpoint(int3: Int3, verdict: Verdict) -> Plan {
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
mod tests {
    use oriel_protocol::{
        VerdictKind, VerdictSet,
        events::ShutdownCause,
        x86::{CpuidLeaf, Exception, msr},
    };

    use super::*;
    use crate::kvm::pending::Place;

    const WRITE: Pending = Pending::MsrWrite {
        msr: msr::LSTAR,
        old: Some(1),
        new: 2,
    };
    const READ: Pending = Pending::MsrRead {
        msr: msr::LSTAR,
        value: Some(7),
    };

    fn output(count: u32) -> Access {
        Access {
            place: Place::Port(0x3f8),
            write: true,
            size: 1,
            count,
            value: 0x41,
            retired: true,
        }
    }

    fn word(value: u64) -> Verdict {
        Verdict::Replace(Value::Word(value))
    }

    #[test]
    fn a_write_takes_each_verdict() {
        let write = |value| Plan::WriteMsr {
            msr: msr::LSTAR,
            value,
        };
        assert_eq!(plan(WRITE, Verdict::Continue), write(2));
        assert_eq!(plan(WRITE, word(3)), write(3));
        assert_eq!(
            plan(WRITE, word(1)),
            Plan::DropWrite,
            "the old value is kept"
        );
        assert_eq!(plan(WRITE, Verdict::Skip), Plan::DropWrite);
        assert_eq!(plan(WRITE, Verdict::Deny), Plan::Fault);
        assert_eq!(plan(WRITE, Verdict::Retry), Plan::Again);
        assert_eq!(
            plan(WRITE, Verdict::Inject(Exception::BP)),
            Plan::Raise(Exception::BP)
        );
        assert_eq!(plan(WRITE, Verdict::Crash), Plan::End(End::Stopped));
    }

    #[test]
    fn a_read_takes_each_verdict() {
        assert_eq!(plan(READ, Verdict::Continue), Plan::AnswerRead(7));
        assert_eq!(plan(READ, word(9)), Plan::AnswerRead(9));
        assert_eq!(plan(READ, Verdict::Skip), Plan::DropRead);
        assert_eq!(plan(READ, Verdict::Deny), Plan::Fault);
    }

    #[test]
    fn what_does_not_exist_faults_unless_a_judge_makes_it_up() {
        let nothing = Pending::MsrRead {
            msr: 0x1337,
            value: None,
        };
        assert_eq!(plan(nothing.clone(), Verdict::Continue), Plan::Fault);
        assert_eq!(plan(nothing, word(9)), Plan::AnswerRead(9));
        let write = Pending::MsrWrite {
            msr: 0x1337,
            old: None,
            new: 1,
        };
        assert_eq!(
            plan(write, word(0)),
            Plan::WriteMsr {
                msr: 0x1337,
                value: 0
            },
            "there is no old value to keep"
        );
    }

    #[test]
    fn an_access_cannot_fault_or_run_again() {
        let pending = || Pending::Access(output(1));
        assert_eq!(plan(pending(), Verdict::Continue), Plan::Perform(output(1)));
        assert_eq!(plan(pending(), word(5)), Plan::PerformWith(output(1), 5));
        assert_eq!(plan(pending(), Verdict::Skip), Plan::Ignore(output(1)));
        for no in [Verdict::Deny, Verdict::Retry] {
            assert_eq!(plan(pending(), no.clone()), Plan::Impossible(no.kind()));
        }
    }

    #[test]
    fn one_value_does_not_stand_for_a_string() {
        let string = Pending::Access(output(4));
        assert!(!string.allowed().intersects(VerdictSet::REPLACE));
        assert_eq!(
            plan(string, word(5)),
            Plan::Impossible(VerdictKind::Replace)
        );
    }

    #[test]
    fn the_end_can_be_let_be_or_be_a_crash() {
        let end = || Pending::Shutdown {
            cause: ShutdownCause::Request,
            end: End::Finished(3),
        };
        assert_eq!(plan(end(), Verdict::Continue), Plan::End(End::Finished(3)));
        assert_eq!(plan(end(), Verdict::Crash), Plan::End(End::Stopped));
        assert_eq!(plan(Pending::Reset, Verdict::Continue), Plan::Reset);
        assert_eq!(
            plan(Pending::Reset, Verdict::Deny),
            Plan::Impossible(VerdictKind::Deny)
        );
    }

    #[test]
    fn what_is_no_exception_is_not_raised() {
        for vector in [2, 32, 255] {
            let wrong = Verdict::Inject(Exception {
                vector,
                ..Exception::BP
            });
            assert_eq!(plan(WRITE, wrong), Plan::Impossible(VerdictKind::Inject));
        }
    }

    #[test]
    fn a_cpuid_leaf_is_no_value_of_an_msr() {
        let leaf = Verdict::Replace(Value::Leaf(CpuidLeaf::default()));
        assert_eq!(plan(WRITE, leaf), Plan::Impossible(VerdictKind::Replace));
    }
}
