//! For each kind of event: steps that raise it, and where its effect shows.

use oriel_protocol::{EventKind, Value, x86::CpuidLeaf, x86::msr};

use super::Run;
use crate::machine::End;

/// One way to raise an event of a kind.
pub(super) struct Case {
    /// What comes before it and raises nothing.
    pub(super) before_it: &'static str,
    /// The keys of its step.
    pub(super) keys: &'static str,
    /// Where its effect shows.
    pub(super) read: fn(&mut Run) -> u64,
    /// What stands there before.
    pub(super) old: u64,
    /// What stands there when it has happened.
    pub(super) new: u64,
    /// A value for `replace`, and what then stands there.
    pub(super) other: (Value, u64),
    /// RIP at the event, and when the guest has left it.
    pub(super) rip: (u64, u64),
    /// How the VM ends if it happens.
    pub(super) end: End,
}

/// What the last step of every case says.
pub(super) const FINISHED: End = End::Finished(7);
pub(super) const IP: u64 = 0x1000;

impl Case {
    fn new(keys: &'static str, length: u64) -> Self {
        Self {
            before_it: "",
            keys,
            read: |_| 0,
            old: 0,
            new: 0,
            other: (Value::Word(0), 0),
            rip: (IP, IP + length),
            end: FINISHED,
        }
    }

    fn shows(self, read: fn(&mut Run) -> u64, old: u64, new: u64) -> Self {
        Self {
            read,
            old,
            new,
            ..self
        }
    }

    fn replaced(self, with: u64, shown: u64) -> Self {
        let other = (Value::Word(with), shown);
        Self { other, ..self }
    }

    /// The scenario: the step at [`IP`] in a small world, then the end.
    pub(super) fn text(&self) -> String {
        let Self {
            before_it, keys, ..
        } = self;
        let world = "[[memory]]\ngpa = 0x4020\nwords = [0x1122334455667788]\n";
        format!("{world}{before_it}[[step]]\nip = {IP}\n{keys}\n[[step]]\nfinish = 7\n")
    }
}

/// An interrupt-descriptor table where the mock puts it in 16 MiB.
const IDT: u64 = 0xff_e400;
const ENTRY: u64 = 0xffff_ffff_81e0_0080;

/// Every way to raise an event of this kind.
pub(super) fn cases(kind: EventKind) -> Vec<Case> {
    match kind {
        EventKind::Cr => vec![
            Case::new("event = 'cr'\ncr = 4\nvalue = 0x1406a0", 3)
                .shows(|run| run.vcpu.special().unwrap().cr4, 0x4_06a0, 0x14_06a0)
                .replaced(0x24_06a0, 0x24_06a0),
        ],
        EventKind::Msr => vec![
            Case::new(
                "event = 'msr'\nmsr = 'lstar'\nvalue = '0xffffffff81e00080'",
                2,
            )
            .shows(|run| run.vcpu.msr(msr::LSTAR).unwrap(), 0, ENTRY)
            .replaced(0x1234, 0x1234),
        ],
        EventKind::Xsetbv => vec![
            Case::new("event = 'xsetbv'\nvalue = 7", 3)
                .shows(|run| run.vcpu.xcr(0).unwrap(), 3, 7)
                .replaced(1, 1),
        ],
        EventKind::Breakpoint => vec![Case::new("event = 'breakpoint'", 1)],
        EventKind::Hypercall => vec![
            Case::new("event = 'hypercall'\nnumber = 34", 3)
                .shows(Run::rax, 34, (-1000_i64).cast_unsigned())
                .replaced(5, 5),
        ],
        EventKind::Page => pages(),
        EventKind::Trap => vec![Case::new("event = 'trap'\nvector = 6", 0).shows(
            |run| run.faults().len() as u64,
            1,
            1,
        )],
        EventKind::Descriptor => vec![
            Case::new(
                "event = 'descriptor'\ntable = 'idtr'\nwrite = true\nvalue = 0x5000",
                3,
            )
            .shows(|run| run.vcpu.special().unwrap().idt.base, IDT, 0x5000),
            Case::new("event = 'descriptor'\ntable = 'idtr'\nwrite = false", 3).shows(
                Run::rax,
                0,
                IDT,
            ),
        ],
        EventKind::CreateVcpu => vec![Case::new("event = 'create-vcpu'", 0)],
        EventKind::Pause => vec![Case::new("event = 'pause'", 0)],
        EventKind::Unhook => vec![Case::new("event = 'unhook'", 0)],
        EventKind::Singlestep => vec![Case {
            rip: (IP + 1, IP + 1),
            ..Case::new("event = 'singlestep'", 1)
        }],
        EventKind::CommandError => Vec::new(),
        EventKind::Cpuid => vec![Case {
            other: (Value::Leaf(leaf(9)), 9),
            ..Case::new("event = 'cpuid'\nfunction = 0", 2).shows(Run::rax, 0, 0xd)
        }],
        EventKind::MsrRead => vec![
            Case::new("event = 'msr-read'\nmsr = 'pat'", 2)
                .shows(Run::rax, 0, 0x0007_0406)
                .replaced(0x1_0000_0002, 2),
        ],
        EventKind::Pio | EventKind::Mmio => devices(kind),
        EventKind::Reset => vec![Case {
            before_it: "[[step]]\nevent = 'xsetbv'\nvalue = 7\n",
            ..Case::new("event = 'reset'", 0).shows(|run| run.vcpu.xcr(0).unwrap(), 7, 3)
        }],
        EventKind::Shutdown => vec![Case {
            end: End::Shutdown(oriel_protocol::events::ShutdownCause::Request),
            ..Case::new("event = 'shutdown'\ncause = 'request'", 0)
        }],
    }
}

fn pages() -> Vec<Case> {
    vec![
        Case::new(
            "event = 'page'\naccess = 'write'\ngva = 0x4010\nvalue = 5",
            3,
        )
        .shows(|run| run.word(0x4010), 0, 5)
        .replaced(6, 6),
        Case::new("event = 'page'\naccess = 'read'\ngpa = 0x4020", 3).shows(
            Run::rax,
            0,
            0x1122_3344_5566_7788,
        ),
        Case {
            rip: (0x4000, 0x4003),
            ..Case::new("event = 'page'\naccess = 'execute'\ngva = 0x4000", 3)
        },
    ]
}

fn devices(kind: EventKind) -> Vec<Case> {
    if kind == EventKind::Pio {
        vec![
            Case::new("event = 'pio'\nport = 0x3f8\nwrite = true\nvalue = 0x41", 1)
                .shows(|run| run.probe.port(0, 0x3f8).unwrap_or(0), 0, 0x41)
                .replaced(0x142, 0x42),
            Case::new(
                "event = 'pio'\nport = 0x3f8\nwrite = false\nvalue = 0x41",
                1,
            )
            .shows(Run::rax, 0, 0x41)
            .replaced(0x142, 0x42),
        ]
    } else {
        vec![
            Case::new(
                "event = 'mmio'\ngpa = 0xfed00000\nwrite = true\nvalue = 1",
                3,
            )
            .shows(|run| run.probe.device(0, 0xfed0_0000).unwrap_or(0), 0, 1)
            .replaced(2, 2),
            Case::new(
                "event = 'mmio'\ngpa = 0xfed00000\nwrite = false\nvalue = 1",
                3,
            )
            .shows(Run::rax, 0, 1)
            .replaced(2, 2),
        ]
    }
}

fn leaf(eax: u32) -> CpuidLeaf {
    CpuidLeaf {
        eax,
        ..CpuidLeaf::default()
    }
}
