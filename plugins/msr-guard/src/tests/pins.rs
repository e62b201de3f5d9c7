//! What is pinned, by what, for whom and how long.

use oriel_sdk::testing::Command;
use oriel_sdk::{Decision, Refusal, Verdicts};

use super::*;

#[test]
fn the_first_write_pins_and_a_change_is_denied_with_an_alert() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let boot = enter_at(&mut bench, 0, 0, KERNEL);
    assert_eq!(boot, Some(Verdict::Continue));
    let attack = enter_at(&mut bench, 0, KERNEL, ROOTKIT);
    assert_eq!(attack, Some(Verdict::Deny));
    let alert = alert(&bench);
    let said = "LSTAR: the guest changes a value that was pinned at boot";
    assert_eq!(alert.message, said);
    assert_eq!(alert.fields["msr"], "0xc0000082");
    assert_eq!(alert.fields["pinned"], "0xffffffff81a00080");
    assert_eq!(alert.fields["attempted"], "0xffffffffc0001000");
    assert_eq!(alert.fields["vcpu"], "0");
    assert_eq!(alert.fields["ip"], "0xffffffff81000000");
    Ok(())
}

#[test]
fn a_trap_between_two_writes_forgets_nothing() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    enter_at(&mut bench, 0, 0, KERNEL);
    bench.crash();
    let attack = enter_at(&mut bench, 0, KERNEL, ROOTKIT);
    assert_eq!(attack, Some(Verdict::Deny));
    Ok(())
}

#[test]
fn another_vcpu_is_held_to_the_pin_of_the_first() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    enter_at(&mut bench, 0, 0, KERNEL);
    let same = enter_at(&mut bench, 1, 0, KERNEL);
    assert_eq!(same, Some(Verdict::Continue));
    let other = enter_at(&mut bench, 2, 0, ROOTKIT);
    assert_eq!(other, Some(Verdict::Deny));
    Ok(())
}

#[test]
fn the_stack_of_sysenter_is_pinned_for_each_vcpu() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let mut stack = |vcpu, old, new| bench.raise(vcpu, Write::new(SYSENTER_ESP, old, new));
    assert_eq!(stack(0, 0, 0x1000), Some(Verdict::Continue));
    assert_eq!(stack(1, 0, 0x2000), Some(Verdict::Continue));
    assert_eq!(stack(1, 0x2000, 0x1000), Some(Verdict::Deny));
    Ok(())
}

#[test]
fn a_write_that_changes_nothing_is_let_through_and_pins_nothing() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    bench.engine.refuse_all(Refusal::Denied);
    let idle = enter_at(&mut bench, 0, KERNEL, KERNEL);
    assert_eq!(idle, Some(Verdict::Continue));
    assert!(bench.engine.asked.is_empty());
    Ok(())
}

#[test]
fn a_write_that_a_judge_has_refused_already_pins_nothing() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let mut at = bench.moment(0, Verdicts::all());
    at.decided = Decision::Deny;
    let refused = bench.raise_at(at, Write::new(LSTAR, 0, ROOTKIT));
    assert_eq!(refused, Some(Verdict::Continue));
    let boot = enter_at(&mut bench, 0, 0, KERNEL);
    assert_eq!(boot, Some(Verdict::Continue));
    Ok(())
}

#[test]
fn what_is_pinned_is_the_value_as_the_judges_before_left_it() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let replaced = Write {
        proposed: KERNEL,
        ..Write::new(LSTAR, 0, ROOTKIT)
    };
    assert_eq!(bench.raise(0, replaced), Some(Verdict::Continue));
    let same = enter_at(&mut bench, 1, 0, KERNEL);
    assert_eq!(same, Some(Verdict::Continue));
    Ok(())
}

#[test]
fn after_a_reset_the_kernel_chooses_anew() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    enter_at(&mut bench, 0, 0, KERNEL);
    let reset = bench.raise(0, reset::Reset);
    assert_eq!(reset, Some(reset::Verdict::Continue));
    assert!(bench.engine.store.is_empty());
    let boot = enter_at(&mut bench, 0, 0, KERNEL + 0x20_0000);
    assert_eq!(boot, Some(Verdict::Continue));
    Ok(())
}

#[test]
fn a_reset_that_cannot_clear_the_pins_goes_on_with_an_alert() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    enter_at(&mut bench, 0, 0, KERNEL);
    bench.engine.refuse(Command::RemoveKey, Refusal::Busy);
    let reset = bench.raise(0, reset::Reset);
    assert_eq!(reset, Some(reset::Verdict::Continue));
    assert_eq!(alert(&bench).fields["refusal"], "busy");
    Ok(())
}

#[test]
fn other_msrs_are_none_of_its_business() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    assert_eq!(bench.raise(0, Write::new(0x10, 0, 1)), None);
    Ok(())
}
