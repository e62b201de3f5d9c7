//! The vCPU's state in the page: registers, system registers and pending events.
//!
//! KVM puts there at each exit what it is asked for (`KVM_CAP_SYNC_REGS`; KVM API, 6.74), which costs
//! some hundred nanoseconds for all of it. What was not asked for is fetched by an ioctl once
//! somebody looks at it; until the next `KVM_RUN` it is in the page like the rest.

#![expect(unsafe_code, reason = "the registers of kvm_run are a C union")]

use std::{cell::Cell, io};

use kvm_bindings::{
    KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, kvm_regs, kvm_sregs,
    kvm_vcpu_events,
};
use kvm_ioctls::VcpuFd;

use super::RunPage;

/// Pieces of a vCPU's state, as bits of `KVM_SYNC_X86_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::kvm) struct Pieces(u32);

impl Pieces {
    /// None of them.
    pub(in crate::kvm) const NONE: Self = Self(0);
    /// The general registers.
    pub(in crate::kvm) const REGS: Self = Self(KVM_SYNC_X86_REGS);
    /// The system registers.
    pub(in crate::kvm) const SREGS: Self = Self(KVM_SYNC_X86_SREGS);
    /// The events that are to be delivered.
    pub(in crate::kvm) const EVENTS: Self = Self(KVM_SYNC_X86_EVENTS);
    /// What an event says of where its vCPU stands.
    pub(in crate::kvm) const STANDS: Self = Self(Self::REGS.0 | Self::SREGS.0);
    /// All of them.
    pub(in crate::kvm) const ALL: Self = Self(Self::STANDS.0 | Self::EVENTS.0);

    const fn has(self, piece: Self) -> bool {
        self.0 & piece.0 == piece.0
    }
}

/// What of the vCPU's state is in the page.
#[derive(Default)]
pub(super) struct Known {
    /// Where the rest comes from; none in tests, where a file stands in for KVM.
    vcpu: Option<VcpuFd>,
    /// What KVM puts there at each exit.
    asked: Pieces,
    here: Cell<Pieces>,
    /// The instruction pointer as of the last exit, where it is known.
    exited_at: Cell<Option<u64>>,
    /// How often something had to be fetched.
    #[cfg(test)]
    fetches: Cell<u32>,
}

impl RunPage {
    /// Takes what is not in the page from this vCPU, whose page it is.
    pub(in crate::kvm) fn backed_by(mut self, vcpu: VcpuFd) -> Self {
        self.known.vcpu = Some(vcpu);
        self
    }

    /// Asks for these pieces in the page on every exit.
    pub(in crate::kvm) fn ask_for(&mut self, pieces: Pieces) {
        if self.known.asked == pieces {
            return;
        }
        self.known.asked = pieces;
        // SAFETY: the field is mapped (`map`), and this thread alone writes it.
        unsafe {
            (&raw mut (*self.run()).kvm_valid_regs).write_volatile(u64::from(pieces.0));
        }
    }

    /// `KVM_RUN` has returned: what was asked for is there, and nothing else.
    pub(in crate::kvm) fn came_out(&mut self) {
        let asked = self.known.asked;
        self.known.here.set(asked);
        let rip = asked.has(Pieces::REGS).then(|| self.rip_here());
        self.known.exited_at.set(rip);
    }

    /// Sees to it that these pieces are in the page.
    ///
    /// # Errors
    /// What KVM says; then the page has them as they were.
    pub(in crate::kvm) fn fetch(&self, pieces: Pieces) -> io::Result<()> {
        if self.known.here.get().has(pieces) {
            return Ok(());
        }
        #[cfg(test)]
        self.known.fetches.set(self.known.fetches.get() + 1);
        // Whoever has set them there has not told KVM yet.
        self.is_here(self.dirty());
        let here = self.known.here.get();
        let Some(vcpu) = &self.known.vcpu else {
            return Ok(());
        };
        if pieces.has(Pieces::REGS) && !here.has(Pieces::REGS) {
            self.put_regs(&vcpu.get_regs()?);
        }
        if pieces.has(Pieces::SREGS) && !here.has(Pieces::SREGS) {
            self.put_sregs(&vcpu.get_sregs()?);
        }
        if pieces.has(Pieces::EVENTS) && !here.has(Pieces::EVENTS) {
            self.put_events(&vcpu.get_vcpu_events()?);
        }
        Ok(())
    }

    /// How often something had to be fetched so far.
    #[cfg(test)]
    pub(in crate::kvm) fn fetches(&self) -> u32 {
        self.known.fetches.get()
    }

    /// What is set at the next `KVM_RUN`.
    fn dirty(&self) -> Pieces {
        // SAFETY: mapped (`map`); an integer.
        let dirty = unsafe { (&raw const (*self.run()).kvm_dirty_regs).read_volatile() };
        let of = |piece: Pieces| {
            if dirty & u64::from(piece.0) == 0 {
                0
            } else {
                piece.0
            }
        };
        Pieces(of(Pieces::REGS) | of(Pieces::SREGS) | of(Pieces::EVENTS))
    }

    /// The same, where the caller cannot do without. A vCPU that does not answer does not run
    /// either, and the next `KVM_RUN` says why.
    #[inline]
    fn have(&self, piece: Pieces) {
        if !self.known.here.get().has(piece) {
            self.fetch_or_warn(piece);
        }
    }

    #[cold]
    fn fetch_or_warn(&self, piece: Pieces) {
        if let Err(error) = self.fetch(piece) {
            tracing::warn!(%error, ?piece, "the state of a vCPU cannot be had");
        }
    }

    fn put_regs(&self, regs: &kvm_regs) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe { (&raw mut (*self.run()).s.regs.regs).write_volatile(*regs) };
        if self.known.exited_at.get().is_none() {
            self.known.exited_at.set(Some(regs.rip));
        }
        self.is_here(Pieces::REGS);
    }

    fn put_sregs(&self, sregs: &kvm_sregs) {
        // SAFETY: as in `put_regs`.
        unsafe {
            (&raw mut (*self.run()).s.regs.sregs).write_volatile(*sregs);
            // Without an in-kernel APIC, KVM takes CR8 from here at each entry.
            (&raw mut (*self.run()).cr8).write_volatile(sregs.cr8);
        }
        self.is_here(Pieces::SREGS);
    }

    fn put_events(&self, events: &kvm_vcpu_events) {
        // SAFETY: as in `put_regs`.
        unsafe { (&raw mut (*self.run()).s.regs.events).write_volatile(*events) };
        self.is_here(Pieces::EVENTS);
    }

    fn is_here(&self, piece: Pieces) {
        let here = self.known.here.get();
        self.known.here.set(Pieces(here.0 | piece.0));
    }

    fn rip_here(&self) -> u64 {
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.regs.rip).read_volatile() }
    }

    /// The general registers as of the last exit, with what has been set since.
    pub(in crate::kvm) fn regs(&self) -> kvm_regs {
        self.have(Pieces::REGS);
        // SAFETY: mapped (`map`); integers.
        unsafe { (&raw const (*self.run()).s.regs.regs).read_volatile() }
    }

    /// Sets the general registers at the next `KVM_RUN`.
    pub(in crate::kvm) fn set_regs(&mut self, regs: &kvm_regs) {
        // Before they are gone from KVM: where it has come out.
        self.have(Pieces::REGS);
        self.put_regs(regs);
        self.mark_dirty(KVM_SYNC_X86_REGS);
        // Setting registers makes KVM forget an exception that it has queued; the page has it.
        if self.events().exception.injected != 0 {
            self.mark_dirty(KVM_SYNC_X86_EVENTS);
        }
    }

    /// The system registers as of the last exit.
    pub(in crate::kvm) fn sregs(&self) -> kvm_sregs {
        self.have(Pieces::SREGS);
        // SAFETY: mapped (`map`); integers.
        unsafe { (&raw const (*self.run()).s.regs.sregs).read_volatile() }
    }

    /// The instruction pointer as of the last exit, or as it was set since. A register at a time is
    /// much cheaper than all, because the page must be read field by field.
    pub(in crate::kvm) fn rip(&self) -> u64 {
        self.have(Pieces::REGS);
        self.rip_here()
    }

    /// The instruction pointer as of the last exit.
    pub(in crate::kvm) fn exited_at(&self) -> u64 {
        self.have(Pieces::REGS);
        self.known
            .exited_at
            .get()
            .unwrap_or_else(|| self.rip_here())
    }

    /// Where somebody has moved the instruction pointer since the last exit.
    pub(in crate::kvm) fn moved_to(&self) -> Option<u64> {
        let exited_at = self.known.exited_at.get()?;
        Some(self.rip_here()).filter(|now| *now != exited_at)
    }

    /// CR0 as of the last exit.
    pub(in crate::kvm) fn cr0(&self) -> u64 {
        self.have(Pieces::SREGS);
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.cr0).read_volatile() }
    }

    /// EFER as of the last exit.
    pub(in crate::kvm) fn efer(&self) -> u64 {
        self.have(Pieces::SREGS);
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.efer).read_volatile() }
    }

    /// CR3 as of the last exit.
    pub(in crate::kvm) fn cr3(&self) -> u64 {
        self.have(Pieces::SREGS);
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.cr3).read_volatile() }
    }

    /// The privilege level as of the last exit: the one in SS (Intel SDM, volume 3, 6.5).
    pub(in crate::kvm) fn cpl(&self) -> u8 {
        self.have(Pieces::SREGS);
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.ss.dpl).read_volatile() & 3 }
    }

    /// Notes in the page what an ioctl has done to the system registers; KVM is not told again.
    pub(in crate::kvm) fn note_sregs(&mut self, sregs: &kvm_sregs) {
        self.put_sregs(sregs);
    }

    /// Notes a change of the system registers that KVM has made by itself.
    #[inline(never)]
    pub(in crate::kvm) fn change_sregs(&mut self, change: impl FnOnce(&mut kvm_sregs)) {
        let mut sregs = self.sregs();
        change(&mut sregs);
        self.note_sregs(&sregs);
    }

    /// Notes in the page what an ioctl has done to the general registers.
    pub(in crate::kvm) fn note_regs(&mut self, regs: &kvm_regs) {
        self.put_regs(regs);
    }

    /// Notes in the page what an ioctl has done to the pending events.
    pub(in crate::kvm) fn note_events(&mut self, events: &kvm_vcpu_events) {
        self.put_events(events);
    }

    /// The pending events as of the last exit.
    pub(in crate::kvm) fn events(&self) -> kvm_vcpu_events {
        self.have(Pieces::EVENTS);
        // SAFETY: mapped (`map`); integers.
        unsafe { (&raw const (*self.run()).s.regs.events).read_volatile() }
    }

    /// Sets the pending events at the next `KVM_RUN`.
    pub(in crate::kvm) fn set_events(&mut self, events: &kvm_vcpu_events) {
        self.put_events(events);
        self.mark_dirty(KVM_SYNC_X86_EVENTS);
    }

    /// Forgets what was to be set at the next `KVM_RUN`.
    pub(in crate::kvm) fn forget_dirty(&mut self) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe { (&raw mut (*self.run()).kvm_dirty_regs).write_volatile(0) };
    }

    /// Forgets that the general registers were to be set at the next `KVM_RUN`; whether they were.
    pub(in crate::kvm) fn take_dirty_regs(&mut self) -> bool {
        let field = u64::from(KVM_SYNC_X86_REGS);
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe {
            let dirty = &raw mut (*self.run()).kvm_dirty_regs;
            let before = dirty.read_volatile();
            dirty.write_volatile(before & !field);
            before & field != 0
        }
    }

    fn mark_dirty(&mut self, field: u32) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe {
            let dirty = &raw mut (*self.run()).kvm_dirty_regs;
            dirty.write_volatile(dirty.read_volatile() | u64::from(field));
        }
    }
}
