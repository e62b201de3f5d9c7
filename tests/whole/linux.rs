//! Debian's kernel on the kvm machine, as far as its first line, under a judge. Runs only where
//! `ORIEL_GUESTS` names the folder of the guests: `cargo xtask guests --test`, and `cargo xtask
//! test` where it can make them.

mod stage;
mod symbols;

use std::sync::Arc;

use oriel_engine::Desk;
use oriel_machine::kvm::{Config, Kernel};
use oriel_protocol::{
    Access, Case, EventData, Verdict,
    commands::{
        vcpu::{Place, ReadVirtual, TranslateGva},
        vm::{ClearBreakpoint, PageRule, SetPageAccess},
    },
};

use self::{
    stage::{Sign, Signs, Stage, guests},
    symbols::Symbols,
};
use crate::kvm::kvm;

/// What a kernel says first.
const BANNER: &str = "Linux version ";
/// Speaks early, and without what an emulating KVM lacks.
const COMMAND_LINE: &str = "console=ttyS0 earlyprintk=serial,ttyS0,115200 nokaslr reboot=t panic=-1 clearcpuid=smap noxsave";
/// Where the kernel maps itself from physical 0 on (Linux, `Documentation/arch/x86/x86_64/mm.rst`).
const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
/// What `start_kernel` first writes: the end of the boot task's stack (`include/uapi/linux/magic.h`).
const STACK_END_MAGIC: u64 = 0x57ac_6e9d;
/// The judge's own name for the page of that stack.
const STACK_PAGE: u64 = 77;

/// Where the judge looks.
#[derive(Clone, Copy)]
struct Places {
    start_kernel: u64,
    init_stack: u64,
    banner: u64,
}

impl Places {
    fn of(vmlinux: &[u8]) -> Self {
        let symbols = Symbols::of(vmlinux).expect("kallsyms as Linux 6.1 lays them out");
        Self {
            start_kernel: symbols.address("start_kernel"),
            init_stack: symbols.address("init_stack"),
            banner: symbols.address("linux_banner"),
        }
    }
}

/// At `start_kernel`: reads the banner by the kernel's own page tables, and has no more of this
/// breakpoint, but a trap at the page that is written next.
fn at_start_kernel(desk: &mut Desk, places: Places) -> Vec<u8> {
    let vcpu = desk.index();
    let read = ReadVirtual {
        cr3: None,
        gva: places.banner,
        length: 256,
    };
    let banner = desk.on(vcpu, read).expect("the banner is mapped");
    let gva = places.init_stack;
    let gpa = desk.on(vcpu, TranslateGva { gva }).expect("so is a stack");
    assert_eq!(gpa, gva - KERNEL_MAP);
    assert_eq!(desk.vm(ClearBreakpoint { tag: 0 }), Ok(()));
    allow(desk, gpa, Access::READ | Access::EXECUTE);
    banner
}

fn allow(desk: &mut Desk, gpa: u64, allowed: Access) {
    let rule = PageRule {
        gpa,
        allowed,
        tag: STACK_PAGE,
    };
    let entries = vec![rule];
    assert_eq!(desk.vm(SetPageAccess { view: 0, entries }), Ok(()));
}

/// Tells what it sees, and lets everything go on.
fn watch(case: &Case<'_>, desk: &mut Desk, signs: &Signs, places: Places) -> Verdict {
    let sign = if let EventData::Breakpoint(breakpoint) = case.event.data {
        Sign::Hit {
            ip: case.event.ip,
            breakpoint,
            found: at_start_kernel(desk, places),
        }
    } else if let EventData::Page(page) = case.event.data {
        allow(
            desk,
            page.gpa,
            Access::READ | Access::WRITE | Access::EXECUTE,
        );
        Sign::Page {
            page,
            tag: case.tag,
        }
    } else {
        panic!("not asked for: {:?}", case.event)
    };
    // Whoever asked may have stopped listening.
    let _ = signs.send(sign);
    Verdict::Continue
}

/// The banner in a line of the serial line.
fn banner(sign: &Sign) -> Option<String> {
    let Sign::Line(line) = sign else { return None };
    line.find(BANNER).map(|at| line[at..].to_owned())
}

/// The breakpoint at `start_kernel`, the write behind it, and the banner: in this order, because each
/// comes only if the guest went on from the one before.
fn from_start_kernel_to_the_banner(stage: &mut Stage, places: Places) -> String {
    let (ip, breakpoint, found) = stage.wait("start_kernel", |sign| match sign {
        Sign::Hit {
            ip,
            breakpoint,
            found,
        } => Some((*ip, *breakpoint, found.clone())),
        Sign::Line(_) | Sign::Page { .. } => None,
    });
    assert_eq!((ip, breakpoint.gva), (places.start_kernel, ip));
    assert_eq!(breakpoint.gpa, ip - KERNEL_MAP);
    assert!(breakpoint.managed);
    let (page, tag) = stage.wait("the first write to the stack's end", |sign| match sign {
        Sign::Page { page, tag } => Some((*page, *tag)),
        Sign::Line(_) | Sign::Hit { .. } => None,
    });
    assert_eq!(page.gpa, places.init_stack - KERNEL_MAP, "{page:x?}");
    assert_eq!((page.access, page.size), (Access::WRITE, 8));
    assert_eq!((page.value, tag), (Some(STACK_END_MAGIC), STACK_PAGE));
    let said = stage.wait("the banner", banner);
    let found = String::from_utf8_lossy(&found);
    assert_eq!(
        found.lines().next(),
        Some(&*said),
        "the banner in memory, and on the serial line"
    );
    said
}

#[test]
fn a_debian_kernel_is_broken_into_trapped_and_says_the_banner_that_lies_in_its_memory() {
    let Some(folder) = guests().filter(|_| kvm()) else {
        return;
    };
    let file = folder.join("vmlinux");
    let places = Places::of(&std::fs::read(&file).unwrap());
    let initrd = folder.join("initramfs.cpio");
    let kernel = Kernel::read(&file, Some(&initrd), COMMAND_LINE).unwrap();
    // Before the kernel has page tables only a physical address is one.
    let start = Place::Gpa(places.start_kernel - KERNEL_MAP);
    let mut stage = Stage::start(kernel, &[start], move |case, desk, signs| {
        watch(case, desk, signs, places)
    });
    println!("{}", from_start_kernel_to_the_banner(&mut stage, places));
    let machine = stage.stop();
    let end = machine.memory().read_u64(places.init_stack - KERNEL_MAP);
    assert_eq!(end, Ok(STACK_END_MAGIC), "the trapped write was made");
}

#[test]
fn a_machine_with_a_kernel_that_does_not_fit_is_not_made() {
    let Some(folder) = guests().filter(|_| kvm()) else {
        return;
    };
    let kernel = Kernel::read(&folder.join("vmlinux"), None, "").unwrap();
    let config = Config {
        memory_mib: 32,
        ..Config::new(kernel, Arc::new(oriel_machine::outlet::Kept::default()))
    };
    let error = config.build().unwrap_err().to_string();
    assert!(
        error.contains("vmlinux") && error.contains("--memory"),
        "{error}"
    );
}
