//! A small VMM of its own around the kvm machine, and all that an embedder can ask of it. Skipped
//! loudly without KVM; a failure there if `ORIEL_REQUIRE` names `kvm`.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod early;
mod example;
mod guest;
mod judges;
mod loops;
mod memory;
mod seat;
mod told;
mod traps;
mod vmm;
