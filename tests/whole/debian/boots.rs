//! From the first instruction on, over a reboot: what is not there yet is said in words, and each
//! boot has an index of its own.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use oriel_guest::{Boots, Index, Sight, Unknown};
use oriel_guests::qemu::Linux;

use super::{Vm, guests};

/// What the guest says when it is up.
const UP: &str = "oriel: the guest is up";

/// How long QEMU may take to listen. Nothing but failure is decided by it.
const LIMIT: Duration = Duration::from_secs(60);

/// A guest that stands before its first instruction, and may reboot.
fn standing(guests: &Path) -> Vm {
    let folder = tempfile::tempdir().expect("a folder");
    let linux = Linux {
        reboots: true,
        stands: true,
        ..Linux::new(guests, folder.path())
    };
    let guest = linux.start().expect("a guest that starts");
    let vm = Vm { guest, folder };
    // It listens a moment after it was started.
    let started = Instant::now();
    while let Err(error) = vm.try_look() {
        assert!(started.elapsed() < LIMIT, "{error}");
        std::thread::yield_now();
    }
    vm
}

/// The index of what runs now, as whoever asks again and again has it.
fn index(vm: &Vm, boots: &Boots) -> Result<Arc<Index>, Unknown> {
    let mut seen = vm.try_look().expect("a VM that can be looked at");
    let registers = seen.registers().expect("registers");
    let sights = registers.iter().map(|(vcpu, all)| Sight::of(*vcpu, all));
    let sights: Vec<_> = sights.collect();
    let index = boots.index(seen.memory(), &sights)?;
    // Whatever it says of a guest that is coming or going: it comes back.
    let guest = index.guest(seen.memory());
    let _ = (guest.tasks(), guest.modules(), guest.cross_view(&sights));
    Ok(index)
}

/// Looks at it over and over until it says that it is up. Whether there is a kernel just then is a
/// matter of the moment.
fn until_up(vm: &mut Vm, from: usize, boots: &Boots) {
    while !vm.guest.has_said(from, UP) {
        let _ = index(vm, boots);
    }
    vm.ask("stty -echo; echo 0 > /proc/sys/kernel/kptr_restrict");
}

/// Where the kernel has a function, by its own words.
fn theirs(vm: &mut Vm) -> String {
    let line = vm.ask("grep ' do_exit$' /proc/kallsyms");
    line.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn ours(index: &Index) -> String {
    let address = index.symbols().expect("symbols").address("do_exit");
    format!("{:016x}", address.expect("a function of every kernel"))
}

#[test]
fn each_boot_is_known_by_itself_and_what_is_between_is_said_in_words() {
    let Some(guests) = guests() else { return };
    let mut vm = standing(&guests);
    let boots = Boots::new();
    let firmware = index(&vm, &boots).expect_err("nothing has run yet");
    assert_eq!(firmware, Unknown::NotLongMode);
    assert!(
        firmware
            .to_string()
            .contains("ask again when the guest has booted")
    );
    vm.guest.order("cont").expect("it runs");
    until_up(&mut vm, 0, &boots);
    let first = index(&vm, &boots).expect("a kernel");
    assert_eq!(ours(&first), theirs(&mut vm));
    let again = index(&vm, &boots).expect("a kernel");
    assert!(Arc::ptr_eq(&first, &again), "one index a boot");
    let from = vm.guest.said_so_far();
    vm.guest.say("reboot -f").expect("it hears");
    until_up(&mut vm, from, &boots);
    let second = index(&vm, &boots).expect("a kernel");
    assert_eq!(ours(&second), theirs(&mut vm));
    let moved = first.kernel().start() != second.kernel().start();
    assert!(
        moved || Arc::ptr_eq(&first, &second),
        "the same place is the same index"
    );
}
