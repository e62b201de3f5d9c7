//! A VMM that gives introspection up early has its VM back as it was: memory, page protections, the
//! MSR filter, debugging. The guest goes on without it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kvm_ioctls::VcpuExit;
use oriel_engine::{Assembly, Candidate, Station};
use oriel_machine::{
    Vcpu as _,
    kvm::{EmbeddedVcpu, Ready},
};
use oriel_protocol::{EventKind, Refusal, Verdict};

use crate::{
    guest::{COUNT, PAGE, PORT},
    judges::{Arm, Counts, arming},
    vmm::{LIMIT, Setup, VCPUS, Vmm},
};

const INT3: u8 = 0xcc;
const EVERYTHING: [Arm; 3] = [Arm::Breakpoint, Arm::Page, Arm::Steps];

/// A judge that lets everything happen, and counts.
fn watchful(counts: &Counts) -> Candidate {
    let counts = counts.clone();
    arming(&EVERYTHING, move |vcpu, _| {
        counts.add(vcpu);
        Verdict::Continue
    })
}

impl Vmm {
    fn assert_armed(&self) {
        assert_eq!(self.memory().byte(COUNT), INT3);
        assert_eq!(self.protected(), [PAGE]);
    }

    /// As it was before introspection, and every vCPU runs on without an exit that is not its own.
    fn assert_free(&mut self, code: &[u8]) {
        assert_eq!(self.memory().code(), code);
        assert!(self.protected().is_empty());
        for vcpu in &mut self.vcpus {
            for _ in 0..50 {
                match vcpu.run() {
                    Ok(VcpuExit::IoOut(PORT, [0 | 1])) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// An error that ends the VMM's loops.
#[derive(Debug, PartialEq, Eq)]
struct Lost;

/// Runs every vCPU for a while, on this thread, then loses its way; what it has goes with it.
fn lose(
    vmm: &mut Vmm,
    judge: Candidate,
    last: fn(&mut Vmm, Station) -> Result<(), Lost>,
) -> Result<(), Lost> {
    let Assembly {
        handle, stations, ..
    } = vmm.assemble(judge);
    let mut ready = Vec::new();
    for (index, mut station) in stations.into_iter().enumerate() {
        station.ready();
        vmm.assert_armed();
        vmm.seat(index).turns(&mut station, 100);
        ready.push(station);
    }
    last(vmm, ready.remove(0))?;
    handle.finish();
    Ok(())
}

#[test]
fn an_embedder_that_gives_up_by_an_error_has_its_vm_back() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let (code, counts) = (vmm.memory().code(), Counts::default());
    let lost = lose(&mut vmm, watchful(&counts), |_, _| Err(Lost));
    assert_eq!(lost, Err(Lost));
    assert!((0..VCPUS).all(|vcpu| counts.of(vcpu) > 10));
    vmm.assert_free(&code);
}

/// As far as before `KVM_RUN`.
fn go_in(vmm: &Vmm, vcpu: &mut EmbeddedVcpu) {
    loop {
        vcpu.apply(&vmm.devices, Verdict::Continue).unwrap();
        match vcpu.ready().unwrap() {
            Ready::Run => return,
            Ready::Kicked => vcpu.acknowledge_kick(),
            Ready::Decode => drop(vcpu.decode(&vmm.devices).unwrap()),
        }
    }
}

#[test]
fn a_loop_that_is_left_in_the_middle_of_an_entry_keeps_nobody_waiting() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let code = vmm.memory().code();
    let lost = lose(
        &mut vmm,
        watchful(&Counts::default()),
        |vmm, mut station| {
            go_in(vmm, station.vcpu().unwrap());
            Err(Lost)
        },
    );
    assert_eq!(lost, Err(Lost));
    vmm.assert_free(&code);
}

#[test]
fn an_embedder_that_panics_has_its_vm_back() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let (code, counts) = (vmm.memory().code(), Counts::default());
    let judge = watchful(&counts);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        lose(&mut vmm, judge, |_, _| panic!("on purpose: the loop"))
    }));
    assert!(panicked.is_err());
    assert!(counts.of(0) > 10);
    vmm.assert_free(&code);
}

#[test]
fn a_judge_that_panics_leaves_nothing_armed() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let code = vmm.memory().code();
    let judge = arming(&EVERYTHING, |_, kind| {
        assert_ne!(kind, EventKind::Page, "on purpose: the judge");
        Verdict::Continue
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| lose(&mut vmm, judge, |_, _| Ok(()))));
    assert!(panicked.is_err());
    vmm.assert_free(&code);
}

#[test]
fn an_assembly_that_never_ran_leaves_nothing_armed() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let code = vmm.memory().code();
    let mut assembly = vmm.assemble(watchful(&Counts::default()));
    assembly.stations[0].ready();
    vmm.assert_armed();
    drop(assembly);
    vmm.assert_free(&code);
}

#[test]
fn what_is_armed_stays_until_the_last_vcpu_is_out_whoever_keeps_a_handle() {
    let Some(mut vmm) = Vmm::new(Setup::shielded()) else {
        return;
    };
    let code = vmm.memory().code();
    let mut assembly = vmm.assemble(watchful(&Counts::default()));
    for station in &mut assembly.stations {
        station.ready();
    }
    let (first, second) = (assembly.stations.remove(0), assembly.stations.remove(0));
    drop(first);
    vmm.assert_armed();
    drop(second);
    assert_eq!(assembly.handle.pause(0, LIMIT), Err(Refusal::Gone));
    vmm.assert_free(&code);
}
