//! The XSAVE area.

#![expect(
    unsafe_code,
    reason = "KVM may read more than the area's C type is long"
)]

use std::io;

use kvm_bindings::kvm_xsave;
use kvm_ioctls::{Cap, VcpuFd, VmFd};

/// Bytes of the area that these calls speak about.
pub(in crate::kvm) const AREA: usize = 4096;

/// A proof that no XSAVE area of this VM is larger than [`AREA`].
#[derive(Clone, Copy)]
pub(in crate::kvm) struct FitsArea(());

impl FitsArea {
    /// None if the guest has dynamic features (AMX) that need more. Nothing here turns them on
    /// (`arch_prctl(ARCH_REQ_XCOMP_GUEST_PERM)`), but an embedder may.
    pub(in crate::kvm) fn check(vm: &VmFd) -> Option<Self> {
        let size = usize::try_from(vm.check_extension_int(Cap::Xsave2)).ok()?;
        (size <= AREA).then_some(Self(()))
    }
}

/// Reads the area (KVM API, 4.42).
pub(in crate::kvm) fn get(vcpu: &VcpuFd, _: FitsArea) -> io::Result<Vec<u8>> {
    let area = vcpu.get_xsave()?;
    Ok(area
        .region
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect())
}

/// Writes the area (KVM API, 4.43).
pub(in crate::kvm) fn set(vcpu: &VcpuFd, bytes: &[u8; AREA], _: FitsArea) -> io::Result<()> {
    let mut area = kvm_xsave::default();
    for (word, bytes) in area.region.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    // SAFETY: KVM reads as many bytes as `KVM_CAP_XSAVE2` says, which `FitsArea` proves to be at
    // most the 4096 of `region`.
    Ok(unsafe { vcpu.set_xsave(&area) }?)
}
