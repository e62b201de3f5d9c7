//! What is reported: from the judges' wants to what KVM and the vCPUs are told.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use kvm_bindings::{KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER, kvm_enable_cap};
use kvm_ioctls::{Kvm, VmFd};
use oriel_protocol::{EventKind, Gpa, HardwarePoint, page::PAGE_SIZE};

use super::{
    capabilities,
    habits::Habits,
    msr_filter::{MsrFilter, may_filter},
    patched::PatchedRam,
    seats::Seats,
    traps::{Shield, Traps},
};
use crate::{ArmError, GuestMemory as _, Wants, points};

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

/// What is reported now.
#[derive(Clone, Debug, Default)]
pub(super) struct Armed {
    pub(super) wants: Wants,
    filter: MsrFilter,
    /// The managed breakpoints, lowest first, each once.
    breakpoints: Vec<Gpa>,
    /// The hardware points, each once.
    pub(super) hardware: Vec<HardwarePoint>,
}

impl Armed {
    fn new(wants: &Wants, known: &[u32], before: &Self) -> Result<Self, ArmError> {
        let mut breakpoints = wants.breakpoints.clone();
        breakpoints.sort_unstable();
        breakpoints.dedup();
        Ok(Self {
            wants: wants.clone(),
            filter: MsrFilter::new(wants, |msr| may_filter(msr, known))?,
            breakpoints,
            hardware: points::fit(&wants.hardware, &before.hardware)?,
        })
    }

    /// Whether this vCPU is stepped.
    pub(super) fn steps(&self, vcpu: u32) -> bool {
        self.wants.kind(EventKind::Singlestep) && self.wants.singlestep.contains(&vcpu)
    }

    /// Whether a managed breakpoint is wanted here.
    pub(super) fn has_breakpoint(&self, gpa: Gpa) -> bool {
        self.breakpoints.binary_search(&gpa).is_ok()
    }

    /// Whether INT3s come to us.
    pub(super) fn breaks(&self) -> bool {
        self.wants.kind(EventKind::Breakpoint) || !self.breakpoints.is_empty()
    }

    /// Whether vCPUs are run in another way than with these wants.
    fn runs_otherwise(&self, other: &Self) -> bool {
        let kind = EventKind::Singlestep;
        self.breaks() != other.breaks()
            || self.wants.kind(kind) != other.wants.kind(kind)
            || self.wants.singlestep != other.wants.singlestep
            || self.hardware != other.hardware
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
        if current.wants == *wants {
            return Ok(());
        }
        check_kinds(wants, self.habits)?;
        check_hardware(wants, self.habits)?;
        self.check_vcpus(wants)?;
        let armed = Armed::new(wants, &self.known, &current)?;
        self.check_memory(&armed)?;
        let before = current.clone();
        self.keep_breakpoints(&armed);
        let done = self.change(&mut current, vm, armed);
        if done.is_err() {
            // What was armed before still is; it was possible then.
            let _ = self.change(&mut current, vm, Armed::clone(&before));
        }
        done
    }

    /// From what is armed to something else, of which everything can be had.
    fn change(&self, current: &mut Arc<Armed>, vm: &VmFd, armed: Armed) -> Result<(), ArmError> {
        let filter = (current.filter != armed.filter).then(|| armed.filter.clone());
        let entered = current.runs_otherwise(&armed);
        // Told to the vCPUs first: an exit that the new filter causes finds its want. Exits that
        // the old one causes meanwhile find none, and are carried out in silence.
        *current = Arc::new(armed);
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
        self.place_breakpoints(current)?;
        self.protect(current)
    }

    /// Traps the wanted pages. vCPUs learn of it again: what was protected before may have stopped
    /// one that has come in since.
    fn protect(&self, armed: &Armed) -> Result<(), ArmError> {
        let Some(traps) = &self.traps else {
            return Ok(());
        };
        let done = traps.set(&armed.wants.pages);
        self.generation.fetch_add(1, SeqCst);
        done.map_err(|source| ArmError::Host {
            what: "page traps".to_owned(),
            source,
        })
    }

    /// Takes away breakpoints that are not wanted any more, while every vCPU still brings them.
    fn keep_breakpoints(&self, armed: &Armed) {
        if let Some(memory) = &self.memory {
            memory.keep(&armed.breakpoints);
        }
    }

    fn place_breakpoints(&self, armed: &Armed) -> Result<(), ArmError> {
        let placed = match &self.memory {
            Some(memory) => memory.set(&armed.breakpoints),
            None => Ok(()),
        };
        placed.map_err(no_ram)
    }

    /// Every breakpoint needs memory to be in.
    fn check_memory(&self, armed: &Armed) -> Result<(), ArmError> {
        self.check_pages(&armed.wants)?;
        let Some(first) = armed.breakpoints.first() else {
            return Ok(());
        };
        let Some(memory) = &self.memory else {
            return Err(unsupported(
                format!("a breakpoint at {first:#x}"),
                "the VMM has not given the guest's memory",
            ));
        };
        let stranger = armed
            .breakpoints
            .iter()
            .find(|gpa| !memory.covers(**gpa, 1));
        stranger.map_or(Ok(()), |gpa| Err(no_ram(*gpa)))
    }

    /// Every trapped page has to be RAM, which can be protected.
    fn check_pages(&self, wants: &Wants) -> Result<(), ArmError> {
        let Some((first, _)) = wants.pages.first_key_value() else {
            return Ok(());
        };
        let trap = |frame: &u64| format!("a trap at page frame {frame:#x}");
        let (Some(memory), Some(_)) = (&self.memory, &self.traps) else {
            return Err(unsupported(
                trap(first),
                "the VMM has not given the guest's memory, or who protects it",
            ));
        };
        let is_ram = |frame: u64| {
            frame
                .checked_mul(PAGE_SIZE)
                .is_some_and(|gpa| memory.covers(gpa, PAGE_SIZE))
        };
        match wants.pages.keys().find(|frame| !is_ram(**frame)) {
            None => Ok(()),
            Some(frame) => Err(unsupported(trap(frame), "no RAM is there")),
        }
    }

    /// Every vCPU that is to be stepped has to be one.
    fn check_vcpus(&self, wants: &Wants) -> Result<(), ArmError> {
        let stranger = wants.singlestep.iter().find(|vcpu| !self.seats.has(**vcpu));
        match stranger {
            None => Ok(()),
            Some(vcpu) => Err(unsupported(
                format!("single-step of vCPU {vcpu}"),
                "there is no such vCPU",
            )),
        }
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

/// A vCPU has not come out of the guest to be told.
fn late() -> ArmError {
    ArmError::Host {
        what: "a vCPU that does not come out of the guest".to_owned(),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}

/// Every kind that is wanted has to be one that can be reported.
fn check_kinds(wants: &Wants, habits: Habits) -> Result<(), ArmError> {
    let asked = [
        (EventKind::Breakpoint, !wants.breakpoints.is_empty()),
        (EventKind::Page, !wants.pages.is_empty()),
        (EventKind::Singlestep, !wants.singlestep.is_empty()),
    ];
    let kinds = asked
        .into_iter()
        .filter_map(|(kind, any)| any.then_some(kind));
    for kind in wants.events.iter().chain(kinds) {
        capabilities::mechanism(kind, habits)
            .map_err(|reason| unsupported(format!("`{}`", kind.name()), reason))?;
    }
    Ok(())
}

/// Every hardware point has to be one that fires.
fn check_hardware(wants: &Wants, habits: Habits) -> Result<(), ArmError> {
    let fires = |point: &&HardwarePoint| match point.executes() {
        true => habits.code_points,
        false => habits.data_points,
    };
    match wants.hardware.iter().find(|point| !fires(point)) {
        None => Ok(()),
        Some(point) if point.executes() => Err(unsupported(
            points::words(point),
            "tried out, this KVM does not stop at one",
        )),
        Some(point) => Err(unsupported(
            points::words(point),
            "tried out, this KVM does not stop behind a watched access; trap the page instead (`page`)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(kind: EventKind) -> Wants {
        Wants {
            events: [kind].into_iter().collect(),
            ..Wants::default()
        }
    }

    #[test]
    fn what_cannot_be_reported_is_named_with_a_reason() {
        for kind in [EventKind::Cr, EventKind::Descriptor, EventKind::Cpuid] {
            let error = check_kinds(&wants(kind), Habits::VMX_AND_SVM)
                .unwrap_err()
                .to_string();
            assert!(error.contains(kind.name()), "{error}");
            assert!(error.len() > 40, "a reason is given: {error}");
        }
    }

    #[test]
    fn notices_are_the_engines_and_take_no_arming() {
        for kind in [EventKind::CreateVcpu, EventKind::Pause, EventKind::Unhook] {
            assert!(check_kinds(&wants(kind), Habits::VMX_AND_SVM).is_ok());
        }
    }

    #[test]
    fn traps_are_refused_even_where_nobody_listens() {
        let unable = Habits {
            steps: false,
            ..Habits::VMX_AND_SVM
        };
        let steps = Wants {
            singlestep: vec![0],
            ..Wants::default()
        };
        assert!(check_kinds(&steps, unable).is_err());
    }
}
