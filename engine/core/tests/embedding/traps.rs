//! Breakpoints and page traps of a VMM that protects its memory, with two vCPUs on two threads.

use oriel_machine::End;
use oriel_protocol::{EventKind, Support, Verdict};

use crate::{
    judges::{Arm, Counts, arming},
    seat::to_the_end,
    vmm::{Setup, Vmm},
};

/// How many events of a kind each vCPU is to have.
const EVENTS: u64 = 200;

#[test]
fn pages_can_be_trapped_where_somebody_protects_them_and_only_there() {
    for (setup, can) in [(Setup::shielded(), true), (Setup::plain(), false)] {
        let Some(vmm) = Vmm::new(setup) else {
            return;
        };
        let parts = vmm.attach();
        let page = parts.machine.capabilities().get("page").cloned().unwrap();
        // Where KVM emulates kernel code it is `partly`, on any machine.
        assert_eq!(page.support != Support::No, can, "{page:?}");
        assert_eq!(page.mechanism.contains("mprotect"), can, "{page:?}");
    }
}

#[test]
fn a_judge_says_of_each_vcpu_whether_its_store_to_a_trapped_page_stands() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let counts = Counts::default();
    let counted = counts.clone();
    let judge = arming(&[Arm::Page], move |vcpu, kind| {
        if kind != EventKind::Page {
            return Verdict::Continue;
        }
        counted.add(vcpu);
        match vcpu {
            0 => Verdict::Continue,
            _ => Verdict::Skip,
        }
    });
    let (ends, _) = vmm.run(judge, to_the_end, |handle, _| {
        counts.await_total(0, EVENTS);
        counts.await_total(1, EVENTS);
        handle.stop();
    });
    assert_eq!(ends, [End::Cancelled, End::Cancelled]);
    for (vcpu, stands) in [(0, true), (1, false)] {
        let said = vmm.devices.take(vcpu);
        assert!(
            said.len() as u64 >= EVENTS - 1,
            "vCPU {vcpu}: {}",
            said.len()
        );
        assert!(said.iter().all(|one| *one == stands), "vCPU {vcpu}");
    }
    assert!(vmm.protected().is_empty());
}

/// How often each vCPU has met a breakpoint, and run the instruction under it.
fn hits_and_runs(vmm: &mut Vmm) -> [(u64, u64); 2] {
    let counts = Counts::default();
    let counted = counts.clone();
    let judge = arming(&[Arm::Breakpoint], move |vcpu, kind| {
        if kind == EventKind::Breakpoint {
            counted.add(vcpu);
        }
        Verdict::Continue
    });
    let (ends, _) = vmm.run(judge, to_the_end, |handle, _| {
        counts.await_total(0, EVENTS);
        counts.await_total(1, EVENTS);
        handle.stop();
    });
    assert_eq!(ends, [End::Cancelled, End::Cancelled]);
    let memory = vmm.memory();
    [
        (counts.of(0), memory.counted(0)),
        (counts.of(1), memory.counted(1)),
    ]
}

#[test]
fn a_breakpoint_is_met_by_each_vcpu_and_stepped_over() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    for (hits, ran) in hits_and_runs(&mut vmm) {
        // The last may have been met, and not run any more.
        assert!(ran + 1 >= hits, "{ran} of {hits}");
    }
}

#[test]
fn no_vcpu_passes_a_breakpoint_while_another_steps_over_it() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    for (hits, ran) in hits_and_runs(&mut vmm) {
        assert!(ran == hits || ran + 1 == hits, "{ran} of {hits}");
    }
}
