//! `msr-guard`, the real component, on the mock machine.

use std::sync::Arc;

use oriel_machine::{
    End,
    mock::{self, Scenario, Step},
};
use oriel_policy::{Setting, Store};
use oriel_protocol::{EventKind, Value, Verdict, x86::msr};
use oriel_tests::{host, load, play};

const KERNEL: u64 = 0xffff_ffff_81e0_0080;
const ATTACKER: u64 = 0xffff_ffff_c0de_0000;

fn write(value: u64) -> Scenario {
    Scenario::new("write")
        .step(Step::write_msr(msr::LSTAR, value))
        .step(Step::finish(0))
}

#[test]
fn the_attack_is_denied_and_the_old_value_stays() {
    let host = host();
    let scenario = mock::builtin("msr-attack").expect("built in");
    let ran = play(&scenario, vec![load("msr-guard").candidate(&host)]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.reports.first(), Some(&KERNEL));
    assert!(ran.verdicts().contains(&(EventKind::Msr, Verdict::Deny)));
    assert_eq!(ran.alerts().len(), 1);
}

#[test]
fn without_it_the_attack_succeeds() {
    let ran = play(&mock::builtin("msr-attack").expect("built in"), vec![]);
    assert_eq!(ran.reports.first(), Some(&ATTACKER));
}

#[test]
fn another_vcpus_first_write_must_equal_the_pinned_value() {
    let host = host();
    let scenario = mock::builtin("msr-attack-2").expect("built in");
    let ran = play(&scenario, vec![load("msr-guard").candidate(&host)]);
    assert!(ran.verdicts().contains(&(EventKind::Msr, Verdict::Deny)));
}

#[test]
fn a_fresh_instance_still_knows_what_is_pinned() {
    let (host, store) = (host(), Arc::new(Store::default()));
    let guard = || vec![load("msr-guard").store(&store).candidate(&host)];
    assert_eq!(
        play(&write(KERNEL), guard()).verdicts(),
        [(EventKind::Msr, Verdict::Continue)]
    );
    // Every instance of before is gone; what is left is the store.
    assert_eq!(
        play(&write(ATTACKER), guard()).verdicts(),
        [(EventKind::Msr, Verdict::Deny)]
    );
    assert_eq!(
        play(&write(KERNEL), guard()).verdicts(),
        [(EventKind::Msr, Verdict::Continue)]
    );
}

#[test]
fn a_reset_clears_the_pins() {
    let (host, store) = (host(), Arc::new(Store::default()));
    let guard = || vec![load("msr-guard").store(&store).candidate(&host)];
    play(&write(KERNEL), guard());
    let reset = Scenario::new("reset")
        .step(Step::new(mock::Instruction::Reset(Default::default())))
        .step(Step::finish(0));
    assert_eq!(
        play(&reset, guard()).verdicts(),
        [(EventKind::Reset, Verdict::Continue)]
    );
    assert_eq!(
        play(&write(ATTACKER), guard()).verdicts(),
        [(EventKind::Msr, Verdict::Continue)]
    );
}

#[test]
fn keeping_silently_replaces_by_the_old_value() {
    let host = host();
    let guard = load("msr-guard").set("on-violation", Setting::Text("keep".to_owned()));
    let scenario = mock::builtin("msr-attack").expect("built in");
    let ran = play(&scenario, vec![guard.candidate(&host)]);
    assert!(
        ran.verdicts()
            .contains(&(EventKind::Msr, Verdict::Replace(Value::Word(KERNEL))))
    );
    assert_eq!(ran.reports.first(), Some(&KERNEL));
}
