//! The state in which a vCPU starts, kept for resets.

use std::io;

use kvm_bindings::{
    kvm_debugregs, kvm_lapic_state, kvm_mp_state, kvm_msr_entry, kvm_regs, kvm_sregs,
    kvm_vcpu_events, kvm_xcrs,
};
use kvm_ioctls::VcpuFd;

use super::{
    msrs,
    sys::xsave::{self, FitsArea},
};

/// What a reset puts back.
pub(super) struct Boot {
    regs: kvm_regs,
    sregs: kvm_sregs,
    events: kvm_vcpu_events,
    debug: kvm_debugregs,
    xcrs: kvm_xcrs,
    /// With the proof that it may be written back.
    xsave: Option<(Vec<u8>, FitsArea)>,
    msrs: Vec<kvm_msr_entry>,
    /// Where there are interrupts.
    apic: Option<(kvm_lapic_state, kvm_mp_state)>,
}

impl Boot {
    /// Takes the state of a vCPU as it stands; `known` are the MSRs of this KVM.
    pub(super) fn take(
        vcpu: &VcpuFd,
        known: &[u32],
        fits: Option<FitsArea>,
        interrupts: bool,
    ) -> io::Result<Self> {
        let msrs = known
            .iter()
            .filter(|msr| !is_clock(**msr))
            .filter_map(|&index| {
                let data = msrs::get(vcpu, index)?;
                Some(kvm_msr_entry {
                    index,
                    data,
                    ..Default::default()
                })
            });
        Ok(Self {
            regs: vcpu.get_regs()?,
            sregs: vcpu.get_sregs()?,
            events: vcpu.get_vcpu_events()?,
            debug: vcpu.get_debug_regs()?,
            xcrs: vcpu.get_xcrs()?,
            xsave: fits
                .map(|fits| Ok::<_, io::Error>((xsave::get(vcpu, fits)?, fits)))
                .transpose()?,
            msrs: msrs.collect(),
            apic: interrupts
                .then(|| Ok::<_, io::Error>((vcpu.get_lapic()?, vcpu.get_mp_state()?)))
                .transpose()?,
        })
    }

    /// Puts it back. Registers come first and events last, as setting the former forgets the
    /// latter.
    pub(super) fn put_back(&self, vcpu: &VcpuFd) -> io::Result<()> {
        vcpu.set_regs(&self.regs)?;
        vcpu.set_sregs(&self.sregs)?;
        vcpu.set_xcrs(&self.xcrs)?;
        if let Some((area, fits)) = &self.xsave
            && let Ok(area) = area.as_slice().try_into()
        {
            xsave::set(vcpu, area, *fits)?;
        }
        if let Some((apic, state)) = &self.apic {
            vcpu.set_lapic(apic)?;
            vcpu.set_mp_state(*state)?;
        }
        vcpu.set_debug_regs(&self.debug)?;
        for entry in &self.msrs {
            // Some can be read and not written; those a guest cannot have changed either.
            msrs::set(vcpu, entry.index, entry.data);
        }
        Ok(vcpu.set_vcpu_events(&self.events)?)
    }
}

/// Clocks run on over a reset.
const fn is_clock(msr: u32) -> bool {
    matches!(
        msr,
        0x10 | 0x3b | 0x6e0 | 0x11 | 0x12 | 0x4b56_4d00..=0x4b56_4dff
    )
}
