//! What known tools say, in the order in which they say it.

use oriel_protocol::{
    Access, CommandId, Dialect, EventKind,
    commands::{
        VmId,
        vcpu::{
            ControlCr, ControlEvents, ControlMsr, ControlSinglestep, GetCpuid, GetRegisters,
            GetXcr, GetXsave, InjectException, SetRegisters, SetXsave, TranslateGva,
        },
        vm::{
            CheckCommand, CheckEvent, ControlCleanup, ControlCommandResponse, ControlVmEvents,
            GetGuestInfo, GetMaxGfn, GetPageAccess, GetVersion, PageRule, PauseVcpu, ReadPhysical,
            SetPageAccess, WritePhysical,
        },
    },
    kvmi::{Action, Body, PageReply},
    x86::{Exception, General},
};

use super::Script;

/// A conversation's name, its dialect and its bytes.
type Conversation = (&'static str, Dialect, Vec<u8>);

/// Every one.
pub(super) fn conversations() -> Vec<Conversation> {
    use Dialect::{Rfc6, V6, V7, V12};
    vec![
        ("hookguest", V6, hookguest(V6)),
        ("hookguest", V7, hookguest(V7)),
        ("dump-memory", V7, dump_memory()),
        ("step-and-trap", V7, step_and_trap()),
        ("silence", Rfc6, silence(Rfc6)),
        ("silence", V7, silence(V7)),
        ("errors-as-events", V7, errors_as_events()),
        ("forbidden", Rfc6, forbidden(Rfc6)),
        ("forbidden", V7, forbidden(V7)),
        ("selftest", V12, selftest()),
    ]
}

/// Pauses every vCPU, in one batch: only its end is answered.
fn pauses_all(script: Script) -> Script {
    let pause = |vcpu| PauseVcpu { vcpu, wait: true };
    script
        .vm(replies(false, true))
        .vm(pause(0))
        .vm(pause(1))
        .vm(replies(true, true))
}

const fn replies(enable: bool, now: bool) -> ControlCommandResponse {
    ControlCommandResponse {
        enable,
        now,
        report_errors: false,
    }
}

fn rule(gpa: u64, allowed: Access) -> SetPageAccess {
    let tag = 0;
    let entries = vec![PageRule { gpa, allowed, tag }];
    SetPageAccess { view: 0, entries }
}

/// libkvmi's example: control registers, an MSR, and pages that the guest then writes.
fn hookguest(dialect: Dialect) -> Vec<u8> {
    let start = Script::new(dialect).vm(GetVersion {}).vm(GetGuestInfo {});
    let mut script = pauses_all(start).vm(GetMaxGfn {});
    script = script.event(0, 1, EventKind::Pause);
    for gpa in [0x10_0000, 0x10_1000] {
        if dialect == Dialect::V6 {
            let gpas = vec![gpa];
            script = script.vm(GetPageAccess { view: 0, gpas });
        }
        script = script.vm(rule(gpa, Access::READ | Access::EXECUTE));
    }
    let enable = true;
    for event in [EventKind::Cr, EventKind::Msr, EventKind::Page] {
        script = script.vcpu(0, ControlEvents { event, enable });
    }
    let go_on = (Action::Continue, Body::None);
    let again = (Action::Retry, Body::Page(PageReply::default()));
    script
        .vcpu(0, ControlCr { cr: 3, enable })
        .vcpu(0, ControlCr { cr: 4, enable })
        .vcpu(
            0,
            ControlMsr {
                msr: 0xc000_0081,
                enable,
            },
        )
        .answer(0, 1, EventKind::Pause, go_on)
        .passes(0, 2, EventKind::Cr, Body::Value(0x11_0000))
        .passes(1, 3, EventKind::Msr, Body::Value(7))
        .event(0, 4, EventKind::Page)
        .vm(rule(0x10_1000, Access::ALL))
        .answer(0, 4, EventKind::Page, again)
        .bytes()
}

/// LibVMI's dump of memory: pauses, reads page by page, goes on.
fn dump_memory() -> Vec<u8> {
    let msrs = [0x174, 0x175, 0x176, 0xc000_0080, 0xc000_0081, 0xc000_0082];
    let start = Script::new(Dialect::V7)
        .vm(GetVersion {})
        .vm(GetGuestInfo {})
        .vm(GetMaxGfn {})
        .vcpu(0, GetRegisters { msrs: msrs.into() });
    let mut script = pauses_all(start)
        .event(0, 1, EventKind::Pause)
        .event(1, 2, EventKind::Pause);
    for gpa in [0, 0x1000, 0x2000] {
        script = script.vm(ReadPhysical { gpa, length: 4096 });
    }
    let go_on = || (Action::Continue, Body::None);
    script
        .answer(0, 1, EventKind::Pause, go_on())
        .answer(1, 2, EventKind::Pause, go_on())
        .bytes()
}

/// A breakpoint of the tool's own, stepped over, and an exception for the guest.
fn step_and_trap() -> Vec<u8> {
    let enable = true;
    let exception = Exception {
        vector: 14,
        error_code: Some(2),
        address: 0x0dea_d000,
    };
    let general = General {
        rip: 0x1001,
        ..General::default()
    };
    let (event, retry) = (EventKind::Breakpoint, (Action::Retry, Body::None));
    Script::new(Dialect::V7)
        .vm(GetVersion {})
        .vcpu(0, ControlEvents { event, enable })
        .vcpu(0, TranslateGva { gva: 0x1000 })
        .vm(WritePhysical {
            gpa: 0x1000,
            bytes: vec![0xcc],
        })
        .event(0, 1, EventKind::Breakpoint)
        .vm(WritePhysical {
            gpa: 0x1000,
            bytes: vec![0x90],
        })
        .vcpu(0, ControlSinglestep { enable })
        .vm(replies(false, true))
        .vcpu(0, SetRegisters { general })
        .answer(0, 1, EventKind::Breakpoint, retry)
        .vm(replies(true, false))
        .passes(0, 2, EventKind::Singlestep, Body::None)
        .vcpu(0, ControlSinglestep { enable: false })
        .vcpu(0, InjectException { exception })
        .passes(0, 3, EventKind::Trap, Body::None)
        .vm(ControlVmEvents {
            event: EventKind::Unhook,
            enable,
        })
        .event(0, 4, EventKind::Unhook)
        .bytes()
}

/// Replies off and on again, both ways, and a question in between, which ends the connection.
fn silence(dialect: Dialect) -> Vec<u8> {
    let event = EventKind::Cr;
    let on = || ControlEvents {
        event,
        enable: true,
    };
    Script::new(dialect)
        .vm(replies(false, false))
        .vcpu(0, on())
        .vcpu(9, on())
        .vm(replies(true, false))
        .vcpu(0, on())
        .vm(replies(false, true))
        .vm(replies(true, true))
        .vm(replies(false, true))
        .vm(GetGuestInfo {})
        .bytes()
}

fn errors_as_events() -> Vec<u8> {
    let off = ControlCommandResponse {
        enable: false,
        now: true,
        report_errors: true,
    };
    Script::new(Dialect::V7)
        .vm(off)
        .vcpu(
            0,
            ControlCr {
                cr: 2,
                enable: true,
            },
        )
        .vcpu(
            0,
            ControlCr {
                cr: 3,
                enable: true,
            },
        )
        .vm(replies(true, true))
        .bytes()
}

/// A tool that may not pause, read or hear of control registers.
fn forbidden(dialect: Dialect) -> Vec<u8> {
    let command = |id| CheckCommand {
        command: CommandId::Vm(id),
    };
    let enable = true;
    Script::forbidding(dialect, 1 << 7 | 1 << 17, 1 << 1)
        .vm(command(VmId::ReadPhysical))
        .vm(command(VmId::GetVersion))
        .vm(CheckEvent {
            event: EventKind::Cr,
        })
        .vm(CheckEvent {
            event: EventKind::Msr,
        })
        .vm(ReadPhysical { gpa: 0, length: 8 })
        .vcpu(
            0,
            ControlEvents {
                event: EventKind::Cr,
                enable,
            },
        )
        .vcpu(
            0,
            ControlEvents {
                event: EventKind::Msr,
                enable,
            },
        )
        .vm(PauseVcpu {
            vcpu: 0,
            wait: false,
        })
        .vm(replies(false, true))
        .vm(ReadPhysical { gpa: 0, length: 8 })
        .bytes()
}

/// As the kernel's own test goes.
fn selftest() -> Vec<u8> {
    let enable = true;
    Script::new(Dialect::V12)
        .raw(0xffff, &[])
        .vm(GetVersion {})
        .vm(CheckEvent {
            event: EventKind::Unhook,
        })
        .vm(GetGuestInfo {})
        .vm(ControlCleanup { enable })
        .raw(18, &[2, 0, 0, 0, 0, 0, 0, 0])
        .vm(WritePhysical {
            gpa: 0x1000,
            bytes: vec![7; 64],
        })
        .vm(ReadPhysical {
            gpa: 0x1000,
            length: 64,
        })
        .vm(ReadPhysical {
            gpa: 0x1000,
            length: 0,
        })
        .vm(PauseVcpu {
            vcpu: 0,
            wait: true,
        })
        .passes(0, 1, EventKind::Pause, Body::None)
        .vcpu(
            0,
            GetRegisters {
                msrs: vec![0xc000_0080],
            },
        )
        .vcpu(
            0,
            GetCpuid {
                function: 0,
                index: 0,
            },
        )
        .vcpu(0, GetXcr { xcr: 0 })
        .vcpu(0, GetXcr { xcr: 1 })
        .vcpu(0, GetXsave {})
        .vcpu(
            0,
            SetXsave {
                area: vec![0; 4096],
            },
        )
        .vm(rule(0, Access::NONE))
        .vm(rule(0, Access::ALL))
        .vcpu(0, ControlSinglestep { enable })
        .passes(0, 2, EventKind::Singlestep, Body::None)
        .vcpu(0, TranslateGva { gva: u64::MAX })
        .bytes()
}
