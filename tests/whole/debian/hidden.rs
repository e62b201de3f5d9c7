//! A process that is taken out of the kernel's list, as a rootkit does it: no longer in the list,
//! found by its number, and back when it is put back.

use oriel_guest::{Guest, Space};
use oriel_machine::{
    Machine as _,
    qemu::{Address, Attach, Leave, RamChoice},
};

use super::Vm;

/// Whose neighbours in the list live as long as they do, so that nobody else writes its links.
const SLEEPERS: &str = "for i in 1 2 3; do sleep 100000 & echo $!; done";

/// Two links in the list: where each is, physically, and what it holds.
#[derive(Clone, Copy)]
struct Links {
    /// The one before leads here, and the one behind leads back.
    places: [u64; 2],
    /// To this entry.
    entry: u64,
    /// The one behind, and the one before.
    around: [u64; 2],
}

impl Links {
    fn of(guest: &Guest<'_>, pid: u32) -> Self {
        let tasks = guest.tasks().expect("tasks").items;
        let task = tasks
            .iter()
            .find(|task| task.pid == pid)
            .expect("it is in the list");
        let offset = guest.types().expect("types").offset("task_struct.tasks");
        let entry = task.address + offset.expect("a member");
        let space = guest.space();
        let around = [word(space, entry), word(space, entry + 8)];
        let [behind, before] = around;
        assert_eq!(word(space, before), entry, "links agree");
        assert_eq!(word(space, behind + 8), entry, "links agree");
        let places = [before, behind + 8];
        let places = places.map(|gva| space.translate(gva).expect("it is mapped").gpa);
        Self {
            places,
            entry,
            around,
        }
    }
}

fn word(space: Space<'_>, gva: u64) -> u64 {
    space.u64(gva).expect("it is mapped")
}

/// Writes both places through the stub, so that QEMU knows of it.
fn write(vm: &Vm, places: [u64; 2], words: [u64; 2]) {
    let attach = Attach {
        gdb: Address::Unix(vm.guest.gdb()),
        qmp: Address::Unix(vm.guest.qmp()),
        ram: RamChoice::Auto,
        name: None,
        guard: None,
    };
    let attached = attach.connect().expect("a VM that can be attached to");
    for (place, word) in places.into_iter().zip(words) {
        let written = attached
            .machine
            .memory()
            .write_at(place, &word.to_le_bytes());
        assert_eq!(written, Ok(()));
    }
    attached.machine.leave(Leave::Running).expect("it runs");
}

/// Whether a process is in the list, and who is hidden.
fn seen(vm: &Vm, pid: u32) -> (bool, Vec<u32>) {
    vm.look(|guest, sights| {
        let tasks = guest.tasks().expect("tasks").items;
        let view = guest.cross_view(sights).expect("a cross view");
        let hidden = view.hidden().map(|seen| seen.task.pid).collect();
        (tasks.iter().any(|task| task.pid == pid), hidden)
    })
}

pub(super) fn is_found_and_put_back(vm: &mut Vm) {
    let pids = vm.ask(SLEEPERS);
    let pid: u32 = pids
        .lines()
        .nth(1)
        .and_then(|line| line.parse().ok())
        .expect("a pid");
    assert_eq!(seen(vm, pid), (true, vec![]));
    let links = vm.look(|guest, _| Links::of(guest, pid));
    write(vm, links.places, links.around);
    assert_eq!(seen(vm, pid), (false, vec![pid]));
    write(vm, links.places, [links.entry; 2]);
    assert_eq!(seen(vm, pid), (true, vec![]));
    vm.ask("killall sleep; wait");
}
