use std::fs::File;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::{
    Kicker as _,
    kvm::sys::{page::RunPage, signal::KickSignal},
};

/// vCPUs without threads: a file stands in for the page of each.
fn kick() -> Arc<Kick> {
    let file = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 0x2000).unwrap();
    let page = RunPage::map(&File::from(file), 0x2000).unwrap();
    let signal = KickSignal::install(KickSignal::default_number()).unwrap();
    Kick::new(page.immediate_exit(), signal)
}

fn world(vcpus: usize) -> Arc<World> {
    World::new((0..vcpus).map(|_| kick()).collect())
}

#[test]
fn who_is_held_stays_out_until_released() {
    let world = world(2);
    let hold = world.hold_others(0).unwrap();
    assert!(!world.go_in(1, 0) && world.must_wait(1, 0));
    assert!(world.go_in(0, 0), "the holder itself may");
    drop(hold);
    assert!(world.go_in(1, 0) && !world.must_wait(1, 0));
}

#[test]
fn the_second_holder_is_busy() {
    let world = world(2);
    let hold = world.hold_others(0).unwrap();
    assert_eq!(world.hold_others(1).unwrap_err(), Refusal::Busy);
    assert_eq!(world.hold_others(0).unwrap_err(), Refusal::Busy);
    assert!(world.is_holder(0) && !world.is_holder(1));
    drop(hold);
    assert!(world.hold_others(1).is_ok());
}

#[test]
fn a_hold_waits_for_who_is_in_the_guest() {
    let world = world(2);
    assert!(world.go_in(1, 0));
    thread::scope(|scope| {
        let holder = scope.spawn(|| world.hold_others(0).map(drop));
        while !world.is_holder(0) {
            thread::yield_now();
        }
        world.come_out(1);
        assert_eq!(holder.join().unwrap(), Ok(()));
    });
}

#[test]
fn one_vcpu_completes_the_halt_and_a_woken_one_undoes_it() {
    let world = world(3);
    let completes: Vec<_> = [0, 2, 1].map(|vcpu| world.halt(vcpu)).to_vec();
    assert_eq!(completes, [false, false, true]);
    assert!(!world.halt(1), "said once");
    assert!(world.all_halt() && !world.go_in(1, 0));
    world.wake(1);
    assert!(!world.all_halt() && world.go_in(1, 0));
    assert!(world.halt(1), "and again when it is so again");
}

#[test]
fn sixty_four_vcpus_have_a_bit_each() {
    let world = world(MOST_VCPUS as usize);
    let completes = (0..MOST_VCPUS).filter(|vcpu| world.halt(*vcpu)).count();
    assert_eq!(completes, 1);
    assert!(world.all_halt());
}

#[test]
fn after_a_reset_nobody_enters_who_has_not_begun_anew() {
    let world = world(2);
    world.halt(1);
    world.reset();
    assert!(
        !world.go_in(0, 0) && !world.must_wait(0, 0),
        "it has something to do"
    );
    world.begun(0, 1);
    assert!(
        !world.go_in(0, 1) && world.must_wait(0, 1),
        "the other could lose what starts it"
    );
    world.begun(1, 1);
    assert!(
        world.go_in(0, 1) && world.go_in(1, 1),
        "the halt is forgotten"
    );
}

#[test]
fn the_first_end_stands_and_nobody_waits_any_more() {
    let world = world(2);
    let hold = world.hold_others(0).unwrap();
    assert_eq!(world.finish(End::Stopped), End::Stopped);
    assert_eq!(world.finish(End::Finished(1)), End::Stopped);
    assert!(!world.must_wait(1, 0) && !world.go_in(1, 0));
    drop(hold);
    assert!(!world.go_in(1, 0) && !world.go_in(0, 0));
}

#[test]
fn a_kick_is_kept_until_it_is_acknowledged() {
    let kick = kick();
    kick.kick();
    kick.release_entry();
    assert!(kick.is_kicked());
    kick.wait_while(|| true);
    kick.acknowledge();
    assert!(!kick.is_kicked());
}

#[test]
fn a_waiting_thread_hears_kicks_and_changes() {
    let (kick, open) = (kick(), AtomicBool::new(false));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            kick.attach().unwrap();
            kick.wait_while(|| true);
            kick.acknowledge();
            kick.wait_while(|| !open.load(SeqCst));
        });
        kick.kick();
        while kick.is_kicked() {
            thread::yield_now();
        }
        open.store(true, SeqCst);
        while !waiting.is_finished() {
            kick.wake();
            thread::yield_now();
        }
    });
}
