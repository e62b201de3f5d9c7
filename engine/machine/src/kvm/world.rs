//! What the vCPUs of a VM share: who is in the guest, who holds the others, who halts, and
//! whether it is over.
//!
//! Nothing here is locked on the way into or out of the guest: a vCPU raises its own flag and
//! looks at the holder's; a holder raises its flag and looks at every vCPU's. Each sees the other,
//! or is seen.

use std::io;

use oriel_protocol::Refusal;

use super::kick::Kick;
use crate::{
    End, Hold,
    sync::{
        Arc, AtomicBool, AtomicU32, AtomicU64, Duration, Instant, Mutex, OnceLock,
        Ordering::SeqCst, PoisonError, Thread, thread,
    },
};

/// The most vCPUs: a bit each in one word.
pub(super) const MOST_VCPUS: u32 = 64;

/// How long a holder waits for the others to come out of the guest.
const HOLD_DEADLINE: Duration = Duration::from_secs(5);

/// Nobody holds the others.
const NOBODY: u32 = u32::MAX;

/// What the vCPUs of a VM share.
pub(super) struct World {
    vcpus: Vec<Seat>,
    holder: AtomicU32,
    /// The thread that waits for the others to come out.
    waiting: Mutex<Option<Thread>>,
    halted: AtomicU64,
    resets: AtomicU64,
    end: OnceLock<End>,
}

/// Whether the other vCPUs are kept out of the guest.
pub(super) enum Held {
    /// By the one that asks, until the hold is dropped, if there is a new one here.
    Yes(Option<Hold>),
    /// Another does, and keeps the one that asks out too.
    ByAnother,
}

struct Seat {
    kick: Arc<Kick>,
    in_guest: AtomicBool,
    /// How many resets it has been through.
    anew: AtomicU64,
}

impl World {
    pub(super) fn new(kicks: Vec<Arc<Kick>>) -> Arc<Self> {
        let seat = |kick| Seat {
            kick,
            in_guest: AtomicBool::new(false),
            anew: AtomicU64::new(0),
        };
        Arc::new(Self {
            vcpus: kicks.into_iter().map(seat).collect(),
            holder: AtomicU32::new(NOBODY),
            waiting: Mutex::new(None),
            halted: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            end: OnceLock::new(),
        })
    }

    /// Whether this vCPU, which has been through so many resets, may go into the guest; if so it
    /// counts as in it from now on.
    pub(super) fn go_in(&self, vcpu: u32, resets: u64) -> bool {
        self.set_in_guest(vcpu, true);
        let free =
            !self.is_stopped(vcpu, resets) && self.resets() == resets && self.ended().is_none();
        if !free {
            self.come_out(vcpu);
        }
        free
    }

    /// This vCPU is out of the guest.
    pub(super) fn come_out(&self, vcpu: u32) {
        self.set_in_guest(vcpu, false);
        if self.holder.load(SeqCst) != NOBODY
            && let Some(thread) = &*self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }

    /// Whether this vCPU, which has been through so many resets, has nothing to do but wait.
    pub(super) fn must_wait(&self, vcpu: u32, resets: u64) -> bool {
        self.is_stopped(vcpu, resets) && self.resets() == resets && self.ended().is_none()
    }

    /// Whether somebody holds this vCPU, or it halts, or another has yet to begin anew.
    fn is_stopped(&self, vcpu: u32, resets: u64) -> bool {
        let holder = self.holder.load(SeqCst);
        let held = holder != NOBODY && holder != vcpu;
        held || self.halted.load(SeqCst) & bit(vcpu) != 0 || !self.all_begun(resets)
    }

    /// Whether every vCPU has been through so many resets: before that, one that is ready could
    /// send another the interrupt that starts it, and have it lost when that one is put back.
    fn all_begun(&self, resets: u64) -> bool {
        let begun = |seat: &Seat| seat.anew.load(SeqCst) >= resets;
        resets == 0 || self.vcpus.iter().all(begun)
    }

    /// This vCPU has put itself back, as after so many resets.
    pub(super) fn begun(&self, vcpu: u32, resets: u64) {
        if let Some(seat) = self.vcpus.get(vcpu as usize) {
            seat.anew.store(resets, SeqCst);
        }
        self.others(vcpu).for_each(|seat| seat.kick.wake());
    }

    /// Whether this vCPU holds the others.
    fn is_holder(&self, vcpu: u32) -> bool {
        self.holder.load(SeqCst) == vcpu
    }

    fn set_in_guest(&self, vcpu: u32, inside: bool) {
        if let Some(seat) = self.vcpus.get(vcpu as usize) {
            seat.in_guest.store(inside, SeqCst);
        }
    }

    fn others(&self, vcpu: u32) -> impl Iterator<Item = &Seat> {
        let mine = vcpu as usize;
        let others = self
            .vcpus
            .iter()
            .enumerate()
            .filter(move |(index, _)| *index != mine);
        others.map(|(_, seat)| seat)
    }

    /// Keeps the others out of the guest, unless somebody does already.
    ///
    /// # Errors
    /// `TimedOut` if one does not come out.
    pub(super) fn hold(self: &Arc<Self>, vcpu: u32) -> io::Result<Held> {
        if self.is_holder(vcpu) {
            return Ok(Held::Yes(None));
        }
        match self.hold_others(vcpu) {
            Ok(hold) => Ok(Held::Yes(Some(hold))),
            Err(Refusal::Busy) => Ok(Held::ByAnother),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Keeps the others out of the guest until the hold is dropped.
    pub(super) fn hold_others(self: &Arc<Self>, vcpu: u32) -> Result<Hold, Refusal> {
        let taken = self.holder.compare_exchange(NOBODY, vcpu, SeqCst, SeqCst);
        taken.map_err(|_| Refusal::Busy)?;
        let world = self.clone();
        // From here on whatever happens, dropping `hold` lets the others go.
        let hold = Hold::new(move || world.release());
        self.wait_until_out(vcpu)?;
        Ok(hold)
    }

    fn wait_until_out(&self, vcpu: u32) -> Result<(), Refusal> {
        let deadline = Instant::now() + HOLD_DEADLINE;
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
        let inside = |seat: &&Seat| seat.in_guest.load(SeqCst);
        self.others(vcpu)
            .filter(inside)
            .for_each(|seat| seat.kick.nudge());
        while self.others(vcpu).any(|seat| inside(&seat)) {
            let left = deadline.checked_duration_since(Instant::now());
            thread::park_timeout(left.ok_or(Refusal::Unavailable)?);
        }
        Ok(())
    }

    fn release(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let holder = self.holder.swap(NOBODY, SeqCst);
        self.others(holder).for_each(|seat| seat.kick.wake());
    }

    /// This vCPU halts; true for the one that completes the set, which nothing can wake any more.
    ///
    /// Only where there is no interrupt controller, so that a halt with interrupts on is as final as
    /// one with interrupts off. With one, it is KVM that halts, and has to be asked (`rests`).
    pub(super) fn halt(&self, vcpu: u32) -> bool {
        let before = self.halted.fetch_or(bit(vcpu), SeqCst);
        before != self.everybody() && before | bit(vcpu) == self.everybody()
    }

    /// Whether nothing runs any more.
    pub(super) fn all_halt(&self) -> bool {
        self.halted.load(SeqCst) == self.everybody()
    }

    /// This vCPU has something to run again.
    pub(super) fn wake(&self, vcpu: u32) {
        self.halted.fetch_and(!bit(vcpu), SeqCst);
    }

    fn everybody(&self) -> u64 {
        (0..)
            .zip(&self.vcpus)
            .fold(0, |all, (vcpu, _)| all | bit(vcpu))
    }

    /// Takes every vCPU out of the guest for a moment, if all are in it.
    pub(super) fn nudge_if_all_run(&self) {
        let mut seats = self.vcpus.iter();
        if seats.all(|seat| seat.in_guest.load(SeqCst)) {
            self.vcpus.iter().for_each(|seat| seat.kick.nudge());
        }
    }

    /// How often the VM has been reset.
    pub(super) fn resets(&self) -> u64 {
        self.resets.load(SeqCst)
    }

    /// The VM has been reset: nobody halts, and every vCPU begins anew before it enters again.
    pub(super) fn reset(&self) {
        self.halted.store(0, SeqCst);
        self.resets.fetch_add(1, SeqCst);
    }

    /// How the VM has ended, if it has.
    pub(super) fn ended(&self) -> Option<&End> {
        self.end.get()
    }

    /// The VM ends; the first end stands. Every vCPU hears of it.
    pub(super) fn finish(&self, end: End) -> End {
        let end = self.end.get_or_init(|| end).clone();
        self.vcpus.iter().for_each(|seat| seat.kick.nudge());
        end
    }
}

/// A vCPU's bit; there are at most [`MOST_VCPUS`].
const fn bit(vcpu: u32) -> u64 {
    1 << (vcpu % MOST_VCPUS)
}

#[cfg(test)]
mod tests;
