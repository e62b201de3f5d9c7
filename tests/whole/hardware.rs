//! Hardware breakpoints and watchpoints of several judges: whose hit it is, how many there are, and
//! that they stand in where no INT3 can be placed.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use oriel_engine::{Candidate, Desk};
use oriel_guests::{HOLE_CALLS, MMIO_GPA};
use oriel_machine::{End, mock::Scenario};
use oriel_protocol::{
    Access, Case, EventData, EventKind, Grant, HardwarePoint, Refusal, Verdict,
    commands::{
        vcpu::{GetGeneral, Place, SetBreakpoint, SetRegisters},
        vm::{ClearBreakpoint, ListBreakpoints, ReadWord, SetHardwarePoint},
    },
};
use oriel_tests::{native, play, scenario};

use crate::kvm::{guest, kvm, watch};

const HEARD: [EventKind; 3] = [EventKind::Msr, EventKind::Pio, EventKind::Breakpoint];
const READ_WRITE: Access = HardwarePoint::READ_WRITE;
const CODE: u64 = 0x7000;
const DATA: u64 = 0x5000;
const ROM: u64 = 0xffff_8000_0000_0000;

/// Judge, tag, address, and whether the access had been made.
type Hits = Arc<Mutex<Vec<(&'static str, u64, u64, bool)>>>;

/// Writes an MSR, so that judges can arm; then code and data, and code that is mapped to no RAM.
fn guarded() -> Scenario {
    scenario(
        "
        [[map]]
        gva = '0xffff800000000000'
        gpa = 0x1000000000
        [[step]]
        event = 'msr'
        msr = 'star'
        value = 1
        [[step]]
        event = 'singlestep'
        ip = 0x7000
        [[step]]
        event = 'page'
        access = 'write'
        gva = 0x5002
        size = 1
        value = 7
        [[step]]
        event = 'page'
        access = 'read'
        gva = 0x5000
        size = 8
        [[step]]
        event = 'singlestep'
        ip = '0xffff800000000000'
        [[step]]
        report = 'memory'
        gpa = 0x5000
        [[step]]
        finish = 0",
    )
}

fn point(gva: u64, length: u8, access: Access, tag: u64) -> SetHardwarePoint {
    SetHardwarePoint {
        gva,
        length,
        access,
        tag,
    }
}

fn code(gva: u64, tag: u64) -> SetHardwarePoint {
    point(gva, 1, Access::EXECUTE, tag)
}

/// A judge that arms at its first event, and notes its hits.
fn keeper(
    name: &'static str,
    hits: &Hits,
    arms: impl Fn(&mut Desk) + Clone + Send + Sync + 'static,
) -> Candidate {
    let (hits, armed) = (hits.clone(), Arc::new(AtomicBool::new(false)));
    native(name, &HEARD, move |case: &Case<'_>, desk| {
        if !armed.swap(true, SeqCst) {
            arms(desk);
        }
        if let EventData::Breakpoint(hit) = case.event.data {
            assert!(hit.managed);
            let hit = (name, case.tag, hit.gva, case.event.retired);
            hits.lock().expect("nobody panics with it").push(hit);
        }
        Verdict::Continue
    })
}

fn seen(hits: &Hits) -> Vec<(&'static str, u64, u64, bool)> {
    hits.lock().expect("nobody panicked").clone()
}

#[test]
fn a_hit_goes_to_those_who_asked_for_it_under_their_own_tags() {
    let hits = Hits::default();
    let first = keeper("first", &hits, |desk| {
        assert_eq!(desk.vm(code(CODE, 1)), Ok(()));
        assert_eq!(desk.vm(point(DATA, 4, Access::WRITE, 2)), Ok(()));
    });
    let second = keeper("second", &hits, |desk| {
        assert_eq!(desk.vm(code(CODE, 9)), Ok(()));
        assert_eq!(desk.vm(point(DATA, 4, READ_WRITE, 8)), Ok(()));
    });
    let ran = play(&guarded(), vec![first, second]);
    assert_eq!(
        (ran.outcome.end, ran.reports),
        (End::Finished(0), vec![0x7_0000])
    );
    assert_eq!(
        seen(&hits),
        [
            ("first", 1, CODE, false),
            ("second", 9, CODE, false),
            ("first", 2, DATA, true),
            ("second", 8, DATA, true),
            ("second", 8, DATA, true),
        ],
        "the write is for both, the read for one"
    );
}

#[test]
fn a_vm_has_four_for_all_its_judges() {
    let hits = Hits::default();
    let first = keeper("first", &hits, |desk| {
        for tag in 0..4 {
            assert_eq!(desk.vm(code(0x9000 + tag, tag)), Ok(()));
        }
        assert_eq!(desk.vm(code(CODE, 4)), Err(Refusal::Limit));
        assert_eq!(desk.vm(ListBreakpoints {}), Ok(vec![0, 1, 2, 3]));
    });
    let second = keeper("second", &hits, |desk| {
        assert_eq!(
            desk.vm(code(0x9000, 7)),
            Ok(()),
            "one that is there already"
        );
        assert_eq!(desk.vm(code(CODE, 8)), Err(Refusal::Limit));
        assert_eq!(desk.vm(ClearBreakpoint { tag: 7 }), Ok(()));
        assert_eq!(
            desk.vm(code(CODE, 8)),
            Err(Refusal::Limit),
            "still the first's"
        );
        assert_eq!(desk.vm(ListBreakpoints {}), Ok(vec![]));
    });
    let third = keeper("third", &hits, |desk| {
        assert_eq!(desk.vm(ClearBreakpoint { tag: 0 }), Err(Refusal::NotFound));
    });
    let ran = play(&guarded(), vec![first, second, third]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert!(seen(&hits).is_empty());
}

#[test]
fn one_that_is_cleared_makes_room_and_is_met_no_more() {
    let hits = Hits::default();
    let judge = keeper("judge", &hits, |desk| {
        for tag in 0..4 {
            assert_eq!(desk.vm(code(CODE + 0x100 * tag, tag)), Ok(()));
        }
        assert_eq!(desk.vm(ClearBreakpoint { tag: 0 }), Ok(()));
        assert_eq!(desk.vm(point(DATA, 8, Access::WRITE, 5)), Ok(()));
        let again = desk.vm(point(DATA, 8, READ_WRITE, 5));
        assert_eq!(again, Err(Refusal::Conflict), "the tag names another");
    });
    play(&guarded(), vec![judge]);
    assert_eq!(seen(&hits), [("judge", 5, DATA, true)]);
}

#[test]
fn what_no_processor_watches_for_is_invalid_and_what_is_not_granted_denied() {
    let hits = Hits::default();
    let judge = keeper("judge", &hits, |desk| {
        for wrong in [
            point(DATA + 4, 8, Access::WRITE, 1),
            point(DATA, 3, Access::WRITE, 1),
            point(DATA, 1, Access::READ, 1),
            point(DATA, 4, Access::EXECUTE, 1),
            code(1 << 60, 1),
        ] {
            assert_eq!(desk.vm(wrong), Err(Refusal::Invalid));
        }
    });
    let mut outsider = keeper("outsider", &hits, |desk| {
        assert_eq!(desk.vm(code(CODE, 1)), Err(Refusal::Denied));
    });
    outsider.grant = Grant {
        events: [EventKind::Msr].into_iter().collect(),
        ..Grant::all()
    };
    let ran = play(&guarded(), vec![judge, outsider]);
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    assert!(seen(&hits).is_empty());
}

#[test]
fn a_breakpoint_at_what_is_no_ram_is_a_hardware_one() {
    let hits = Hits::default();
    let judge = keeper("judge", &hits, |desk| {
        let mut set = |place, tag| desk.on(0, SetBreakpoint { place, tag });
        assert_eq!(set(Place::Gva(ROM), 1), Ok(()));
        assert_eq!(set(Place::Gpa(0x10_0000_0000), 2), Err(Refusal::NotFound));
        let unmapped = set(Place::Gva(ROM + 0x1000), 3);
        assert_eq!(unmapped, Err(Refusal::NotFound));
        assert_eq!(desk.vm(ListBreakpoints {}), Ok(vec![1]));
    });
    play(&guarded(), vec![judge]);
    assert_eq!(seen(&hits), [("judge", 1, ROM, false)]);
}

#[test]
fn a_real_guests_calls_into_a_hole_are_answered_by_a_judge() {
    if !kvm() {
        return;
    }
    let (hits, refused) = (Hits::default(), Arc::new(AtomicBool::new(false)));
    let (kept, no) = (hits.clone(), refused.clone());
    let judge = native("answerer", &HEARD, move |case: &Case<'_>, desk| {
        let vcpu = case.moment.vcpu;
        let EventData::Breakpoint(hit) = case.event.data else {
            let place = Place::Gva(MMIO_GPA);
            let set = desk.on(vcpu, SetBreakpoint { place, tag: 6 });
            no.store(set == Err(Refusal::Unsupported), SeqCst);
            return if set.is_ok() {
                Verdict::Continue
            } else {
                Verdict::Crash
            };
        };
        let hit = ("answerer", case.tag, hit.gva, case.event.retired);
        kept.lock().expect("nobody panics with it").push(hit);
        let mut general = desk
            .on(vcpu, GetGeneral {})
            .expect("it is out of the guest");
        let gpa = general.rsp;
        general.rip = desk.vm(ReadWord { gpa, size: 8 }).expect("its stack");
        general.rsp += 8;
        assert_eq!(desk.on(vcpu, SetRegisters { general }), Ok(()));
        Verdict::Retry
    });
    let ran = watch(guest("hole", 1), vec![judge]);
    if refused.load(SeqCst) {
        eprintln!("SKIPPED: this KVM does not stop at hardware breakpoints");
        return;
    }
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.reports, [0, u64::from(HOLE_CALLS)]);
    let expected = ("answerer", 6, MMIO_GPA, false);
    assert_eq!(seen(&hits), vec![expected; HOLE_CALLS as usize]);
}
