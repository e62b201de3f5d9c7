//! Breakpoints, pages, steps and injections that judges ask for while a real guest runs. Skipped
//! loudly where `/dev/kvm` cannot be used.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use oriel_engine::Desk;
use oriel_guests::{
    PIO_PORT, PIO_VALUE, TOUR_PAGE, TOUR_ROUNDS, TOUR_SLOTS, TOUR_STOP, TOUR_TAKEN,
};
use oriel_machine::End;
use oriel_protocol::{
    Access, Case, EventData, EventKind, Refusal, Verdict,
    commands::{
        vcpu::{ControlSinglestep, InjectException, Place, SetBreakpoint},
        vm::{ClearBreakpoint, PageRule, ReadPhysical, SetPageAccess, WritePhysical},
    },
    x86::Exception,
};
use oriel_tests::{Ran, host, native, zoo};

use crate::kvm::{guest, kvm, watch};

/// Event kinds that these judges hear.
const HEARD: [EventKind; 5] = [
    EventKind::Msr,
    EventKind::Breakpoint,
    EventKind::Page,
    EventKind::Singlestep,
    EventKind::Trap,
];

/// What a judge has seen, and what the guest's memory held in the end.
#[derive(Default)]
struct Notes {
    events: AtomicU64,
    hits: AtomicU64,
    pages: AtomicU64,
    steps: AtomicU64,
    traps: AtomicU64,
    end: Mutex<Vec<u64>>,
}

impl Notes {
    /// What counts these events.
    fn counter(&self, data: &EventData) -> Option<&AtomicU64> {
        if let EventData::Breakpoint(it) = data {
            return it.managed.then_some(&self.hits);
        }
        let counters = [
            (EventKind::Page, &self.pages),
            (EventKind::Singlestep, &self.steps),
            (EventKind::Trap, &self.traps),
        ];
        let of = |(kind, _): &(EventKind, &AtomicU64)| *kind == data.kind();
        counters.into_iter().find(of).map(|(_, counter)| counter)
    }
}

fn word(desk: &mut Desk, gpa: u64) -> u64 {
    let bytes = desk.vm(ReadPhysical { gpa, length: 8 }).expect("RAM");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// Tells the guest to stop, once; notes what these words hold then.
fn stop(desk: &mut Desk, notes: &Notes, words: &[u64]) {
    let mut end = notes.end.lock().expect("nobody panics with it");
    if end.is_empty() {
        *end = words.iter().map(|gpa| word(desk, *gpa)).collect();
        let bytes = 1u64.to_le_bytes().to_vec();
        desk.vm(WritePhysical {
            gpa: TOUR_STOP,
            bytes,
        })
        .expect("RAM");
    }
}

/// Runs the tour under one judge, which does `first` at its first event.
fn tour(
    vcpus: u32,
    first: impl Fn(&mut Desk, u32) + Clone + Send + Sync + 'static,
    judge: impl Fn(&Case<'_>, &mut Desk, &Notes) -> Verdict + Clone + Send + Sync + 'static,
) -> (Ran, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let kept = notes.clone();
    let judge = native("trapper", &HEARD, move |case, desk| {
        if kept.events.fetch_add(1, SeqCst) == 0 {
            first(desk, case.moment.vcpu);
        }
        if let Some(counter) = kept.counter(&case.event.data) {
            counter.fetch_add(1, SeqCst);
        }
        judge(case, desk, &kept)
    });
    let ran = watch(guest("tour", vcpus), vec![judge]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert!(ran.failures().is_empty());
    (ran, notes)
}

#[test]
fn a_judge_breaks_where_it_likes_and_clears_it_again() {
    if !kvm() {
        return;
    }
    let at = guest("tour", 2).mark("page-load").expect("a mark");
    let (_, notes) = tour(
        2,
        move |desk, vcpu| {
            let place = Place::Gva(at);
            assert_eq!(desk.on(vcpu, SetBreakpoint { tag: 7, place }), Ok(()));
            let hole = Place::Gpa(0xd000_0000);
            let refused = desk.on(
                vcpu,
                SetBreakpoint {
                    tag: 8,
                    place: hole,
                },
            );
            assert_eq!(refused, Err(Refusal::NotFound));
        },
        move |case, desk, notes| {
            if case.event.kind() == EventKind::Breakpoint && case.event.ip == at {
                assert_eq!(case.tag, 7);
                let seen = desk.vm(ReadPhysical { gpa: at, length: 3 });
                assert_eq!(seen, Ok(vec![0x49, 0x8b, 0x02]), "mov rax, [r10]");
            }
            if notes.hits.load(SeqCst) >= 40 && desk.vm(ClearBreakpoint { tag: 7 }).is_ok() {
                stop(desk, notes, &[TOUR_ROUNDS, TOUR_ROUNDS + 8]);
            }
            Verdict::Continue
        },
    );
    let rounds: u64 = notes.end.lock().expect("nobody panicked").iter().sum();
    let hits = notes.hits.load(SeqCst);
    assert!(
        (40..=42).contains(&hits),
        "{hits} hits in {rounds} rounds and the two begun"
    );
    assert!(rounds + 4 >= hits);
}

#[test]
fn a_judge_keeps_a_page_as_it_is() {
    if !kvm() {
        return;
    }
    let (_, notes) = tour(
        2,
        |desk, _| {
            let rule = PageRule {
                gpa: TOUR_PAGE,
                allowed: Access::READ | Access::EXECUTE,
                tag: 3,
            };
            let entries = vec![rule];
            assert_eq!(desk.vm(SetPageAccess { view: 0, entries }), Ok(()));
            let bytes = vec![0; 16];
            desk.vm(WritePhysical {
                gpa: TOUR_SLOTS,
                bytes,
            })
            .expect("RAM");
        },
        |case, desk, notes| {
            if notes.pages.load(SeqCst) >= 40 {
                stop(desk, notes, &[TOUR_SLOTS, TOUR_SLOTS + 8]);
            }
            if let EventData::Page(page) = case.event.data {
                assert_eq!((case.tag, page.access), (3, Access::WRITE));
                return Verdict::Skip;
            }
            Verdict::Continue
        },
    );
    assert!(notes.pages.load(SeqCst) >= 40);
    let slots = notes.end.lock().expect("nobody panicked").clone();
    assert!(
        slots.contains(&0),
        "whoever was trapped first never stored: {slots:?}"
    );
}

#[test]
fn a_judge_steps_a_vcpu_for_as_long_as_it_likes() {
    if !kvm() {
        return;
    }
    let (_, notes) = tour(
        1,
        |desk, vcpu| assert_eq!(desk.on(vcpu, ControlSinglestep { enable: true }), Ok(())),
        |case, desk, notes| {
            if notes.steps.load(SeqCst) == 50 {
                let off = ControlSinglestep { enable: false };
                assert_eq!(desk.on(case.moment.vcpu, off), Ok(()));
                stop(desk, notes, &[TOUR_ROUNDS]);
            }
            Verdict::Continue
        },
    );
    assert_eq!(notes.steps.load(SeqCst), 50);
}

#[test]
fn what_a_judge_injects_is_told_and_taken() {
    if !kvm() {
        return;
    }
    let exception = Exception {
        vector: 6,
        error_code: None,
        address: 0,
    };
    let (_, notes) = tour(
        1,
        move |desk, vcpu| {
            assert_eq!(desk.on(vcpu, InjectException { exception }), Ok(()));
            let again = desk.on(vcpu, InjectException { exception });
            assert_eq!(again, Err(Refusal::Busy));
        },
        |_, desk, notes| {
            if notes.events.load(SeqCst) == 20 {
                stop(desk, notes, &[TOUR_TAKEN + 6 * 8]);
            }
            Verdict::Continue
        },
    );
    assert_eq!(notes.traps.load(SeqCst), 1);
    assert_eq!(
        *notes.end.lock().expect("nobody panicked"),
        [1],
        "#UD, once"
    );
}

#[test]
fn a_sandboxed_policy_replaces_and_skips_what_a_real_guest_reads() {
    if !kvm() {
        return;
    }
    let host = host();
    let pio = |act: &str| {
        let policy = zoo(act).hears(&[EventKind::Pio]);
        let policy = policy.set("value", oriel_policy::Setting::Number(0x42));
        watch(guest("pio", 1), vec![policy.candidate(&host)])
    };
    let alone = watch(guest("pio", 1), vec![]);
    assert_eq!(
        alone.reports,
        [0xffff_ffff, 0x11ff],
        "no device is at {PIO_PORT:#x}"
    );
    assert_ne!(alone.reports[0], u64::from(PIO_VALUE));
    let skipped = pio("skip");
    assert!(skipped.reports.is_empty(), "its reports were skipped too");
    let continued = pio("continue");
    assert_eq!(continued.reports, alone.reports);
}
