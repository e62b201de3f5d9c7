//! A VMM of its own, which owns `KVM_RUN` and its devices, and has Oriel's taps in its loop.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use oriel_guests::{ATTACKER_ENTRY, CALLS, Guest, KERNEL_ENTRY};
use oriel_protocol::{Event, EventKind, HardwarePoint, Verdict, x86::msr};

use super::theatre::{has_kvm, writes_of};
use crate::{
    Wants,
    kvm::{
        Arming, Bus, Effect, Image, KickSignal, Seen, Tap, Then,
        exit::RawExit,
        loader::{self},
        pending::Place,
        probe,
        ram::Ram,
        sys::vm::MappedVm,
    },
};

/// The embedder's devices: only reports.
#[derive(Default)]
struct Ports(Mutex<Vec<u32>>);

impl Bus for Ports {
    fn read(&self, _: u32, _: Place, to: &mut [u8]) {
        to.fill(0);
    }

    fn write(&self, _: u32, place: Place, from: &[u8]) -> Effect {
        if let (Place::Port(0xe8 | 0xec), Ok(word)) = (place, from.try_into()) {
            self.0.lock().unwrap().push(u32::from_le_bytes(word));
        }
        Effect::None
    }
}

/// The embedder's loop: its own `KVM_RUN`, its own exits, Oriel's decode and apply.
fn run(mut tap: Tap, mut fd: VcpuFd, ports: &Ports, judge: impl Fn(&Event) -> Verdict) -> u16 {
    loop {
        if tap.before_run(&mut fd).unwrap() {
            tap.go_in(&fd).unwrap();
            let interrupted = fd.run().is_err();
            tap.after_run(interrupted);
            if interrupted {
                continue;
            }
        }
        match tap.decode(&mut fd, ports).unwrap() {
            Seen::Event(event) => {
                let verdict = judge(&event);
                assert_eq!(tap.apply(&mut fd, ports, verdict).unwrap(), Then::Enter);
            }
            Seen::Handled => {}
            Seen::NotOurs(RawExit::Port(exit)) if exit.port == 0xf4 => return exit.port,
            Seen::NotOurs(exit @ RawExit::Port(_)) => {
                assert_eq!(tap.serve(ports, &exit), Effect::None)
            }
            Seen::NotOurs(other) => panic!("{other:?}"),
        }
    }
}

fn tap(kvm: &Kvm, vm: &VmFd, fd: &VcpuFd, wants: &Wants) -> Tap {
    let arming = Arc::new(Arming::new(kvm, vm, probe::habits(kvm).unwrap()).unwrap());
    let signal = KickSignal::install(KickSignal::default_number()).unwrap();
    let tap = Tap::new(vm, fd, 0, arming.clone(), signal).unwrap();
    arming.arm(vm, wants).unwrap();
    tap
}

/// Runs a guest in a VM of the embedder's making; what it reported.
fn embed(guest: Guest, wants: &Wants, judge: impl Fn(&Event) -> Verdict) -> Vec<u32> {
    let image = Image {
        bytes: guest.image,
        load: guest.load,
        entry: guest.entry,
    };
    let kvm = Kvm::new().unwrap();
    let ram = Ram::new(2).unwrap();
    let vm = MappedVm::new(kvm.create_vm().unwrap(), ram.map().unwrap()).unwrap();
    image.load(&ram.alias).unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    loader::prepare(&kvm, &vcpu.fd, &image, 0, 1).unwrap();
    let ports = Ports::default();
    let tap = tap(&kvm, vm.fd(), &vcpu.fd, wants);
    assert_eq!(run(tap, vcpu.fd, &ports, judge), 0xf4);
    ports.0.into_inner().unwrap()
}

#[test]
fn an_embedder_keeps_its_loop() {
    if !has_kvm() {
        return;
    }
    let denies_the_attack = |event: &Event| match event.data.proposed() {
        Some(oriel_protocol::Value::Word(ATTACKER_ENTRY)) => Verdict::Deny,
        _ => Verdict::Continue,
    };
    let guest = oriel_guests::by_name("msr-attack", 1).unwrap();
    let reported = embed(guest, &writes_of(msr::LSTAR), denies_the_attack);
    let (low, high) = (KERNEL_ENTRY & 0xffff_ffff, KERNEL_ENTRY >> 32);
    let expected = [low, high, 1, 0].map(|half| u32::try_from(half).unwrap());
    assert_eq!(reported, expected);
}

#[test]
fn an_embedders_debug_exits_are_hits_of_its_hardware_points() {
    if !has_kvm() {
        return;
    }
    if !probe::habits(&Kvm::new().unwrap()).unwrap().code_points {
        eprintln!("SKIPPED: this KVM does not stop at hardware breakpoints");
        return;
    }
    let guest = oriel_guests::by_name("calls", 1).unwrap();
    let function = guest.mark("function").unwrap();
    let wants = Wants {
        events: [EventKind::Breakpoint].into_iter().collect(),
        hardware: HardwarePoint::execute(function).into_iter().collect(),
        ..Wants::default()
    };
    let hits = AtomicU32::new(0);
    let reported = embed(guest, &wants, |event| {
        assert_eq!((event.kind(), event.ip), (EventKind::Breakpoint, function));
        hits.fetch_add(1, SeqCst);
        Verdict::Continue
    });
    assert_eq!((reported, hits.into_inner()), (vec![CALLS, 0], CALLS));
}
