//! How an exec is refused, and where it is not.

use oriel_sdk::testing::Command;
use oriel_sdk::{Refusal, Register, Severity, Verdicts};

use super::*;
use crate::points::POINTS;
use crate::tests::forged::{CALLER, STACK, TEXT, linux};

const REFUSED: &str = "a forbidden program was to run, and was refused";

fn registers(guest: &Forged) -> [u64; 3] {
    let vcpu = &guest.bench.engine.vcpus[0];
    [Register::Rax, Register::Rsp, Register::Rip].map(|register| vcpu.register(register))
}

#[test]
fn a_refused_exec_returns_to_its_caller_with_an_errno_where_that_is_clean() -> Result<(), Failure> {
    for point in &POINTS {
        let config = denying("/bin/busybox").with("errno", 13_u64);
        let mut guest = Forged::with(config, linux(point.name))?;
        let verdict = guest.run(&Asked::default());
        if point.can_refuse {
            assert_eq!(verdict, Verdict::Retry, "{}", point.name);
            assert_eq!(
                registers(&guest),
                [13_u64.wrapping_neg(), STACK + 8, CALLER]
            );
            assert_eq!(
                (&*alert(&guest).message, alert(&guest).severity),
                (REFUSED, Severity::High)
            );
            assert!(line(&guest).ends_with("answer=refused"));
            assert_eq!(guest.bench.engine.counters["refused"], 1);
        } else {
            assert_eq!(verdict, Verdict::Continue, "{}", point.name);
            assert_eq!(registers(&guest)[1..], [STACK, TEXT + 0x10]);
            assert!(
                guest.bench.engine.log[1]
                    .1
                    .contains("cannot be refused there")
            );
            assert!(
                alert(&guest)
                    .message
                    .ends_with("could not be refused: unsupported")
            );
        }
    }
    Ok(())
}

#[test]
fn in_the_mode_alert_everything_goes_on() -> Result<(), Failure> {
    let config = Config::new().with("forbid", vec!["/bin/*".to_owned()]);
    let mut guest = Forged::new(config)?;
    assert_eq!(guest.run(&Asked::default()), Verdict::Continue);
    assert_eq!(
        alert(&guest).message,
        "a forbidden program was to run, and goes on"
    );
    assert_eq!(registers(&guest)[1..], [STACK, TEXT + 0x10]);
    Ok(())
}

#[test]
fn what_may_run_goes_on_in_the_mode_deny() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/opt/evil"))?;
    assert_eq!(guest.run(&Asked::default()), Verdict::Continue);
    assert!(guest.bench.engine.alerts.is_empty());
    Ok(())
}

#[test]
fn what_cannot_be_refused_goes_on_as_it_was_and_that_is_critical() -> Result<(), Failure> {
    for (command, refusal) in [
        (Command::SetRegisters, Refusal::Conflict),
        (Command::GetRegisters, Refusal::Denied),
        (Command::ReadVirtual, Refusal::Denied),
    ] {
        let mut guest = Forged::new(denying("/bin/busybox"))?;
        let binprm = guest.binprm(&Asked::default())?;
        guest.bench.engine.refuse(command, refusal);
        assert_eq!(guest.hit(binprm), Verdict::Continue, "{command:?}");
        assert_eq!(registers(&guest)[1..], [STACK, TEXT + 0x10]);
        assert_eq!(alert(&guest).severity, Severity::Critical);
        let words = format!("could not be refused: {}", refusal.name());
        assert!(
            alert(&guest).message.ends_with(&words),
            "{:?}",
            alert(&guest)
        );
    }
    Ok(())
}

#[test]
fn a_stack_that_is_not_there_and_an_event_that_cannot_be_retried_change_nothing()
-> Result<(), Failure> {
    let mut guest = Forged::new(denying("/bin/busybox"))?;
    let binprm = guest.binprm(&Asked::default())?;
    guest.bench.engine.memory.unmap(forged::CR3, STACK);
    assert_eq!(guest.hit(binprm), Verdict::Continue);
    assert!(alert(&guest).message.contains("could not be refused"));
    guest.bench.engine.memory.map(forged::CR3, STACK, 0x6000);
    let at = guest.bench.moment(0, Verdicts::CONTINUE | Verdicts::CRASH);
    let verdict = guest.bench.raise_at(at, guest.breakpoint());
    assert_eq!(verdict, Some(Verdict::Continue));
    assert_eq!(registers(&guest)[1..], [STACK, TEXT + 0x10]);
    Ok(())
}
