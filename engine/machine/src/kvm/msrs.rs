//! A vCPU's MSRs: read and written by ioctl, remembered where that is sound.

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;
use oriel_protocol::x86::msr;

use super::{
    msr_rules::{self, Class, Features, Now},
    sys::page::RunPage,
};

const CR0_PG: u64 = 1 << 31;

/// Reads an MSR (KVM API, 4.18); none if it does not exist.
pub(super) fn get(vcpu: &VcpuFd, index: u32) -> Option<u64> {
    let entry = kvm_msr_entry {
        index,
        ..Default::default()
    };
    let mut msrs = Msrs::from_entries(&[entry]).ok()?;
    match vcpu.get_msrs(&mut msrs) {
        Ok(1) => msrs.as_slice().first().map(|entry| entry.data),
        Ok(_) | Err(_) => None,
    }
}

/// Reads several, in one ioctl if they all exist; none for those that do not.
pub(super) fn get_all(vcpu: &VcpuFd, indices: &[u32]) -> Vec<Option<u64>> {
    let entry = |&index: &u32| kvm_msr_entry {
        index,
        ..Default::default()
    };
    let entries: Vec<_> = indices.iter().map(entry).collect();
    if let Ok(mut msrs) = Msrs::from_entries(&entries)
        && vcpu
            .get_msrs(&mut msrs)
            .is_ok_and(|read| read == entries.len())
    {
        return msrs.as_slice().iter().map(|msr| Some(msr.data)).collect();
    }
    // KVM stops at the first that it does not know.
    indices.iter().map(|&index| get(vcpu, index)).collect()
}

/// Writes an MSR as the host (KVM API, 4.19); whether KVM has taken it.
pub(super) fn set(vcpu: &VcpuFd, index: u32, data: u64) -> bool {
    let entry = kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    let Ok(msrs) = Msrs::from_entries(&[entry]) else {
        return false;
    };
    matches!(vcpu.set_msrs(&msrs), Ok(1))
}

/// Whether an MSR holds what was written last, as long as nobody writes it. SWAPGS changes
/// KERNEL_GS_BASE without a word, INIT clears SYSENTER_* on VMX (`vmx_vcpu_reset`), and of an MSR that is in no table
/// nobody knows.
const fn stays(index: u32, class: Class) -> bool {
    match class {
        Class::Exact | Class::Address => index != msr::KERNEL_GS_BASE,
        Class::Adjusted | Class::Efer | Class::MiscEnable | Class::TscAux | Class::Unknown => false,
    }
}

/// A vCPU's MSRs, with the old values of those whose every write comes by here.
#[derive(Default)]
pub(super) struct MsrBank {
    has: Features,
    /// What is handed to KVM, made once: an exit is to cost little.
    one: Option<Msrs>,
    /// Sound only for MSRs whose writes are filtered: `forget` when that changes. By
    /// number, in one piece of memory: what an exit touches is cold.
    shadow: Vec<(u32, u64)>,
}

impl MsrBank {
    pub(super) fn new(has: Features) -> Self {
        Self {
            has,
            one: Msrs::new(1).ok(),
            ..Self::default()
        }
    }

    /// Says whether KVM guards IA32_MISC_ENABLE.
    pub(super) fn set_guarded_misc_enable(&mut self, guarded: bool) {
        self.has.guarded_misc_enable = guarded;
    }

    /// Forgets all values: the filter has changed, or the vCPU was reset.
    pub(super) fn forget(&mut self) {
        self.shadow.clear();
    }

    /// What an MSR holds; none if it does not exist for the guest. `filtered`: its writes all come
    /// by here.
    pub(super) fn read(
        &mut self,
        vcpu: &VcpuFd,
        page: &RunPage,
        index: u32,
        filtered: bool,
    ) -> Option<u64> {
        // Nothing gets there that cannot be read.
        if filtered && let Ok(at) = self.find(index) {
            return self.shadow.get(at).map(|(_, value)| *value);
        }
        let class = msr_rules::class(index).ok()?;
        if !msr_rules::is_readable(class, self.has) {
            return None;
        }
        match index {
            msr::EFER => Some(page.efer()),
            msr::FS_BASE => Some(page.sregs().fs.base),
            msr::GS_BASE => Some(page.sregs().gs.base),
            _ if filtered && stays(index, class) => {
                let value = get(vcpu, index)?;
                self.remember(index, value);
                Some(value)
            }
            _ => get(vcpu, index),
        }
    }

    /// Writes an MSR as the guest would; false where the guest's write would fault.
    pub(super) fn write(
        &mut self,
        vcpu: &VcpuFd,
        page: &mut RunPage,
        index: u32,
        value: u64,
    ) -> bool {
        let Ok(class) = msr_rules::class(index) else {
            return false;
        };
        let Some(old) = self.old_for_rules(vcpu, page, index, class) else {
            return false;
        };
        let now = Now {
            old,
            paging: page.cr0() & CR0_PG != 0,
        };
        let Ok(value) = msr_rules::host_value(class, value, self.has, now) else {
            return false;
        };
        if !self.set(vcpu, index, value) {
            return false;
        }
        self.note(page, index, class, value);
        true
    }

    /// [`set`], without making the list anew.
    fn set(&mut self, vcpu: &VcpuFd, index: u32, data: u64) -> bool {
        let Some(one) = &mut self.one else {
            return set(vcpu, index, data);
        };
        if let [slot] = one.as_mut_slice() {
            (slot.index, slot.data) = (index, data);
        }
        matches!(vcpu.set_msrs(one), Ok(1))
    }

    /// The old value where the rules ask for it, else zero; none if the MSR does not exist.
    fn old_for_rules(
        &self,
        vcpu: &VcpuFd,
        page: &RunPage,
        index: u32,
        class: Class,
    ) -> Option<u64> {
        match class {
            Class::Efer => Some(page.efer()),
            Class::MiscEnable | Class::Unknown => get(vcpu, index),
            Class::Exact | Class::Adjusted | Class::Address | Class::TscAux => Some(0),
        }
    }

    /// Brings what we know of the vCPU in line with what KVM has been told.
    fn note(&mut self, page: &mut RunPage, index: u32, class: Class, value: u64) {
        match (class, index) {
            (Class::Efer, _) => {
                page.change_sregs(|now| now.efer = msr_rules::efer_after(value, now.efer));
            }
            (Class::Address, msr::FS_BASE) => page.change_sregs(|now| now.fs.base = value),
            (Class::Address, msr::GS_BASE) => page.change_sregs(|now| now.gs.base = value),
            _ if stays(index, class) => self.remember(index, value),
            _ => {}
        }
    }

    fn remember(&mut self, index: u32, value: u64) {
        match self.find(index) {
            Ok(at) => self.shadow[at].1 = value,
            Err(at) => self.shadow.insert(at, (index, value)),
        }
    }

    /// Where an MSR's shadow is, or would be.
    fn find(&self, index: u32) -> Result<usize, usize> {
        self.shadow
            .binary_search_by_key(&index, |(known, _)| *known)
    }
}
