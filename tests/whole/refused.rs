//! What judges ask for that cannot be, or has been asked for already: each a clear answer, and what
//! was armed stays.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use oriel_engine::{Candidate, Desk, Settings};
use oriel_machine::{
    End,
    mock::{Scenario, Step},
};
use oriel_protocol::{
    Access, EventData, EventKind, Refusal, Verdict,
    commands::{
        vcpu::{InjectException, Place, ReadVirtual, SetBreakpoint},
        vm::{ClearBreakpoint, GetPageAccess, PageRule, SetPageAccess},
    },
    events::ShutdownCause,
    x86::{Exception, msr},
};
use oriel_tests::{Vm, native, play};

use crate::kvm::{guest, kvm, parts, watch};

const FUNCTION: u64 = 0x3000;
const HEARD: [EventKind; 2] = [EventKind::Msr, EventKind::Breakpoint];

/// A write that lets judges act, then a function that runs so many times.
fn calls(times: u64) -> Scenario {
    Scenario::new("calls")
        .step(Step::write_msr(msr::STAR, 1))
        .step(Step::plain().at(FUNCTION).times(times))
        .step(Step::finish(0))
}

fn breaks(desk: &mut Desk, tag: u64, place: Place) -> Result<(), Refusal> {
    desk.on(0, SetBreakpoint { tag, place })
}

#[test]
fn breakpoints_that_cannot_be_are_refused_by_name_and_twice_is_once() {
    let judge = native("places", &HEARD, |case, desk| {
        if case.event.kind() == EventKind::Msr {
            let unmapped = Place::Gva(0xffff_ffff_8000_0000);
            assert_eq!(breaks(desk, 1, unmapped), Err(Refusal::NotFound));
            let hole = Place::Gpa(0xd000_0000);
            assert_eq!(breaks(desk, 1, hole), Err(Refusal::NotFound));
            let here = Place::Gva(FUNCTION);
            assert_eq!(breaks(desk, 1, here), Ok(()), "the tag is free still");
            assert_eq!(breaks(desk, 1, here), Ok(()), "the same again");
            let elsewhere = Place::Gpa(FUNCTION + 1);
            assert_eq!(breaks(desk, 1, elsewhere), Err(Refusal::Conflict));
            assert_eq!(breaks(desk, 2, here), Ok(()), "another tag, the same place");
            return Verdict::Continue;
        }
        assert_eq!(case.tag, 1, "one event, by its first tag");
        assert_eq!(desk.vm(ClearBreakpoint { tag: 3 }), Err(Refusal::NotFound));
        Verdict::Continue
    });
    let ran = play(&calls(3), vec![judge]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 1 + 3)
    );
}

/// Breaks at the function, and clears that after so many hits.
fn clears_after(name: &str, hits: u64, seen: &Arc<AtomicU64>) -> Candidate {
    let seen = seen.clone();
    native(name, &HEARD, move |case, desk| {
        if case.event.kind() == EventKind::Msr {
            assert_eq!(breaks(desk, 9, Place::Gpa(FUNCTION)), Ok(()));
        } else if seen.fetch_add(1, SeqCst) + 1 == hits {
            assert_eq!(desk.vm(ClearBreakpoint { tag: 9 }), Ok(()));
        }
        Verdict::Continue
    })
}

#[test]
fn two_judges_at_one_place_each_have_their_own() {
    let (first, second) = (Arc::default(), Arc::default());
    let judges = vec![
        clears_after("first", 2, &first),
        clears_after("second", 5, &second),
    ];
    let ran = play(&calls(8), judges);
    assert_eq!((first.load(SeqCst), second.load(SeqCst)), (2, 5));
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 1 + 5)
    );
}

#[test]
fn pages_that_are_no_ram_and_injections_on_top_of_one_are_refused_whole() {
    let judge = native("asks", &[EventKind::Msr], |_, desk| {
        let rule = |gpa| PageRule {
            gpa,
            allowed: Access::READ,
            tag: 1,
        };
        let entries = vec![rule(0x5000), rule(0xd000_0000)];
        let refused = desk.vm(SetPageAccess { view: 0, entries });
        assert_eq!(refused, Err(Refusal::NotFound));
        let gpas = vec![0x5000];
        let there = desk.vm(GetPageAccess { view: 0, gpas });
        assert_eq!(there, Ok(vec![Access::ALL]), "nothing of the list");
        let exception = Exception {
            vector: 6,
            error_code: None,
            address: 0,
        };
        assert_eq!(desk.on(0, InjectException { exception }), Ok(()));
        let again = desk.on(0, InjectException { exception });
        assert_eq!(again, Err(Refusal::Busy));
        Verdict::Continue
    });
    let ran = play(&calls(1), vec![judge]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.failures().len()),
        (End::Finished(0), 0)
    );
}

#[test]
fn where_a_guest_has_lost_its_tables_no_address_leads_anywhere_and_it_ends() {
    if !kvm() {
        return;
    }
    let (asked, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (ask, see) = (asked.clone(), seen.clone());
    let judge = native(
        "asks",
        &[EventKind::Pio, EventKind::Shutdown],
        move |case, desk| {
            let (vcpu, gva) = (case.moment.vcpu, case.event.ip);
            let (cr3, length) = (None, 1);
            let read = desk.on(vcpu, ReadVirtual { cr3, gva, length });
            let placed = breaks(desk, gva, Place::Gva(gva));
            if case.event.kind() == EventKind::Pio {
                ask.fetch_add(1, SeqCst);
                assert_eq!((read.map(|bytes| bytes.len()), placed), (Ok(1), Ok(())));
                return Verdict::Continue;
            }
            see.fetch_add(1, SeqCst);
            assert_eq!(
                (read, placed),
                (Err(Refusal::NotFound), Err(Refusal::NotFound))
            );
            Verdict::Continue
        },
    );
    let ran = watch(guest("lost-tables", 1), vec![judge]);
    let end = End::Shutdown(ShutdownCause::TripleFault);
    assert_eq!((ran.outcome.end, ran.reports), (end, vec![1]));
    assert_eq!((asked.load(SeqCst), seen.load(SeqCst)), (2, 1));
}

#[test]
fn a_guest_that_spins_for_ever_is_stopped() {
    if !kvm() {
        return;
    }
    let judge = native("idle", &[EventKind::Msr], |case, _| {
        assert!(matches!(case.event.data, EventData::Msr(_)));
        Verdict::Continue
    });
    let spin = |outlet| parts(guest("spin", 2), outlet);
    let vm = Vm::start(spin, vec![judge], Settings::default());
    assert_eq!(vm.stop().outcome.end, End::Cancelled);
}
