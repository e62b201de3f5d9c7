//! What awaits a verdict, and what becomes of it.

use oriel_protocol::{
    Access as PageAccess, Gpa, Gva, HardwarePoint, VerdictKind, VerdictSet, events::ShutdownCause,
    x86::Exception,
};

use crate::End;

/// What a vCPU has done, as much of it as the verdict needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// WRMSR.
    MsrWrite {
        /// Which.
        msr: u32,
        /// What it holds; none if it does not exist.
        old: Option<u64>,
        /// What is to be written.
        new: u64,
    },
    /// RDMSR.
    MsrRead {
        /// Which.
        msr: u32,
        /// What it holds; none if it does not exist.
        value: Option<u64>,
    },
    /// An access to a port, or to memory that is not RAM.
    Access(Access),
    /// A breakpoint was met.
    Breakpoint(Break),
    /// A watched access has been made.
    Watched(Watched),
    /// An access that is forbidden at a page.
    Page(Touch),
    /// A stepped instruction has run.
    Step,
    /// An exception that was asked for is about to be delivered, or another in its place.
    Trap(Exception),
    /// The guest resets itself.
    Reset,
    /// The guest shuts down.
    Shutdown {
        /// Why.
        cause: ShutdownCause,
        /// How the VM ends if nobody objects.
        end: End,
    },
}

/// An INT3, or an instruction at a hardware point, that a vCPU has met and not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// The instruction pointer, at it.
    pub ip: u64,
    /// Its linear address.
    pub gva: Gva,
    /// Its guest-physical address; all ones if the tables do not lead there.
    pub gpa: Gpa,
    /// It was placed through Oriel.
    pub managed: bool,
}

impl Break {
    /// Bytes of an INT3; a hardware point that is met by execution has as many.
    pub const LENGTH: u8 = 1;
}

/// An access that a hardware point watches for; it has been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The point, by the register that says most of the access.
    pub point: HardwarePoint,
    /// Its guest-physical address; all ones if the tables do not lead there.
    pub gpa: Gpa,
}

/// An access to a trapped page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The instruction pointer: behind a store that KVM has left to us, else at the instruction.
    pub ip: u64,
    /// Where, as the guest sees it; none behind a store.
    pub gva: Option<Gva>,
    /// Where.
    pub gpa: Gpa,
    /// What of it is forbidden.
    pub access: PageAccess,
    /// Bytes; 0 if unknown, or for a fetch.
    pub size: u8,
    /// What would be stored, where known.
    pub value: Option<u64>,
    /// How far it has come.
    pub reach: Reach,
    /// It is one element of several, of a string instruction: what is decided on it is decided on
    /// all of them on this page, and one value cannot stand for them.
    pub repeats: bool,
}

/// How far an access to a trapped page has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing has happened.
    Before {
        /// It is the instruction's only operand, on one page, of known size, and what is loaded or
        /// stored can be another thing.
        plain: bool,
    },
    /// KVM waits for what is loaded.
    Load {
        /// It is as if the instruction had not run once its registers are put back.
        undoable: bool,
    },
    /// The instruction is done, but for this store.
    Store,
}

impl Touch {
    /// The verdicts that it can take.
    pub fn allowed(&self) -> VerdictSet {
        let always = VerdictSet::CONTINUE.union(VerdictSet::CRASH);
        let undone = VerdictSet::RETRY
            .union(VerdictSet::DENY)
            .union(VerdictSet::SKIP)
            .union(VerdictSet::INJECT);
        let all = match self.reach {
            Reach::Store => always.union(VerdictSet::SKIP).union(VerdictSet::REPLACE),
            Reach::Load { undoable } => {
                let mut all = always.union(VerdictSet::STEP);
                if undoable {
                    all = all.union(undone);
                }
                if self.access == PageAccess::READ {
                    all = all.union(VerdictSet::EMULATE);
                }
                all
            }
            Reach::Before { plain } => {
                let all = always.union(VerdictSet::STEP).union(undone);
                match (plain, self.value) {
                    (true, Some(_)) => all.union(VerdictSet::REPLACE),
                    (true, None) if self.access == PageAccess::READ => {
                        all.union(VerdictSet::EMULATE)
                    }
                    (true | false, _) => all,
                }
            }
        };
        match self.repeats {
            true => all.difference(VerdictSet::REPLACE.union(VerdictSet::EMULATE)),
            false => all,
        }
    }
}

/// Where a device sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port.
    Port(u16),
    /// A guest-physical address.
    Memory(Gpa),
}

/// An access to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where.
    pub place: Place,
    /// Output or a store, not input or a load.
    pub write: bool,
    /// Bytes of one element: at most 8.
    pub size: u8,
    /// Elements: more than one only for string instructions.
    pub count: u32,
    /// The first element; for input, what the device answers.
    pub value: u64,
    /// The instruction pointer is behind the instruction already.
    pub retired: bool,
}

impl Access {
    /// The verdicts that it can take. KVM reports an access when nothing but the device's part is
    /// left of it, so it can neither fault nor run again; and one value cannot stand for the
    /// elements of a string.
    pub const fn allowed(&self) -> VerdictSet {
        let always = VerdictSet::CONTINUE
            .union(VerdictSet::SKIP)
            .union(VerdictSet::CRASH);
        if self.count == 1 {
            always.union(VerdictSet::REPLACE)
        } else {
            always
        }
    }
}

/// The verdicts that an MSR exit can take: all of them, as the instruction has not run.
pub const MSR_VERDICTS: VerdictSet = VerdictSet::CONTINUE
    .union(VerdictSet::RETRY)
    .union(VerdictSet::CRASH)
    .union(VerdictSet::REPLACE)
    .union(VerdictSet::DENY)
    .union(VerdictSet::SKIP)
    .union(VerdictSet::INJECT);

/// The verdicts that a breakpoint can take: its instruction has not run.
pub const BREAKPOINT_VERDICTS: VerdictSet = VerdictSet::CONTINUE
    .union(VerdictSet::RETRY)
    .union(VerdictSet::CRASH)
    .union(VerdictSet::DENY)
    .union(VerdictSet::SKIP)
    .union(VerdictSet::INJECT);

/// The verdicts that a step or a watched access can take: it is done.
pub const STEP_VERDICTS: VerdictSet = VerdictSet::CONTINUE
    .union(VerdictSet::CRASH)
    .union(VerdictSet::INJECT);

/// The verdicts that a delivery can take: it is decided on.
pub const TRAP_VERDICTS: VerdictSet = VerdictSet::CONTINUE.union(VerdictSet::CRASH);

/// The verdicts that the end of a guest can take.
pub const END_VERDICTS: VerdictSet = VerdictSet::CONTINUE.union(VerdictSet::CRASH);

impl Pending {
    /// The verdicts that it can take.
    pub fn allowed(&self) -> VerdictSet {
        match self {
            Self::MsrWrite { .. } | Self::MsrRead { .. } => MSR_VERDICTS,
            Self::Access(access) => access.allowed(),
            Self::Breakpoint(_) => BREAKPOINT_VERDICTS,
            Self::Page(touch) => touch.allowed(),
            Self::Step | Self::Watched(_) => STEP_VERDICTS,
            Self::Trap(_) => TRAP_VERDICTS,
            Self::Reset | Self::Shutdown { .. } => END_VERDICTS,
        }
    }

    /// Whether the instruction has run.
    pub const fn is_retired(&self) -> bool {
        match self {
            Self::Access(access) => access.retired,
            Self::Page(touch) => matches!(touch.reach, Reach::Store),
            Self::Step | Self::Watched(_) => true,
            Self::MsrWrite { .. } | Self::MsrRead { .. } | Self::Breakpoint(_) => false,
            Self::Trap(_) | Self::Reset | Self::Shutdown { .. } => false,
        }
    }
}

/// Whether KVM raises it as an exception: vectors 0 to 31, but for NMI, which is none.
pub const fn can_raise(exception: Exception) -> bool {
    exception.vector < 32 && exception.vector != 2
}

/// What is to be done before the guest is entered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Write the MSR as the guest would have; where the guest's own write would have faulted, let
    /// it fault.
    WriteMsr {
        /// Which.
        msr: u32,
        /// What.
        value: u64,
    },
    /// RDMSR gives this.
    AnswerRead(u64),
    /// The instruction faults with #GP(0).
    Fault,
    /// Go on behind a WRMSR that writes nothing.
    DropWrite,
    /// Go on behind an RDMSR that leaves all registers as they were.
    DropRead,
    /// Run the instruction again.
    Again,
    /// The instruction faults with this exception.
    Raise(Exception),
    /// Run the instruction at a managed breakpoint.
    GoOver(Break),
    /// The guest takes the #BP of its own INT3.
    RaiseInt3(Break),
    /// Go on behind the instruction at a breakpoint.
    PassOver(Break),
    /// Let the instruction through a trapped page, once.
    GoThrough(Touch),
    /// The same, with these bytes in the place of what it loads.
    Plant(Touch, Box<[u8]>),
    /// Store this for it, and go on behind it.
    StoreInstead(Touch, u64),
    /// Go on behind an instruction that has not run.
    StepBehind(Touch),
    /// Do the store that KVM has left to us, with this value.
    Put(Touch, u64),
    /// The load that KVM waits for gives what is there; or these bytes.
    Load(Option<Box<[u8]>>),
    /// Take back an instruction, which faults with #GP(0).
    FaultBefore,
    /// #GP(0) where the vCPU stands.
    FaultHere,
    /// This exception is raised where the vCPU stands; there is no instruction to take back.
    RaiseHere(Exception),
    /// The device sees what the guest sent; or the guest reads what the device answered.
    Perform(Access),
    /// The same with another value.
    PerformWith(Access, u64),
    /// The device sees nothing; the guest reads all ones, as where no device answers.
    Ignore(Access),
    /// Nothing: enter.
    Enter,
    /// Reset the VM.
    Reset,
    /// The VM ends.
    End(End),
    /// The verdict is none of those that were allowed.
    Impossible(VerdictKind),
}
