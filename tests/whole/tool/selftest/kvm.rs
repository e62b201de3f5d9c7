//! Rows against a real KVM. Skipped loudly where `/dev/kvm` cannot be used.

use std::sync::Arc;

use oriel_guests::{ATTACKER_ENTRY, KERNEL_ENTRY, TOUR_ROUNDS, TOUR_STOP, TOUR_TAKEN};
use oriel_machine::End;
use oriel_protocol::{
    EventData, EventKind,
    commands::{
        vcpu::{
            ControlCr, ControlEvents, ControlMsr, ControlSinglestep, GetCpuid, GetMtrrType,
            GetRegisters, GetVcpuInfo, GetXcr, GetXsave, InjectException, SetRegisters, SetXsave,
            TranslateGva,
        },
        vm::{
            ControlVmEvents, GetGuestInfo, GetMaxGfn, GetVersion, PauseVcpu, ReadPhysical,
            WritePhysical,
        },
    },
    events::{Msr, Singlestep},
    x86::{Exception, General, msr},
};
use oriel_tests::{
    Vm,
    tool::{NAME, Tool, seat},
};

use super::{super::errno, KERNELS, hear, run_out};
use crate::kvm::{guest, kvm, parts};

/// Tries a row in both dialects, on a VM that is held with this guest in it.
pub(super) fn row(name: &str, test: impl Fn(Vm, Tool)) {
    if !kvm() {
        return;
    }
    for dialect in KERNELS {
        let vm = Vm::held(|outlet| parts(guest(name, 1), outlet), vec![seat(dialect)]);
        let tool = vm.hook(NAME);
        test(vm, tool);
    }
}

#[test]
fn the_version_and_the_checks_are_answered() {
    row("halt", |_vm, mut tool| {
        let version = tool.vm(GetVersion {}).unwrap();
        assert_eq!(version.version, 1);
        assert_eq!(version.singlestep, reports(EventKind::Singlestep));
        assert_eq!(tool.vm(GetGuestInfo {}), Ok(1));
        assert_eq!(tool.raw(0xffff, &[]), Err(errno::NOSYS));
        assert_eq!(tool.raw_on(0xfffe, 0, &[]), Err(errno::NOSYS));
        assert_eq!(tool.on(1, GetVcpuInfo {}), Err(errno::INVAL));
        assert!(tool.on(0, GetVcpuInfo {}).unwrap() > 0);
    });
}

#[test]
fn the_end_of_memory_is_a_frame_that_is_not_there() {
    row("halt", |_vm, mut tool| {
        if tool.is_v12() {
            return;
        }
        let end = tool.vm(GetMaxGfn {}).unwrap();
        let read = |gfn| ReadPhysical {
            gpa: gfn * 4096,
            length: 8,
        };
        assert!(tool.vm(read(end - 1)).is_ok());
        assert_eq!(tool.vm(read(end)), Err(errno::NOENT));
    });
}

#[test]
fn a_real_guests_memory_is_written_and_read_back() {
    row("halt", |_vm, mut tool| {
        let (gpa, page) = (0x50_0000, vec![0x5a; 4096]);
        let bytes = page.clone();
        assert_eq!(tool.vm(WritePhysical { gpa, bytes }), Ok(()));
        let read = |gpa, length| ReadPhysical { gpa, length };
        assert_eq!(tool.vm(read(gpa, 4096)), Ok(page));
        assert_eq!(tool.vm(read(gpa, 0)), Err(errno::INVAL));
        assert_eq!(tool.vm(read(gpa + 1, 4096)), Err(errno::INVAL));
        assert_eq!(tool.vm(read(1 << 40, 8)), Err(errno::NOENT));
    });
}

#[test]
fn a_real_vcpus_registers_are_answered() {
    row("halt", |_vm, mut tool| {
        let msrs = vec![msr::SYSENTER_CS, msr::EFER, msr::STAR, msr::LSTAR];
        let answer = tool.on(0, GetRegisters { msrs }).unwrap();
        assert_eq!(answer.general.rip, guest("halt", 1).entry);
        assert_eq!(answer.msrs[1], (msr::EFER, answer.special.efer));
        assert!(answer.special.cs.l, "64-bit code");
        let none = vec![0xdead];
        assert_eq!(tool.on(0, GetRegisters { msrs: none }), Err(errno::INVAL));
        let general = General::default();
        let refused = tool.on(0, SetRegisters { general });
        assert_eq!(refused, Err(errno::OPNOTSUPP), "outside of an event");
    });
}

#[test]
fn a_real_vcpus_other_state_is_answered() {
    row("halt", |_vm, mut tool| {
        let leaf = |function| GetCpuid { function, index: 0 };
        assert!(tool.on(0, leaf(0)).unwrap().eax > 0);
        assert_eq!(tool.on(0, leaf(0x1234_5678)), Err(errno::NOENT));
        assert_eq!(tool.on(0, GetXcr { xcr: 1 }), Err(errno::INVAL));
        assert!(tool.on(0, GetXcr { xcr: 0 }).unwrap() & 1 == 1, "x87");
        assert_eq!(tool.on(0, GetMtrrType { gpa: 0x1000 }).map(|_| ()), Ok(()));
        let area = tool.on(0, GetXsave {}).unwrap();
        assert_eq!(area.len(), 4096);
        assert_eq!(tool.on(0, SetXsave { area }), Ok(()));
    });
}

#[test]
fn a_real_guests_addresses_translate() {
    row("halt", |_vm, mut tool| {
        let gva = guest("halt", 1).entry;
        assert_eq!(tool.on(0, TranslateGva { gva }), Ok(gva), "one to one");
        assert_eq!(tool.on(0, TranslateGva { gva: u64::MAX }), Ok(u64::MAX));
    });
}

#[test]
fn a_real_vcpu_that_runs_is_paused_and_goes_on() {
    row("spin", |vm, mut tool| {
        vm.go(1);
        for _ in 0..20 {
            let (vcpu, wait) = (0, true);
            assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
            let paused = tool.event_of(EventKind::Pause);
            let registers = tool.on(0, GetRegisters { msrs: vec![] }).unwrap();
            assert_eq!(
                registers.general, paused.snapshot.general,
                "it stands still"
            );
            tool.go_on(&paused);
        }
        let answered = tool.on(0, GetRegisters { msrs: vec![] });
        assert!(answered.is_ok(), "while it runs");
        assert_eq!(vm.stop().outcome.end, End::Cancelled);
    });
}

#[test]
fn a_real_guests_write_of_an_msr_is_kept_from_it() {
    row("msr-attack", |vm, mut tool| {
        hear(&mut tool, EventKind::Msr);
        let (msr, enable) = (msr::LSTAR, true);
        assert_eq!(tool.on(0, ControlMsr { msr, enable }), Ok(()));
        vm.go(1);
        let first = tool.event_of(EventKind::Msr);
        let (old, new) = (0, KERNEL_ENTRY);
        assert_eq!(first.data, Msr { msr, old, new }.into());
        tool.go_on(&first);
        let second = tool.event_of(EventKind::Msr);
        let (old, new) = (KERNEL_ENTRY, ATTACKER_ENTRY);
        assert_eq!(second.data, Msr { msr, old, new }.into());
        tool.value(&second, old);
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0));
        assert_eq!(ran.reports, [KERNEL_ENTRY, 0], "and no fault is raised");
    });
}

#[test]
fn a_tool_that_leaves_a_real_guest_leaves_nothing_behind() {
    row("msr-attack", |vm, mut tool| {
        hear(&mut tool, EventKind::Msr);
        let (msr, enable) = (msr::LSTAR, true);
        assert_eq!(tool.on(0, ControlMsr { msr, enable }), Ok(()));
        let _ = tool.hang_up();
        let ran = run_out(vm);
        assert_eq!(ran.reports, [ATTACKER_ENTRY, 0]);
        assert_eq!(ran.outcome.events, 0);
    });
}

#[test]
fn what_this_machine_cannot_do_is_refused_by_the_command_that_arms_it() {
    row("halt", |_vm, mut tool| {
        let (event, enable) = (EventKind::Cr, true);
        assert_eq!(tool.on(0, ControlEvents { event, enable }), Ok(()));
        let (cr, enable) = (3, true);
        let refused = tool.on(0, ControlCr { cr, enable });
        assert_eq!(refused, Err(errno::OPNOTSUPP));
        let (cr, enable) = (3, false);
        assert_eq!(
            tool.on(0, ControlCr { cr, enable }),
            Ok(()),
            "off it is already"
        );
    });
}

/// Whether this KVM reports events of this kind.
pub(super) fn reports(kind: EventKind) -> bool {
    let outlet = Arc::new(oriel_machine::outlet::Kept::default());
    let machine = parts(guest("halt", 1), outlet).machine;
    let reports = machine.capabilities().reports(kind);
    if !reports {
        eprintln!("SKIPPED: this KVM does not report {}", kind.name());
    }
    reports
}

/// How often the guest `tour` took this exception.
fn taken(tool: &mut Tool, vector: u64) -> u64 {
    let (gpa, length) = (TOUR_TAKEN + 8 * vector, 8);
    let bytes = tool.vm(ReadPhysical { gpa, length }).expect("RAM");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// Has the guest `tour` end.
fn end_tour(tool: &mut Tool) {
    let (gpa, bytes) = (TOUR_STOP, vec![1]);
    assert_eq!(tool.vm(WritePhysical { gpa, bytes }), Ok(()));
}

#[test]
fn a_real_guests_breakpoint_that_the_tool_handles_is_gone_past() {
    row("tour", |vm, mut tool| {
        if !reports(EventKind::Breakpoint) {
            return;
        }
        hear(&mut tool, EventKind::Breakpoint);
        vm.go(1);
        for _ in 0..3 {
            let hit = tool.event_of(EventKind::Breakpoint);
            let mut general = hit.snapshot.general;
            assert_eq!(Some(general.rip), guest("tour", 1).mark("int3"));
            general.rip += 1;
            assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
            tool.retry(&hit);
        }
        let hit = tool.event_of(EventKind::Breakpoint);
        assert_eq!(taken(&mut tool, 3), 0);
        end_tour(&mut tool);
        tool.go_on(&hit);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    });
}

#[test]
fn an_exception_injected_into_a_real_guest_is_told_as_a_trap() {
    row("tour", |vm, mut tool| {
        // By its first write of STAR its handlers are in place.
        hear(&mut tool, EventKind::Msr);
        let star = |enable| ControlMsr {
            msr: msr::STAR,
            enable,
        };
        assert_eq!(tool.on(0, star(true)), Ok(()));
        vm.go(1);
        let write = tool.event_of(EventKind::Msr);
        assert_eq!(tool.on(0, star(false)), Ok(()));
        let exception = Exception {
            vector: 6,
            error_code: None,
            address: 0,
        };
        assert_eq!(tool.on(0, InjectException { exception }), Ok(()));
        tool.go_on(&write);
        let told = tool.event_of(EventKind::Trap);
        let EventData::Trap(trap) = told.data else {
            panic!("{told:?}")
        };
        assert_eq!(trap.vector, 6);
        let (event, enable) = (EventKind::Unhook, true);
        assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
        end_tour(&mut tool);
        tool.go_on(&told);
        let _ = tool.event_of(EventKind::Unhook);
        assert_eq!(taken(&mut tool, 6), 1, "by the guest's handler");
        let _ = tool.hang_up();
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    });
}

#[test]
fn a_stepped_real_vcpu_tells_of_each_instruction() {
    row("tour", |vm, mut tool| {
        if !reports(EventKind::Singlestep) {
            return;
        }
        hear(&mut tool, EventKind::Singlestep);
        assert_eq!(tool.on(0, ControlSinglestep { enable: true }), Ok(()));
        vm.go(1);
        let mut before = guest("tour", 1).entry;
        for _ in 0..50 {
            let step = tool.event_of(EventKind::Singlestep);
            assert_eq!(step.data, Singlestep { failed: false }.into());
            let at = step.snapshot.general.rip;
            assert_ne!(at, before, "each is another instruction");
            before = at;
            tool.go_on(&step);
        }
        let step = tool.event_of(EventKind::Singlestep);
        assert_eq!(tool.on(0, ControlSinglestep { enable: false }), Ok(()));
        end_tour(&mut tool);
        tool.go_on(&step);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    });
}

/// How many rounds the guest `tour` has made.
fn rounds(tool: &mut Tool) -> u64 {
    let (gpa, length) = (TOUR_ROUNDS, 8);
    let bytes = tool.vm(ReadPhysical { gpa, length }).expect("RAM");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

#[test]
fn a_real_vcpu_in_a_breakpoint_of_a_tool_that_goes_runs_what_was_there() {
    row("tour", |vm, mut tool| {
        if !reports(EventKind::Breakpoint) {
            return;
        }
        let at = guest("tour", 1).mark("page-load").expect("a mark of it");
        let (gpa, length) = (at, 1);
        let before = tool.vm(ReadPhysical { gpa, length });
        let bytes = vec![0xcc];
        assert_eq!(tool.vm(WritePhysical { gpa, bytes }), Ok(()));
        hear(&mut tool, EventKind::Breakpoint);
        vm.go(1);
        // Its own comes first, and is its own to take.
        let own = tool.event_of(EventKind::Breakpoint);
        tool.go_on(&own);
        let hit = tool.event_of(EventKind::Breakpoint);
        assert_eq!(hit.snapshot.general.rip, at);
        let _ = tool.hang_up();
        let mut next = vm.hook(NAME);
        assert_eq!(next.vm(ReadPhysical { gpa, length }), before);
        let (event, enable) = (EventKind::Unhook, true);
        assert_eq!(next.vm(ControlVmEvents { event, enable }), Ok(()));
        end_tour(&mut next);
        let _ = next.event_of(EventKind::Unhook);
        let rounds = rounds(&mut next);
        assert!(rounds > 0);
        assert_eq!(taken(&mut next, 3), rounds, "one of its own a round");
        let _ = next.hang_up();
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    });
}
