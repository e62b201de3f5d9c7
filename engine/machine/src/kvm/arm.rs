//! What is reported: from the judges' wants to what KVM and the vCPUs are told.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use kvm_bindings::{KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap};
use kvm_ioctls::{Kvm, VmFd};
use oriel_protocol::EventKind;

use super::{
    capabilities,
    msr_filter::{MsrFilter, may_filter},
};
use crate::{ArmError, Wants};

/// What a VM's vCPUs report. Shared by them all.
pub struct Arming {
    current: Mutex<Arc<Armed>>,
    /// Counts the changes of `current`, so that a vCPU sees with one load that there was none.
    generation: AtomicU64,
    /// The MSRs that this KVM knows, lowest first.
    known: Vec<u32>,
}

/// What is reported now.
#[derive(Debug, Default)]
pub(super) struct Armed {
    pub(super) wants: Wants,
    filter: MsrFilter,
}

impl Arming {
    /// Prepares a VM, before or after its vCPUs are made: filtered MSR accesses come to us. The
    /// exit has to be on before the first filter is (KVM API, 4.97). An embedder that wants exits
    /// for unknown MSRs too sets the capability again, with this reason among its own.
    ///
    /// # Errors
    /// Whatever KVM says.
    pub fn new(kvm: &Kvm, vm: &VmFd) -> std::io::Result<Self> {
        let cap = kvm_enable_cap {
            cap: KVM_CAP_X86_USER_SPACE_MSR,
            args: [u64::from(KVM_MSR_EXIT_REASON_FILTER), 0, 0, 0],
            ..Default::default()
        };
        vm.enable_cap(&cap)?;
        let mut known = kvm.get_msr_index_list()?.as_slice().to_vec();
        known.extend_from_slice(kvm.get_msr_feature_index_list()?.as_slice());
        known.sort_unstable();
        Ok(Self {
            current: Mutex::default(),
            generation: AtomicU64::new(0),
            known,
        })
    }

    /// Makes the VM's vCPUs report these wants, and nothing else, from the time this returns.
    ///
    /// # Errors
    /// As [`crate::Machine::arm`].
    pub fn arm(&self, vm: &VmFd, wants: &Wants) -> Result<(), ArmError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.wants == *wants {
            return Ok(());
        }
        check_kinds(wants)?;
        let filter = MsrFilter::new(wants, |msr| may_filter(msr, &self.known))?;
        let before = current.clone();
        let changed = before.filter != filter;
        // Told to the vCPUs first: an exit that the new filter causes finds its want. Exits that
        // the old one causes meanwhile find none, and are carried out in silence.
        *current = Arc::new(Armed {
            wants: wants.clone(),
            filter,
        });
        self.generation.fetch_add(1, SeqCst);
        if changed && let Err(source) = current.filter.install(vm) {
            *current = before;
            self.generation.fetch_add(1, SeqCst);
            return Err(ArmError::Host {
                what: "the MSR filter".to_owned(),
                source,
            });
        }
        Ok(())
    }

    /// Changes with every [`arm`](Self::arm) that changes something.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// What is reported now.
    pub(super) fn current(&self) -> Arc<Armed> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The MSRs that this KVM knows, lowest first.
    pub(super) fn known(&self) -> &[u32] {
        &self.known
    }
}

/// Every kind that is wanted has to be one that can be reported.
fn check_kinds(wants: &Wants) -> Result<(), ArmError> {
    let asked = [
        (EventKind::Breakpoint, !wants.breakpoints.is_empty()),
        (EventKind::Page, !wants.pages.is_empty()),
        (EventKind::Singlestep, !wants.singlestep.is_empty()),
    ];
    let kinds = asked
        .into_iter()
        .filter_map(|(kind, any)| any.then_some(kind));
    for kind in wants.events.iter().chain(kinds) {
        capabilities::mechanism(kind).map_err(|reason| ArmError::Unsupported {
            what: format!("`{}`", kind.name()),
            reason: reason.to_owned(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oriel_protocol::Access;

    use super::*;

    fn wants(kind: EventKind) -> Wants {
        Wants {
            events: [kind].into_iter().collect(),
            ..Wants::default()
        }
    }

    #[test]
    fn what_cannot_be_reported_is_named_with_a_reason() {
        for kind in [
            EventKind::Cr,
            EventKind::Page,
            EventKind::Cpuid,
            EventKind::Breakpoint,
        ] {
            let error = check_kinds(&wants(kind)).unwrap_err().to_string();
            assert!(error.contains(kind.name()), "{error}");
            assert!(error.len() > 40, "a reason is given: {error}");
        }
    }

    #[test]
    fn notices_are_the_engines_and_take_no_arming() {
        for kind in [EventKind::CreateVcpu, EventKind::Pause, EventKind::Unhook] {
            assert!(check_kinds(&wants(kind)).is_ok());
        }
    }

    #[test]
    fn traps_are_refused_even_where_nobody_listens() {
        let pages = Wants {
            pages: [(1, Access::NONE)].into(),
            ..Wants::default()
        };
        assert!(check_kinds(&pages).is_err());
        let steps = Wants {
            singlestep: vec![0],
            ..Wants::default()
        };
        assert!(check_kinds(&steps).is_err());
    }
}
