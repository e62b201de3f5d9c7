//! Whole-engine tests: from a guest's event to the effect in the guest.

mod audited;
mod clock;
mod contained;
mod grants;
mod guard;
mod hardware;
mod judging;
mod kvm;
mod linux;
mod qemu;
mod recorded;
mod refused;
mod roster;
mod threads;
mod tool;
mod traps;
mod unjudged;
mod zoo;
