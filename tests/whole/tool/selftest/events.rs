//! Rows in which the guest does something that is an event.

use oriel_machine::End;
use oriel_protocol::{
    Access, Dialect, EventData, EventKind,
    commands::{
        vcpu::{
            ControlCr, ControlEvents, ControlMsr, ControlSinglestep, GetRegisters, InjectException,
            SetRegisters,
        },
        vm::{
            ControlCleanup, ControlCommandResponse, ControlVmEvents, PageRule, PauseVcpu,
            SetPageAccess,
        },
    },
    events::{Cr, Descriptor, Msr, Page, Singlestep, Table, Trap, Xsetbv},
    x86::{Exception, msr},
};
use oriel_tests::tool::{NAME, Tool};

use super::{super::errno, IDLE, hear, row, row_of_v7, run_out};

const UD: Exception = Exception {
    vector: 6,
    error_code: None,
    address: 0,
};

fn pause(tool: &mut Tool) {
    let (vcpu, wait) = (0, true);
    assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
}

#[test]
fn unhook_is_told_in_a_message_of_the_exact_size() {
    row(IDLE, |vm, mut tool| {
        let (event, enable) = (EventKind::Unhook, true);
        assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
        vm.handle().stop();
        let mut message = [0; 1024];
        let had = std::io::Read::read(&mut tool.stream(), &mut message).unwrap();
        let expected = if tool.is_v12() { 8 + 8 } else { 8 + 544 };
        assert_eq!(had, expected, "{:?}", tool.dialect());
        assert_eq!(
            usize::from(u16::from_le_bytes([message[2], message[3]])),
            had - 8
        );
        tool.sync();
        let _ = tool.hang_up();
        assert_eq!(vm.wait().outcome.end, End::Cancelled);
    });
}

#[test]
fn a_paused_vcpu_tells_so_once_and_goes_on_when_answered() {
    row(IDLE, |vm, mut tool| {
        pause(&mut tool);
        vm.go(1);
        let paused = tool.event_of(EventKind::Pause);
        assert_eq!(paused.snapshot.general.rip, 0x1000);
        tool.go_on(&paused);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.events_so_far(), 0);
    });
}

#[test]
fn registers_are_set_inside_an_event() {
    let guest = "[[step]]\nreport = \"register\"\nregister = \"rbx\"\n[[step]]\nfinish = 0\n";
    row(guest, |vm, mut tool| {
        pause(&mut tool);
        let paused = tool.event_of(EventKind::Pause);
        let mut general = paused.snapshot.general;
        general.rbx = 0x1234;
        assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
        tool.go_on(&paused);
        assert_eq!(run_out(vm).reports, [0x1234]);
    });
}

#[test]
fn a_guests_hypercall_is_told_and_answered() {
    let guest = "
        [[step]]
        event = \"hypercall\"
        number = 34
        a = 24
        [[step]]
        report = \"register\"
        register = \"rax\"
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Hypercall);
        vm.go(1);
        let call = tool.event_of(EventKind::Hypercall);
        let at = call.snapshot.general;
        assert_eq!((at.rip, at.rax, at.rdi, at.rsi), (0x1000, 34, 24, 0));
        tool.go_on(&call);
        assert_eq!(vm.wait().reports, [0]);
    });
}

#[test]
fn a_breakpoint_that_the_tool_handles_is_gone_past() {
    let guest = "
        [[memory]]
        gpa = 0x3000
        hex = \"cc\"
        [[step]]
        event = \"breakpoint\"
        ip = 0x3000
        [[step]]
        report = \"register\"
        register = \"rip\"
        [[step]]
        report = \"faults\"
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Breakpoint);
        vm.go(1);
        let hit = tool.event_of(EventKind::Breakpoint);
        let EventData::Breakpoint(at) = hit.data else {
            panic!("{hit:?}")
        };
        assert_eq!((at.gva, at.gpa, at.length), (0x3000, 0x3000, 1));
        let mut general = hit.snapshot.general;
        assert_eq!(general.rip, 0x3000);
        general.rip += u64::from(at.length);
        assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
        tool.retry(&hit);
        assert_eq!(vm.wait().reports, [0x3001, 0]);
    });
}

#[test]
fn a_write_of_cr4_answered_with_the_old_value_changes_nothing() {
    let guest = "
        [[step]]
        event = \"cr\"
        cr = 4
        value = 0x1406a0
        [[step]]
        report = \"register\"
        register = \"cr4\"
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        let control = |cr, enable| ControlCr { cr, enable };
        for cr in [1, 2, 5, 8] {
            assert_eq!(tool.on(0, control(cr, true)), Err(errno::INVAL), "CR{cr}");
        }
        hear(&mut tool, EventKind::Cr);
        assert_eq!(tool.on(0, control(4, true)), Ok(()));
        vm.go(1);
        let write = tool.event_of(EventKind::Cr);
        let (cr, old, new) = (4, 0x4_06a0, 0x14_06a0);
        assert_eq!(write.data, Cr { cr, old, new }.into());
        tool.value(&write, old);
        assert_eq!(vm.wait().reports, [old]);
    });
}

#[test]
fn an_injected_exception_is_told_as_a_trap() {
    let guest = "[[step]]\nreport = \"faults\"\nvector = 6\n[[step]]\nfinish = 0";
    row(guest, |vm, mut tool| {
        pause(&mut tool);
        let paused = tool.event_of(EventKind::Pause);
        let exception = UD;
        assert_eq!(tool.on(0, InjectException { exception }), Ok(()));
        assert_eq!(
            tool.on(0, InjectException { exception }),
            Err(errno::BUSY),
            "one is pending"
        );
        tool.go_on(&paused);
        vm.go(1);
        let told = tool.event_of(EventKind::Trap);
        let (vector, error_code, address) = (6, None, 0);
        let trap = Trap {
            vector,
            error_code,
            address,
        };
        assert_eq!(told.data, trap.into());
        tool.go_on(&told);
        assert_eq!(vm.wait().reports, [1]);
    });
}

#[test]
fn a_breakpoint_wins_over_an_exception_injected_meanwhile() {
    let guest = "
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
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Breakpoint);
        vm.go(1);
        let hit = tool.event_of(EventKind::Breakpoint);
        let exception = UD;
        assert_eq!(tool.on(0, InjectException { exception }), Ok(()));
        tool.go_on(&hit);
        let told = tool.event_of(EventKind::Trap);
        let EventData::Trap(trap) = told.data else {
            panic!("{told:?}")
        };
        assert_eq!(trap.vector, 3);
        tool.go_on(&told);
        assert_eq!(vm.wait().reports, [1, 1]);
    });
}

#[test]
fn xsetbv_is_told() {
    let guest = "[[step]]\nevent = \"xsetbv\"\nvalue = 1\n[[step]]\nfinish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Xsetbv);
        vm.go(1);
        let write = tool.event_of(EventKind::Xsetbv);
        let old = if tool.is_v12() { 3 } else { 0 };
        let (xcr, new) = (0, 1);
        assert_eq!(write.data, Xsetbv { xcr, old, new }.into());
        tool.go_on(&write);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    });
}

#[test]
fn descriptor_tables_are_told_of_when_stored_and_when_loaded() {
    let guest = "
        [[step]]
        event = \"descriptor\"
        table = \"gdtr\"
        write = false
        [[step]]
        event = \"descriptor\"
        table = \"gdtr\"
        write = true
        value = 0x7000
        limit = 0x4f
        [[step]]
        report = \"register\"
        register = \"gdt-base\"
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Descriptor);
        vm.go(1);
        for write in [false, true] {
            let event = tool.event_of(EventKind::Descriptor);
            let table = Table::Gdtr;
            assert_eq!(event.data, Descriptor { table, write }.into());
            tool.go_on(&event);
        }
        assert_eq!(vm.wait().reports, [0x7000]);
    });
}

#[test]
fn a_write_of_an_msr_answered_with_the_old_value_changes_nothing() {
    let guest = "
        [msrs]
        star = 5
        [[step]]
        event = \"msr\"
        msr = \"star\"
        value = 9
        [[step]]
        report = \"msr\"
        msr = \"star\"
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        let control = |msr, enable| ControlMsr { msr, enable };
        for number in [0x2000, 0xc000_2000, 0x4000_0000, u32::MAX] {
            let refused = tool.on(0, control(number, true));
            assert_eq!(refused, Err(errno::INVAL), "{number:#x}");
        }
        hear(&mut tool, EventKind::Msr);
        assert_eq!(tool.on(0, control(msr::STAR, true)), Ok(()));
        vm.go(1);
        let write = tool.event_of(EventKind::Msr);
        let (msr, old, new) = (msr::STAR, 5, 9);
        assert_eq!(write.data, Msr { msr, old, new }.into());
        tool.value(&write, old);
        assert_eq!(vm.wait().reports, [old]);
    });
}

fn rule(gpa: u64, allowed: Access) -> SetPageAccess {
    let tag = 0;
    SetPageAccess {
        view: 0,
        entries: vec![PageRule { gpa, allowed, tag }],
    }
}

#[test]
fn what_may_be_done_with_a_page_is_taken_away_and_given_back() {
    row(IDLE, |vm, mut tool| {
        for allowed in [Access::NONE, Access::READ, Access::ALL] {
            assert_eq!(tool.vm(rule(0, allowed)), Ok(()));
        }
        assert_eq!(run_out(vm).outcome.end, End::Finished(0));
    });
}

#[test]
fn a_write_to_a_read_only_page_is_told_and_lands_once_allowed() {
    let guest = "
        [[map]]
        gva = \"0xffffffff81000000\"
        gpa = 0x6000
        [[step]]
        event = \"page\"
        access = \"write\"
        gva = \"0xffffffff81000018\"
        value = 0x1122
        [[step]]
        report = \"memory\"
        gpa = 0x6018
        [[step]]
        finish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Page);
        assert_eq!(tool.vm(rule(0x6000, Access::READ)), Ok(()));
        vm.go(1);
        let fault = tool.event_of(EventKind::Page);
        let page = Page {
            gva: Some(0xffff_ffff_8100_0018),
            gpa: 0x6018,
            access: Access::WRITE,
            size: 0,
            value: None,
            view: 0,
        };
        assert_eq!(fault.data, page.into());
        let open = rule(0x6000, Access::READ | Access::WRITE);
        assert_eq!(tool.vm(open), Ok(()));
        tool.retry(&fault);
        assert_eq!(vm.wait().reports, [0x1122]);
    });
}

#[test]
fn a_stepped_vcpu_tells_of_each_instruction() {
    let guest = "[[step]]\nevent = \"singlestep\"\nrepeat = 5\n[[step]]\nfinish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Singlestep);
        assert_eq!(tool.on(0, ControlSinglestep { enable: true }), Ok(()));
        vm.go(1);
        for at in [0x1001, 0x1002, 0x1003] {
            let step = tool.event_of(EventKind::Singlestep);
            assert_eq!(step.data, Singlestep { failed: false }.into());
            assert_eq!(step.snapshot.general.rip, at);
            if at == 0x1003 {
                assert_eq!(tool.on(0, ControlSinglestep { enable: false }), Ok(()));
            }
            tool.go_on(&step);
        }
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
        assert!(tool.is_hung_up_on());
        assert_eq!(tool.events_so_far(), 0);
    });
}

#[test]
fn a_new_vcpu_is_told_of() {
    row_of_v7(IDLE, |vm, mut tool| {
        let (event, enable) = (EventKind::CreateVcpu, true);
        assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
        vm.go(1);
        let new = tool.event_of(EventKind::CreateVcpu);
        assert_eq!((new.vcpu, new.snapshot.general.rip), (0, 0x1000));
        tool.go_on(&new);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    });
}

#[test]
fn errors_of_unanswered_commands_come_as_events() {
    row_of_v7(IDLE, |_vm, mut tool| {
        let switch = |enable| ControlCommandResponse {
            enable,
            now: true,
            report_errors: !enable,
        };
        let _ = tool.send(switch(false));
        let bad = tool.send_raw(9, &oriel_tests::tool::on_vcpu(0, &[0xff, 0xff, 1]));
        let told = tool.event_of(EventKind::CommandError);
        let EventData::CommandError(error) = told.data else {
            panic!("{told:?}")
        };
        assert_eq!((error.error, error.seq, error.id), (errno::INVAL, bad, 9));
        assert_eq!(tool.vm(switch(true)), Ok(()));
        tool.sync();
    });
}

#[test]
fn what_is_undone_at_the_end_is_switched() {
    let (_vm, mut tool) = super::hooked(Dialect::V12, &super::scenario(IDLE));
    for enable in [false, true] {
        assert_eq!(tool.vm(ControlCleanup { enable }), Ok(()));
    }
    assert_eq!(tool.raw(18, &[2, 0, 0, 0, 0, 0, 0, 0]), Err(errno::INVAL));
    assert_eq!(tool.raw(18, &[1, 1, 0, 0, 0, 0, 0, 0]), Err(errno::INVAL));
}

#[test]
fn a_tool_that_leaves_is_unhooked_cleanly() {
    let guest = "[[step]]\nevent = \"msr\"\nmsr = \"star\"\nvalue = 9\n[[step]]\nfinish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Msr);
        let (msr, enable) = (msr::STAR, true);
        assert_eq!(tool.on(0, ControlMsr { msr, enable }), Ok(()));
        assert!(tool.hang_up().contains("closed"));
        let mut second = vm.hook(NAME);
        assert!(second.on(0, GetRegisters { msrs: vec![] }).is_ok());
        let ran = run_out(vm);
        assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 0));
    });
}

#[test]
fn an_event_that_is_switched_off_is_not_told() {
    let guest = "[[step]]\nevent = \"hypercall\"\nnumber = 34\na = 24\n[[step]]\nfinish = 0";
    row(guest, |vm, mut tool| {
        hear(&mut tool, EventKind::Hypercall);
        let (event, enable) = (EventKind::Hypercall, false);
        assert_eq!(tool.on(0, ControlEvents { event, enable }), Ok(()));
        let ran = run_out(vm);
        assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 0));
    });
}
