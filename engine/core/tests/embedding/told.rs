//! What only the VMM knows and says: a reset, an end, registers that it has set; and the signal that
//! it gives.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use libc::{c_int, c_void, siginfo_t};
use oriel_engine::Station;
use oriel_machine::{
    End,
    kvm::{EmbeddedVcpu, KickSignal, Then},
};
use oriel_protocol::{Event, EventData, EventKind, Verdict};
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use crate::{
    guest::{SPIN, STEP, start},
    judges::{Counts, judge, natively},
    memory::Memory,
    seat::{Seat, to_the_end},
    vmm::{LIMIT, Setup, Vmm},
};

/// What the policies and the machine make of what the VMM tells of; none: nobody listens.
fn told(
    station: &mut Station,
    seat: &Seat<'_>,
    tell: impl FnOnce(&mut EmbeddedVcpu) -> Option<Event>,
) -> Option<Then> {
    let event = tell(station.vcpu().unwrap())?;
    let verdict = station.judge(&event);
    assert_eq!(station.board(Some(&verdict)), None);
    let vcpu: &mut EmbeddedVcpu = station.vcpu().unwrap();
    Some(vcpu.apply(seat.devices, verdict).unwrap())
}

#[test]
fn a_reset_is_judged_and_the_guest_begins_anew() {
    let Some(mut vmm) = Vmm::new(Setup::plain()) else {
        return;
    };
    let (say, heard) = mpsc::channel();
    let judge = natively(&[EventKind::Msr, EventKind::Reset], move |event| {
        say.send(event.clone()).unwrap();
        Verdict::Continue
    });
    let mut assembly = vmm.assemble(judge);
    let mut station = assembly.stations.remove(0);
    let mut seat = vmm.seat(0);
    station.ready();
    let writes = || {
        let all: Vec<_> = heard.try_iter().collect();
        let value = |event: &Event| {
            let EventData::Msr(msr) = event.data else {
                return None;
            };
            Some(msr.new)
        };
        (all.iter().filter_map(value).collect::<Vec<_>>(), all.len())
    };
    seat.turns(&mut station, 20);
    let (before, _) = writes();
    assert!(before.len() > 1 && before[0] == STEP, "{before:x?}");
    let then = told(&mut station, &seat, EmbeddedVcpu::about_to_reset);
    assert_eq!(then, Some(Then::Reset));
    assert_eq!(writes(), (vec![], 1), "the reset itself was judged");
    start(seat.fd, 0);
    let vcpu: &mut EmbeddedVcpu = station.vcpu().unwrap();
    vcpu.state_was_set().unwrap();
    seat.turns(&mut station, 20);
    let (after, _) = writes();
    assert_eq!(after[0], STEP, "from the beginning");
    station.leave(&End::Cancelled);
}

#[test]
fn an_end_is_judged_if_somebody_listens() {
    let Some(mut vmm) = Vmm::new(Setup::plain()) else {
        return;
    };
    let kinds = Counts::default();
    let counted = kinds.clone();
    let judge = judge(&[EventKind::Shutdown], move |vcpu, kind| {
        assert_eq!(kind, EventKind::Shutdown);
        counted.add(vcpu);
        Verdict::Continue
    });
    let mut assembly = vmm.assemble(judge);
    let mut station = assembly.stations.remove(0);
    let seat = vmm.seat(0);
    station.ready();
    let then = told(&mut station, &seat, |vcpu| {
        vcpu.about_to_end(End::Finished(3))
    });
    assert_eq!(then, Some(Then::End(End::Finished(3))));
    // Nobody listens to resets, and what the host does is not the guest's doing.
    let then = told(&mut station, &seat, EmbeddedVcpu::about_to_reset);
    assert_eq!(then, None);
    let then = told(&mut station, &seat, |vcpu| {
        vcpu.about_to_end(End::Cancelled)
    });
    assert_eq!(then, None);
    assert_eq!(kinds.of(0), 1);
    station.leave(&End::Finished(3));
}

/// Waits until a vCPU has counted on: it is in the guest.
fn await_more(memory: &Memory<'_>, vcpu: u32) {
    let before = memory.counted(vcpu.into());
    while memory.counted(vcpu.into()) == before {
        thread::yield_now();
    }
}

/// Takes every vCPU out of a guest that never comes out by itself, again and again.
fn takes_out_vcpus_that_spin(signal: KickSignal) {
    let setup = Setup {
        code: SPIN,
        signal,
        ..Setup::plain()
    };
    let Some(mut vmm) = Vmm::new(setup) else {
        return;
    };
    let counts = Counts::default();
    let (ends, _) = vmm.run(counts.judge(), to_the_end, |handle, memory| {
        for _ in 0..20 {
            for vcpu in [0, 1] {
                await_more(memory, vcpu);
                assert_eq!(handle.pause(vcpu, LIMIT), Ok(()));
                let held = memory.counted(vcpu.into());
                await_more(memory, 1 - vcpu);
                assert_eq!(memory.counted(vcpu.into()), held);
                assert_eq!(handle.resume(vcpu), Ok(()));
            }
        }
        handle.stop();
    });
    assert_eq!(ends, [End::Cancelled, End::Cancelled]);
    assert_eq!((counts.of(0), counts.of(1)), (0, 0));
}

#[test]
fn a_signal_of_the_vmms_choice_takes_vcpus_out() {
    takes_out_vcpus_that_spin(KickSignal::install(SIGRTMIN() + 3).unwrap());
}

static TAKEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    TAKEN.fetch_add(1, SeqCst);
}

#[test]
fn a_signal_that_the_vmm_handles_itself_takes_vcpus_out() {
    let number = SIGRTMIN() + 4;
    register_signal_handler(number, count).unwrap();
    takes_out_vcpus_that_spin(KickSignal::handled_already(number));
    if crate::vmm::kvm().is_some() {
        assert!(TAKEN.load(SeqCst) >= 40, "its own handler stays in place");
    }
}
