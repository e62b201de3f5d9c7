//! The table of events, and what all events have in common.
//!
//! Numbers are those of `rfc6`, `v6`, `v7` and `v12` (KVM-VMI `kvmi.h` of each branch); rows
//! without numbers are Oriel's own. `can` lists the verdicts that the kind can take at all; the
//! mechanism that reports an event may take fewer, which [`Event::allowed`] says.

use serde::Serialize;

use crate::{
    Access, Gpa, Gva, Numbers, Value, VerdictSet,
    table::{events, number},
    x86::CpuidLeaf,
};

events! {
    /// A write that changes a control register.
    Cr {
        /// 0, 3 or 4.
        cr: u8,
        /// What it holds.
        old: u64,
        /// What it would hold.
        new: u64,
    } = "cr" [1 1 1 7] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// A write to a model-specific register.
    Msr {
        /// Its number.
        msr: u32,
        /// What it holds.
        old: u64,
        /// What it would hold.
        new: u64,
    } = "msr" [2 2 2 15] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// A write to an extended control register.
    Xsetbv {
        /// Which; XCR0 is the only one defined.
        xcr: u8,
        /// What it holds.
        old: u64,
        /// What it would hold.
        new: u64,
    } = "xsetbv" [3 3 3 11] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// A breakpoint was reached: an INT3, or a hardware point before its instruction or behind an
    /// access.
    Breakpoint {
        /// Its guest-virtual address; of a watchpoint, the watched one.
        gva: Gva,
        /// Its guest-physical address; all ones if unknown.
        gpa: Gpa,
        /// Length of the breakpoint instruction in bytes; of a watchpoint, how many are watched.
        length: u8,
        /// Whether it was placed through Oriel.
        managed: bool,
        /// What met it: `execute`; behind an access, `write`, or `read` and `write` where it is one
        /// of the two.
        access: Access,
    } = "breakpoint" [4 4 4 5] Vcpu can CONTINUE RETRY CRASH DENY SKIP INJECT;

    /// A hypercall.
    Hypercall {
        /// RAX.
        number: u64,
        /// RDI.
        a: u64,
        /// RSI.
        b: u64,
        /// RDX.
        c: u64,
    } = "hypercall" [5 5 5 3] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// An access that a page's rights forbid.
    Page {
        /// The guest-virtual address, where known.
        gva: Option<Gva>,
        /// The guest-physical address.
        gpa: Gpa,
        /// The kinds of access that were forbidden.
        access: Access,
        /// Length in bytes; 0 if unknown.
        size: u8,
        /// For a write, where known: what would be stored.
        value: Option<u64>,
        /// The view in which it happened, on machines with views.
        view: u16,
    } = "page" [6 6 6 17] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT EMULATE STEP;

    /// An injected exception was delivered, or another one in its place.
    Trap {
        /// The vector.
        vector: u8,
        /// For the vectors that push one.
        error_code: Option<u32>,
        /// CR2, for a page fault.
        address: u64,
    } = "trap" [7 7 7 9] Vcpu can CONTINUE CRASH;

    /// A descriptor-table register was stored or loaded.
    Descriptor {
        /// Which.
        table: Table,
        /// Loaded, not stored.
        write: bool,
    } = "descriptor" [8 8 8 13] Vcpu can CONTINUE RETRY CRASH DENY SKIP INJECT;

    /// A vCPU was made.
    CreateVcpu {} = "create-vcpu" [9 9 9 _] Notice can CONTINUE;

    /// A vCPU was paused by a judge.
    Pause {} = "pause" [10 10 10 1] Notice can CONTINUE;

    /// One instruction was stepped.
    Singlestep {
        /// It could not be stepped.
        failed: bool,
    } = "singlestep" [11 11 11 19] Vcpu can CONTINUE CRASH INJECT;

    /// A command without a reply failed; only tools that ask for it on the wire see this.
    CommandError {
        /// The errno.
        error: i32,
        /// The command's sequence number.
        seq: u32,
        /// The command's number.
        id: u16,
    } = "command-error" [_ _ 12 _] Wire can CONTINUE;

    /// CPUID was executed.
    Cpuid {
        /// EAX.
        function: u32,
        /// ECX.
        index: u32,
        /// What the guest would see.
        leaf: CpuidLeaf,
    } = "cpuid" [_ _ 13 _] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// Introspection is about to end.
    Unhook {} = "unhook" [0 0 0 0] Notice can CONTINUE;

    /// A read of a model-specific register.
    MsrRead {
        /// Its number.
        msr: u32,
        /// What the guest would see.
        value: u64,
    } = "msr-read" [_ _ _ _] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// Port input or output.
    Pio {
        /// The port.
        port: u16,
        /// Output, not input.
        write: bool,
        /// Bytes of one element: 1, 2 or 4.
        size: u8,
        /// Elements of a string instruction; 1 for any other.
        count: u32,
        /// The first element; for input what the device answers.
        value: u64,
    } = "pio" [_ _ _ _] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// An access to guest-physical memory that is not RAM.
    Mmio {
        /// Where.
        gpa: Gpa,
        /// A store, not a load.
        write: bool,
        /// Length in bytes: 1 to 8.
        size: u8,
        /// What is stored; for a load what the device answers.
        value: u64,
    } = "mmio" [_ _ _ _] Vcpu can CONTINUE RETRY CRASH REPLACE DENY SKIP INJECT;

    /// The guest resets itself.
    Reset {} = "reset" [_ _ _ _] Vcpu can CONTINUE CRASH;

    /// The guest shuts down.
    Shutdown {
        /// Why.
        cause: ShutdownCause,
    } = "shutdown" [_ _ _ _] Vcpu can CONTINUE CRASH;
}

/// Who raises an event, and whether it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Raised by a vCPU, which waits for a verdict.
    Vcpu,
    /// Told, without a verdict.
    Notice,
    /// Exists on a KVMI wire only.
    Wire,
}

/// A descriptor-table register. The numbers are KVMI's (`KVMI_DESC_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Interrupt descriptor table.
    Idtr = 1,
    /// Global descriptor table.
    Gdtr = 2,
    /// Local descriptor table.
    Ldtr = 3,
    /// Task register.
    Tr = 4,
}

/// Why a guest shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
pub enum ShutdownCause {
    /// A fault while delivering a double fault.
    TripleFault,
    /// It asked for it, through the port that ends a guest or a device.
    Request,
    /// All vCPUs halt with interrupts off.
    Halted,
}

impl Table {
    /// Its word in WIT and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idtr => "idtr",
            Self::Gdtr => "gdtr",
            Self::Ldtr => "ldtr",
            Self::Tr => "tr",
        }
    }
}

impl ShutdownCause {
    /// Its word in WIT and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TripleFault => "triple-fault",
            Self::Request => "request",
            Self::Halted => "halted",
        }
    }
}

/// Something that a vCPU did, as its machine reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub data: EventData,
    /// The instruction pointer: at the instruction, or behind it where `retired`.
    pub ip: u64,
    /// CR3 at the event.
    pub cr3: u64,
    /// Privilege level, 0 to 3.
    pub cpl: u8,
    /// The verdicts that can be carried out: by the kind and by the mechanism.
    pub allowed: VerdictSet,
    /// The instruction has already run.
    pub retired: bool,
}

/// Where an event stands in its vCPU's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// The vCPU, from 0.
    pub vcpu: u32,
    /// From 1 on each vCPU, without gaps, for events that passed the filters.
    pub seq: u64,
    /// Nanoseconds since the VM started.
    pub time_ns: u64,
}

impl Event {
    /// Which kind it is.
    pub const fn kind(&self) -> EventKind {
        self.data.kind()
    }
}

impl EventData {
    /// The value that a `replace` would change, as the guest or the machine proposes it.
    pub const fn proposed(&self) -> Option<Value> {
        match self {
            Self::Cr(Cr { new, .. }) | Self::Msr(Msr { new, .. }) => Some(Value::Word(*new)),
            Self::Xsetbv(Xsetbv { new, .. }) => Some(Value::Word(*new)),
            Self::MsrRead(MsrRead { value, .. }) | Self::Pio(Pio { value, .. }) => {
                Some(Value::Word(*value))
            }
            Self::Mmio(Mmio { value, .. }) => Some(Value::Word(*value)),
            Self::Hypercall(Hypercall { number, .. }) => Some(Value::Word(*number)),
            Self::Cpuid(Cpuid { leaf, .. }) => Some(Value::Leaf(*leaf)),
            Self::Page(Page {
                value: Some(value), ..
            }) => Some(Value::Word(*value)),
            Self::Page(Page { value: None, .. }) => None,
            Self::Breakpoint(_) | Self::Trap(_) | Self::Descriptor(_) | Self::Singlestep(_) => None,
            Self::CreateVcpu(_) | Self::Pause(_) | Self::Unhook(_) | Self::CommandError(_) => None,
            Self::Reset(_) | Self::Shutdown(_) => None,
        }
    }

    /// For a write to a register: what it holds before.
    pub const fn old(&self) -> Option<u64> {
        match self {
            Self::Cr(Cr { old, .. }) | Self::Msr(Msr { old, .. }) => Some(*old),
            Self::Xsetbv(Xsetbv { old, .. }) => Some(*old),
            Self::Breakpoint(_) | Self::Hypercall(_) | Self::Page(_) | Self::Trap(_) => None,
            Self::Descriptor(_) | Self::CreateVcpu(_) | Self::Pause(_) | Self::Singlestep(_) => {
                None
            }
            Self::CommandError(_) | Self::Cpuid(_) | Self::Unhook(_) | Self::MsrRead(_) => None,
            Self::Pio(_) | Self::Mmio(_) | Self::Reset(_) | Self::Shutdown(_) => None,
        }
    }
}

impl EventKind {
    /// The kind of this canonical name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::Dialect;

    #[test]
    fn names_are_one_each() {
        let names: HashSet<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), EventKind::ALL.len());
        for &kind in EventKind::ALL {
            assert_eq!(EventKind::by_name(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_number_names_one_event_in_each_dialect() {
        for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7, Dialect::V12] {
            let numbers: Vec<_> = EventKind::ALL
                .iter()
                .filter_map(|kind| kind.numbers().of(dialect))
                .collect();
            let unique: HashSet<_> = numbers.iter().collect();
            assert_eq!(unique.len(), numbers.len(), "{dialect:?}");
        }
    }

    #[test]
    fn v7_has_the_fourteen_events_of_its_header() {
        let mut numbers: Vec<_> = EventKind::ALL
            .iter()
            .filter_map(|kind| kind.numbers().of(Dialect::V7))
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..=13).collect::<Vec<u16>>());
    }

    #[test]
    fn every_event_can_continue() {
        for kind in EventKind::ALL {
            assert!(
                kind.verdicts().contains(VerdictSet::CONTINUE),
                "{}",
                kind.name()
            );
        }
    }

    #[test]
    fn ours_are_the_five_that_kvmi_lacks() {
        let ours: Vec<_> = EventKind::ALL
            .iter()
            .filter(|kind| kind.numbers().is_ours())
            .map(|kind| kind.name())
            .collect();
        assert_eq!(ours, ["msr-read", "pio", "mmio", "reset", "shutdown"]);
    }
}
