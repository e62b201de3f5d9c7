//! Debian under a stock QEMU, with KASLR and two vCPUs, looked at from outside by its monitor and
//! its memory: what is found is what the guest, and other tools, say. Runs where the tests of
//! [`crate::qemu`] do.

mod boots;
mod hidden;
mod members;
mod modules;
mod processes;
mod symbols;

use std::path::Path;

use oriel_guest::{Guest, Index, Sight};
use oriel_guests::qemu::{Backend, Linux, Running};
use oriel_machine::qemu::{Address, Look, LookError, Onlooker, RamChoice};

use crate::qemu::guests;

/// A guest that runs, and the folder that it lives in.
struct Vm {
    guest: Running,
    folder: tempfile::TempDir,
}

impl Vm {
    /// Starts one, and has its kernel show addresses.
    fn boot(guests: &Path, backend: impl FnOnce(&Path) -> Backend) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let linux = Linux {
            backend: backend(folder.path()),
            ..Linux::new(guests, folder.path())
        };
        let guest = linux.boot().expect("a guest that boots");
        let mut vm = Self { guest, folder };
        vm.ask("echo 0 > /proc/sys/kernel/kptr_restrict");
        vm
    }

    /// What a command in the guest prints.
    fn ask(&mut self, command: &str) -> String {
        self.guest.ask(command).expect("an answer of the shell")
    }

    fn try_look(&self) -> Result<Onlooker, LookError> {
        let look = Look {
            qmp: Address::Unix(self.guest.qmp()),
            ram: RamChoice::Auto,
        };
        look.connect()
    }

    /// Looks at the guest as it is now. The monitor is taken for as long as that lasts.
    fn look<T>(&self, at: impl FnOnce(&Guest<'_>, &[Sight]) -> T) -> T {
        let mut seen = self.try_look().expect("a VM that can be looked at");
        let sights = sights(&mut seen);
        let index = Index::build(seen.memory(), &sights).expect("a kernel");
        at(&index.guest(seen.memory()), &sights)
    }
}

fn sights(seen: &mut Onlooker) -> Vec<Sight> {
    let registers = seen.registers().expect("registers");
    let sights = registers.iter();
    sights.map(|(vcpu, all)| Sight::of(*vcpu, all)).collect()
}

/// One boot for all of it: each part leaves the guest as it was.
#[test]
fn what_is_seen_of_debian_is_what_it_says_of_itself() {
    let Some(guests) = guests() else { return };
    let mut vm = Vm::boot(&guests, |_| Backend::Memfd);
    kernel(&mut vm);
    processes::are_those_of_ps(&mut vm);
    processes::run_where_the_vcpus_say(&mut vm);
    modules::are_those_of_proc(&mut vm);
    modules::that_come_later_are_seen_by_the_index_that_is_there(&mut vm);
    symbols::are_those_of_proc(&mut vm);
    members::are_where_the_compiler_has_them(&vm, &guests);
    hidden::is_found_and_put_back(&mut vm);
}

/// Which kernel it is, and by how much it was moved.
fn kernel(vm: &mut Vm) {
    let release = vm.ask("uname -r");
    let text = vm.ask("grep ' _text$' /proc/kallsyms");
    vm.look(|guest, sights| {
        assert_eq!(guest.index().release(), release);
        let start = guest.index().kernel().start();
        assert!(text.starts_with(&format!("{start:016x}")), "{text}");
        let slide = guest.index().slide().expect("a slide").value;
        assert_eq!(start - slide, 0xffff_ffff_8100_0000);
        assert_eq!(sights.len(), 2, "two vCPUs");
    });
}

/// Memory in a file that anybody could truncate is not mapped, and read all the same.
#[test]
fn debian_is_looked_at_in_a_plain_file_too() {
    let Some(guests) = guests() else { return };
    let mut vm = Vm::boot(&guests, |folder| Backend::File(folder.join("ram")));
    let seen = vm.try_look().expect("a VM that can be looked at");
    assert!(seen.memory().mapping().is_none() && seen.memory().is_near());
    drop(seen);
    kernel(&mut vm);
    let copy = vm.folder.path().join("copy");
    std::fs::copy(vm.folder.path().join("ram"), &copy).expect("a copy");
    std::fs::File::options()
        .write(true)
        .open(&copy)
        .and_then(|file| file.set_len(1 << 20))
        .expect("it is cut");
    let qmp = Address::Unix(vm.guest.qmp());
    let ram = RamChoice::File(copy);
    let error = Look { qmp, ram }.connect().expect_err("not its memory");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert!(
        cause.is_some_and(|cause| cause.contains("1048576 bytes")),
        "{error}"
    );
}
