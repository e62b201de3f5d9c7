use oriel_protocol::{
    Access as PageAccess, VerdictKind, VerdictSet,
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

const INT3: Break = Break {
    ip: 0x1000,
    gva: 0x1000,
    gpa: 0x1000,
    managed: true,
};

fn touch(reach: Reach, access: PageAccess, value: Option<u64>) -> Touch {
    Touch {
        ip: 0x1000,
        gva: Some(0x5000),
        gpa: 0x5000,
        access,
        size: 8,
        value,
        reach,
        repeats: false,
    }
}

#[test]
fn an_int3_takes_each_verdict_by_whose_it_is() {
    let own = Break {
        managed: false,
        ..INT3
    };
    let at = |int3, verdict| plan(Pending::Breakpoint(int3), verdict);
    assert_eq!(at(INT3, Verdict::Continue), Plan::GoOver(INT3));
    assert_eq!(at(own, Verdict::Continue), Plan::RaiseInt3(own));
    for int3 in [INT3, own] {
        assert_eq!(at(int3, Verdict::Skip), Plan::PassOver(int3));
        assert_eq!(at(int3, Verdict::Retry), Plan::Enter);
        assert_eq!(at(int3, Verdict::Deny), Plan::FaultHere);
        let raised = Plan::RaiseHere(Exception::GP0);
        assert_eq!(at(int3, Verdict::Inject(Exception::GP0)), raised);
        assert_eq!(at(int3, word(1)), Plan::Impossible(VerdictKind::Replace));
    }
}

#[test]
fn a_store_that_kvm_has_left_to_us_is_done_changed_or_lost() {
    let store = touch(Reach::Store, PageAccess::WRITE, Some(7));
    let answered = |verdict| plan(Pending::Page(store), verdict);
    assert_eq!(answered(Verdict::Continue), Plan::Put(store, 7));
    assert_eq!(answered(word(9)), Plan::Put(store, 9));
    assert_eq!(answered(Verdict::Skip), Plan::Enter);
    for no in [Verdict::Deny, Verdict::Retry, Verdict::Step] {
        assert_eq!(answered(no.clone()), Plan::Impossible(no.kind()));
    }
}

#[test]
fn a_load_that_kvm_waits_for_is_taken_back_only_where_it_can_be() {
    let load = |undoable| Pending::Page(touch(Reach::Load { undoable }, PageAccess::READ, None));
    let bytes: Box<[u8]> = Box::new([1]);
    let given = plan(load(false), Verdict::Emulate(bytes.clone()));
    assert_eq!(given, Plan::Load(Some(bytes)));
    assert_eq!(plan(load(false), Verdict::Continue), Plan::Load(None));
    assert_eq!(plan(load(true), Verdict::Deny), Plan::FaultBefore);
    assert_eq!(plan(load(true), Verdict::Skip), Plan::DropRead);
    assert_eq!(plan(load(true), Verdict::Retry), Plan::Again);
    for no in [Verdict::Deny, Verdict::Skip, Verdict::Retry] {
        assert_eq!(plan(load(false), no.clone()), Plan::Impossible(no.kind()));
    }
}

#[test]
fn what_has_not_run_can_be_changed_where_it_is_plain() {
    let before = |plain, access, value| touch(Reach::Before { plain }, access, value);
    let store = before(true, PageAccess::WRITE, Some(7));
    let answered = |touch: Touch, verdict| plan(Pending::Page(touch), verdict);
    assert_eq!(answered(store, word(9)), Plan::StoreInstead(store, 9));
    let load = before(true, PageAccess::READ, None);
    let bytes: Box<[u8]> = Box::new([1]);
    let emulate = Verdict::Emulate(bytes.clone());
    assert_eq!(answered(load, emulate.clone()), Plan::Plant(load, bytes));
    for other in [
        before(false, PageAccess::READ, None),
        before(true, PageAccess::READ.union(PageAccess::WRITE), None),
        before(false, PageAccess::EXECUTE, None),
    ] {
        let kind = VerdictKind::Emulate;
        assert_eq!(answered(other, emulate.clone()), Plan::Impossible(kind));
        assert_eq!(answered(other, Verdict::Step), Plan::GoThrough(other));
        assert_eq!(answered(other, Verdict::Skip), Plan::StepBehind(other));
        assert_eq!(answered(other, Verdict::Deny), Plan::FaultHere);
        assert_eq!(answered(other, Verdict::Retry), Plan::Enter);
    }
}

#[test]
fn what_has_happened_can_only_go_on_or_stop() {
    for pending in [Pending::Step, Pending::Trap(Exception::GP0)] {
        assert_eq!(plan(pending.clone(), Verdict::Continue), Plan::Enter);
        let stopped = Plan::End(End::Stopped);
        assert_eq!(plan(pending.clone(), Verdict::Crash), stopped);
        let denied = plan(pending, Verdict::Deny);
        assert_eq!(denied, Plan::Impossible(VerdictKind::Deny));
    }
    let after = plan(Pending::Step, Verdict::Inject(Exception::GP0));
    assert_eq!(after, Plan::RaiseHere(Exception::GP0));
}
