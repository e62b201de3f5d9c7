//! The one word through which other threads reach a vCPU.
//!
//! Every change is one atomic operation on the whole word, so of two threads that change it one
//! sees what the other did: a vCPU that goes in sees that it is held, or who holds it sees that it
//! is in.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

/// The vCPU is in the guest: it plays its script.
pub(super) const INSIDE: u32 = 1;
/// It waits for the world to change.
pub(super) const RESTING: u32 = 1 << 1;
/// Somebody wants its thread.
pub(super) const KICKED: u32 = 1 << 2;
/// Another vCPU holds the world.
pub(super) const HELD: u32 = 1 << 3;
/// The VM has ended.
pub(super) const ENDED: u32 = 1 << 4;
/// What is wanted has changed.
pub(super) const REARMED: u32 = 1 << 5;

/// What a vCPU must look after before it plays on.
pub(super) const ATTENTION: u32 = KICKED | HELD | ENDED | REARMED;

/// One vCPU's word, on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Bell(AtomicU32);

impl Bell {
    /// Whether any of these bits is set.
    pub(super) fn has(&self, bits: u32) -> bool {
        self.0.load(Ordering::Acquire) & bits != 0
    }

    /// Sets bits; answers with the word before.
    pub(super) fn set(&self, bits: u32) -> u32 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }

    /// Clears bits; answers with the word before.
    pub(super) fn clear(&self, bits: u32) -> u32 {
        self.0.fetch_and(!bits, Ordering::AcqRel)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Bell({:#b})", self.0.load(Ordering::Relaxed))
    }
}
