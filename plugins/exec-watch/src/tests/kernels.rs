//! Kernels that are not there yet, lack something, or are gone.

use oriel_sdk::testing::{Command, MockEngine, MockLinux};
use oriel_sdk::{Place, Policy, Refusal, reset};

use super::*;
use crate::ExecWatch;
use crate::tests::forged::{CR3, TEXT, linux};

const POINT: &str = "security_bprm_check";

/// What an instance says that begins on a vCPU of this guest.
fn begun(linux: Option<MockLinux>) -> (Result<ExecWatch, String>, MockEngine) {
    let mut engine = MockEngine::default();
    engine.linux = linux;
    engine.memory.map(CR3, TEXT, 0x5000);
    let begun = ExecWatch::init(&mut all(), Place::Vcpu(0), &mut engine);
    (begun.map_err(String::from), engine)
}

#[test]
fn a_kernel_that_lacks_what_is_needed_is_refused_in_words() {
    let mut without_types = linux(POINT);
    without_types.fields.clear();
    let mut strange = linux(POINT);
    if let Some(field) = strange.fields.get_mut("linux_binprm.argc") {
        field.size = 8;
    }
    for (kernel, words) in [
        (
            without_types,
            "the kernel's types (BTF) cannot be had: linux_binprm.filename",
        ),
        (
            strange,
            "linux_binprm.argc is no member as any Linux has it",
        ),
        (
            linux("nothing"),
            "a function that every exec goes through cannot be had",
        ),
    ] {
        let said = begun(Some(kernel)).0.err().unwrap_or_default();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_instance_that_begins_on_a_vcpu_of_a_kernel_that_runs_arms_it() {
    let (begun, engine) = begun(Some(linux(POINT)));
    assert!(begun.is_ok_and(|policy| policy.lookout.watch().is_some()));
    assert_eq!(engine.armed.breakpoints.len(), 1);
    let mut engine = engine;
    let second = ExecWatch::init(&mut all(), Place::Vcpu(1), &mut engine);
    assert!(second.is_ok_and(|policy| policy.lookout.watch().is_some()));
    assert_eq!(engine.log.len(), 1, "it is said once: {:?}", engine.log);
}

#[test]
fn before_there_is_a_kernel_it_waits_and_the_clock_arms_it_once_it_has_booted()
-> Result<(), Failure> {
    let (waiting, engine) = begun(None);
    assert!(waiting.is_ok_and(|policy| policy.lookout.watch().is_none()));
    assert!(engine.armed.breakpoints.is_empty());

    let mut booting = linux(POINT);
    booting.tasks.clear();
    let mut guest = Forged::with(all(), booting)?;
    assert!(guest.bench.engine.armed.breakpoints.is_empty());
    guest.bench.tick(0)?;
    let waits = (
        Level::Info,
        "no exec is met yet: the kernel still boots".to_owned(),
    );
    assert_eq!(guest.bench.engine.log, [waits], "said once");
    guest.bench.engine.linux = Some(linux(POINT));
    guest.bench.tick(0)?;
    assert_eq!(guest.run(&Asked::default()), Verdict::Continue);
    assert!(line(&guest).starts_with("path="));
    Ok(())
}

#[test]
fn a_kernel_that_lacks_something_and_boots_later_is_told_of_once() -> Result<(), Failure> {
    let mut guest = Forged::with(all(), linux("nothing"))?;
    guest.bench.tick(0)?;
    let [alert] = guest.bench.engine.alerts.as_slice() else {
        panic!("not one alert: {:?}", guest.bench.engine.alerts);
    };
    assert!(alert.message.starts_with("no exec is met: a function"));
    Ok(())
}

#[test]
fn another_kernel_is_looked_at_anew_and_a_breakpoint_of_the_old_one_is_no_exec()
-> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked::default());
    let old = guest.breakpoint();
    let mut kernel = linux("bprm_execve");
    kernel.kernel.banner.push_str(" another");
    // Its members lie elsewhere: what is known of the old one would read garbage.
    for (path, field) in &mut kernel.fields {
        field.offset += if path.starts_with("linux_binprm") {
            8
        } else {
            0
        };
    }
    guest.bench.engine.linux = Some(kernel);
    assert_eq!(guest.bench.raise(0, old), Some(Verdict::Continue));
    assert_eq!(guest.bench.engine.counters["execs"], 1);
    assert!(
        guest.bench.engine.armed.breakpoints.is_empty(),
        "it is taken away"
    );
    guest.bench.tick(0)?;
    let new = guest.breakpoint();
    assert_ne!(new.tag, old.tag);
    let binprm = guest.binprm(&Asked {
        path: "/new",
        ..Asked::default()
    })?;
    guest.hit(binprm - 8);
    assert!(
        line(&guest).starts_with("path=\"/new\""),
        "{}",
        line(&guest)
    );
    Ok(())
}

#[test]
fn a_reset_takes_the_breakpoints_away_and_the_next_boot_has_its_own() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    guest.run(&Asked::default());
    guest.bench.raise(0, reset::Reset);
    assert!(guest.bench.engine.armed.breakpoints.is_empty());
    guest.bench.tick(0)?;
    guest.run(&Asked::default());
    assert_eq!(guest.bench.engine.counters["execs"], 2);
    Ok(())
}

#[test]
fn the_clock_asks_little_while_all_is_well() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    let before = guest.bench.engine.asked.len();
    guest.bench.tick(0)?;
    let asked = &guest.bench.engine.asked[before..];
    assert_eq!(asked, [Command::Kernel, Command::Breakpoints]);
    Ok(())
}

#[test]
fn a_kernel_that_does_not_answer_just_now_is_taken_for_the_one_that_is_known() -> Result<(), Failure>
{
    let mut guest = Forged::new(all())?;
    guest.run(&Asked::default());
    guest.bench.engine.linux = None;
    guest.run(&Asked::default());
    assert_eq!(guest.bench.engine.counters["execs"], 2);
    // An instance that knows of none can only say so.
    guest.bench.crash();
    assert_eq!(guest.run(&Asked::default()), Verdict::Continue);
    assert!(
        alert(&guest)
            .message
            .starts_with("an exec could not be looked at: no Linux")
    );
    assert_eq!(guest.bench.engine.counters["execs"], 2);
    Ok(())
}

#[test]
fn a_busy_engine_is_asked_again_later() {
    let mut engine = MockEngine::default();
    engine.linux = Some(linux(POINT));
    for command in [Command::Kernel, Command::FindVariants, Command::FindField] {
        engine.grant_all();
        engine.refuse(command, Refusal::Busy);
        let begun = ExecWatch::init(&mut all(), Place::Vcpu(0), &mut engine);
        assert!(
            begun.is_ok_and(|policy| policy.lookout.watch().is_none()),
            "{command:?}"
        );
    }
}
