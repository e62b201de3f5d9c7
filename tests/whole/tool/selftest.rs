//! The rows of the kernel's own selftest (`kvmi_test.c`), one test each, for v7 and v12: against
//! the mock machine, and against kvm as far as that goes.

mod absent;
mod commands;
mod events;
mod kvm;
mod pages;

use oriel_protocol::{Dialect, EventKind};
use oriel_tests::{Ran, Vm, scenario, tool::Tool};

use super::{KERNELS, hooked};

/// A guest that has nothing to do.
const IDLE: &str = "[[step]]\nfinish = 0\n";

/// Tries a row in both dialects, on a VM that is held.
fn row(guest: &str, test: impl Fn(Vm, Tool)) {
    for dialect in KERNELS {
        let (vm, tool) = hooked(dialect, &scenario(guest));
        test(vm, tool);
    }
}

/// Tries a row that only v7 has.
fn row_of_v7(guest: &str, test: impl Fn(Vm, Tool)) {
    let (vm, tool) = hooked(Dialect::V7, &scenario(guest));
    test(vm, tool);
}

/// Switches an event on.
fn hear(tool: &mut Tool, event: EventKind) {
    super::hear(tool, 0, event);
}

/// Lets the guest go, to its end.
fn run_out(vm: Vm) -> Ran {
    vm.go(1);
    vm.wait()
}
