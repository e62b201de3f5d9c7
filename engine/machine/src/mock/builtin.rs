//! Scenarios that are always at hand: for demos, tests and benches.

use oriel_protocol::x86::msr;

use super::{scenario::Scenario, step::Step};

/// The names that [`builtin`] knows, with what happens there.
pub const BUILTINS: [(&str, &str); 6] = [
    ("hello", "a line on the serial port, and the end"),
    ("msr-attack", "LSTAR is set at boot, and overwritten later"),
    (
        "msr-attack-2",
        "LSTAR is set on one vCPU, and an attacker's on the other",
    ),
    ("msr-storm", "a hundred thousand MSR writes"),
    ("every-kind", "each kind of event once"),
    (
        "tour",
        "each kind of event, over and over, on two vCPUs, until it is stopped",
    ),
];

/// How many writes the storm of this name has.
const STORM: u64 = 100_000;
/// What the storm writes: some kernel address.
const ENTRY: u64 = 0xffff_ffff_81e0_0080;

/// The scenario of this name.
pub fn builtin(name: &str) -> Option<Scenario> {
    let text = match name {
        "hello" => include_str!("builtin/hello.toml"),
        "msr-attack" => include_str!("builtin/msr-attack.toml"),
        "msr-attack-2" => include_str!("builtin/msr-attack-2.toml"),
        "every-kind" => include_str!("builtin/every-kind.toml"),
        "tour" => include_str!("builtin/tour.toml"),
        "msr-storm" => return Some(msr_storm(STORM)),
        _ => return None,
    };
    Scenario::parse(text, name).ok()
}

/// So many writes of LSTAR from one place, and the end.
pub fn msr_storm(writes: u64) -> Scenario {
    Scenario::new("msr-storm")
        .step(
            Step::write_msr(msr::LSTAR, ENTRY)
                .at(0x10_0000)
                .times(writes.max(1)),
        )
        .step(Step::finish(0))
}
