//! Real guests on the real KVM of this host. Without one these tests say so and pass; with
//! `kvm` in the environment variable `ORIEL_REQUIRE` they fail instead.

mod answers;
mod breakpoints;
mod conformance;
mod devices;
mod embedder;
mod ends;
mod faults;
mod hardware;
mod injection;
mod interrupts;
mod kernels;
mod kicks;
mod msr;
mod one_by_one;
mod pages;
mod state;
mod steps;
mod strings;
mod theatre;
mod tour;
