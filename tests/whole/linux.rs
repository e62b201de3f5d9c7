//! Debian's kernel on the kvm machine, as far as its first lines, under a judge. Runs only where
//! `ORIEL_GUESTS` names the folder of the guests: `cargo xtask guests --test`, and `cargo xtask
//! test` where it can make them.

mod stage;

use std::{path::Path, sync::Arc};

use oriel_engine::Desk;
use oriel_guest::{Index, forge::Vmlinux};
use oriel_machine::kvm::{Config, Kernel};
use oriel_protocol::{
    Access, Case, EventData, Verdict,
    commands::{
        vcpu::{GetGeneral, Place, ReadVirtual, SetBreakpoint, TranslateGva},
        vm::{ClearBreakpoint, PageRule, ReadPhysical, SetPageAccess},
    },
    events::Breakpoint,
};

use self::stage::{Sign, Signs, Stage, guests};
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

/// An MSR that a kernel writes once it runs where it is linked, before `start_kernel`.
const GS_BASE: u32 = 0xc000_0101;
/// A bzImage's 64-bit entry, behind the setup sectors (Linux, `Documentation/arch/x86/boot.rst`).
const BZIMAGE_ENTRY: u64 = 0x10_0200;
/// The judge's tags of its breakpoints, by their order.
const AT_FIRST: u64 = 0;
const AT_START_KERNEL: u64 = 1;

/// Where the judge looks.
#[derive(Clone, Copy)]
struct Places {
    start_kernel: u64,
    init_stack: u64,
    banner: u64,
}

impl Places {
    fn of(vmlinux: &[u8]) -> Self {
        let kernel = Vmlinux::new(vmlinux.to_vec());
        let index = Index::build(kernel.memory(), &[kernel.sight()]).expect("a kernel");
        let symbols = index.symbols().expect("symbols");
        let symbol = |name| symbols.address(name).expect("every kernel has it");
        Self {
            start_kernel: symbol("start_kernel"),
            init_stack: symbol("init_stack"),
            banner: symbol("linux_banner"),
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
    allow(desk, gpa, Access::READ | Access::EXECUTE);
    banner
}

/// At the entry of a bzImage: reads its zero page, whose address is in RSI.
fn at_entry(desk: &mut Desk) -> Vec<u8> {
    let vcpu = desk.index();
    let general = desk.on(vcpu, GetGeneral {}).expect("registers");
    let read = ReadPhysical {
        gpa: general.rsi,
        length: 0x1000,
    };
    desk.vm(read).expect("the zero page is RAM")
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

/// What the judge does at a breakpoint or a trapped page, and tells of it.
fn seen(case: &Case<'_>, desk: &mut Desk, places: Places) -> Option<Sign> {
    let (ip, tag) = (case.event.ip, case.tag);
    if let EventData::Page(page) = case.event.data {
        allow(
            desk,
            page.gpa,
            Access::READ | Access::WRITE | Access::EXECUTE,
        );
        return Some(Sign::Page { page, tag });
    }
    let EventData::Breakpoint(breakpoint) = case.event.data else {
        return None;
    };
    assert_eq!(desk.vm(ClearBreakpoint { tag }), Ok(()));
    let found = match tag {
        AT_START_KERNEL => at_start_kernel(desk, places),
        _ => at_entry(desk),
    };
    Some(Sign::Hit {
        ip,
        breakpoint,
        found,
    })
}

/// Tells what it sees, and lets everything go on.
fn watch(case: &Case<'_>, desk: &mut Desk, signs: &Signs, places: Places) -> Verdict {
    if let Some(sign) = seen(case, desk, places) {
        // Whoever asked may have stopped listening.
        let _ = signs.send(sign);
    }
    Verdict::Continue
}

/// The same, and breaks at `start_kernel` once the kernel is unpacked: before that there is nothing
/// to break at.
fn watch_unpacked(case: &Case<'_>, desk: &mut Desk, signs: &Signs, places: Places) -> Verdict {
    let unpacked = matches!(case.event.data, EventData::Msr(write) if write.msr == GS_BASE)
        && case.event.ip >= KERNEL_MAP;
    if unpacked {
        let request = SetBreakpoint {
            tag: AT_START_KERNEL,
            place: Place::Gva(places.start_kernel),
        };
        assert_eq!(desk.on(case.moment.vcpu, request), Ok(()));
    }
    watch(case, desk, signs, places)
}

/// The next breakpoint: where, what it was, and what the judge found there.
fn hit(stage: &mut Stage, what: &str) -> (u64, Breakpoint, Vec<u8>) {
    stage.wait(what, |sign| match sign {
        Sign::Hit {
            ip,
            breakpoint,
            found,
        } => Some((*ip, *breakpoint, found.clone())),
        Sign::Line(line) => {
            assert!(!line.contains(BANNER), "it has gone past {what}");
            None
        }
        Sign::Page { .. } => None,
    })
}

/// The next line with this in it, from there on.
fn line(stage: &mut Stage, text: &str) -> String {
    stage.wait(text, |sign| match sign {
        Sign::Line(line) => line.find(text).map(|at| line[at..].to_owned()),
        Sign::Hit { .. } | Sign::Page { .. } => None,
    })
}

/// The breakpoint at `start_kernel`, the write behind it, and the banner: in this order, because each
/// comes only if the guest went on from the one before.
fn from_start_kernel_to_the_banner(stage: &mut Stage, places: Places) {
    let (ip, breakpoint, found) = hit(stage, "start_kernel");
    assert_eq!((ip, breakpoint.gva), (places.start_kernel, ip));
    assert_eq!(breakpoint.gpa, ip - KERNEL_MAP);
    assert!(breakpoint.managed);
    let (page, tag) = stage.wait("the write to the stack's end", |sign| match sign {
        Sign::Page { page, tag } => Some((*page, *tag)),
        Sign::Line(_) | Sign::Hit { .. } => None,
    });
    assert_eq!(page.gpa, places.init_stack - KERNEL_MAP, "{page:x?}");
    assert_eq!((page.access, page.size), (Access::WRITE, 8));
    assert_eq!((page.value, tag), (Some(STACK_END_MAGIC), STACK_PAGE));
    let said = line(stage, BANNER);
    let found = String::from_utf8_lossy(&found);
    assert_eq!(
        found.lines().next(),
        Some(&*said),
        "the banner in memory, and on the serial line"
    );
    println!("{said}");
}

/// The kernel says of its command line, memory and initramfs what it was told.
fn it_was_told(stage: &mut Stage, initrd: u64) {
    let end = 512 << 20;
    line(stage, &format!("Command line: {COMMAND_LINE}"));
    for (first, last) in [(0, 0x9_fbff), (0x10_0000, end - 1)] {
        line(stage, &format!("[mem {first:#018x}-{last:#018x}] usable"));
    }
    let start = (end - initrd) & !0xfff;
    line(
        stage,
        &format!(
            "RAMDISK: [mem {start:#010x}-{:#010x}]",
            (start + initrd - 1) | 0xfff
        ),
    );
}

/// A kernel of this folder with its initramfs, and that one's size.
fn kernel(folder: &Path, name: &str) -> (Kernel, u64) {
    let initrd = folder.join("initramfs.cpio");
    let size = std::fs::metadata(&initrd).expect("an initramfs").len();
    let kernel = Kernel::read(&folder.join(name), Some(&initrd), COMMAND_LINE);
    (kernel.expect("a kernel"), size)
}

#[test]
fn a_debian_kernel_is_broken_into_trapped_and_says_the_banner_that_lies_in_its_memory() {
    let Some(folder) = guests().filter(|_| kvm()) else {
        return;
    };
    let places = Places::of(&std::fs::read(folder.join("vmlinux")).unwrap());
    let (kernel, initrd) = kernel(&folder, "vmlinux");
    // Before the kernel has page tables only a physical address is one.
    let start = Place::Gpa(places.start_kernel - KERNEL_MAP);
    let mut stage = Stage::start(
        kernel,
        &[(AT_START_KERNEL, start)],
        move |case, desk, signs| watch(case, desk, signs, places),
    );
    from_start_kernel_to_the_banner(&mut stage, places);
    it_was_told(&mut stage, initrd);
    let machine = stage.stop();
    let end = machine.memory().read_u64(places.init_stack - KERNEL_MAP);
    assert_eq!(end, Ok(STACK_END_MAGIC), "the trapped write was made");
}

/// It unpacks itself first, which takes a minute and more where KVM emulates kernel code.
#[test]
fn a_debian_bzimage_reads_its_zero_page_unpacks_itself_and_is_broken_into_then() {
    let Some(folder) = guests().filter(|_| kvm()) else {
        return;
    };
    let places = Places::of(&std::fs::read(folder.join("vmlinux")).unwrap());
    let (kernel, initrd) = kernel(&folder, "bzImage");
    let entry = Place::Gpa(BZIMAGE_ENTRY);
    let mut stage = Stage::start(kernel, &[(AT_FIRST, entry)], move |case, desk, signs| {
        watch_unpacked(case, desk, signs, places)
    });
    let (ip, breakpoint, zero_page) = hit(&mut stage, "the 64-bit entry");
    assert_eq!((ip, breakpoint.managed), (BZIMAGE_ENTRY, true));
    assert_eq!(&zero_page[0x202..0x206], b"HdrS");
    // Says the decompressor, which has found the command line by the zero page.
    line(&mut stage, "KASLR disabled: 'nokaslr' on cmdline.");
    from_start_kernel_to_the_banner(&mut stage, places);
    it_was_told(&mut stage, initrd);
    stage.stop();
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
