//! The scenarios that are always at hand.

use std::{sync::Arc, thread};

use oriel_protocol::{Event, EventData, EventKind, Verdict, x86::msr};

use super::{Run, everything, raised, wanting};
use crate::{
    Wants,
    machine::{End, Exit, Vcpu},
    mock::{BUILTINS, Scenario, builtin, msr_storm},
    outlet::Kept,
};

const ENTRY: u64 = 0xffff_ffff_81e0_0080;
const ATTACK: u64 = 0xffff_ffff_c0de_0000;

/// What the guard of LSTAR answers: only the first entry is good.
fn guard(event: &Event) -> Verdict {
    if let EventData::Msr(write) = event.data
        && write.msr == msr::LSTAR
        && write.new != ENTRY
    {
        return Verdict::Deny;
    }
    Verdict::Continue
}

/// Runs to the end on this thread.
fn judged(vcpu: &mut dyn Vcpu, judge: impl Fn(&Event) -> Verdict) -> End {
    let mut verdict = Verdict::Continue;
    loop {
        verdict = match vcpu.enter(verdict).unwrap() {
            Exit::Event(event) => judge(&event),
            Exit::Kicked => Verdict::Continue,
            Exit::Ended(end) => return end,
        };
    }
}

/// All vCPUs on threads of their own; what they reported.
fn reports(scenario: &Scenario, judge: fn(&Event) -> Verdict) -> Vec<(u32, u64)> {
    let kept = Arc::new(Kept::default());
    let parts = scenario.build(kept.clone()).unwrap();
    parts.machine.arm(&wanting(&[EventKind::Msr])).unwrap();
    let run = |mut vcpu: Box<dyn Vcpu>| thread::spawn(move || judged(&mut *vcpu, judge));
    let threads: Vec<_> = parts.vcpus.into_iter().map(run).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), End::Finished(0));
    }
    kept.reports()
}

#[test]
fn all_of_them_are_there_under_their_names() {
    for (name, _) in BUILTINS {
        assert_eq!(builtin(name).unwrap().identity().name, name);
    }
    assert_eq!(builtin("no-such"), None);
}

#[test]
fn hello_says_hello() {
    let mut run = Run::of(&builtin("hello").unwrap(), &Wants::default());
    assert_eq!(run.end(Verdict::Continue), End::Finished(0));
    assert_eq!(run.kept.serial_text(), "hello from a mock guest\n");
}

#[test]
fn the_attack_succeeds_unless_it_is_denied() {
    let attack = builtin("msr-attack").unwrap();
    assert_eq!(
        reports(&attack, |_| Verdict::Continue),
        [(0, ATTACK), (0, 0)]
    );
    assert_eq!(reports(&attack, guard), [(0, ENTRY), (0, 1)]);
}

#[test]
fn the_attack_on_the_second_of_two_vcpus_is_denied_there() {
    let attack = builtin("msr-attack-2").unwrap();
    for _ in 0..10 {
        let open = reports(&attack, |_| Verdict::Continue);
        assert_eq!(open, [(1, ATTACK), (1, 0)]);
        assert_eq!(reports(&attack, guard), [(1, 0), (1, 1)]);
    }
}

#[test]
fn the_storm_has_as_many_writes_as_it_is_told() {
    let mut run = Run::of(&msr_storm(1000), &wanting(&[EventKind::Msr]));
    assert_eq!(run.kinds(), vec![EventKind::Msr; 1000]);
}

#[test]
fn every_kind_is_raised_in_the_order_of_the_table() {
    let mut wants = everything();
    let scenario = builtin("every-kind").unwrap();
    let mut stepped = Run::of(&scenario, &wants).kinds();
    assert!(
        stepped
            .iter()
            .filter(|kind| **kind == EventKind::Singlestep)
            .count()
            > 10
    );
    stepped.sort_unstable();
    stepped.dedup();
    assert_eq!(
        stepped,
        raised().collect::<Vec<_>>(),
        "a step for each kind there is"
    );
    wants.singlestep.clear();
    let mut kinds = Run::of(&scenario, &wants).kinds();
    kinds.dedup();
    let in_order: Vec<_> = raised()
        .filter(|kind| *kind != EventKind::Singlestep)
        .collect();
    assert_eq!(kinds, in_order);
}
