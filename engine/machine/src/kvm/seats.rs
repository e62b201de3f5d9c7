//! Who may be in the guest with what was armed before: whoever changes what a vCPU has to be told
//! at its entry waits here until every vCPU has been.
//!
//! ```text
//!   a vCPU                                who arms
//!   ──────                                ────────
//!   inside := generation that it took     generation += 1
//!   is it still the newest?               inside is 0 or new? done : nudge, and wait
//!   KVM_RUN
//!   inside := 0
//! ```
//! All of these are sequentially consistent: one of the two sees the other. Never waits for a
//! judge, as a vCPU that is judged is not inside.

use super::kick::Kick;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, Duration, Instant, Mutex, MutexGuard, Ordering::SeqCst,
    PoisonError, Thread, thread,
};

/// How long whoever arms waits for vCPUs to come out of the guest.
const DEADLINE: Duration = Duration::from_secs(5);

/// The vCPUs of a VM, as whoever arms sees them.
#[derive(Default)]
pub(super) struct Seats {
    all: Mutex<Vec<Arc<Seat>>>,
    awaited: AtomicBool,
    waiting: Mutex<Option<Thread>>,
}

/// One vCPU.
pub(super) struct Seat {
    index: u32,
    kick: Arc<Kick>,
    /// The generation with which it went into the guest, plus one; 0 while it is out.
    inside: AtomicU64,
}

impl Seats {
    /// A vCPU takes its seat.
    pub(super) fn take(&self, index: u32, kick: Arc<Kick>) -> Arc<Seat> {
        let seat = Arc::new(Seat {
            index,
            kick,
            inside: AtomicU64::new(0),
        });
        self.lock().push(seat.clone());
        seat
    }

    /// Whether there is a vCPU of this number.
    pub(super) fn has(&self, index: u32) -> bool {
        self.lock().iter().any(|seat| seat.index == index)
    }

    /// The vCPU goes in with this generation.
    pub(super) fn go_in(&self, seat: &Seat, generation: u64) {
        seat.inside.store(generation + 1, SeqCst);
    }

    /// The vCPU is out.
    pub(super) fn come_out(&self, seat: &Seat) {
        seat.inside.store(0, SeqCst);
        if self.awaited.load(SeqCst)
            && let Some(thread) = &*self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }

    /// Waits until no vCPU is inside with a generation before this one; false if one does not
    /// come out in time. One thread at a time.
    pub(super) fn await_newer(&self, generation: u64) -> bool {
        let seats = self.lock().clone();
        let behind = |seat: &&Arc<Seat>| matches!(seat.inside.load(SeqCst), inside if inside != 0 && inside <= generation);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
        self.awaited.store(true, SeqCst);
        seats
            .iter()
            .filter(behind)
            .for_each(|seat| seat.kick.nudge());
        let deadline = Instant::now() + DEADLINE;
        let out = loop {
            if !seats.iter().any(|seat| behind(&seat)) {
                break true;
            }
            match deadline.checked_duration_since(Instant::now()) {
                Some(left) => thread::park_timeout(left),
                None => break false,
            }
        };
        self.awaited.store(false, SeqCst);
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
        out
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Seat>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::mpsc, thread};

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;
    use crate::kvm::sys::{page::RunPage, signal::KickSignal};

    /// A vCPU without a thread: a file stands in for its page.
    fn kick() -> Arc<Kick> {
        let file = memfd_create("page", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 0x2000).unwrap();
        let page = RunPage::map(&File::from(file), 0x2000).unwrap();
        let signal = KickSignal::install(KickSignal::default_number()).unwrap();
        Kick::new(page.immediate_exit(), signal)
    }

    #[test]
    fn nobody_is_waited_for_who_is_out_or_has_the_newest() {
        let seats = Seats::default();
        let (first, second) = (seats.take(0, kick()), seats.take(1, kick()));
        assert!(seats.await_newer(4));
        seats.go_in(&first, 5);
        assert!(seats.await_newer(5));
        seats.come_out(&first);
        drop(second);
        assert!(seats.has(1) && !seats.has(2));
    }

    #[test]
    fn who_arms_waits_until_the_last_vcpu_is_out() {
        let seats = Arc::new(Seats::default());
        let (first, second) = (seats.take(0, kick()), seats.take(1, kick()));
        seats.go_in(&first, 3);
        seats.go_in(&second, 3);
        let (said, heard) = mpsc::channel();
        thread::scope(|scope| {
            let waits = seats.clone();
            scope.spawn(move || said.send(waits.await_newer(4)).unwrap());
            seats.come_out(&first);
            assert!(heard.try_recv().is_err(), "one is still inside");
            seats.come_out(&second);
            assert_eq!(heard.recv(), Ok(true));
        });
    }
}
