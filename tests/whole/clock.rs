//! What a judge sees when the clock calls it: the guest's memory while it runs, and while it is held.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Sender},
    },
    time::Duration,
};

use oriel_engine::{Candidate, Desk, Judge, Ruling};
use oriel_guests::SPIN_COUNTERS;
use oriel_protocol::{
    Case, Verdict,
    commands::vm::{PauseOthers, ReadWord, Resume},
};
use oriel_tests::{FOREVER, Vm, native};

use crate::kvm::{guest, kvm, parts};

/// What it saw in one call.
enum Sight {
    /// Both counters while the vCPUs run, and again when they have moved on.
    Running,
    /// Both counters while the vCPUs are held, early and late.
    Held([u64; 2], [u64; 2]),
}

/// Looks at the counters of two vCPUs.
struct Looks {
    told: Sender<Sight>,
    /// The test has seen enough.
    done: Arc<AtomicBool>,
}

fn counters(desk: &mut Desk) -> [u64; 2] {
    [0, 1].map(|vcpu| {
        let gpa = SPIN_COUNTERS + 8 * vcpu;
        desk.vm(ReadWord { gpa, size: 8 }).expect("it is RAM")
    })
}

impl Judge for Looks {
    fn judge(&mut self, _: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    fn tick(&mut self, _: u64, _: u32, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let before = counters(&mut desk);
        let moved = |now: [u64; 2]| now.iter().zip(before).all(|(now, before)| *now > before);
        while !moved(counters(&mut desk)) && !self.done.load(Relaxed) {
            std::thread::yield_now();
        }
        // The test may have seen enough.
        let _ = self.told.send(Sight::Running);
        desk.vm(PauseOthers {}).expect("nobody else holds them");
        let early = counters(&mut desk);
        (0..1000).for_each(|_| std::thread::yield_now());
        let _ = self.told.send(Sight::Held(early, counters(&mut desk)));
        desk.vm(Resume {}).expect("it was paused");
        (Ruling::CONTINUE, desk)
    }
}

#[test]
fn memory_is_read_while_vcpus_run_and_stands_still_while_they_are_held() {
    if !kvm() {
        return;
    }
    let (send, sights) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let looking = done.clone();
    let looks = Candidate {
        tick: Some(Duration::from_millis(1)),
        make: Box::new(move |_, _| -> Box<dyn Judge> {
            let (told, done) = (send.clone(), looking.clone());
            Box::new(Looks { told, done })
        }),
        ..native("looks", &[], |_, _| Verdict::Continue)
    };
    let build = |outlet: Arc<dyn oriel_machine::Outlet>| parts(guest("spin", 2), outlet);
    let vm = Vm::held(build, vec![looks]);
    vm.go(2);
    let (mut running, mut held) = (0, 0);
    while running < 20 || held < 20 {
        match sights.recv_timeout(FOREVER).expect("the clock goes on") {
            Sight::Running => running += 1,
            Sight::Held(early, late) => {
                assert_eq!(early, late, "nobody runs while they are held");
                held += 1;
            }
        }
    }
    done.store(true, Relaxed);
    vm.stop();
}
