//! What a policy may do, one file a right: each function builds the typed request and asks the
//! desk, which has the gate and does the work. A no is a refusal, never a trap.

mod alert;
mod control;
mod guest_os;
mod inject;
mod intercept;
mod log;
mod machine;
mod memory_read;
mod memory_words;
mod memory_write;
mod metrics;
mod page_access;
mod registers_read;
mod registers_write;
mod store;

use oriel_protocol::{
    Refusal, Right,
    commands::vm::{self, BULK_MAX},
};
use wasmtime::{Result, component::Linker};

use crate::{
    bindings::oriel::introspection as wit,
    state::{Own, State},
};

/// Puts the functions of a right into a linker.
pub(crate) fn link(right: Right, linker: &mut Linker<State>) -> Result<()> {
    macro_rules! link {
        ($interface:ident) => {
            wit::$interface::add_to_linker::<State, Own>(linker, |state| state)
        };
    }
    match right {
        Right::Machine => link!(machine),
        Right::RegistersRead => link!(x86_registers_read),
        Right::RegistersWrite => link!(x86_registers_write),
        Right::MemoryRead => link!(memory_read),
        Right::MemoryWords => link!(memory_words),
        Right::MemoryWrite => link!(memory_write),
        Right::PageAccess => link!(page_access),
        Right::Intercept => link!(intercept),
        Right::Inject => link!(inject),
        Right::Control => link!(control),
        Right::GuestOs => link!(guest_os),
        Right::Alert => link!(alert),
        Right::Log => link!(log),
        Right::Metrics => link!(metrics),
        Right::Store => link!(store),
    }
}

/// `types` has no functions: nothing can be done with it.
impl wit::types::Host for State {}

/// A length that one command may read or write.
fn bulk(length: usize) -> std::result::Result<(), Refusal> {
    if length > BULK_MAX as usize {
        return Err(Refusal::Invalid);
    }
    Ok(())
}

/// Bytes of guest-physical memory.
fn physical(gpa: u64, length: u32) -> std::result::Result<vm::ReadPhysical, Refusal> {
    bulk(length as usize)?;
    Ok(vm::ReadPhysical { gpa, length })
}
