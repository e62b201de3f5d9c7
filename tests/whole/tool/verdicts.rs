//! What a tool's answers do to the guest.

use oriel_machine::End;
use oriel_protocol::{
    Access, Dialect, EventData, EventKind,
    commands::{
        vcpu::{ControlCr, ControlEvents, ControlSinglestep, InjectException, SetRegisters},
        vm::{PageRule, PauseVcpu, SetPageAccess},
    },
    events::{Cpuid, Trap},
    kvmi::{Action, Body, EventReply, PageReply, event::Received},
    x86::Exception,
};
use oriel_tests::{
    Vm, scenario,
    tool::{Tool, reply},
};

use super::{KERNELS, WRITES, hear, hear_star, hooked};

const NOT_CONTINUE: [Action; 3] = [Action::Retry, Action::Other(3), Action::Other(255)];

/// A guest with these steps, which are an event each where they are told, at its first one.
fn at_event(dialect: Dialect, guest: &str, kind: EventKind) -> (Vm, Tool, Received) {
    let (vm, mut tool) = hooked(dialect, &scenario(guest));
    hear(&mut tool, 0, kind);
    vm.go(1);
    let event = tool.event_of(kind);
    (vm, tool, event)
}

fn at_star(dialect: Dialect) -> (Vm, Tool, Received) {
    let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    (vm, tool, event)
}

const fn answer(action: Action, body: Body) -> EventReply {
    EventReply { action, body }
}

#[test]
fn another_value_in_the_answer_is_what_an_msr_gets() {
    for dialect in Dialect::ALL {
        let (vm, mut tool, event) = at_star(dialect);
        tool.value(&event, 1234);
        assert_eq!(vm.wait().reports, [1234], "{dialect:?}");
    }
}

#[test]
fn an_action_that_a_write_does_not_take_keeps_the_old_value() {
    for action in NOT_CONTINUE {
        for dialect in Dialect::ALL {
            let (vm, mut tool, event) = at_star(dialect);
            tool.answer(&event, &answer(action, Body::Value(1234)));
            assert_eq!(vm.wait().reports, [0], "{dialect:?} {action:?}");
        }
    }
}

#[test]
fn a_write_that_changes_nothing_is_not_told() {
    let guest = format!("[msrs]\nstar = 9\n{WRITES}");
    let (vm, mut tool) = hooked(Dialect::V7, &scenario(&guest));
    hear_star(&mut tool, 0);
    vm.go(1);
    assert_eq!(vm.wait().reports, [9]);
    assert!(tool.is_hung_up_on());
    assert_eq!(tool.events_so_far(), 0);
}

#[test]
fn a_write_of_a_control_register_takes_both_switches() {
    let guest = "
        [[step]]
        event = \"cr\"
        cr = 4
        value = 0x1406a0
        [[step]]
        event = \"cr\"
        cr = 0
        value = 0x80040033
        [[step]]
        report = \"register\"
        register = \"cr4\"
        [[step]]
        finish = 0";
    for (armed, switched) in [(true, false), (false, true)] {
        let (vm, mut tool) = hooked(Dialect::V7, &scenario(guest));
        if armed {
            let (cr, enable) = (4, true);
            assert_eq!(tool.on(0, ControlCr { cr, enable }), Ok(()));
        }
        if switched {
            hear(&mut tool, 0, EventKind::Cr);
        }
        vm.go(1);
        assert_eq!(vm.wait().reports, [0x14_06a0]);
        assert!(tool.is_hung_up_on());
        assert_eq!(
            tool.events_so_far(),
            0,
            "armed {armed}, switched {switched}"
        );
    }
}

/// A guest that runs an INT3 of its own, and reports the faults it took.
const INT3: &str = "
    [[memory]]
    gpa = 0x3000
    hex = \"cc\"
    [[step]]
    event = \"breakpoint\"
    ip = 0x3000
    [[step]]
    report = \"faults\"
    vector = 3
    [[step]]
    report = \"faults\"
    vector = 6
    [[step]]
    finish = 0";

#[test]
fn a_breakpoint_that_the_tool_does_not_handle_is_the_guests() {
    for dialect in Dialect::ALL {
        let (vm, mut tool, event) = at_event(dialect, INT3, EventKind::Breakpoint);
        tool.go_on(&event);
        assert_eq!(vm.wait().reports, [1, 0], "{dialect:?}");
    }
}

#[test]
fn an_injection_that_goes_through_is_told_except_in_v6() {
    for dialect in Dialect::ALL {
        let (vm, mut tool, event) = at_event(dialect, INT3, EventKind::Breakpoint);
        let mut general = event.snapshot.general;
        general.rip += 1;
        assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
        let (vector, error_code, address) = (6, None, 0);
        let exception = Exception {
            vector,
            error_code,
            address,
        };
        assert_eq!(tool.on(0, InjectException { exception }), Ok(()));
        tool.retry(&event);
        let told = matches!(dialect, Dialect::V7 | Dialect::V12);
        if told {
            let trap = tool.event_of(EventKind::Trap);
            tool.go_on(&trap);
        }
        assert_eq!(vm.wait().reports, [0, 1], "{dialect:?}");
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.events_so_far(), 0, "{dialect:?}");
    }
}

#[test]
fn in_v6_an_injection_that_lost_its_place_is_told_if_that_is_switched_on() {
    for (dialect, on) in [
        (Dialect::V6, true),
        (Dialect::V6, false),
        (Dialect::Rfc6, true),
    ] {
        let (vm, mut tool, event) = at_event(dialect, INT3, EventKind::Breakpoint);
        let (event_kind, enable) = (EventKind::Trap, on);
        let switch = ControlEvents {
            event: event_kind,
            enable,
        };
        assert_eq!(tool.on(0, switch), Ok(()));
        let (vector, error_code, address) = (6, None, 0);
        let exception = Exception {
            vector,
            error_code,
            address,
        };
        assert_eq!(tool.on(0, InjectException { exception }), Ok(()));
        tool.go_on(&event);
        if on {
            let told = tool.event_of(EventKind::Trap);
            assert!(matches!(told.data, EventData::Trap(trap) if trap.vector == 3));
            tool.go_on(&told);
        }
        assert_eq!(vm.wait().reports, [1, 0], "{dialect:?}, switched on: {on}");
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.events_so_far(), 0);
    }
}

#[test]
fn an_injected_page_fault_brings_its_address_and_error_code() {
    let guest = "[[step]]\nreport = \"register\"\nregister = \"cr2\"\n[[step]]\nfinish = 0";
    for dialect in KERNELS {
        let (vm, mut tool) = hooked(dialect, &scenario(guest));
        let (vector, error_code, address) = (14, Some(2), 0xdead_0000);
        let exception = Exception {
            vector,
            error_code,
            address,
        };
        assert_eq!(tool.on(0, InjectException { exception }), Ok(()), "held");
        vm.go(1);
        let told = tool.event_of(EventKind::Trap);
        let trap = Trap {
            vector,
            error_code,
            address,
        };
        assert_eq!(told.data, trap.into());
        tool.go_on(&told);
        assert_eq!(vm.wait().reports, [address]);
    }
}

/// What may be done with the page at 0x6000.
fn allow(tool: &mut Tool, allowed: Access) {
    let (view, gpa, tag) = (0, 0x6000, 0);
    let entries = vec![PageRule { gpa, allowed, tag }];
    assert_eq!(tool.vm(SetPageAccess { view, entries }), Ok(()));
}

/// A guest that reads, writes and runs the page at 0x6000, and reports what it read and wrote.
const TOUCHES: &str = "
    [[memory]]
    gpa = 0x6000
    words = [0x1111222233334444]
    [[step]]
    event = \"page\"
    access = \"read\"
    gva = 0x6000
    [[step]]
    report = \"register\"
    register = \"rax\"
    [[step]]
    event = \"page\"
    access = \"write\"
    gva = 0x6010
    value = 0x77
    [[step]]
    report = \"memory\"
    gpa = 0x6010
    [[step]]
    event = \"page\"
    access = \"execute\"
    gva = 0x6020
    [[step]]
    finish = 0";
const READ: u64 = 0x1111_2222_3333_4444;

fn touching(dialect: Dialect) -> (Vm, Tool) {
    let (vm, mut tool) = hooked(dialect, &scenario(TOUCHES));
    hear(&mut tool, 0, EventKind::Page);
    allow(&mut tool, Access::NONE);
    vm.go(1);
    (vm, tool)
}

fn touched(event: &Received) -> (Option<u64>, u64, Access) {
    let EventData::Page(page) = event.data else {
        panic!("{event:?}")
    };
    (page.gva, page.gpa, page.access)
}

const ACCESSES: [(u64, Access); 3] = [
    (0x6000, Access::READ),
    (0x6010, Access::WRITE),
    (0x6020, Access::EXECUTE),
];

#[test]
fn an_access_that_is_let_through_once_goes_through_and_the_next_is_told() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = touching(dialect);
        for (at, access) in ACCESSES {
            let event = tool.event_of(EventKind::Page);
            assert_eq!(touched(&event), (Some(at), at, access), "{dialect:?}");
            tool.go_on(&event);
        }
        assert_eq!(vm.wait().reports, [READ, 0x77], "{dialect:?}");
    }
}

#[test]
fn an_access_is_met_again_until_the_page_is_open() {
    for dialect in KERNELS {
        for (nth, (at, access)) in ACCESSES.into_iter().enumerate() {
            let (vm, mut tool) = touching(dialect);
            for _ in 0..nth {
                let event = tool.event_of(EventKind::Page);
                tool.go_on(&event);
            }
            for _ in 0..3 {
                let event = tool.event_of(EventKind::Page);
                assert_eq!(touched(&event), (Some(at), at, access), "{dialect:?}");
                tool.retry(&event);
            }
            let event = tool.event_of(EventKind::Page);
            allow(&mut tool, Access::ALL);
            tool.retry(&event);
            let ran = vm.wait();
            assert_eq!(ran.outcome.end, End::Finished(0));
            assert_eq!(ran.reports, [READ, 0x77], "{dialect:?}");
            assert!(tool.is_hung_up_on());
            assert_eq!(tool.events_so_far(), 0, "it is open");
        }
    }
}

#[test]
fn bytes_in_the_answer_are_what_a_load_gets() {
    let bytes = |ctx_addr, data: &[u8]| {
        Body::Page(PageReply {
            ctx_addr,
            ctx_size: u32::try_from(data.len()).expect("few"),
            ctx_data: data.into(),
            ..PageReply::default()
        })
    };
    let cases: [(u64, &[u8], u64); 6] = [
        (0x6000, &[1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201),
        (0x6000, &[0xaa], 0x1111_2222_3333_44aa),
        (0x6006, &[0xbb, 0xcc, 0xdd], 0xccbb_2222_3333_4444),
        (0x5fff, &[0xee, 0xff], 0x1111_2222_3333_44ff),
        (0x7000, &[1, 2, 3], READ),
        (0x6000, &[9; 256], 0x0909_0909_0909_0909),
    ];
    for (ctx_addr, data, expected) in cases {
        for dialect in [Dialect::V6, Dialect::V7] {
            let (vm, mut tool) = touching(dialect);
            let event = tool.event_of(EventKind::Page);
            let body = bytes(ctx_addr, data);
            tool.answer(&event, &answer(Action::Continue, body.clone()));
            let event = tool.event_of(EventKind::Page);
            tool.answer(&event, &answer(Action::Continue, body));
            let event = tool.event_of(EventKind::Page);
            tool.go_on(&event);
            let reports = vm.wait().reports;
            assert_eq!(reports, [expected, 0x77], "{dialect:?} {ctx_addr:#x}");
        }
    }
}

#[test]
fn more_bytes_than_fit_close_the_connection() {
    let (vm, mut tool) = touching(Dialect::V7);
    let event = tool.event_of(EventKind::Page);
    let mut bytes = tool.answer_bytes(&event, &reply(&event, Action::Continue));
    bytes[8 + 16 + 8..][..4].copy_from_slice(&257_u32.to_le_bytes());
    tool.bytes(&bytes);
    assert!(tool.is_hung_up_on());
    assert!(tool.ended().contains("256"));
    assert_eq!(vm.wait().reports, [READ, 0x77]);
}

#[test]
fn in_v6_one_instruction_is_stepped_past_a_closed_page() {
    for dialect in [Dialect::V6, Dialect::Rfc6] {
        let (vm, mut tool) = touching(dialect);
        hear(&mut tool, 0, EventKind::Singlestep);
        for (at, access) in ACCESSES {
            let event = tool.event_of(EventKind::Page);
            assert_eq!(touched(&event), (Some(at), at, access), "{dialect:?}");
            let page = PageReply {
                singlestep: true,
                ..PageReply::default()
            };
            tool.answer(&event, &answer(Action::Retry, Body::Page(page)));
            let step = tool.event_of(EventKind::Singlestep);
            tool.go_on(&step);
        }
        assert_eq!(vm.wait().reports, [READ, 0x77], "{dialect:?}");
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.events_so_far(), 0);
    }
}

#[test]
fn a_descriptor_table_is_loaded_when_the_tool_lets_it() {
    let guest = "
        [[step]]
        event = \"descriptor\"
        table = \"idtr\"
        write = true
        value = 0x7000
        limit = 0xfff
        [[step]]
        report = \"register\"
        register = \"idt-base\"
        [[step]]
        finish = 0";
    for dialect in Dialect::ALL {
        let (vm, mut tool, event) = at_event(dialect, guest, EventKind::Descriptor);
        tool.retry(&event);
        let again = tool.event_of(EventKind::Descriptor);
        assert_eq!(again.data, event.data);
        assert_eq!(again.seq, event.seq + 1);
        tool.go_on(&again);
        assert_eq!(vm.wait().reports, [0x7000], "{dialect:?}");
    }
}

#[test]
fn a_hypercall_is_answered_0_where_the_tool_goes_on_and_else_enosys() {
    let guest = "
        [[step]]
        event = \"hypercall\"
        number = 34
        a = 25
        [[step]]
        report = \"register\"
        register = \"rax\"
        [[step]]
        event = \"hypercall\"
        number = 34
        a = 24
        [[step]]
        report = \"register\"
        register = \"rax\"
        [[step]]
        report = \"register\"
        register = \"rip\"
        [[step]]
        finish = 0";
    let nobody = (-1000_i64).cast_unsigned();
    let actions = [(Action::Continue, 0), (Action::Retry, nobody)];
    for (action, rax) in actions {
        for dialect in Dialect::ALL {
            let (vm, mut tool, event) = at_event(dialect, guest, EventKind::Hypercall);
            assert_eq!(event.snapshot.general.rdi, 24, "the other is not KVMI's");
            tool.act(&event, action);
            assert_eq!(vm.wait().reports, [nobody, rax, 0x1006], "{dialect:?}");
        }
    }
}

#[test]
fn registers_set_in_a_hypercall_hold_but_for_its_answer() {
    let guest = "
        [[step]]
        event = \"hypercall\"
        number = 34
        a = 24
        [[step]]
        report = \"register\"
        register = \"rax\"
        [[step]]
        report = \"register\"
        register = \"rbx\"
        [[step]]
        finish = 0";
    let (vm, mut tool, event) = at_event(Dialect::V7, guest, EventKind::Hypercall);
    let mut general = event.snapshot.general;
    (general.rax, general.rbx) = (5, 6);
    assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
    tool.go_on(&event);
    assert_eq!(vm.wait().reports, [0, 6]);
}

#[test]
fn cpuid_is_told_in_v7() {
    let guest = "
        [[step]]
        event = \"cpuid\"
        function = 7
        index = 0
        [[step]]
        finish = 0";
    let (vm, mut tool, event) = at_event(Dialect::V7, guest, EventKind::Cpuid);
    let (function, index, leaf) = (7, 0, Default::default());
    let expected = Cpuid {
        function,
        index,
        leaf,
    };
    assert_eq!(event.data, expected.into());
    tool.go_on(&event);
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn a_pause_takes_any_action_but_crash_for_going_on() {
    for action in NOT_CONTINUE {
        let (vm, mut tool) = hooked(Dialect::V7, &scenario(WRITES));
        let (vcpu, wait) = (0, true);
        assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
        let paused = tool.event_of(EventKind::Pause);
        tool.act(&paused, action);
        vm.go(1);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    }
}

/// Guests whose first event is of each kind.
const FIRST: [(EventKind, &str); 8] = [
    (EventKind::Msr, WRITES),
    (EventKind::Breakpoint, INT3),
    (EventKind::Page, TOUCHES),
    (
        EventKind::Hypercall,
        "[[step]]\nevent = \"hypercall\"\nnumber = 34\na = 24",
    ),
    (EventKind::Xsetbv, "[[step]]\nevent = \"xsetbv\"\nvalue = 1"),
    (EventKind::Trap, "[[step]]\nevent = \"trap\"\nvector = 6"),
    (
        EventKind::Descriptor,
        "[[step]]\nevent = \"descriptor\"\ntable = \"gdtr\"\nwrite = false",
    ),
    (EventKind::Singlestep, "[[step]]\nevent = \"singlestep\""),
];

#[test]
fn crash_stops_the_vm_whatever_the_event() {
    for (kind, guest) in FIRST {
        for dialect in [Dialect::V6, Dialect::V7, Dialect::V12] {
            if kind == EventKind::Singlestep && dialect == Dialect::V6 {
                // Nothing asks for it there but an answer to a page event.
                continue;
            }
            let (vm, mut tool) = hooked(dialect, &scenario(guest));
            let event = ControlEvents {
                event: kind,
                enable: true,
            };
            // v12 takes a switch for `trap` and `singlestep` as well, or refuses it.
            let _ = tool.on(0, event);
            hear_star(&mut tool, 0);
            if kind == EventKind::Page {
                allow(&mut tool, Access::NONE);
            }
            if kind == EventKind::Singlestep {
                assert_eq!(tool.on(0, ControlSinglestep { enable: true }), Ok(()));
            }
            vm.go(1);
            let event = tool.event_of(kind);
            tool.act(&event, Action::Crash);
            assert_eq!(vm.wait().outcome.end, End::Stopped, "{dialect:?} {kind:?}");
        }
    }
}

#[test]
fn crash_in_a_pause_stops_the_vm() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let (vcpu, wait) = (0, true);
        assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
        let paused = tool.event_of(EventKind::Pause);
        tool.act(&paused, Action::Crash);
        assert_eq!(vm.wait().outcome.end, End::Stopped, "{dialect:?}");
    }
}
