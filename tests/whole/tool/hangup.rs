//! Tools that go: whenever they do, what they armed is undone, the guest goes on, and the next one
//! finds a free seat.

use std::os::fd::OwnedFd;

use oriel_engine::tool::{HookError, Settings, candidate};
use oriel_machine::End;
use oriel_protocol::{
    Access, Dialect, EventKind,
    commands::{
        vcpu::{ControlCr, ControlEvents, ControlMsr, ControlSinglestep, SetRegisters},
        vm::{
            ControlCleanup, ControlCommandResponse, ControlVmEvents, GetGuestInfo, GetVersion,
            PageRule, PauseVcpu, ReadPhysical, SetPageAccess, WritePhysical,
        },
    },
    kvmi::Action,
    x86::msr,
};
use oriel_tests::{
    Ran, Vm, scenario,
    tool::{NAME, Tool, reply, settings},
};

use super::{BOTH_WRITE, KERNELS, SHOWS_RBX, WRITES, hear, hear_star, hooked, hooked_by};

/// A guest that does a bit of everything, and reports what came of it. At 0x3000 stands a NOP.
const BUSY: &str = "
    [[memory]]
    gpa = 0x3000
    hex = \"90\"
    [[step]]
    event = \"msr\"
    msr = \"star\"
    value = 9
    [[step]]
    event = \"page\"
    access = \"write\"
    gva = 0x6010
    value = 0x77
    [[step]]
    event = \"breakpoint\"
    ip = 0x3000
    [[step]]
    event = \"hypercall\"
    number = 34
    a = 24
    [[step]]
    event = \"cr\"
    cr = 4
    value = 0x1406a0
    [[step]]
    report = \"msr\"
    msr = \"star\"
    [[step]]
    report = \"register\"
    register = \"cr4\"
    [[step]]
    report = \"memory\"
    gpa = 0x6010
    [[step]]
    report = \"memory\"
    gpa = 0x3000
    size = 1
    [[step]]
    report = \"faults\"
    [[step]]
    finish = 0";

/// The events that it has.
const KINDS: [EventKind; 5] = [
    EventKind::Msr,
    EventKind::Page,
    EventKind::Breakpoint,
    EventKind::Hypercall,
    EventKind::Cr,
];

/// What it reports where nobody interferes.
const ALONE: [u64; 5] = [9, 0x14_06a0, 0x77, 0x90, 0];

const PAGE: u64 = 0x6000;

fn closed(allowed: Access) -> SetPageAccess {
    let (view, gpa, tag) = (0, PAGE, 0);
    let entries = vec![PageRule { gpa, allowed, tag }];
    SetPageAccess { view, entries }
}

const fn breakpoint(byte: u8) -> (u64, [u8; 1]) {
    (0x3000, [byte])
}

fn plant() -> WritePhysical {
    let (gpa, byte) = breakpoint(0xcc);
    let bytes = byte.to_vec();
    WritePhysical { gpa, bytes }
}

/// The bytes that arm everything that there is, as one write.
fn armed(tool: &mut Tool) -> Vec<u8> {
    let mut bytes = tool.vm_bytes(GetVersion {}).1;
    for event in KINDS {
        let enable = true;
        bytes.extend(tool.vcpu_bytes(0, ControlEvents { event, enable }).1);
    }
    let (msr, enable) = (msr::STAR, true);
    bytes.extend(tool.vcpu_bytes(0, ControlMsr { msr, enable }).1);
    let cr = 4;
    bytes.extend(tool.vcpu_bytes(0, ControlCr { cr, enable }).1);
    bytes.extend(tool.vm_bytes(closed(Access::NONE)).1);
    bytes.extend(tool.vm_bytes(plant()).1);
    bytes.extend(tool.vcpu_bytes(0, ControlSinglestep { enable }).1);
    bytes
}

fn untouched(ran: &Ran, when: &str) {
    assert_eq!(ran.outcome.end, End::Finished(0), "{when}");
    assert_eq!(ran.reports, ALONE, "{when}");
    assert!(ran.failures().is_empty(), "{when}: {:?}", ran.failures());
}

#[test]
fn a_guest_that_nobody_watches_reports_what_it_does() {
    let vm = Vm::of(&scenario(BUSY), vec![]);
    vm.go(1);
    untouched(&vm.wait(), "alone");
}

#[test]
fn a_tool_may_go_at_any_byte_of_what_it_says() {
    for dialect in KERNELS {
        let (_vm, mut tool) = hooked(dialect, &scenario(BUSY));
        let all = armed(&mut tool);
        for cut in 0..=all.len() {
            let (vm, mut tool) = hooked(dialect, &scenario(BUSY));
            tool.bytes(&all[..cut]);
            let _ = tool.hang_up();
            vm.go(1);
            let ran = vm.wait();
            untouched(&ran, &format!("{dialect:?}, byte {cut}"));
            assert_eq!(ran.outcome.events, 0, "{dialect:?}, byte {cut}");
        }
    }
}

#[test]
fn a_tool_may_go_at_any_byte_of_an_answer() {
    for dialect in KERNELS {
        let mut cut = 0;
        loop {
            let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
            hear_star(&mut tool, 0);
            vm.go(1);
            let event = tool.event_of(EventKind::Msr);
            let crash = tool.answer_bytes(&event, &reply(&event, Action::Crash));
            if cut == crash.len() {
                break;
            }
            tool.bytes(&crash[..cut]);
            let _ = tool.hang_up();
            let ran = vm.wait();
            assert_eq!(ran.outcome.end, End::Finished(0), "{dialect:?}, byte {cut}");
            assert_eq!(ran.reports, [9], "{dialect:?}, byte {cut}");
            cut += 1;
        }
        assert_eq!(cut, 8 + 24);
    }
}

#[test]
fn a_tool_may_go_in_the_middle_of_each_event() {
    for dialect in KERNELS {
        for kind in KINDS {
            let (vm, mut tool) = hooked(dialect, &scenario(BUSY));
            let (msr, enable) = (msr::STAR, true);
            assert_eq!(tool.on(0, ControlMsr { msr, enable }), Ok(()));
            assert_eq!(tool.on(0, ControlCr { cr: 4, enable }), Ok(()));
            assert_eq!(tool.vm(closed(Access::READ)), Ok(()));
            if kind != EventKind::Hypercall && kind != EventKind::Cr {
                // Those come behind the INT3, which would be the guest's own to handle.
                assert_eq!(tool.vm(plant()), Ok(()));
            }
            hear(&mut tool, 0, kind);
            vm.go(1);
            let _ = tool.event_of(kind);
            let _ = tool.hang_up();
            let ran = vm.wait();
            untouched(&ran, &format!("{dialect:?}, {kind:?}"));
            assert_eq!(ran.outcome.events, 1, "{dialect:?}, {kind:?}");
        }
    }
}

#[test]
fn a_tool_may_go_in_the_middle_of_a_step() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(BUSY));
        hear(&mut tool, 0, EventKind::Singlestep);
        assert_eq!(tool.on(0, ControlSinglestep { enable: true }), Ok(()));
        vm.go(1);
        let _ = tool.event_of(EventKind::Singlestep);
        let _ = tool.hang_up();
        let ran = vm.wait();
        untouched(&ran, &format!("{dialect:?}"));
        assert_eq!(ran.outcome.events, 1);
    }
}

#[test]
fn a_tool_may_go_with_every_vcpu_paused_and_more_pauses_to_come() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(BOTH_WRITE));
        for vcpu in [0, 1, 0, 1, 0] {
            let wait = true;
            assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
        }
        let _ = (tool.event(), tool.event());
        vm.go(2);
        let _ = tool.hang_up();
        assert_eq!(vm.wait().outcome.end, End::Finished(0), "{dialect:?}");
    }
}

/// As libkvmi sends them: in a batch that is not answered. (A tool that closes while answers are
/// still on their way to it has closed too early.)
#[test]
fn an_answer_counts_although_the_tool_goes_at_once() {
    for _ in 0..50 {
        let (vm, mut tool) = hooked(Dialect::V7, &scenario(SHOWS_RBX));
        hear_star(&mut tool, 0);
        vm.go(1);
        let event = tool.event_of(EventKind::Msr);
        let mut general = event.snapshot.general;
        general.rbx = 5;
        let replies = |enable| ControlCommandResponse {
            enable,
            now: !enable,
            report_errors: false,
        };
        let mut bytes = tool.vm_bytes(replies(false)).1;
        bytes.extend(tool.vcpu_bytes(0, SetRegisters { general }).1);
        bytes.extend(tool.answer_bytes(&event, &reply(&event, Action::Continue)));
        bytes.extend(tool.vm_bytes(replies(true)).1);
        tool.bytes(&bytes);
        let _ = tool.hang_up();
        assert_eq!(vm.wait().reports, [5]);
    }
}

#[test]
fn registers_that_a_tool_set_and_did_not_answer_for_stay_as_they_were() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(SHOWS_RBX));
        hear_star(&mut tool, 0);
        vm.go(1);
        let event = tool.event_of(EventKind::Msr);
        let mut general = event.snapshot.general;
        general.rbx = 5;
        assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
        let _ = tool.hang_up();
        assert_eq!(vm.wait().reports, [0], "{dialect:?}");
    }
}

fn keeping(dialect: Dialect) -> Settings {
    Settings {
        restore_breakpoints: false,
        ..settings(dialect)
    }
}

#[test]
fn a_breakpoint_byte_stays_where_the_operator_says_so() {
    for dialect in KERNELS {
        let seat = candidate(NAME, keeping(dialect));
        let (vm, mut tool) = hooked_by(seat, &scenario(BUSY));
        assert_eq!(tool.vm(plant()), Ok(()));
        let _ = tool.hang_up();
        vm.go(1);
        let reports = vm.wait().reports;
        assert_eq!(reports[3..], [0xcc, 1], "and the guest takes #BP");
    }
}

#[test]
fn a_vcpu_that_waits_in_a_breakpoint_that_stays_takes_it() {
    let seat = candidate(NAME, keeping(Dialect::V7));
    let (vm, mut tool) = hooked_by(seat, &scenario(BUSY));
    assert_eq!(tool.vm(plant()), Ok(()));
    hear(&mut tool, 0, EventKind::Breakpoint);
    vm.go(1);
    let _ = tool.event_of(EventKind::Breakpoint);
    let _ = tool.hang_up();
    assert_eq!(vm.wait().reports[3..], [0xcc, 1]);
}

#[test]
fn other_bytes_that_a_tool_wrote_stay() {
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(BUSY));
    assert_eq!(tool.vm(plant()), Ok(()));
    let (gpa, bytes) = (0x3000, vec![0x55]);
    assert_eq!(tool.vm(WritePhysical { gpa, bytes }), Ok(()));
    let _ = tool.hang_up();
    vm.go(1);
    assert_eq!(vm.wait().reports[3..], [0x55, 0], "over its own breakpoint");
}

#[test]
fn the_next_tool_finds_a_free_seat_and_nothing_armed() {
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(BUSY));
        for _ in 0..20 {
            let all = armed(&mut tool);
            tool.bytes(&all);
            let _ = tool.hang_up();
            tool = vm.hook(NAME);
        }
        let (gpa, length) = (0x3000, 1);
        assert_eq!(tool.vm(ReadPhysical { gpa, length }), Ok(vec![0x90]));
        hear(&mut tool, 0, EventKind::Hypercall);
        vm.go(1);
        let call = tool.event_of(EventKind::Hypercall);
        assert_eq!(call.seq, 1, "numbers begin anew");
        tool.go_on(&call);
        let ran = vm.wait();
        untouched(&ran, &format!("{dialect:?}"));
        assert_eq!(ran.outcome.events, 1);
    }
}

#[test]
fn without_cleanup_msrs_and_control_registers_stay_armed_for_the_next() {
    let (vm, mut tool) = hooked(Dialect::V12, &scenario(BUSY));
    assert_eq!(tool.vm(ControlCleanup { enable: false }), Ok(()));
    hear_star(&mut tool, 0);
    let (cr, enable) = (4, true);
    assert_eq!(tool.on(0, ControlCr { cr, enable }), Ok(()));
    assert_eq!(tool.vm(closed(Access::NONE)), Ok(()));
    let _ = tool.hang_up();
    let mut next = vm.hook(NAME);
    for kind in [EventKind::Msr, EventKind::Cr, EventKind::Page] {
        hear(&mut next, 0, kind);
    }
    vm.go(1);
    for kind in [EventKind::Msr, EventKind::Cr] {
        let event = next.event_of(kind);
        next.go_on(&event);
    }
    let ran = vm.wait();
    untouched(&ran, "pages are undone all the same");
    assert_eq!(ran.outcome.events, 2);
}

#[test]
fn one_tool_sits_on_a_seat_at_a_time() {
    let (vm, tool) = hooked(Dialect::V7, &scenario(WRITES));
    let (_other, theirs, _) = Tool::pair(Dialect::V7);
    let taken = vm.try_hook(NAME, theirs);
    assert!(matches!(taken, Err(HookError::Taken(name)) if name == NAME));
    let _ = tool.hang_up();
    let mut next = vm.hook(NAME);
    assert_eq!(next.vm(GetGuestInfo {}), Ok(1));
}

#[test]
fn what_is_no_socket_is_not_hooked() {
    let (vm, tool) = hooked(Dialect::V7, &scenario(WRITES));
    let _ = tool.hang_up();
    let file: OwnedFd = std::fs::File::open("/dev/null")
        .expect("it is there")
        .into();
    assert!(matches!(vm.try_hook(NAME, file), Err(HookError::Host(_))));
    let mut next = vm.hook(NAME);
    assert_eq!(next.vm(GetGuestInfo {}), Ok(1), "the seat is free");
}

#[test]
fn nothing_is_hooked_once_the_vm_has_ended() {
    let vm = Vm::of(
        &scenario(WRITES),
        vec![oriel_tests::tool::seat(Dialect::V7)],
    );
    let handle = vm.handle();
    vm.go(1);
    let _ = vm.wait();
    let port = handle.tool(NAME).expect("a seat");
    let (_tool, theirs, ended) = Tool::pair(Dialect::V7);
    assert!(matches!(port.hook(theirs, ended), Err(HookError::Ended)));
    assert!(port.is_closed());
}

#[test]
fn a_tool_that_asked_for_unhook_is_told_and_served_until_it_goes() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let (event, enable) = (EventKind::Unhook, true);
        assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
        vm.go(1);
        let _ = tool.event_of(EventKind::Unhook);
        for _ in 0..50 {
            let (gpa, length) = (0, 4000);
            assert!(tool.vm(ReadPhysical { gpa, length }).is_ok(), "{dialect:?}");
            let (event, enable) = (EventKind::Msr, false);
            let on_vcpu = tool.on(0, ControlEvents { event, enable });
            assert_eq!(on_vcpu, Ok(()), "{dialect:?}");
        }
        assert!(tool.hang_up().contains("closed"));
        assert_eq!(vm.wait().outcome.end, End::Finished(0), "{dialect:?}");
    }
}

#[test]
fn a_tool_that_did_not_ask_for_unhook_finds_the_connection_ended() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        tool.sync();
        vm.go(1);
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.events_so_far(), 0);
        assert!(tool.ended().contains("the VM has ended"), "{dialect:?}");
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    }
}

#[test]
fn stopping_the_vm_releases_a_vcpu_whose_event_is_open() {
    for unhook in [true, false] {
        let (vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
        let (event, enable) = (EventKind::Unhook, unhook);
        assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
        hear_star(&mut tool, 0);
        vm.go(1);
        let _open = tool.event_of(EventKind::Msr);
        vm.handle().stop();
        if unhook {
            let _ = tool.event_of(EventKind::Unhook);
            let _ = tool.hang_up();
        } else {
            assert!(tool.is_hung_up_on());
        }
        assert_eq!(vm.wait().outcome.end, End::Cancelled);
    }
}

/// Hooks, has both vCPUs tell of STAR, answers one event, pauses, and goes; over and over.
fn come_and_go(vm: &Vm) {
    for nth in 0..30 {
        let mut tool = vm.hook(NAME);
        hear_star(&mut tool, 0);
        hear_star(&mut tool, 1);
        let event = tool.event_of(EventKind::Msr);
        tool.go_on(&event);
        let (vcpu, wait) = (nth % 2, nth % 3 == 0);
        assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
        let _ = tool.event();
        let _ = tool.hang_up();
    }
}

#[test]
fn tools_come_and_go_while_two_vcpus_run() {
    for dialect in KERNELS {
        let write = |value| {
            let step = oriel_machine::mock::Step::write_msr(msr::STAR, value);
            [step.clone().on(0), step.on(1)]
        };
        let guest = oriel_machine::mock::Scenario::new("writes")
            .vcpus(2)
            .with_steps(write(1))
            .with_steps(write(2))
            .looping();
        let vm = Vm::of(&guest, vec![oriel_tests::tool::seat(dialect)]);
        vm.go(2);
        come_and_go(&vm);
        assert_eq!(vm.stop().outcome.end, End::Cancelled, "{dialect:?}");
    }
}

#[test]
fn tools_come_and_go_while_two_real_vcpus_run() {
    if !crate::kvm::kvm() {
        return;
    }
    for dialect in KERNELS {
        let tour = crate::kvm::guest("tour", 2);
        let seat = oriel_tests::tool::seat(dialect);
        let vm = Vm::held(|outlet| crate::kvm::parts(tour, outlet), vec![seat]);
        vm.go(2);
        come_and_go(&vm);
        let mut tool = vm.hook(NAME);
        let (gpa, bytes) = (oriel_guests::TOUR_STOP, vec![1]);
        assert_eq!(tool.vm(WritePhysical { gpa, bytes }), Ok(()));
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0), "{dialect:?}");
        assert!(ran.failures().is_empty());
    }
}
