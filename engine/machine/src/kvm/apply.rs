//! Verdict → plan: what is to be done to the vCPU before it enters the guest again.

use oriel_protocol::{Value, Verdict, VerdictKind, x86::Exception};

use super::pending::{Pending, Plan, can_raise};
use crate::End;

/// What this verdict means for what awaits it.
pub fn plan(pending: Pending, verdict: Verdict) -> Plan {
    let kind = verdict.kind();
    if !pending.allowed().contains(kind.set()) {
        return Plan::Impossible(kind);
    }
    match verdict {
        Verdict::Continue => go_ahead(pending),
        Verdict::Replace(Value::Word(value)) => replace(pending, value),
        Verdict::Skip => skip(pending),
        Verdict::Deny => deny(&pending),
        Verdict::Retry => retry(&pending),
        Verdict::Inject(exception) if can_raise(exception) => raise(&pending, exception),
        Verdict::Inject(_) => Plan::Impossible(kind),
        Verdict::Crash => Plan::End(End::Stopped),
        Verdict::Replace(Value::Leaf(_)) | Verdict::Emulate(_) | Verdict::Step => {
            Plan::Impossible(kind)
        }
    }
}

const fn deny(pending: &Pending) -> Plan {
    match pending {
        Pending::MsrWrite { .. } | Pending::MsrRead { .. } => Plan::Fault,
        Pending::Breakpoint(_) => Plan::FaultHere,
        Pending::Access(_) | Pending::Step | Pending::Trap(_) => {
            Plan::Impossible(VerdictKind::Deny)
        }
        Pending::Reset | Pending::Shutdown { .. } => Plan::Impossible(VerdictKind::Deny),
    }
}

const fn retry(pending: &Pending) -> Plan {
    match pending {
        Pending::MsrWrite { .. } | Pending::MsrRead { .. } => Plan::Again,
        Pending::Breakpoint(_) => Plan::Enter,
        Pending::Access(_) | Pending::Step | Pending::Trap(_) => {
            Plan::Impossible(VerdictKind::Retry)
        }
        Pending::Reset | Pending::Shutdown { .. } => Plan::Impossible(VerdictKind::Retry),
    }
}

const fn raise(pending: &Pending, exception: Exception) -> Plan {
    match pending {
        Pending::MsrWrite { .. } | Pending::MsrRead { .. } => Plan::Raise(exception),
        Pending::Breakpoint(_) | Pending::Step => Plan::RaiseHere(exception),
        Pending::Access(_) | Pending::Trap(_) => Plan::Impossible(VerdictKind::Inject),
        Pending::Reset | Pending::Shutdown { .. } => Plan::Impossible(VerdictKind::Inject),
    }
}

fn go_ahead(pending: Pending) -> Plan {
    match pending {
        Pending::MsrWrite { msr, new, .. } => Plan::WriteMsr { msr, value: new },
        Pending::MsrRead { value, .. } => value.map_or(Plan::Fault, Plan::AnswerRead),
        Pending::Access(access) => Plan::Perform(access),
        Pending::Breakpoint(int3) if int3.managed => Plan::GoOver(int3),
        Pending::Breakpoint(int3) => Plan::RaiseInt3(int3),
        Pending::Step | Pending::Trap(_) => Plan::Enter,
        Pending::Reset => Plan::Reset,
        Pending::Shutdown { end, .. } => Plan::End(end),
    }
}

fn replace(pending: Pending, value: u64) -> Plan {
    match pending {
        // Keeping what is there is no write at all: it can neither fault nor have side effects.
        Pending::MsrWrite { old, .. } if old == Some(value) => Plan::DropWrite,
        Pending::MsrWrite { msr, .. } => Plan::WriteMsr { msr, value },
        Pending::MsrRead { .. } => Plan::AnswerRead(value),
        Pending::Access(access) => Plan::PerformWith(access, value),
        Pending::Breakpoint(_) | Pending::Step | Pending::Trap(_) => {
            Plan::Impossible(VerdictKind::Replace)
        }
        Pending::Reset | Pending::Shutdown { .. } => Plan::Impossible(VerdictKind::Replace),
    }
}

fn skip(pending: Pending) -> Plan {
    match pending {
        Pending::MsrWrite { .. } => Plan::DropWrite,
        Pending::MsrRead { .. } => Plan::DropRead,
        Pending::Access(access) => Plan::Ignore(access),
        Pending::Breakpoint(int3) => Plan::PassOver(int3),
        Pending::Step | Pending::Trap(_) | Pending::Reset | Pending::Shutdown { .. } => {
            Plan::Impossible(VerdictKind::Skip)
        }
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::{
        VerdictSet,
        events::ShutdownCause,
        x86::{CpuidLeaf, Exception, msr},
    };

    use super::*;
    use crate::kvm::pending::{Access, Place};

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
