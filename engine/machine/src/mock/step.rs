//! One entry of a script: what a vCPU does, how often, and where it stands meanwhile.

use oriel_protocol::{Access, Decision, Gpa, commands::vcpu::Place, x86::Register};

use super::instruction::{Instruction, Notice, Plain, Raise, ReadMsr, WriteCr, WriteMsr};

/// One thing that a vCPU does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which vCPU.
    pub vcpu: u32,
    /// What.
    pub action: Action,
    /// How often, one time after the other.
    pub repeat: u64,
    /// Where it stands.
    pub stand: Stand,
    /// What should come of it.
    pub expect: Option<Expect>,
}

/// What a vCPU does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something that can be an event.
    Event(Instruction),
    /// Reads something back and says it to the outside.
    Report(Report),
    /// Writes to the serial line.
    Serial(String),
    /// Waits until the name has been signalled: the n-th wait of a vCPU for a name is over once
    /// there have been n signals, from whichever vCPU.
    WaitFor(String),
    /// Signals a name.
    Signal(String),
    /// Does nothing for so many milliseconds, as a guest does that waits for its timer.
    Idle(u32),
    /// The processor by itself touches RAM: it goes through, whatever is trapped there.
    Unjudged(Passing),
    /// Ends the VM by the guest's own word.
    Finish(u32),
}

/// An access that nobody can judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passing {
    /// Of which kinds.
    pub access: Access,
    /// Where.
    pub gpa: Gpa,
}

/// What a vCPU reads back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// An MSR.
    Msr(u32),
    /// A register.
    Register(Register),
    /// Memory: 1, 2, 4 or 8 bytes.
    Memory(Place, u8),
    /// How many exceptions it took, of one vector or of all.
    Faults(Option<u8>),
}

/// Where a vCPU stands when a step begins. It stays there: a step does not go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// RIP.
    pub ip: Option<u64>,
    /// The privilege level.
    pub cpl: Option<u8>,
    /// CR3, set without an event.
    pub cr3: Option<u64>,
    /// Length of the instruction in bytes.
    pub length: Option<u8>,
}

/// What should come of a step. The mock takes no notice of it: whoever runs the scenario compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// What the judges should decide.
    pub verdict: Option<Decision>,
    /// What should stand afterwards where the step writes to; for a report, what it says.
    pub value: Option<u64>,
}

impl From<Instruction> for Action {
    fn from(instruction: Instruction) -> Self {
        Self::Event(instruction)
    }
}

impl From<Report> for Action {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

/// Steps for scenarios that are written in Rust.
impl Step {
    /// The first vCPU does this, once.
    pub fn new(action: impl Into<Action>) -> Self {
        Self {
            vcpu: 0,
            action: action.into(),
            repeat: 1,
            stand: Stand::default(),
            expect: None,
        }
    }

    /// Writes an MSR.
    pub fn write_msr(msr: u32, value: u64) -> Self {
        Self::new(Instruction::Msr(WriteMsr { msr, value }))
    }

    /// Reads an MSR.
    pub fn read_msr(msr: u32) -> Self {
        Self::new(Instruction::MsrRead(ReadMsr { msr }))
    }

    /// Writes a control register.
    pub fn write_cr(cr: u8, value: u64) -> Self {
        Self::new(Instruction::Cr(WriteCr { cr, value }))
    }

    /// Runs an instruction that does nothing.
    pub fn plain() -> Self {
        Self::new(Instruction::Singlestep(Plain::default()))
    }

    /// The host injects an exception.
    pub fn raise(vector: u8, error_code: Option<u32>) -> Self {
        Self::new(Instruction::Trap(Raise {
            vector,
            error_code,
            address: 0,
        }))
    }

    /// The machine gives a notice.
    pub fn notice(notice: Notice) -> Self {
        Self::new(Instruction::Notice(notice))
    }

    /// Writes to the serial line.
    pub fn serial(text: impl Into<String>) -> Self {
        Self::new(Action::Serial(text.into()))
    }

    /// Waits for a name.
    pub fn wait_for(name: impl Into<String>) -> Self {
        Self::new(Action::WaitFor(name.into()))
    }

    /// Signals a name.
    pub fn signal(name: impl Into<String>) -> Self {
        Self::new(Action::Signal(name.into()))
    }

    /// Does nothing for so many milliseconds.
    pub fn idle(ms: u32) -> Self {
        Self::new(Action::Idle(ms))
    }

    /// The processor by itself touches RAM, which nobody can judge.
    pub fn unjudged(access: Access, gpa: Gpa) -> Self {
        Self::new(Action::Unjudged(Passing { access, gpa }))
    }

    /// Ends the VM.
    pub fn finish(status: u32) -> Self {
        Self::new(Action::Finish(status))
    }

    /// On this vCPU.
    #[must_use]
    pub const fn on(mut self, vcpu: u32) -> Self {
        self.vcpu = vcpu;
        self
    }

    /// So many times.
    #[must_use]
    pub const fn times(mut self, repeat: u64) -> Self {
        self.repeat = repeat;
        self
    }

    /// With RIP here.
    #[must_use]
    pub const fn at(mut self, ip: u64) -> Self {
        self.stand.ip = Some(ip);
        self
    }

    /// At this privilege level.
    #[must_use]
    pub const fn in_ring(mut self, cpl: u8) -> Self {
        self.stand.cpl = Some(cpl);
        self
    }

    /// In this address space.
    #[must_use]
    pub const fn in_space(mut self, cr3: u64) -> Self {
        self.stand.cr3 = Some(cr3);
        self
    }

    /// What should come of it.
    #[must_use]
    pub const fn expecting(mut self, expect: Expect) -> Self {
        self.expect = Some(expect);
        self
    }
}
