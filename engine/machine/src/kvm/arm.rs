//! What is reported: from the judges' wants to what KVM and the vCPUs are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use kvm_bindings::{KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap};
use kvm_ioctls::{Kvm, VmFd};
use oriel_protocol::{Access, Gpa};

use super::{
    habits::Habits,
    patched::PatchedRam,
    seats::Seats,
    traps::{Shield, Traps},
};
use crate::{ArmError, Wants};

mod armed;
mod changed;
mod check;

pub(super) use armed::Armed;

/// What a VM's vCPUs report. Shared by them all.
pub struct Arming {
    current: Mutex<Arc<Armed>>,
    /// Counts the changes of `current`, so that a vCPU sees with one load that there was none.
    generation: AtomicU64,
    /// The MSRs that this KVM knows, lowest first.
    known: Vec<u32>,
    habits: Habits,
    seats: Seats,
    memory: Option<Arc<PatchedRam>>,
    traps: Option<Traps>,
}

/// Where breakpoints and page traps are.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    breakpoints: BTreeSet<Gpa>,
    pages: BTreeMap<u64, Access>,
}

impl Places {
    fn of(wants: &Wants) -> Self {
        Self {
            breakpoints: wants.breakpoints.clone(),
            pages: wants.pages.clone(),
        }
    }
}

impl Arming {
    /// Prepares a VM, before or after its vCPUs are made: filtered MSR accesses come to us. The
    /// exit has to be on before the first filter is (KVM API, 4.97). An embedder that wants exits
    /// for unknown MSRs too sets the capability again, with this reason among its own.
    ///
    /// `habits` is what [`super::probe::habits`] has found out about this KVM.
    ///
    /// # Errors
    /// Whatever KVM says.
    pub fn new(kvm: &Kvm, vm: &VmFd, habits: Habits) -> std::io::Result<Self> {
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
            habits,
            seats: Seats::default(),
            memory: None,
            traps: None,
        })
    }

    /// Gives whoever protects the mapping of the VM's memory that KVM uses, without which, and
    /// without [`over`](Self::over), there are no page traps.
    #[must_use]
    pub fn shielded(self, shield: impl Shield + 'static) -> Self {
        Self {
            traps: Some(Traps::new(Box::new(shield))),
            ..self
        }
    }

    /// How many accesses to trapped pages went through that nobody has judged, because what made
    /// them was not known, or the vCPU could not be stopped behind them.
    pub fn unjudged(&self) -> u64 {
        self.traps.as_ref().map_or(0, Traps::unjudged)
    }

    /// Gives the VM's memory, without which there are no breakpoints.
    #[must_use]
    pub fn over(self, memory: Arc<PatchedRam>) -> Self {
        Self {
            memory: Some(memory),
            ..self
        }
    }

    /// Makes the VM's vCPUs report these wants, and nothing else, from the time this returns.
    ///
    /// # Errors
    /// As [`crate::Machine::arm`].
    pub fn arm(&self, vm: &VmFd, wants: &Wants) -> Result<(), ArmError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let places = Places::of(wants);
        let before = self.places();
        if current.is_of(wants) && places == before {
            return Ok(());
        }
        self.check(wants)?;
        let armed = Armed::new(wants, &self.known, &current)?;
        let was = current.clone();
        self.keep_breakpoints(&places);
        let done = self.change(&mut current, vm, (Arc::new(armed), &places));
        if done.is_err() {
            // What was armed before still is; it was possible then.
            let _ = self.change(&mut current, vm, (was, &before));
        }
        done
    }

    /// From what is armed to something else, of which everything can be had.
    fn change(
        &self,
        current: &mut Arc<Armed>,
        vm: &VmFd,
        (armed, places): (Arc<Armed>, &Places),
    ) -> Result<(), ArmError> {
        let filter = (current.filter != armed.filter).then(|| armed.filter.clone());
        let entered = current.runs_otherwise(&armed);
        // Told to the vCPUs first: an exit that the new filter causes finds its want. Exits that
        // the old one causes meanwhile find none, and are carried out in silence.
        *current = armed;
        let generation = self.generation.fetch_add(1, SeqCst) + 1;
        filter
            .map_or(Ok(()), |filter| filter.install(vm))
            .map_err(|source| ArmError::Host {
                what: "the MSR filter".to_owned(),
                source,
            })?;
        if entered && !self.seats.await_newer(generation) {
            return Err(late());
        }
        // Only now does every vCPU bring an INT3 to us.
        self.place_breakpoints(places)?;
        self.protect(places)
    }

    /// Where breakpoints and page traps are now.
    fn places(&self) -> Places {
        let breakpoints = self.memory.as_ref().map(|memory| memory.placed());
        Places {
            breakpoints: breakpoints.unwrap_or_default(),
            pages: self.traps.as_ref().map(Traps::table).unwrap_or_default(),
        }
    }

    /// Traps the wanted pages. vCPUs learn of it again: what was protected before may have stopped
    /// one that has come in since.
    fn protect(&self, places: &Places) -> Result<(), ArmError> {
        let Some(traps) = &self.traps else {
            return Ok(());
        };
        let done = traps.set(&places.pages);
        self.generation.fetch_add(1, SeqCst);
        done.map_err(page_traps)
    }

    /// Takes away breakpoints that are not wanted any more, while every vCPU still brings them.
    fn keep_breakpoints(&self, places: &Places) {
        if let Some(memory) = &self.memory {
            memory.keep(&places.breakpoints);
        }
    }

    fn place_breakpoints(&self, places: &Places) -> Result<(), ArmError> {
        let placed = match &self.memory {
            Some(memory) => memory.set(&places.breakpoints),
            None => Ok(()),
        };
        placed.map_err(no_ram)
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

    /// The VM's memory, if it was given.
    pub(super) const fn memory(&self) -> Option<&Arc<PatchedRam>> {
        self.memory.as_ref()
    }

    /// The trapped pages, if there can be any.
    pub(super) const fn traps(&self) -> Option<&Traps> {
        self.traps.as_ref()
    }

    /// What this KVM does in its own way.
    pub(super) const fn habits(&self) -> Habits {
        self.habits
    }

    /// Who is in the guest.
    pub(super) const fn seats(&self) -> &Seats {
        &self.seats
    }

    /// The MSRs that this KVM knows, lowest first.
    pub(super) fn known(&self) -> &[u32] {
        &self.known
    }
}

fn unsupported(what: String, reason: &str) -> ArmError {
    ArmError::Unsupported {
        what,
        reason: reason.to_owned(),
    }
}

fn no_ram(gpa: Gpa) -> ArmError {
    unsupported(format!("a breakpoint at {gpa:#x}"), "no RAM is there")
}

fn page_traps(source: std::io::Error) -> ArmError {
    ArmError::Host {
        what: "page traps".to_owned(),
        source,
    }
}

/// A vCPU has not come out of the guest to be told.
fn late() -> ArmError {
    ArmError::Host {
        what: "a vCPU that does not come out of the guest".to_owned(),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}
