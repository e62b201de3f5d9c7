//! Who may do what: masks over the tables, generated from them, the rights of policies, and the
//! gate. Never runs anything.

mod bounds;

use std::sync::Arc;

use serde::Serialize;

use crate::{
    CommandId, EventKind, Gpa, Refusal, ServiceCall, VcpuCall, VmCall,
    commands::{ServiceId, VcpuId, VmId},
};
pub use bounds::{Admission, Bounds, Reach, Span};

/// What a policy may do: an interface that it imports. The rows of the command tables say which
/// right carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is documented in wit/rights.wit")]
pub enum Right {
    Machine,
    RegistersRead,
    RegistersWrite,
    MemoryRead,
    MemoryWords,
    MemoryWrite,
    PageAccess,
    Intercept,
    Inject,
    Control,
    GuestOs,
    Alert,
    Log,
    Metrics,
    Store,
}

impl Right {
    /// Every right.
    pub const ALL: &'static [Self] = &[
        Self::Machine,
        Self::RegistersRead,
        Self::RegistersWrite,
        Self::MemoryRead,
        Self::MemoryWords,
        Self::MemoryWrite,
        Self::PageAccess,
        Self::Intercept,
        Self::Inject,
        Self::Control,
        Self::GuestOs,
        Self::Alert,
        Self::Log,
        Self::Metrics,
        Self::Store,
    ];

    /// What a policy gets where the operator says nothing: rights that do not touch the guest.
    pub const DEFAULT: &'static [Self] = &[Self::Alert, Self::Log, Self::Metrics, Self::Store];

    /// Its WIT interface, which is also its word in manifests, grants and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::RegistersRead => "x86-registers-read",
            Self::RegistersWrite => "x86-registers-write",
            Self::MemoryRead => "memory-read",
            Self::MemoryWords => "memory-words",
            Self::MemoryWrite => "memory-write",
            Self::PageAccess => "page-access",
            Self::Intercept => "intercept",
            Self::Inject => "inject",
            Self::Control => "control",
            Self::GuestOs => "guest-os",
            Self::Alert => "alert",
            Self::Log => "log",
            Self::Metrics => "metrics",
            Self::Store => "store",
        }
    }

    /// The right of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|right| right.name() == name)
    }

    /// The commands that it carries.
    pub fn commands(self) -> CommandSet {
        CommandId::all()
            .filter(|id| id.right() == Some(self))
            .collect()
    }
}

impl Serialize for Right {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// A set of commands: a bit for each row of each table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandSet {
    vm: u64,
    vcpu: u64,
    service: u64,
}

const _: () =
    assert!(VmId::ALL.len() <= 64 && VcpuId::ALL.len() <= 64 && ServiceId::ALL.len() <= 64);

impl CommandSet {
    /// No command.
    pub const NONE: Self = Self {
        vm: 0,
        vcpu: 0,
        service: 0,
    };

    /// Every command.
    pub fn all() -> Self {
        CommandId::all().collect()
    }

    /// Whether the command is in it.
    pub const fn contains(&self, id: CommandId) -> bool {
        match id {
            CommandId::Vm(id) => self.vm & (1 << id as u32) != 0,
            CommandId::Vcpu(id) => self.vcpu & (1 << id as u32) != 0,
            CommandId::Service(id) => self.service & (1 << id as u32) != 0,
        }
    }

    /// Puts a command into it.
    pub const fn insert(&mut self, id: CommandId) {
        match id {
            CommandId::Vm(id) => self.vm |= 1 << id as u32,
            CommandId::Vcpu(id) => self.vcpu |= 1 << id as u32,
            CommandId::Service(id) => self.service |= 1 << id as u32,
        }
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            vm: self.vm | other.vm,
            vcpu: self.vcpu | other.vcpu,
            service: self.service | other.service,
        }
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self {
            vm: self.vm & other.vm,
            vcpu: self.vcpu & other.vcpu,
            service: self.service & other.service,
        }
    }
}

impl FromIterator<CommandId> for CommandSet {
    fn from_iter<I: IntoIterator<Item = CommandId>>(ids: I) -> Self {
        let mut set = Self::NONE;
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

/// A set of kinds of event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSet(u32);

const _: () = assert!(EventKind::ALL.len() <= 32);

impl EventSet {
    /// No event.
    pub const NONE: Self = Self(0);

    /// Every kind of event.
    pub fn all() -> Self {
        EventKind::ALL.iter().copied().collect()
    }

    /// Whether the kind is in it.
    pub const fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// Puts a kind into it.
    pub const fn insert(&mut self, kind: EventKind) {
        self.0 |= 1 << kind as u32;
    }

    /// Takes a kind out of it.
    pub const fn remove(&mut self, kind: EventKind) {
        self.0 &= !(1 << kind as u32);
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in it, in the table's order.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL
            .iter()
            .copied()
            .filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<EventKind> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> Self {
        let mut set = Self::NONE;
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

impl Serialize for EventSet {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

/// What one judge may see and do on one VM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What it may ask for.
    pub commands: CommandSet,
    /// What it may hear.
    pub events: EventSet,
    /// Which MSRs and which memory; none: whatever the commands and events reach.
    pub bounds: Option<Arc<Bounds>>,
}

impl Grant {
    /// Everything. For tests and embedders' own judges.
    pub fn all() -> Self {
        Self {
            commands: CommandSet::all(),
            events: EventSet::all(),
            bounds: None,
        }
    }

    /// Whether a command is granted at all, with some arguments or other.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if it is not.
    pub const fn admit(&self, id: CommandId) -> Result<(), Refusal> {
        allowed(self.commands.contains(id))
    }

    /// The gate for the VM: the only yes or no to a command, the same for policies and tools.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if the command or one of its arguments is not granted.
    pub fn admit_vm(&self, call: &VmCall) -> Result<(), Refusal> {
        self.admit(CommandId::Vm(call.id()))?;
        self.admit_vm_arguments(call)
    }

    /// The second half of [`admit_vm`](Self::admit_vm), for a tool, whose session has answered
    /// the first already.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if one of the arguments is not granted.
    pub fn admit_vm_arguments(&self, call: &VmCall) -> Result<(), Refusal> {
        match &self.bounds {
            None => Ok(()),
            Some(bounds) => allowed(bounds.admit_vm(call)),
        }
    }

    /// The gate for a vCPU. Where it depends on pages that only the vCPU's tables know, these are
    /// for [`admit_pages`](Self::admit_pages).
    ///
    /// # Errors
    /// [`Refusal::Denied`] if the command or one of its arguments is not granted.
    pub fn admit_vcpu(&self, call: &VcpuCall) -> Result<Admission, Refusal> {
        self.admit(CommandId::Vcpu(call.id()))?;
        self.admit_vcpu_arguments(call)
    }

    /// The second half of [`admit_vcpu`](Self::admit_vcpu), for a tool, whose session has
    /// answered the first already.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if one of the arguments is not granted.
    pub fn admit_vcpu_arguments(&self, call: &VcpuCall) -> Result<Admission, Refusal> {
        match &self.bounds {
            None => Ok(Admission::Whole),
            Some(bounds) => bounds.admit_vcpu(call).ok_or(Refusal::Denied),
        }
    }

    /// The gate for the pages behind virtual addresses: each piece is an address and bytes.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if one of them is not within reach.
    pub fn admit_pages(&self, span: &Span, pieces: &[(Gpa, usize)]) -> Result<(), Refusal> {
        let Some(bounds) = &self.bounds else {
            return Ok(());
        };
        let within =
            |&(gpa, length): &(Gpa, usize)| bounds.has_physical(gpa, length as u64, span.write);
        allowed(pieces.iter().all(within))
    }

    /// The gate for a service.
    ///
    /// # Errors
    /// [`Refusal::Denied`] if it is not granted.
    pub const fn admit_service(&self, call: &ServiceCall) -> Result<(), Refusal> {
        self.admit(CommandId::Service(call.id()))
    }

    /// Whether this MSR is within: to be read, set, armed, and heard of.
    pub fn has_msr(&self, msr: u32) -> bool {
        self.bounds
            .as_ref()
            .is_none_or(|bounds| bounds.has_msr(msr))
    }
}

const fn allowed(yes: bool) -> Result<(), Refusal> {
    if yes { Ok(()) } else { Err(Refusal::Denied) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_needs_its_own_bit() {
        for id in CommandId::all() {
            let all_but_it: CommandSet = CommandId::all().filter(|&other| other != id).collect();
            let without = Grant {
                commands: all_but_it,
                ..Grant::default()
            };
            assert_eq!(without.admit(id), Err(Refusal::Denied), "{}", id.name());
            let with = Grant {
                commands: [id].into_iter().collect(),
                ..Grant::default()
            };
            assert_eq!(with.admit(id), Ok(()));
            assert_eq!(
                CommandId::all()
                    .filter(|&other| with.admit(other).is_ok())
                    .count(),
                1
            );
        }
    }

    #[test]
    fn every_right_carries_a_command_and_has_a_name_of_its_own() {
        for &right in Right::ALL {
            assert_ne!(right.commands(), CommandSet::NONE, "{}", right.name());
            assert_eq!(Right::by_name(right.name()), Some(right));
        }
    }

    #[test]
    fn default_rights_do_not_touch_the_guest() {
        for right in Right::DEFAULT {
            for id in CommandId::all().filter(|id| right.commands().contains(*id)) {
                assert!(matches!(id, CommandId::Service(_)), "{}", id.name());
            }
        }
    }
}
