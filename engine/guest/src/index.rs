//! What is known of a kernel for as long as it runs: where it is, its symbols, its types, the
//! layout of its tasks. Owns all that is read once a boot; never what changes while it runs.

mod build;
mod find;

use std::sync::Arc;

use oriel_machine::{GuestMemory, paging::Mode};
use oriel_protocol::Gva;

use crate::{
    answer::{Answer, Found, Unknown},
    btf::Types,
    kallsyms::Kallsyms,
    kernel::{self, Kernel},
    sight::Sight,
    space::Space,
    symbols::Symbols,
    tasks::Layout,
    vmcoreinfo::Vmcoreinfo,
};

/// The index of one boot.
#[derive(Clone, Debug)]
pub struct Index {
    kernel: Kernel,
    mode: Mode,
    tables: Found<u64>,
    banner: Found<String>,
    banner_at: Gva,
    symbols: Option<Kallsyms>,
    types: Option<Found<Arc<Types>>>,
    note: Option<Vmcoreinfo>,
    slide: Answer<u64>,
    layout: Result<Layout, Unknown>,
    init_task: Answer<Gva>,
}

impl Index {
    /// Reads all of it out of the guest's memory, starting from what these vCPUs show.
    ///
    /// # Errors
    /// [`Unknown::NotLongMode`], [`Unknown::NoKernel`]. What else is not there is unknown later,
    /// when it is asked for.
    pub fn build(memory: &dyn GuestMemory, sights: &[Sight]) -> Result<Self, Unknown> {
        build::build(memory, sights)
    }

    /// Whether the memory still is that of the same boot: the kernel's tables lead to its banner.
    /// Another kernel, or the same one moved by KASLR, is another boot. The same one at the same
    /// place is not told apart, and need not be: all that is kept holds for it.
    ///
    /// A kernel that is gone may have left its memory behind, untouched: whether any vCPU still runs
    /// it, [`runs`](Self::runs) says.
    pub fn holds(&self, memory: &dyn GuestMemory) -> bool {
        let space = self.space(memory);
        let bytes = space.bytes(self.banner_at, self.banner.value.len());
        bytes.is_ok_and(|bytes| bytes == self.banner.value.as_bytes())
    }

    /// Whether it [`holds`](Self::holds), and one of these vCPUs has tables that lead to the very
    /// same banner.
    pub fn runs(&self, memory: &dyn GuestMemory, sights: &[Sight]) -> bool {
        let place = |space: Space<'_>| space.translate(self.banner_at).ok();
        let place = |space| place(space).map(|found| found.gpa);
        let kept = place(self.space(memory));
        let long = sights.iter().filter(|sight| sight.is_long());
        let mut tables = long.flat_map(kernel::tables);
        let runs = |(sight, cr3): (&Sight, u64)| place(Space::new(memory, sight.mode, cr3)) == kept;
        kept.is_some() && tables.any(runs) && self.holds(memory)
    }

    /// The memory by the kernel's tables.
    pub fn space<'m>(&self, memory: &'m dyn GuestMemory) -> Space<'m> {
        Space::new(memory, self.mode, self.tables.value)
    }

    /// The kernel's image.
    pub const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The physical address of the kernel's own page tables. Where they are not known those by
    /// which it was found, which may be a process's.
    pub const fn tables(&self) -> &Found<u64> {
        &self.tables
    }

    /// What the kernel says of itself: `Linux version …`.
    pub const fn banner(&self) -> &Found<String> {
        &self.banner
    }

    /// The release, as uname says it; empty if the banner does not.
    pub fn release(&self) -> &str {
        self.banner.value.split(' ').nth(2).unwrap_or_default()
    }

    /// How far KASLR has moved the image from where it is linked.
    ///
    /// # Errors
    /// [`Unknown`] where neither the note for crash dumps nor a first symbol is.
    pub fn slide(&self) -> Answer<u64> {
        self.slide.clone()
    }

    /// The kernel's symbols.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`].
    pub fn symbols(&self) -> Result<&Symbols, Unknown> {
        self.kallsyms().map(|kallsyms| &kallsyms.symbols)
    }

    /// The same with their layout.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`].
    pub fn kallsyms(&self) -> Result<&Kallsyms, Unknown> {
        self.symbols.as_ref().ok_or(Unknown::NoSymbols)
    }

    /// The kernel's types.
    ///
    /// # Errors
    /// [`Unknown::NoTypes`].
    pub fn types(&self) -> Result<&Arc<Types>, Unknown> {
        self.types_found().map(|types| &types.value)
    }

    /// The same with how they were found.
    ///
    /// # Errors
    /// [`Unknown::NoTypes`].
    pub fn types_found(&self) -> Result<&Found<Arc<Types>>, Unknown> {
        self.types.as_ref().ok_or(Unknown::NoTypes)
    }

    /// The note for crash dumps, where it was needed or easily had.
    pub const fn note(&self) -> Option<&Vmcoreinfo> {
        self.note.as_ref()
    }

    pub(crate) fn layout(&self) -> Result<&Layout, Unknown> {
        self.layout.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn init_task(&self) -> Answer<Gva> {
        self.init_task.clone()
    }
}

#[cfg(test)]
mod tests;
