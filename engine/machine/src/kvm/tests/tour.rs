//! The guest that shows everything: all kinds at once, on one and two vCPUs.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use oriel_guests::{MMIO_GPA, PIO_PORT, TOUR_ROUNDS, TOUR_SLOTS, TOUR_STOP, TOUR_TAKEN};
use oriel_protocol::{Event, EventKind, Verdict, x86::msr};

use super::theatre::{Play, all_of, build, has_kvm, run};
use crate::{End, Machine, Vcpu, Wants};

const BP: u64 = 3;
const GP: u64 = 13;

/// Wants all that the tour shows, and nothing that its end shows.
fn everything() -> Wants {
    let star = u64::from(msr::STAR);
    let port = u64::from(PIO_PORT);
    let ports: crate::Ranges<u64> = [port..=port].into_iter().collect();
    Wants {
        msr_writes: [star..=star].into_iter().collect(),
        msr_reads: [star..=star].into_iter().collect(),
        pio_reads: ports.clone(),
        pio_writes: ports,
        mmio_reads: [MMIO_GPA..=MMIO_GPA].into_iter().collect(),
        mmio_writes: [MMIO_GPA..=MMIO_GPA].into_iter().collect(),
        ..all_of(&[
            EventKind::Msr,
            EventKind::MsrRead,
            EventKind::Pio,
            EventKind::Mmio,
            EventKind::Breakpoint,
        ])
    }
}

/// Runs the tour until so many events were judged.
fn tour(
    vcpus: u32,
    events: u32,
    wants: &Wants,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict + Sync,
) -> (Play, std::sync::Arc<dyn Machine>) {
    let (parts, kept) = build(oriel_guests::by_name("tour", vcpus).unwrap());
    let machine = parts.machine.clone();
    machine.arm(wants).unwrap();
    let judged = AtomicU32::new(0);
    let play = run(parts, &kept, |event, vcpu| {
        if judged.fetch_add(1, SeqCst) == events {
            machine.memory().write_at(TOUR_STOP, &[1]).unwrap();
        }
        judge(event, vcpu)
    });
    assert_eq!(play.end(), &End::Finished(0));
    (play, machine)
}

fn word(machine: &dyn Machine, gpa: u64) -> u64 {
    machine.memory().read_u64(gpa).unwrap()
}

fn rounds(machine: &dyn Machine, vcpus: u32) -> u64 {
    (0..u64::from(vcpus))
        .map(|vcpu| word(machine, TOUR_ROUNDS + vcpu * 8))
        .sum()
}

fn kinds(play: &Play) -> BTreeMap<(u32, EventKind), u64> {
    let mut kinds = BTreeMap::new();
    for (vcpu, event) in &play.events {
        *kinds.entry((*vcpu, event.kind())).or_default() += 1;
    }
    kinds
}

#[test]
fn the_tour_shows_each_kind_in_each_round_and_stops_when_told() {
    if !has_kvm() {
        return;
    }
    for vcpus in [1, 2] {
        let (play, machine) = tour(vcpus, 200, &everything(), |_, _| Verdict::Continue);
        let kinds = kinds(&play);
        for vcpu in 0..vcpus {
            let rounds = word(&*machine, TOUR_ROUNDS + u64::from(vcpu) * 8);
            assert_eq!(word(&*machine, TOUR_SLOTS + u64::from(vcpu) * 8), rounds);
            let of = |kind| kinds.get(&(vcpu, kind)).copied().unwrap_or(0);
            assert_eq!(of(EventKind::Msr), rounds);
            assert_eq!(of(EventKind::MsrRead), rounds);
            assert_eq!(of(EventKind::Pio), 2 * rounds);
            assert_eq!(of(EventKind::Mmio), 2 * rounds);
            assert_eq!(of(EventKind::Breakpoint), rounds);
        }
        let rounds = rounds(&*machine, vcpus);
        assert_eq!(
            word(&*machine, TOUR_TAKEN + BP * 8),
            rounds,
            "#BP each time"
        );
    }
}

#[test]
fn the_tour_goes_on_whatever_the_answers_are() {
    if !has_kvm() {
        return;
    }
    let (_, machine) = tour(2, 200, &everything(), |event, _| {
        match event.allowed.contains(oriel_protocol::VerdictSet::DENY) {
            true if event.kind() != EventKind::Breakpoint => Verdict::Deny,
            _ => Verdict::Skip,
        }
    });
    assert_eq!(
        word(&*machine, TOUR_TAKEN + BP * 8),
        0,
        "every INT3 was skipped"
    );
    let denied = word(&*machine, TOUR_TAKEN + GP * 8);
    assert_eq!(
        denied,
        2 * rounds(&*machine, 2),
        "a #GP for each MSR access"
    );
}

#[test]
fn breakpoints_steps_and_all_other_kinds_go_together() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("tour", 2).unwrap();
    let mut wants = everything();
    wants.events.insert(EventKind::Singlestep);
    wants.singlestep = vec![1];
    wants.breakpoints = guest.marks.iter().map(|(_, at)| *at).collect();
    let hits = Mutex::new(BTreeMap::<u64, u64>::new());
    let (play, machine) = tour(2, 2_000, &wants, |event, vcpu| {
        if event.kind() == EventKind::Breakpoint {
            let rip = vcpu.general().unwrap().rip;
            *hits.lock().unwrap().entry(rip).or_default() += 1;
        }
        Verdict::Continue
    });
    let rounds = rounds(&*machine, 2);
    let int3 = guest.mark("int3").unwrap();
    for (name, at) in &guest.marks {
        // The guest's own INT3 lies under a managed one: both are met.
        let each = if *at == int3 { 2 } else { 1 };
        assert_eq!(
            hits.lock().unwrap().get(at),
            Some(&(each * rounds)),
            "{name}"
        );
    }
    assert_eq!(word(&*machine, TOUR_TAKEN + BP * 8), rounds);
    let steps = kinds(&play);
    assert!(steps[&(1, EventKind::Singlestep)] > 0);
    assert!(!steps.contains_key(&(0, EventKind::Singlestep)));
}
