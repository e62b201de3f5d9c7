//! KVMI tools: from the bytes on their socket to the effect in the guest, and back.

mod selftest;

use oriel_engine::Candidate;
use oriel_machine::mock::Scenario;
use oriel_protocol::Dialect;
use oriel_tests::{
    Vm,
    tool::{NAME, Tool, seat},
};

/// The dialects of the kernel's selftest.
const KERNELS: [Dialect; 2] = [Dialect::V7, Dialect::V12];

/// Error numbers as the wire has them.
mod errno {
    pub(super) const PERM: i32 = -1;
    pub(super) const NOENT: i32 = -2;
    pub(super) const BUSY: i32 = -16;
    pub(super) const INVAL: i32 = -22;
    pub(super) const OPNOTSUPP: i32 = -95;
    pub(super) const NOSYS: i32 = -1000;
}

/// A VM that is held, with a tool hooked that may do everything.
fn hooked(dialect: Dialect, scenario: &Scenario) -> (Vm, Tool) {
    hooked_by(seat(dialect), scenario)
}

fn hooked_by(seat: Candidate, scenario: &Scenario) -> (Vm, Tool) {
    let vm = Vm::of(scenario, vec![seat]);
    let tool = vm.hook(NAME);
    (vm, tool)
}
