//! Which events wait for a reply: one slot a vCPU, shared by the vCPUs' threads and the one that
//! receives. It owns who may still be answered, and never what the answer is.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::EventKind;

/// The events that wait for a reply of one tool, at most one a vCPU.
#[derive(Debug)]
pub struct Pending {
    /// 0, or the event's number below and its kind plus 1 above 32 bits.
    slots: Box<[AtomicU64]>,
}

const NOTHING: u64 = 0;

impl Pending {
    /// For so many vCPUs.
    pub fn new(vcpus: u32) -> Self {
        Self {
            slots: (0..vcpus).map(|_| AtomicU64::new(NOTHING)).collect(),
        }
    }

    /// Says that this vCPU waits for the reply to event `seq`. Before the event is sent, because
    /// the reply may be there before the sender has returned.
    pub fn announce(&self, vcpu: u32, seq: u32, kind: EventKind) {
        if let Some(slot) = self.slot(vcpu) {
            slot.store(packed(seq, kind), Ordering::Release);
        }
    }

    /// Says that this vCPU waits no longer. False if a reply was taken before.
    pub fn withdraw(&self, vcpu: u32) -> bool {
        self.slot(vcpu)
            .is_some_and(|slot| slot.swap(NOTHING, Ordering::AcqRel) != NOTHING)
    }

    /// Takes the event that this vCPU waits in, if it is `seq`: one caller gets it, once.
    pub fn take(&self, vcpu: u32, seq: u32) -> Option<EventKind> {
        let slot = self.slot(vcpu)?;
        let waiting = slot.load(Ordering::Acquire);
        let (waits_for, kind) = unpacked(waiting)?;
        if waits_for != seq {
            return None;
        }
        slot.compare_exchange(waiting, NOTHING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
            .then_some(kind)
    }

    fn slot(&self, vcpu: u32) -> Option<&AtomicU64> {
        self.slots.get(usize::try_from(vcpu).ok()?)
    }
}

fn packed(seq: u32, kind: EventKind) -> u64 {
    (kind as u64 + 1) << 32 | u64::from(seq)
}

fn unpacked(slot: u64) -> Option<(u32, EventKind)> {
    let kind = usize::try_from(slot >> 32).ok()?.checked_sub(1)?;
    let seq = u32::try_from(slot & u64::from(u32::MAX)).ok()?;
    Some((seq, *EventKind::ALL.get(kind)?))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn each_kind_is_taken_once_and_only_under_its_number() {
        for &kind in EventKind::ALL {
            for seq in [0, 1, u32::MAX] {
                let pending = Pending::new(2);
                pending.announce(1, seq, kind);
                assert_eq!(pending.take(1, seq.wrapping_add(1)), None);
                assert_eq!(pending.take(0, seq), None, "another vCPU");
                assert_eq!(pending.take(1, seq), Some(kind));
                assert_eq!(pending.take(1, seq), None, "a second time");
                assert!(!pending.withdraw(1));
            }
        }
    }

    #[test]
    fn what_is_withdrawn_cannot_be_taken() {
        let pending = Pending::new(1);
        pending.announce(0, 0, EventKind::Cr);
        assert!(pending.withdraw(0));
        assert_eq!(pending.take(0, 0), None);
    }

    #[test]
    fn a_vcpu_that_does_not_exist_waits_for_nothing() {
        let pending = Pending::new(1);
        pending.announce(1, 5, EventKind::Cr);
        assert_eq!(pending.take(1, 5), None);
        assert!(!pending.withdraw(u32::MAX));
    }

    #[test]
    fn of_two_that_take_at_once_one_gets_it() {
        let pending = Pending::new(1);
        let taken = AtomicUsize::new(0);
        for seq in 0..1000 {
            pending.announce(0, seq, EventKind::Msr);
            let take = || {
                if pending.take(0, seq).is_some() {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            };
            std::thread::scope(|threads| {
                threads.spawn(take);
                take();
            });
        }
        assert_eq!(taken.into_inner(), 1000);
    }
}
