//! KVMI tools: from the bytes on their socket to the effect in the guest, and back.

mod deadlines;
mod floods;
mod hangup;
mod mask;
mod pages;
mod rfc6;
mod selftest;
mod session;
mod together;
mod verdicts;

use oriel_engine::Candidate;
use oriel_machine::mock::Scenario;
use oriel_protocol::{
    Dialect, EventKind,
    commands::vcpu::{ControlEvents, ControlMsr},
    x86::msr,
};
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

/// Switches an event on for a vCPU; v12 has no switch for some.
fn hear(tool: &mut Tool, vcpu: u16, event: EventKind) {
    let always = matches!(event, EventKind::Singlestep | EventKind::Trap);
    if tool.is_v12() && always {
        return;
    }
    let enable = true;
    assert_eq!(tool.on(vcpu, ControlEvents { event, enable }), Ok(()));
}

/// Has writes of STAR told on a vCPU.
fn hear_star(tool: &mut Tool, vcpu: u16) {
    hear(tool, vcpu, EventKind::Msr);
    let (msr, enable) = (msr::STAR, true);
    assert_eq!(tool.on(vcpu, ControlMsr { msr, enable }), Ok(()));
}

/// A guest that writes STAR, reports it, and ends.
const WRITES: &str = "
    [[step]]
    event = \"msr\"
    msr = \"star\"
    value = 9
    [[step]]
    report = \"msr\"
    msr = \"star\"
    [[step]]
    finish = 0";

/// The same on two vCPUs: each writes its own number and one; the first ends the VM after both.
const BOTH_WRITE: &str = "
    vcpus = 2
    [[step]]
    event = \"msr\"
    msr = \"star\"
    value = 1
    [[step]]
    report = \"msr\"
    msr = \"star\"
    [[step]]
    wait-for = \"second\"
    [[step]]
    finish = 0
    [[step]]
    vcpu = 1
    event = \"msr\"
    msr = \"star\"
    value = 2
    [[step]]
    vcpu = 1
    report = \"msr\"
    msr = \"star\"
    [[step]]
    vcpu = 1
    signal = \"second\"";

/// One more write of STAR.
const WRITE_8: &str = "[[step]]\nevent = \"msr\"\nmsr = \"star\"\nvalue = 8\n";
const FINISH: &str = "[[step]]\n    finish = 0";

/// Reports RBX after a write of STAR.
const SHOWS_RBX: &str = "
    [[step]]
    event = \"msr\"
    msr = \"star\"
    value = 9
    [[step]]
    report = \"register\"
    register = \"rbx\"
    [[step]]
    finish = 0";
