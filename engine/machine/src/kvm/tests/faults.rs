//! EFAULT from `KVM_RUN` that no trap explains: memory that was taken away behind Oriel's back.

use std::sync::Arc;

use kvm_ioctls::Kvm;
use oriel_guests::{Guest, PAGE};
use oriel_protocol::{Access, EventKind, page::frame};

use super::theatre::has_kvm;
use crate::{
    Unseen, Wants,
    kvm::{
        Arming, Bus, Effect, Image, KickSignal, PatchedRam, Protection, Seen, Shield as _, Tap,
        exit::RawExit,
        loader,
        pending::Place,
        probe,
        ram::Ram,
        sys::vm::{MappedVcpu, MappedVm},
    },
};

/// No devices.
struct Nothing;

impl Bus for Nothing {
    fn read(&self, _: u32, _: Place, to: &mut [u8]) {
        to.fill(0);
    }

    fn write(&self, _: u32, _: Place, _: &[u8]) -> Effect {
        Effect::None
    }
}

/// A vCPU in user code, the guest's page of which nobody can reach.
struct Robbed {
    vcpu: MappedVcpu,
    tap: Tap,
    arming: Arc<Arming>,
}

fn robbed() -> Robbed {
    let kvm = Kvm::new().unwrap();
    let Guest {
        image: bytes,
        load,
        entry,
        ..
    } = oriel_guests::by_name("user-pages", 1).unwrap();
    let image = Image { bytes, load, entry };
    let ram = Ram::new(4).unwrap();
    let vm = MappedVm::new(kvm.create_vm().unwrap(), ram.map().unwrap()).unwrap();
    image.load(&ram.alias).unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    loader::prepare(&kvm, &vcpu.fd, &image, 0, 1).unwrap();
    let habits = probe::habits(&kvm).unwrap();
    let memory = Arc::new(PatchedRam::new(ram.alias.clone()));
    let arming = Arming::new(&kvm, vm.fd(), habits).unwrap();
    let arming = Arc::new(arming.over(memory).shielded(vm.clone()));
    let signal = KickSignal::install(KickSignal::default_number()).unwrap();
    let tap = Tap::new(vm.fd(), &vcpu.fd, 0, arming.clone(), signal).unwrap();
    vm.protect(PAGE, 0x1000, Protection::Closed).unwrap();
    Robbed { vcpu, tap, arming }
}

/// Runs until something comes that is not the tap's.
fn first_foreign(robbed: &mut Robbed) -> RawExit {
    loop {
        let fd = &mut robbed.vcpu.fd;
        if robbed.tap.before_run(fd).unwrap() {
            robbed.tap.go_in(fd).unwrap();
            match fd.run().map(drop).map_err(|errno| errno.errno()) {
                Ok(()) => robbed.tap.after_run(false),
                Err(libc::EFAULT) => robbed.tap.after_fault(),
                Err(libc::EINTR | libc::EAGAIN) => {
                    robbed.tap.after_run(true);
                    continue;
                }
                Err(errno) => panic!("KVM_RUN: {errno}"),
            }
        }
        match robbed.tap.decode(fd, &Nothing).unwrap() {
            Seen::NotOurs(exit) => return exit,
            Seen::Handled => {}
            Seen::Event(event) => panic!("{event:?}"),
        }
    }
}

#[test]
fn a_fault_without_a_trap_is_for_whoever_runs_the_vcpu() {
    if !has_kvm() {
        return;
    }
    let mut robbed = robbed();
    assert_eq!(first_foreign(&mut robbed), RawExit::Fault);
    assert_eq!(robbed.arming.unjudged(), 0);
}

#[test]
fn a_fault_that_no_trap_explains_lifts_them_all_once_and_is_counted() {
    if !has_kvm() {
        return;
    }
    let mut robbed = robbed();
    let elsewhere = Wants {
        events: [EventKind::Page].into_iter().collect(),
        pages: [(frame(PAGE) + 8, Access::NONE)].into(),
        ..Wants::default()
    };
    robbed.arming.arm(robbed.vcpu.vm.fd(), &elsewhere).unwrap();
    assert_eq!(first_foreign(&mut robbed), RawExit::Fault);
    assert_eq!(robbed.arming.unjudged(), 1);
    let told = robbed.tap.take_unjudged().unwrap();
    assert_eq!((told.count, told.why), (1, Unseen::Unknown));
    assert_eq!((told.ip.is_some(), told.gpa), (true, None));
    assert_eq!(robbed.tap.take_unjudged(), None, "told once");
}
