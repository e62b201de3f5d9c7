//! What the lines of the golden files say.

use oriel_protocol::{
    Access, CommandId, Dialect, EventData, EventKind, VcpuCall, VmCall,
    commands::{VcpuId, VcpuReply, VmId, VmReply, vcpu::*, vm::*},
    events::{
        Breakpoint, CommandError, Cpuid, Cr, CreateVcpu, Descriptor, Hypercall, Msr, Page, Pause,
        Singlestep, Table, Trap, Unhook, Xsetbv,
    },
    kvmi::{
        Action, Body, EventReply, PageReply, Snapshot,
        bytes::Reader,
        handshake::{Answer, Hello},
    },
    x86::{CpuidLeaf, DescriptorTable, Exception, General, Segment, Special},
};

/// The sequence number of every message.
pub(crate) const SEQ: u32 = 0x0a0b_0c0d;
/// The vCPU of every message that names one.
pub(crate) const VCPU: u16 = 3;

/// A request of either scope.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Vm(VmCall),
    Vcpu(VcpuCall),
}

/// A reply of either scope.
pub(crate) enum Reply {
    Vm(VmReply),
    Vcpu(VcpuReply),
}

impl From<VmCall> for Request {
    fn from(call: VmCall) -> Self {
        Self::Vm(call)
    }
}
impl From<VcpuCall> for Request {
    fn from(call: VcpuCall) -> Self {
        Self::Vcpu(call)
    }
}
impl From<VmReply> for Reply {
    fn from(reply: VmReply) -> Self {
        Self::Vm(reply)
    }
}
impl From<VcpuReply> for Reply {
    fn from(reply: VcpuReply) -> Self {
        Self::Vcpu(reply)
    }
}

pub(crate) fn decode_vm(id: VmId, dialect: Dialect, payload: &[u8]) -> VmCall {
    VmCall::decode(id, &mut Reader::new(dialect, payload)).expect("a good request")
}
pub(crate) fn decode_vm_reply(id: VmId, dialect: Dialect, data: &[u8]) -> VmReply {
    VmReply::decode(id, &mut Reader::new(dialect, data)).expect("a good reply")
}
pub(crate) fn decode_vcpu(id: VcpuId, dialect: Dialect, payload: &[u8]) -> VcpuCall {
    VcpuCall::decode(id, &mut Reader::new(dialect, payload)).expect("a good request")
}
pub(crate) fn decode_vcpu_reply(id: VcpuId, dialect: Dialect, data: &[u8]) -> VcpuReply {
    VcpuReply::decode(id, &mut Reader::new(dialect, data)).expect("a good reply")
}

/// Request and reply of a row; none for a row without a number.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a row without a sample fails the test"
)]
pub(crate) fn vm(id: VmId, dialect: Dialect) -> Option<(VmCall, VmReply)> {
    use VmReply as R;
    let view = if dialect == Dialect::V12 { 0 } else { 1 };
    Some(match id {
        VmId::GetVersion => (GetVersion {}.into_any(), R::GetVersion(version(dialect))),
        VmId::CheckCommand => (
            CheckCommand {
                command: CommandId::Vm(VmId::ReadPhysical),
            }
            .into_any(),
            R::CheckCommand(()),
        ),
        VmId::CheckEvent => (
            CheckEvent {
                event: EventKind::Msr,
            }
            .into_any(),
            R::CheckEvent(()),
        ),
        VmId::GetGuestInfo => (GetGuestInfo {}.into_any(), R::GetGuestInfo(4)),
        VmId::PauseVcpu => (
            PauseVcpu {
                vcpu: VCPU.into(),
                wait: true,
            }
            .into_any(),
            R::PauseVcpu(()),
        ),
        VmId::ControlVmEvents => (
            ControlVmEvents {
                event: EventKind::Unhook,
                enable: true,
            }
            .into_any(),
            R::ControlVmEvents(()),
        ),
        VmId::ReadPhysical => (
            ReadPhysical {
                gpa: 0x1234_5670,
                length: 16,
            }
            .into_any(),
            R::ReadPhysical((0..16).collect()),
        ),
        VmId::WritePhysical => (
            WritePhysical {
                gpa: 0xfedc_ba98_7654_3000,
                bytes: vec![0xde, 0xad, 0xbe, 0xef],
            }
            .into_any(),
            R::WritePhysical(()),
        ),
        VmId::GetPageAccess => (
            GetPageAccess {
                view,
                gpas: vec![0x1000, 0x2000],
            }
            .into_any(),
            R::GetPageAccess(vec![Access::READ | Access::WRITE, Access::ALL]),
        ),
        VmId::SetPageAccess => (
            SetPageAccess {
                view,
                entries: vec![
                    rule(0x1000, Access::READ),
                    rule(0xffff_f000, Access::READ | Access::EXECUTE),
                ],
            }
            .into_any(),
            R::SetPageAccess(()),
        ),
        VmId::GetMapToken => (
            GetMapToken {}.into_any(),
            R::GetMapToken([0x1111, 0x2222, 0x3333, u64::MAX]),
        ),
        VmId::ControlSpp => (ControlSpp { enable: true }.into_any(), R::ControlSpp(())),
        VmId::GetPageWriteBitmap => (
            GetPageWriteBitmap {
                view,
                gpas: vec![0x3000],
            }
            .into_any(),
            R::GetPageWriteBitmap(vec![0x8000_0001]),
        ),
        VmId::SetPageWriteBitmap => (
            SetPageWriteBitmap {
                view,
                entries: vec![(0x3000, 0x8000_0001)],
            }
            .into_any(),
            R::SetPageWriteBitmap(()),
        ),
        VmId::ControlCommandResponse => (
            ControlCommandResponse {
                enable: true,
                now: true,
                report_errors: dialect == Dialect::V7,
            }
            .into_any(),
            R::ControlCommandResponse(()),
        ),
        VmId::GetMaxGfn => (GetMaxGfn {}.into_any(), R::GetMaxGfn(0x10_0000)),
        VmId::SetPageSve => (
            SetPageSve {
                view: 2,
                suppress: true,
                gpa: 0x5000,
            }
            .into_any(),
            R::SetPageSve(()),
        ),
        VmId::GetNextAvailableGfn => (
            GetNextAvailableGfn {}.into_any(),
            R::GetNextAvailableGfn(0x10_0001),
        ),
        VmId::QueryPhysical => (
            QueryPhysical { gfn: 0x42 }.into_any(),
            R::QueryPhysical((0x40, 0x100)),
        ),
        VmId::CreateView => (CreateView {}.into_any(), R::CreateView(2)),
        VmId::DestroyView => (DestroyView { view: 2 }.into_any(), R::DestroyView(())),
        VmId::ControlCleanup => (
            ControlCleanup { enable: true }.into_any(),
            R::ControlCleanup(()),
        ),
        _ => return None,
    })
}

/// A row as the call that travels, whatever its table.
trait IntoAny {
    type Call;
    fn into_any(self) -> Self::Call;
}

impl<R: oriel_protocol::Request> IntoAny for R {
    type Call = <R::Scope as oriel_protocol::commands::Scope>::Call;
    fn into_any(self) -> Self::Call {
        self.into_call()
    }
}

fn version(dialect: Dialect) -> Version {
    let plain = Version {
        version: 1,
        ..Version::default()
    };
    match dialect {
        Dialect::Rfc6 | Dialect::V6 => plain,
        Dialect::V7 => Version {
            spp: true,
            eptp: true,
            ve: true,
            singlestep: true,
            ..plain
        },
        Dialect::V12 => Version {
            max_message: 8184,
            singlestep: true,
            ..plain
        },
    }
}

fn rule(gpa: u64, allowed: Access) -> PageRule {
    PageRule {
        gpa,
        allowed,
        tag: 0,
    }
}

/// Request and reply of a row, the same in every dialect; none for a row without a number.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a row without a sample fails the test"
)]
pub(crate) fn vcpu(id: VcpuId) -> Option<(VcpuCall, VcpuReply)> {
    use VcpuReply as R;
    Some(match id {
        VcpuId::GetVcpuInfo => (GetVcpuInfo {}.into_any(), R::GetVcpuInfo(2_500_000_000)),
        VcpuId::ControlEvents => (
            ControlEvents {
                event: EventKind::Cr,
                enable: true,
            }
            .into_any(),
            R::ControlEvents(()),
        ),
        VcpuId::ControlCr => (
            ControlCr {
                cr: 3,
                enable: true,
            }
            .into_any(),
            R::ControlCr(()),
        ),
        VcpuId::ControlMsr => (
            ControlMsr {
                msr: 0xc000_0082,
                enable: true,
            }
            .into_any(),
            R::ControlMsr(()),
        ),
        VcpuId::GetRegisters => (
            GetRegisters {
                msrs: vec![0x174, 0xc000_0082],
            }
            .into_any(),
            R::GetRegisters(Box::new(Registers {
                general: general(),
                special: special(),
                msrs: vec![(0x174, 0x10), (0xc000_0082, 0xffff_ffff_81a0_0080)],
            })),
        ),
        VcpuId::SetRegisters => (
            SetRegisters { general: general() }.into_any(),
            R::SetRegisters(()),
        ),
        VcpuId::GetCpuid => (
            GetCpuid {
                function: 0xd,
                index: 1,
            }
            .into_any(),
            R::GetCpuid(CpuidLeaf {
                eax: 0x1f,
                ebx: 0x440,
                ecx: 0x100,
                edx: 0x8000_0000,
            }),
        ),
        VcpuId::GetXsave => (
            GetXsave {}.into_any(),
            R::GetXsave((0..=250).cycle().take(4096).collect()),
        ),
        VcpuId::InjectException => (
            InjectException {
                exception: Exception {
                    vector: 14,
                    error_code: Some(2),
                    address: 0x7fff_1234_5000,
                },
            }
            .into_any(),
            R::InjectException(()),
        ),
        VcpuId::GetMtrrType => (
            GetMtrrType { gpa: 0xfee0_0000 }.into_any(),
            R::GetMtrrType(6),
        ),
        VcpuId::SetVeInfoPage => (
            SetVeInfoPage {
                gpa: 0x6000,
                trigger_vmexit: true,
            }
            .into_any(),
            R::SetVeInfoPage(()),
        ),
        VcpuId::SetView => (SetView { view: 1 }.into_any(), R::SetView(())),
        VcpuId::DisableVe => (DisableVe {}.into_any(), R::DisableVe(())),
        VcpuId::GetView => (GetView {}.into_any(), R::GetView(1)),
        VcpuId::TranslateGva => (
            TranslateGva {
                gva: 0xffff_ffff_8100_0000,
            }
            .into_any(),
            R::TranslateGva(0x100_0000),
        ),
        VcpuId::ControlView => (
            ControlView {
                view: 1,
                visible: true,
            }
            .into_any(),
            R::ControlView(()),
        ),
        VcpuId::GetXcr => (GetXcr { xcr: 0 }.into_any(), R::GetXcr(7)),
        VcpuId::SetXsave => (
            SetXsave {
                area: (0..=255).rev().cycle().take(4096).collect(),
            }
            .into_any(),
            R::SetXsave(()),
        ),
        VcpuId::AllocGfn => (AllocGfn { gfn: 0x77 }.into_any(), R::AllocGfn(())),
        VcpuId::FreeGfn => (FreeGfn { gfn: 0x77 }.into_any(), R::FreeGfn(())),
        VcpuId::ChangeGfn => (
            ChangeGfn {
                view: 1,
                old: 0x10,
                new: 0x20,
            }
            .into_any(),
            R::ChangeGfn(()),
        ),
        VcpuId::ControlSinglestep => (
            ControlSinglestep { enable: true }.into_any(),
            R::ControlSinglestep(()),
        ),
        _ => return None,
    })
}

/// What the VM sends, and what the tool makes of it; none for a kind without a number.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a kind without a sample fails the test"
)]
pub(crate) fn event(kind: EventKind, dialect: Dialect) -> Option<(EventData, EventData)> {
    let old = matches!(dialect, Dialect::Rfc6 | Dialect::V6);
    let registers = general();
    Some(match kind {
        EventKind::Cr => same(Cr {
            cr: 4,
            old: 0x0037_06f0,
            new: 0x0027_06f0,
        }),
        EventKind::Msr => same(Msr {
            msr: 0xc000_0082,
            old: 0xffff_ffff_81a0_0080,
            new: 0xdead,
        }),
        EventKind::Xsetbv => {
            let sent = Xsetbv {
                xcr: 0,
                old: 3,
                new: 7,
            };
            let from_registers = Xsetbv {
                xcr: 3,
                old: 0,
                new: 0x0101_0104_0101_0101,
            };
            let v12 = dialect == Dialect::V12;
            (sent.into(), if v12 { sent } else { from_registers }.into())
        }
        EventKind::Breakpoint => {
            let sent = Breakpoint {
                gva: 0x1234,
                gpa: 0x100_1234,
                length: 1,
                managed: true,
                access: Access::EXECUTE,
            };
            let received = Breakpoint {
                gva: registers.rip,
                managed: false,
                access: Access::EXECUTE,
                ..sent
            };
            (sent.into(), received.into())
        }
        EventKind::Hypercall => same(Hypercall {
            number: registers.rax,
            a: registers.rdi,
            b: registers.rsi,
            c: registers.rdx,
        }),
        EventKind::Page => {
            let sent = Page {
                gva: Some(0xffff_ffff_8100_1234),
                gpa: 0x100_1234,
                access: Access::WRITE,
                size: 8,
                value: Some(5),
                view: 1,
            };
            let received = Page {
                size: 0,
                value: None,
                view: u16::from(dialect == Dialect::V7),
                ..sent
            };
            (sent.into(), received.into())
        }
        EventKind::Trap => same(Trap {
            vector: 14,
            error_code: Some(2),
            address: 0x7fff_1234_5000,
        }),
        EventKind::Descriptor => same(Descriptor {
            table: Table::Gdtr,
            write: true,
        }),
        EventKind::CreateVcpu => same(CreateVcpu {}),
        EventKind::Pause => same(Pause {}),
        EventKind::Singlestep => (
            Singlestep { failed: true }.into(),
            Singlestep { failed: !old }.into(),
        ),
        EventKind::CommandError => same(CommandError {
            error: -22,
            seq: 0x0102_0304,
            id: 13,
        }),
        EventKind::Cpuid => {
            let sent = Cpuid {
                function: 0xd,
                index: 1,
                leaf: CpuidLeaf {
                    eax: 1,
                    ..CpuidLeaf::default()
                },
            };
            let received = Cpuid {
                leaf: CpuidLeaf::default(),
                ..sent
            };
            (sent.into(), received.into())
        }
        EventKind::Unhook => same(Unhook {}),
        _ => return None,
    })
}

fn same(data: impl Into<EventData>) -> (EventData, EventData) {
    let data = data.into();
    (data, data)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most kinds take no more than continue"
)]
pub(crate) fn event_reply(kind: EventKind, dialect: Dialect) -> EventReply {
    let (action, body) = match kind {
        EventKind::Cr | EventKind::Msr => (Action::Continue, Body::Value(0x0037_06f0)),
        EventKind::Page if dialect == Dialect::V12 => (Action::Retry, Body::None),
        EventKind::Page => (
            Action::Retry,
            Body::Page(PageReply {
                ctx_addr: 0xffff_ffff_8100_1230,
                ctx_size: 4,
                singlestep: dialect != Dialect::V7,
                rep_complete: true,
                ctx_data: Box::new([1, 2, 3, 4]),
            }),
        ),
        EventKind::Breakpoint => (Action::Retry, Body::None),
        EventKind::Trap => (Action::Crash, Body::None),
        _ => (Action::Continue, Body::None),
    };
    EventReply { action, body }
}

pub(crate) fn snapshot(dialect: Dialect) -> Snapshot {
    Snapshot {
        general: general(),
        special: special(),
        msrs: [
            0x10,
            0xffff_fe00_0000_3000,
            0xffff_ffff_81a0_1350,
            0xd01,
            0x0023_0010_0000_0000,
            0xffff_ffff_81a0_0080,
            0xffff_ffff_81a0_1550,
            0x0407_0506_0007_0106,
            0xffff_8880_0000_1000,
        ],
        view: u16::from(dialect == Dialect::V7),
    }
}

/// Each register is 0x0101010101010100 and its place in the struct, from 1.
fn general() -> General {
    let register = |place: u64| 0x0101_0101_0101_0100 + place;
    General {
        rax: register(1),
        rbx: register(2),
        rcx: register(3),
        rdx: register(4),
        rsi: register(5),
        rdi: register(6),
        rsp: register(7),
        rbp: register(8),
        r8: register(9),
        r9: register(10),
        r10: register(11),
        r11: register(12),
        r12: register(13),
        r13: register(14),
        r14: register(15),
        r15: register(16),
        rip: register(17),
        rflags: register(18),
    }
}

fn special() -> Special {
    Special {
        cs: segment(0),
        ds: segment(1),
        es: segment(2),
        fs: segment(3),
        gs: segment(4),
        ss: segment(5),
        tr: segment(6),
        ldt: segment(7),
        gdt: DescriptorTable {
            base: 0xffff_fe00_0000_1000,
            limit: 0x7f,
        },
        idt: DescriptorTable {
            base: 0xffff_fe00_0000_0000,
            limit: 0xfff,
        },
        cr0: 0x8005_0033,
        cr2: 0x7fff_dead_beef,
        cr3: 0x1a2b_3000,
        cr4: 0x0037_06f0,
        cr8: 1,
        efer: 0xd01,
        apic_base: 0xfee0_0900,
    }
}

fn segment(place: u8) -> Segment {
    Segment {
        base: 0x1000 * (u64::from(place) + 1),
        limit: 0xffff_f000 + u32::from(place),
        selector: 8 * (u16::from(place) + 1),
        kind: 0xb,
        present: true,
        dpl: place % 4,
        db: false,
        s: true,
        l: place == 0,
        g: true,
        avl: false,
        unusable: place == 7,
    }
}

pub(crate) fn hello(dialect: Dialect) -> Hello {
    Hello {
        uuid: [
            0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d,
            0x1e, 0x1f,
        ],
        start_time: 1_700_000_000,
        name: "web-1".into(),
        max_gpa: if dialect == Dialect::V12 {
            0x1_4000_0000
        } else {
            0
        },
    }
}

pub(crate) const ANSWER: Answer = Answer {
    cookie: [
        0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae,
        0xaf, 0xb0, 0xb1, 0xb2, 0xb3,
    ],
};
