//! The tables of commands: [`vm`] for the VM as a whole, [`vcpu`] for one vCPU and run on its own
//! thread, [`service`] for what the engine itself does for a judge.
//!
//! The three are types of their own, so a vCPU command cannot be posted to the VM and a service
//! command cannot arrive on a wire. Doing the work of a row is `impl Handle<Row> for …`;
//! forgetting it does not compile.

pub mod service;
pub mod vcpu;
pub mod vm;

use serde::Serialize;

use crate::{Dialect, Numbers, Refusal, Right};
pub use service::{ServiceCall, ServiceHandler, ServiceId, ServiceReply};
pub use vcpu::{VcpuCall, VcpuHandler, VcpuId, VcpuReply};
pub use vm::{VmCall, VmHandler, VmId, VmReply};

/// A row of one of the tables: a request, and the type of its reply.
pub trait Request: Sized + Send + 'static {
    /// What a successful request answers.
    type Reply: Send + 'static;
    /// The table that it stands in.
    type Scope: Scope;
    /// Which row it is.
    const ID: CommandId;

    /// The request as it travels.
    fn into_call(self) -> <Self::Scope as Scope>::Call;
    /// The reply out of what travelled back; none if it is another row's.
    fn from_reply(reply: <Self::Scope as Scope>::Reply) -> Option<Self::Reply>;
}

/// One of the tables, as a type.
pub trait Scope {
    /// Any request of the table.
    type Call: Send + 'static;
    /// Any reply of the table.
    type Reply: Send + 'static;
}

/// Commands for the VM as a whole.
#[derive(Debug)]
pub enum Vm {}
/// Commands for one vCPU.
#[derive(Debug)]
pub enum Vcpu {}
/// Services of the engine to the judge that asks.
#[derive(Debug)]
pub enum Service {}

impl Scope for Vm {
    type Call = VmCall;
    type Reply = VmReply;
}
impl Scope for Vcpu {
    type Call = VcpuCall;
    type Reply = VcpuReply;
}
impl Scope for Service {
    type Call = ServiceCall;
    type Reply = ServiceReply;
}

/// Does the work of one row.
pub trait Handle<R: Request> {
    /// Does it.
    ///
    /// # Errors
    /// A [`Refusal`] where it cannot be done.
    fn handle(&mut self, request: R) -> Result<R::Reply, Refusal>;
}

/// Which command, of any table.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, bincode::Encode, bincode::Decode,
)]
pub enum CommandId {
    /// A command for the VM.
    Vm(VmId),
    /// A command for a vCPU.
    Vcpu(VcpuId),
    /// A service.
    Service(ServiceId),
}

impl CommandId {
    /// Every row of every table.
    pub fn all() -> impl Iterator<Item = Self> {
        let vm = VmId::ALL.iter().copied().map(Self::Vm);
        let vcpu = VcpuId::ALL.iter().copied().map(Self::Vcpu);
        let service = ServiceId::ALL.iter().copied().map(Self::Service);
        vm.chain(vcpu).chain(service)
    }

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vm(id) => id.name(),
            Self::Vcpu(id) => id.name(),
            Self::Service(id) => id.name(),
        }
    }

    /// The numbers on the wire.
    pub const fn numbers(self) -> Numbers {
        match self {
            Self::Vm(id) => id.numbers(),
            Self::Vcpu(id) => id.numbers(),
            Self::Service(id) => id.numbers(),
        }
    }

    /// The command of this number in this dialect.
    pub fn of(dialect: Dialect, number: u16) -> Option<Self> {
        let vm = VmId::of(dialect, number).map(Self::Vm);
        vm.or_else(|| VcpuId::of(dialect, number).map(Self::Vcpu))
    }

    /// The right of a policy that carries it; none: only tools have it.
    pub const fn right(self) -> Option<Right> {
        match self {
            Self::Vm(id) => id.right(),
            Self::Vcpu(id) => id.right(),
            Self::Service(id) => id.right(),
        }
    }

    /// The command of this canonical name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|id| id.name() == name)
    }
}

impl Serialize for CommandId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_one_each() {
        let names: HashSet<_> = CommandId::all().map(CommandId::name).collect();
        assert_eq!(names.len(), CommandId::all().count());
        for id in CommandId::all() {
            assert_eq!(CommandId::by_name(id.name()), Some(id));
        }
    }

    #[test]
    fn a_number_names_one_command_in_each_dialect() {
        for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7, Dialect::V12] {
            let numbers: Vec<_> = CommandId::all()
                .filter_map(|id| id.numbers().of(dialect))
                .collect();
            let unique: HashSet<_> = numbers.iter().collect();
            assert_eq!(unique.len(), numbers.len(), "{dialect:?}");
            for number in 0..=u16::MAX {
                let named = CommandId::of(dialect, number);
                assert_eq!(
                    named.is_some(),
                    unique.contains(&number),
                    "{dialect:?} {number}"
                );
                assert!(named.is_none_or(|id| id.numbers().of(dialect) == Some(number)));
            }
        }
    }

    #[test]
    fn v7_has_every_number_that_its_clients_know() {
        let numbers: HashSet<_> = CommandId::all()
            .filter_map(|id| id.numbers().of(Dialect::V7))
            .collect();
        let known = (2..=11)
            .chain(13..=19)
            .chain([21, 22, 23, 24])
            .chain(26..=39)
            .chain(41..=44)
            .chain([60, 63]);
        assert_eq!(numbers, known.collect());
    }

    #[test]
    fn v12_numbers_are_even_for_the_vm_and_odd_for_vcpus() {
        for id in CommandId::all() {
            let Some(number) = id.numbers().of(Dialect::V12) else {
                continue;
            };
            assert_eq!(
                number % 2 == 1,
                matches!(id, CommandId::Vcpu(_)),
                "{}",
                id.name()
            );
        }
    }

    #[test]
    fn services_never_reach_a_wire() {
        for id in ServiceId::ALL {
            assert!(id.numbers().is_ours(), "{}", id.name());
            assert!(id.right().is_some(), "{}", id.name());
        }
    }
}
