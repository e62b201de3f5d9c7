//! Guests with interrupt controllers that halt for ever. There it is KVM that waits, inside
//! `KVM_RUN`, and tells nobody. So every vCPU is taken out for a look every so often, while all are
//! in the guest.
//!
//! ```text
//!   a thread: nudge ──► each vCPU, as it comes out: halted with interrupts off, or not started?
//!                       the one that completes the set holds the others: is it still so?
//!                       then no vCPU runs that could wake another, and the VM has halted for good
//! ```
//! What could wake such a vCPU is an NMI, which in these VMs only another vCPU sends, or the timer
//! where the guest has asked for that (LINT0): then it is not taken to rest. Never wakes a vCPU.

use std::{
    io,
    sync::{
        Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use kvm_bindings::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED, kvm_lapic_state,
};
use kvm_ioctls::VcpuFd;

use super::world::World;

/// How long a VM may have halted before that is seen. A look costs an exit of each vCPU.
const PERIOD: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

/// The interrupt flag of RFLAGS.
const IF: u64 = 1 << 9;

/// Which vCPUs of a VM rest.
pub(super) struct Rests {
    resting: AtomicU64,
    everybody: u64,
    /// It has been said that all rest.
    told: AtomicBool,
    /// Dropped to end the thread that looks.
    _running: mpsc::Sender<()>,
}

impl Rests {
    /// Has the vCPUs of a VM looked at, by a thread that ends with it.
    pub(super) fn watch(world: Weak<World>, vcpus: u32) -> io::Result<Self> {
        let (running, ended) = mpsc::channel();
        let thread = thread::Builder::new().name("halts".to_owned());
        thread.spawn(move || {
            while ended.recv_timeout(PERIOD) == Err(mpsc::RecvTimeoutError::Timeout) {
                let Some(world) = world.upgrade() else { return };
                world.nudge_if_all_run();
            }
        })?;
        Ok(Self {
            resting: AtomicU64::new(0),
            everybody: (0..vcpus).fold(0, |all, vcpu| all | bit(vcpu)),
            told: AtomicBool::new(false),
            _running: running,
        })
    }

    /// Notes what a vCPU does, as it comes out of the guest.
    pub(super) fn note(&self, vcpu: u32, rests: bool) {
        if rests {
            self.resting.fetch_or(bit(vcpu), SeqCst);
        } else if self.resting.load(SeqCst) & bit(vcpu) != 0 {
            self.resting.fetch_and(!bit(vcpu), SeqCst);
            self.told.store(false, SeqCst);
        }
    }

    /// Whether no vCPU has anything to do, as far as each knows of itself.
    pub(super) fn all(&self) -> bool {
        self.resting.load(SeqCst) == self.everybody
    }

    /// Whether that is to be said: once, until somebody has something to do again.
    pub(super) fn may_tell(&self) -> bool {
        self.all() && !self.told.swap(true, SeqCst)
    }

    /// The VM begins anew.
    pub(super) fn reset(&self) {
        self.resting.store(0, SeqCst);
        self.told.store(false, SeqCst);
    }
}

/// Whether only another vCPU can make this one run, which stands with these flags (KVM API, 4.38).
pub(super) fn rests(vcpu: &VcpuFd, rflags: u64) -> bool {
    if rflags & IF != 0 {
        return false;
    }
    let Ok(state) = vcpu.get_mp_state() else {
        return false;
    };
    match state.mp_state {
        KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED => true,
        KVM_MP_STATE_HALTED => vcpu.get_lapic().is_ok_and(|apic| !has_timer_nmi(&apic)),
        _ => false,
    }
}

/// Whether the timer comes as an NMI: LINT0 is let through in that mode (SDM vol. 3, figure 12-8).
fn has_timer_nmi(apic: &kvm_lapic_state) -> bool {
    const LINT0: usize = 0x350;
    const MODE: u32 = 7 << 8;
    const NMI: u32 = 4 << 8;
    const MASKED: u32 = 1 << 16;
    let bytes = [0, 1, 2, 3].map(|at| apic.regs[LINT0 + at].to_le_bytes()[0]);
    let entry = u32::from_le_bytes(bytes);
    entry & MODE == NMI && entry & MASKED == 0
}

/// A vCPU's bit; there are at most 64.
const fn bit(vcpu: u32) -> u64 {
    1 << (vcpu % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(vcpus: u32) -> Rests {
        Rests::watch(Weak::new(), vcpus).unwrap()
    }

    #[test]
    fn it_is_said_once_until_somebody_has_something_to_do() {
        let rests = rests(2);
        rests.note(0, true);
        assert!(!rests.all() && !rests.may_tell());
        rests.note(1, true);
        assert!(rests.may_tell() && rests.all());
        rests.note(0, true);
        assert!(!rests.may_tell(), "said already");
        rests.note(0, false);
        rests.note(0, true);
        assert!(rests.may_tell(), "and again when it is so again");
        rests.reset();
        assert!(!rests.all());
    }

    #[test]
    fn a_timer_that_comes_as_an_nmi_is_found() {
        let mut apic = kvm_lapic_state { regs: [0; 1024] };
        assert!(!has_timer_nmi(&apic));
        apic.regs[0x351] = 4;
        assert!(has_timer_nmi(&apic));
        apic.regs[0x352] = 1;
        assert!(!has_timer_nmi(&apic), "masked");
    }
}
