//! What a vCPU shows of itself, as far as it helps to find the kernel. Owns no machine: it is a
//! handful of numbers, each of which may be missing.

use oriel_machine::{VcpuState, paging::Mode};
use oriel_protocol::{
    Gva,
    x86::{Control, Special},
};

/// The MSRs that are looked at (Intel SDM vol. 4, table 2-2).
const LSTAR: u32 = 0xc000_0082;
const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// Registers of a vCPU; none where the machine cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which vCPU.
    pub vcpu: u32,
    /// How it translates addresses.
    pub mode: Mode,
    /// Its page tables: the kernel's, or under KPTI a process's own.
    pub cr3: u64,
    /// Where SYSCALL goes.
    pub lstar: Option<u64>,
    /// The interrupt table, and its limit (bytes less one).
    pub idt: Option<(Gva, u16)>,
    /// The base of GS.
    pub gs_base: Option<u64>,
    /// What SWAPGS would put there.
    pub kernel_gs_base: Option<u64>,
}

impl Sight {
    /// What these registers show, without MSRs.
    pub const fn of(vcpu: u32, special: &Special) -> Self {
        Self {
            vcpu,
            mode: Mode::of(special),
            cr3: special.cr3,
            lstar: None,
            idt: Some((special.idt.base, special.idt.limit)),
            gs_base: Some(special.gs.base),
            kernel_gs_base: None,
        }
    }

    /// What the control registers alone show: by which tables it runs.
    pub const fn by(vcpu: u32, control: &Control) -> Self {
        Self {
            vcpu,
            mode: Mode::by(control),
            cr3: control.cr3,
            lstar: None,
            idt: None,
            gs_base: Some(control.gs_base),
            kernel_gs_base: None,
        }
    }

    /// Asks a vCPU; none if it does not even show its control registers.
    pub fn ask(vcpu: u32, state: &mut dyn VcpuState) -> Option<Self> {
        let special = state.special().ok()?;
        Some(Self::of(vcpu, &special).with_msrs(state))
    }

    /// The same without the interrupt table, which machines may have to ask somebody else for.
    pub fn glance(vcpu: u32, state: &mut dyn VcpuState) -> Option<Self> {
        let control = state.control().ok()?;
        Some(Self::by(vcpu, &control).with_msrs(state))
    }

    fn with_msrs(self, state: &mut dyn VcpuState) -> Self {
        let msrs = state.msrs(&[LSTAR, KERNEL_GS_BASE]);
        let msr = |at: usize| msrs.get(at).copied().flatten();
        Self {
            lstar: msr(0).filter(|lstar| *lstar != 0),
            kernel_gs_base: msr(1),
            ..self
        }
    }

    /// Whether it runs in long mode.
    pub const fn is_long(&self) -> bool {
        matches!(self.mode, Mode::Long { .. })
    }
}
