use oriel_machine::{mock::Scenario, outlet};
use oriel_protocol::HardwarePoint;

use super::*;
use crate::holdings::Placed;

fn ledger(judges: usize) -> Ledger {
    let parts = Scenario::new("ledger").build(Arc::new(outlet::Kept::default()));
    Ledger::new(parts.unwrap().machine, vec![Holdings::default(); judges]).unwrap()
}

fn point(gva: u64) -> Placed {
    Placed::Hardware(HardwarePoint::execute(gva).unwrap())
}

/// Points at four addresses from here on.
fn take_four(ledger: &Ledger, judge: usize, first: u64) -> Result<(), Refusal> {
    (first..first + 4)
        .try_for_each(|gva| ledger.change(judge, |mine| mine.set_breakpoint(gva, point(gva))))
}

#[test]
fn what_the_machine_has_no_room_for_leaves_everything_as_it_was() {
    let ledger = ledger(2);
    assert_eq!(take_four(&ledger, 0, 0x10), Ok(()));
    let generation = ledger.generation();
    let fifth = ledger.change(1, |mine| mine.set_breakpoint(1, point(0x20)));
    assert_eq!(fifth, Err(Refusal::Limit));
    assert_eq!(ledger.generation(), generation);
    assert!(ledger.of(1).unwrap().breakpoints().is_empty());
    let cleared = ledger.change(0, |mine| Ok(mine.clear_breakpoint(0x10)));
    assert_eq!(cleared, Ok(Some(point(0x10))));
    let now = ledger.change(1, |mine| mine.set_breakpoint(1, point(0x20)));
    assert_eq!(now, Ok(()));
}

#[test]
fn an_owner_that_goes_leaves_the_debug_registers_free() {
    let ledger = ledger(2);
    assert_eq!(take_four(&ledger, 0, 0x10), Ok(()));
    assert_eq!(take_four(&ledger, 1, 0x20), Err(Refusal::Limit));
    // A tool that hangs up, whether it wants to be undone or not.
    for gone in [Holdings::blank, Holdings::kept] {
        let left = ledger.change(0, |mine| {
            mine.replace(gone(mine));
            Ok(())
        });
        assert_eq!(left, Ok(()));
        assert_eq!(take_four(&ledger, 0, 0x30), Ok(()));
    }
}

#[test]
fn behind_the_end_nobody_arms_anything() {
    let ledger = ledger(2);
    assert_eq!(take_four(&ledger, 0, 0x10), Ok(()));
    ledger.clear();
    assert_eq!(take_four(&ledger, 1, 0x20), Err(Refusal::Gone));
    let declared = ledger.declare(1, &Holdings::default());
    assert!(declared.is_ok(), "it has nothing to arm any more");
    let next = Ledger::new(ledger.machine.clone(), vec![Holdings::default()]).unwrap();
    assert_eq!(take_four(&next, 0, 0x30), Ok(()));
}

#[test]
fn a_ledger_that_is_dropped_has_undone_everything() {
    let ledger = ledger(1);
    assert_eq!(take_four(&ledger, 0, 0x10), Ok(()));
    let machine = ledger.machine.clone();
    drop(ledger);
    let next = Ledger::new(machine, vec![Holdings::default()]).unwrap();
    assert_eq!(take_four(&next, 0, 0x30), Ok(()));
}
