//! What a Linux guest's memory means: its symbols, types, tasks and modules, without a profile.
//!
//! All of it is read out of the guest's own memory: the kernel carries a table of its symbols
//! (kallsyms) and a description of its types (BTF), and the rest follows from those two. This crate
//! owns that meaning. It never talks to a hypervisor, to Wasm or to a policy: it is given physical
//! memory that may fail to be read ([`GuestMemory`](oriel_machine::GuestMemory)) and a few registers
//! of each vCPU ([`Sight`]), and it changes nothing.
//!
//! ```text
//!   Sight, memory ──► Kernel ──► kallsyms, BTF ──► Index            once a boot
//!                     by page tables               │
//!   memory ────────────────────────────────────────┴──► Guest ──►  tasks, modules, current,
//!                                                                   syscalls, interrupts, areas
//! ```
//! The guest is not trusted. Whatever it has written is bounded before it is followed, each answer
//! says [where it comes from](Source), and what cannot be had is [`Unknown`] with the reason, never
//! a guess that looks like an answer. A guest that lies well enough is believed: this reads what is
//! there, and [`Guest::cross_view`] compares what should agree.
//!
//! ```no_run
//! use oriel_guest::{Boots, Sight};
//!
//! # fn show(memory: &dyn oriel_machine::GuestMemory, sights: &[Sight]) -> Result<(), oriel_guest::Unknown> {
//! let boots = Boots::new();
//! let index = boots.index(memory, sights)?;
//! let guest = index.guest(memory);
//! for task in guest.tasks()?.items {
//!     println!("{} {}", task.pid, task.comm);
//! }
//! let pgd = index.types()?.field("task_struct.mm.pgd")?;
//! # Ok(())
//! # }
//! ```

pub mod answer;
mod boots;
pub mod btf;
#[cfg(any(test, feature = "forge"))]
pub mod forge;
mod guest;
mod index;
pub mod kallsyms;
pub mod kernel;
mod lists;
pub mod modules;
mod ranges;
mod record;
mod sight;
mod space;
mod symbols;
pub mod tables;
pub mod tasks;
mod vmcoreinfo;
mod words;

pub use answer::{Answer, Found, Source, Unknown};
pub use boots::Boots;
pub use guest::Guest;
pub use index::Index;
pub use kernel::Kernel;
pub use lists::Ending;
pub use modules::Module;
pub use ranges::Area;
pub use sight::Sight;
pub use space::{LONGEST_READ, Space};
pub use symbols::{Symbol, Symbols};
pub use tasks::{CrossView, Listing, Task};
pub use vmcoreinfo::Vmcoreinfo;
