//! A VM that is only looked at: its memory in the backend's file, its registers by the monitor. Never
//! connects to the gdbstub, never stops the VM, and writes nothing; what it sees may be changed
//! while it looks.

mod registers;

use oriel_protocol::{Identity, x86::Special};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    attach,
    backend::{self, Monitor, RamChoice},
    blocks::{self, BlocksError},
    qmp::{Qmp, QmpError},
    ram::{Ram, RamError},
    stream::Address,
};
use crate::GuestMemory;

/// A VM cannot be looked at.
#[derive(Debug, Error)]
pub enum LookError {
    /// The monitor.
    #[error("the monitor at {address}")]
    Qmp {
        /// Where it is.
        address: Address,
        /// What was wrong.
        source: QmpError,
    },
    /// Another processor.
    #[error(
        "its vCPUs are {0}, and Oriel looks at 64-bit x86: start the guest with qemu-system-x86_64"
    )]
    Target(String),
    /// Where its memory lies.
    #[error("the VM's memory layout is not known")]
    Blocks(#[source] BlocksError),
    /// Its memory.
    #[error("the VM's memory cannot be read in place")]
    Ram(#[source] RamError),
    /// The registers.
    #[error("QEMU's answer to `info registers -a` makes no sense")]
    Registers,
}

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// The monitor.
    pub qmp: Address,
    /// Where guest memory is.
    pub ram: RamChoice,
}

/// A VM that is looked at. The monitor serves nobody else meanwhile.
#[derive(Debug)]
pub struct Onlooker {
    address: Address,
    qmp: Qmp,
    identity: Identity,
    memory: Ram,
}

impl Look {
    /// Looks: asks what VM it is, and finds its memory. That the file is the one is made sure of by
    /// what the monitor reads at some places.
    ///
    /// # Errors
    /// [`LookError`]; [`LookError::Ram`] where only the gdbstub could read memory, also because
    /// [`RamChoice::Gdb`] wants that.
    pub fn connect(self) -> Result<Onlooker, LookError> {
        let failed = |source| LookError::Qmp {
            address: self.qmp.clone(),
            source,
        };
        let mut qmp = Qmp::connect(&self.qmp).map_err(failed)?;
        let target = qmp.ask("query-target", json!({})).map_err(failed)?;
        check(&target)?;
        let identity = attach::identity(&mut qmp, None).map_err(failed)?;
        let text = qmp.monitor("info mtree -f", None).map_err(failed)?;
        let blocks = blocks::read(&text).map_err(LookError::Blocks)?;
        let memory = match &self.ram {
            RamChoice::Auto => backend::find(&blocks, &mut qmp, &mut Monitor),
            RamChoice::File(path) => backend::named(path, &blocks, &mut qmp, &mut Monitor),
            RamChoice::Gdb => Err(RamError::Missing("by gdb was asked for".to_owned())),
        };
        Ok(Onlooker {
            memory: memory.map_err(LookError::Ram)?,
            address: self.qmp,
            qmp,
            identity,
        })
    }
}

/// Whether it is an x86 of 64 bits.
fn check(target: &Value) -> Result<(), LookError> {
    match target.get("arch").and_then(Value::as_str) {
        Some("x86_64") => Ok(()),
        other => Err(LookError::Target(other.unwrap_or("unknown").to_owned())),
    }
}

impl Onlooker {
    /// What VM it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its memory, as it is at each read.
    pub fn memory(&self) -> &dyn GuestMemory {
        &self.memory
    }

    /// The control registers, segments and tables of each vCPU with its index, as they are now.
    /// Where the local APIC is stays 0.
    ///
    /// # Errors
    /// [`LookError::Qmp`], [`LookError::Registers`].
    pub fn registers(&mut self) -> Result<Vec<(u32, Special)>, LookError> {
        let text = self.qmp.monitor("info registers -a", None);
        let text = text.map_err(|source| LookError::Qmp {
            address: self.address.clone(),
            source,
        })?;
        registers::all(&text).ok_or(LookError::Registers)
    }
}
