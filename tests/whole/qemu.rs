//! Debian under a stock QEMU, emulated, with KASLR and two vCPUs, watched by a judge through the
//! gdbstub. Runs where QEMU is installed and `ORIEL_GUESTS` names the folder of the guests (`cargo
//! xtask test` sees to both); `ORIEL_REQUIRE=qemu` makes leaving it out a failure.

mod execs;
mod kernel_guard;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use oriel_engine::{Desk, Engine, Outcome, Running};
use oriel_guests::qemu::{self, Backend, Linux};
use oriel_machine::{
    End, Machine as _,
    qemu::{Address, Attach, AttachError, Attached, Leave, RamChoice},
};
use oriel_protocol::{
    Case, EventData, EventKind, Verdict,
    commands::vcpu::{GetGeneral, Place, ReadVirtual, SetBreakpoint, SetRegister, TranslateGva},
    x86::Register,
};
use oriel_tests::{host, native};

/// Called once by each `hostname NAME`, with the registers of user space in its only argument.
const SET_HOSTNAME: &str = "__x64_sys_sethostname";
/// Where user space's RDI and RSI lie there (Linux, `arch/x86/include/asm/ptrace.h`).
const USER_RDI: u64 = 0x70;
const USER_RSI: u64 = 0x68;
/// How often the guest's shell does it.
const TIMES: usize = 40;
/// A second function that is broken at, so that vCPUs stop together now and then.
const GET_PID: &str = "__x64_sys_getppid";
/// Minus EPERM.
const NOT_PERMITTED: u64 = 1_u64.wrapping_neg();

/// The guests' folder, if this can be tested here.
pub(crate) fn guests() -> Option<PathBuf> {
    let required = std::env::var("ORIEL_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|word| word.trim() == "qemu"));
    let folder = std::env::var_os("ORIEL_GUESTS").map(PathBuf::from);
    let missing = match &folder {
        None => Some("ORIEL_GUESTS is not set: run `cargo xtask test`"),
        Some(_) if !qemu::is_installed() => {
            Some("qemu-system-x86_64 is not installed: run `cargo xtask setup`")
        }
        Some(_) => None,
    };
    if let Some(missing) = missing {
        assert!(!required, "ORIEL_REQUIRE names qemu, and {missing}");
        eprintln!("SKIPPED: {missing}");
        return None;
    }
    folder
}

/// A guest that runs, and the folder that it lives in.
struct Guest {
    running: qemu::Running,
    folder: tempfile::TempDir,
}

impl Guest {
    fn boot(guests: &Path, backend: impl FnOnce(&Path) -> Backend) -> Self {
        Self::boot_as(guests, |linux| {
            let backend = backend(&linux.folder);
            Linux { backend, ..linux }
        })
    }

    fn boot_as(guests: &Path, change: impl FnOnce(Linux) -> Linux) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let linux = change(Linux::new(guests, folder.path()));
        let running = linux.boot().expect("a guest that boots");
        Self { running, folder }
    }

    fn attach(&self, ram: RamChoice) -> Attached {
        self.try_attach(ram).expect("a VM that can be attached to")
    }

    fn try_attach(&self, ram: RamChoice) -> Result<Attached, AttachError> {
        let attach = Attach {
            gdb: Address::Unix(self.running.gdb()),
            qmp: Address::Unix(self.running.qmp()),
            ram,
            name: None,
            guard: None,
        };
        attach.connect()
    }

    /// The address of a symbol in this boot.
    fn symbol(&mut self, name: &str) -> u64 {
        let command = format!("grep ' {name}$' /proc/kallsyms");
        let line = self.running.ask(&command).expect("an answer");
        let address = line.split_whitespace().next().unwrap_or_default();
        u64::from_str_radix(address, 16).unwrap_or_else(|_| panic!("{name} is in {line:?}"))
    }

    /// Waits until the guest has done something by itself.
    fn has_to_beat(&mut self) {
        let beats = self.running.ask("cat /proc/uptime");
        assert!(beats.is_ok_and(|beats| beats.contains('.')));
    }
}

/// What a judge has seen at a breakpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    ip: u64,
    cpl: u8,
    vcpu: u32,
    name: String,
}

/// The name that user space asks for, read through the registers that the kernel keeps.
fn asked_name(case: &Case<'_>, desk: &mut Desk) -> String {
    let vcpu = case.moment.vcpu;
    let general = desk.on(vcpu, GetGeneral {}).expect("registers");
    assert_eq!(general.rip, case.event.ip);
    let mut read = |gva, length| {
        let cr3 = None;
        desk.on(vcpu, ReadVirtual { cr3, gva, length })
    };
    let mut word = |gva| {
        let bytes = read(gva, 8).expect("the kernel's stack is mapped");
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    let (at, length) = (word(general.rdi + USER_RDI), word(general.rdi + USER_RSI));
    let bytes =
        read(at, u32::try_from(length).expect("a short name")).expect("it was just written");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sets the function's result, and returns from it: as if it had refused by itself.
fn refuse(case: &Case<'_>, desk: &mut Desk) {
    let vcpu = case.moment.vcpu;
    let general = desk.on(vcpu, GetGeneral {}).expect("registers");
    let read = ReadVirtual {
        cr3: None,
        gva: general.rsp,
        length: 8,
    };
    let back = desk.on(vcpu, read).expect("a stack");
    let back = u64::from_le_bytes(back.try_into().expect("eight bytes"));
    for (register, value) in [
        (Register::Rax, NOT_PERMITTED),
        (Register::Rsp, general.rsp + 8),
        (Register::Rip, back),
    ] {
        assert_eq!(desk.on(vcpu, SetRegister { register, value }), Ok(()));
    }
}

type All = Arc<Mutex<Vec<Seen>>>;

/// Watches the VM with a judge that notes what it sees, and refuses the name `evil`.
fn watch(attached: Attached, places: &[u64], seen: &All) -> Running {
    let (noted, first) = (Arc::clone(seen), places.first().copied());
    let judge = native("watcher", &[EventKind::Breakpoint], move |case, desk| {
        let EventData::Breakpoint(hit) = case.event.data else {
            return Verdict::Continue;
        };
        let gva = TranslateGva { gva: hit.gva };
        assert_eq!(desk.on(case.moment.vcpu, gva), Ok(hit.gpa));
        if Some(hit.gva) != first {
            return Verdict::Continue;
        }
        let name = asked_name(case, desk);
        let is_evil = name == "evil";
        let seen = Seen {
            ip: case.event.ip,
            cpl: case.event.cpl,
            vcpu: case.moment.vcpu,
            name,
        };
        noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(seen);
        if is_evil {
            refuse(case, desk);
            // It is elsewhere now.
            return Verdict::Retry;
        }
        Verdict::Continue
    });
    let engine = Engine::new(host(), attached.parts).judge(judge);
    let running = engine.start().expect("a VM that can be watched");
    for (tag, gva) in (0..).zip(places) {
        let place = Place::Gva(*gva);
        let limit = std::time::Duration::from_secs(60);
        let placed = running
            .handle()
            .run(0, 0, SetBreakpoint { tag, place }, limit);
        assert_eq!(placed, Ok(()), "{gva:#x}");
    }
    running
}

/// Ends the watching, as an operator does.
fn stop(running: Running) -> Outcome {
    running.handle().stop();
    running.wait()
}

#[test]
fn a_function_of_a_debian_kernel_is_met_each_time_it_is_called_and_no_call_is_lost() {
    let Some(guests) = guests() else { return };
    let mut guest = Guest::boot(&guests, |_| Backend::Memfd);
    let (set, pid) = (guest.symbol(SET_HOSTNAME), guest.symbol(GET_PID));
    let attached = guest.attach(RamChoice::Auto);
    let machine = Arc::clone(&attached.machine);
    assert!(
        machine.memory().mapping().is_some(),
        "a sealed memfd is mapped"
    );
    assert_eq!(machine.identity().name, "debian");
    let seen = All::default();
    let running = watch(attached, &[set, pid], &seen);
    let names = format!("for i in $(seq {TIMES}); do hostname name-$i; done; hostname");
    assert_eq!(guest.running.ask(&names).unwrap(), format!("name-{TIMES}"));
    // Both vCPUs at once, and the one that is refused.
    let both = "(for i in 1 2 3 4 5; do hostname left; done) & (for i in 1 2 3 4 5; do hostname right; done) & wait; hostname evil; hostname";
    let said = guest.running.ask(both).unwrap();
    assert!(said.contains("not permitted"), "{said}");
    assert!(!said.ends_with("evil"), "{said}");
    let outcome = stop(running);
    assert_eq!(outcome.end, End::Cancelled);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let named = |name: &str| seen.iter().filter(|one| one.name == name).count();
    for i in 1..=TIMES {
        assert_eq!(named(&format!("name-{i}")), 1, "{i}: {seen:?}");
    }
    assert_eq!((named("left"), named("right"), named("evil")), (5, 5, 1));
    assert_eq!(seen.len(), TIMES + 11, "none missed, none doubled");
    assert!(seen.iter().all(|one| (one.ip, one.cpl) == (set, 0)));
    assert!(outcome.events > 50);
    machine.leave(Leave::Running).expect("it runs");
    guest.has_to_beat();
    let after = guest.running.ask("hostname after; hostname").unwrap();
    assert_eq!(after, "after", "no breakpoint is left");
}

#[test]
fn memory_in_the_file_is_what_gdb_reads_and_what_is_written_by_gdb_is_seen_there() {
    let Some(guests) = guests() else { return };
    let file = |folder: &Path| Backend::File(folder.join("ram"));
    let mut guest = Guest::boot(&guests, file);
    let (banner, text) = (guest.symbol("linux_banner"), guest.symbol("start_kernel"));
    let said = guest.running.ask("cat /proc/version").unwrap();
    let read = |ram| {
        let mut attached = guest.attach(ram);
        let vcpu = &mut attached.parts.vcpus[0];
        let special = vcpu.special().expect("registers");
        let mode = oriel_machine::paging::Mode::of(&special);
        let memory = attached.machine.memory();
        let near = memory.is_near();
        let all = [banner, text].map(|gva| {
            let found = oriel_machine::paging::translate(memory, mode, special.cr3, gva);
            let gpa = found.expect("it is mapped").gpa;
            let mut bytes = vec![0; 0x1800];
            memory.read_at(gpa, &mut bytes).expect("RAM");
            (gpa, bytes)
        });
        assert_eq!(memory.write_at(all[0].0, b"L"), Ok(()), "the same letter");
        attached.machine.leave(Leave::Running).expect("it runs");
        (near, all)
    };
    let (near, by_file) = read(RamChoice::Auto);
    let (far, by_gdb) = read(RamChoice::Gdb);
    assert_eq!((near, far), (true, false));
    assert_eq!(by_file, by_gdb);
    let first = String::from_utf8_lossy(&by_file[0].1);
    assert!(first.starts_with(said.trim()), "{said}");
    guest.has_to_beat();
}

#[test]
fn ram_that_is_qemus_own_is_read_by_gdb_and_a_truncated_file_does_no_harm() {
    let Some(guests) = guests() else { return };
    let file = |folder: &Path| Backend::File(folder.join("ram"));
    let guest = Guest::boot(&guests, file);
    let attached = guest.attach(RamChoice::File(guest.folder.path().join("ram")));
    let copy = guest.folder.path().join("copy");
    std::fs::write(&copy, vec![0; 0x1000]).expect("a file");
    let end = attached.machine.memory().end();
    assert_eq!(end, 256 << 20);
    attached.machine.leave(Leave::Running).expect("it runs");
    let attach = Attach {
        gdb: Address::Unix(guest.running.gdb()),
        qmp: Address::Unix(guest.running.qmp()),
        ram: RamChoice::File(copy),
        name: None,
        guard: None,
    };
    let error = attach.connect().expect_err("not this guest's");
    let words = std::error::Error::source(&error).map(ToString::to_string);
    assert!(
        words.is_some_and(|words| words.contains("4096 bytes")),
        "{error}"
    );
    let mut guest = guest;
    guest.has_to_beat();
}
