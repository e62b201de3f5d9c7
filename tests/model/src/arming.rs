//! What is armed changes while vCPUs go into the guest and come out: the tap's way in, and whoever
//! arms.

use shuttle::thread;

use crate::{
    Kicker as _,
    kick::Kick,
    seats::{Seat, Seats},
    sync::{Arc, AtomicBool, AtomicU64, Ordering::SeqCst},
    sys::{self, page::ImmediateExit, signal::KickSignal},
};

/// What the vCPUs of a VM report, as far as its number.
#[derive(Default)]
struct Arming {
    generation: AtomicU64,
    seats: Seats,
    over: AtomicBool,
}

struct Vcpu {
    byte: ImmediateExit,
    kick: Arc<Kick>,
    seat: Arc<Seat>,
    /// With which generation guest code runs, plus one; 0: none does.
    runs_with: Arc<AtomicU64>,
}

impl Vcpu {
    fn new(arming: &Arming, index: u32) -> Self {
        let byte = ImmediateExit::default();
        let kick = Kick::new(byte.clone(), KickSignal);
        Self {
            seat: arming.seats.take(index, kick.clone()),
            byte,
            kick,
            runs_with: Arc::default(),
        }
    }

    /// As the tap goes in: with the newest that is armed.
    fn go_in(&self, arming: &Arming) -> u64 {
        loop {
            let generation = arming.generation.load(SeqCst);
            arming.seats.go_in(&self.seat, generation);
            if arming.generation.load(SeqCst) == generation {
                return generation;
            }
            arming.seats.come_out(&self.seat);
        }
    }

    fn run(&self, arming: &Arming) {
        self.kick.attach().unwrap();
        while !arming.over.load(SeqCst) {
            let generation = self.go_in(arming);
            sys::kvm_run(&self.byte, |inside| {
                let with = if inside { generation + 1 } else { 0 };
                self.runs_with.store(with, SeqCst);
            });
            arming.seats.come_out(&self.seat);
            self.kick.release_entry();
        }
    }
}

/// A vCPU that nobody wakes stays in the guest for ever, which shuttle calls a deadlock.
pub(crate) fn who_arms_waits_for_every_vcpu() {
    let arming = Arc::new(Arming::default());
    let vcpus = [0, 1].map(|index| Vcpu::new(&arming, index));
    let seen = vcpus.each_ref().map(|vcpu| vcpu.runs_with.clone());
    let kicks = vcpus.each_ref().map(|vcpu| vcpu.kick.clone());
    let threads = vcpus.map(|vcpu| {
        let arming = arming.clone();
        thread::spawn(move || vcpu.run(&arming))
    });
    for _ in 0..2 {
        let generation = arming.generation.fetch_add(1, SeqCst) + 1;
        if arming.seats.await_newer(generation) {
            let newest = |runs_with: u64| runs_with == 0 || runs_with > generation;
            assert!(seen.iter().all(|seen| newest(seen.load(SeqCst))));
        }
    }
    arming.over.store(true, SeqCst);
    kicks.iter().for_each(|kick| kick.kick());
    threads.into_iter().for_each(|one| one.join().unwrap());
}
