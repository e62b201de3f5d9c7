//! What becomes of a write that breaks a rule, or could not be checked.

use oriel_sdk::testing::Command;
use oriel_sdk::{Level, Refusal, Verdicts};

use super::*;

/// What a change of LSTAR is answered with, if the event can take these verdicts.
fn answer(on_violation: &str, allowed: Verdicts) -> Result<Option<Verdict>, Failure> {
    let mut bench = bench(Config::new().with("on-violation", on_violation))?;
    enter_at(&mut bench, 0, 0, KERNEL);
    let at = bench.moment(0, allowed);
    let verdict = bench.raise_at(at, Write::new(LSTAR, KERNEL, ROOTKIT));
    assert_eq!(bench.engine.alerts.len(), 1);
    Ok(verdict)
}

#[test]
fn the_operator_chooses_the_answer() -> Result<(), Failure> {
    for (name, verdict) in [
        ("deny", Verdict::Deny),
        ("keep", Verdict::Replace(KERNEL)),
        ("crash", Verdict::Crash),
        ("alert-only", Verdict::Continue),
    ] {
        assert_eq!(answer(name, Verdicts::all())?, Some(verdict), "{name}");
    }
    Ok(())
}

#[test]
fn where_an_answer_cannot_be_given_the_nearest_that_is_as_strict_is() -> Result<(), Failure> {
    let retired = Verdicts::CONTINUE | Verdicts::REPLACE | Verdicts::CRASH;
    assert_eq!(answer("deny", retired)?, Some(Verdict::Replace(KERNEL)));
    let least = Verdicts::CONTINUE | Verdicts::CRASH;
    assert_eq!(answer("deny", least)?, Some(Verdict::Crash));
    assert_eq!(answer("keep", least)?, Some(Verdict::Crash));
    let faulting = Verdicts::DENY | Verdicts::CRASH;
    assert_eq!(answer("keep", faulting)?, Some(Verdict::Deny));
    Ok(())
}

#[test]
fn a_write_that_the_store_keeps_from_checking_is_denied_with_an_alert() -> Result<(), Failure> {
    for on_violation in ["deny", "alert-only"] {
        let mut bench = bench(Config::new().with("on-violation", on_violation))?;
        let swap = Command::CompareAndSwapNumber;
        bench.engine.refuse(swap, Refusal::Limit);
        let boot = enter_at(&mut bench, 0, 0, KERNEL);
        assert_eq!(boot, Some(Verdict::Deny), "{on_violation}");
        let alert = alert(&bench);
        assert_eq!(alert.message, "LSTAR: a write could not be checked");
        assert_eq!(alert.fields["refusal"], "limit");
        let efer = bench.raise(0, Write::new(crate::efer::MSR, 0x500, 0x501));
        assert_eq!(efer, Some(Verdict::Deny), "{on_violation}");
    }
    Ok(())
}

#[test]
fn an_alert_that_is_refused_is_logged_and_the_verdict_stands() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    enter_at(&mut bench, 0, 0, KERNEL);
    bench.engine.refuse(Command::Alert, Refusal::Limit);
    let attack = enter_at(&mut bench, 0, KERNEL, ROOTKIT);
    assert_eq!(attack, Some(Verdict::Deny));
    let (level, line) = &bench.engine.log[0];
    assert_eq!(*level, Level::Error);
    assert!(line.starts_with("LSTAR: the guest changes"), "{line}");
    Ok(())
}
