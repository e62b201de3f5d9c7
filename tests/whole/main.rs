//! Whole-engine tests: from a guest's event to the effect in the guest.

mod contained;
mod guard;
mod judging;
mod kvm;
mod linux;
mod refused;
mod threads;
mod tool;
mod traps;
mod unjudged;
