//! Whole-engine tests: from a guest's event to the effect in the guest.

mod audited;
mod clock;
mod confined;
mod contained;
mod corpus;
mod debian;
mod grants;
mod guard;
mod guest_os;
mod hardware;
mod judging;
mod kvm;
mod linux;
mod qemu;
mod recorded;
mod refused;
mod roster;
mod table;
mod threads;
mod tool;
mod traps;
mod unjudged;
mod ways;
mod zoo;
