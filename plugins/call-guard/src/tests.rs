//! The policy on the bench.

use oriel_sdk::breakpoint::{Hit, Verdict};
use oriel_sdk::testing::Bench;
use oriel_sdk::{Config, Failure, Refusal, Register};

use crate::CallGuard;

const WATCHED: u64 = 0xffff_ffff_8100_0000;
const REFUSED: u64 = 0xffff_ffff_8200_0000;
const CALLER: u64 = 0xffff_ffff_8300_0000;
const CR3: u64 = 0x1000;
const STACK: u64 = 0xffff_c900_0000_0ff0;

fn bench() -> Result<Bench<CallGuard>, Failure> {
    let config = Config::new()
        .with("watch", vec![text(WATCHED)])
        .with("refuse", vec![text(REFUSED)]);
    let mut bench = Bench::new(config)?;
    let vcpu = &mut bench.engine.vcpus[0];
    vcpu.registers.insert(Register::Cr3, CR3);
    vcpu.registers.insert(Register::Rsp, STACK);
    for (gva, gpa) in [(STACK, 0x2000), (WATCHED, 0x4000), (REFUSED, 0x5000)] {
        bench.engine.memory.map(CR3, gva, gpa);
    }
    bench.engine.memory.poke(0x2ff0, &CALLER.to_le_bytes())?;
    Ok(bench)
}

fn text(address: u64) -> String {
    format!("{address:#x}")
}

const fn hit(gva: u64) -> Hit {
    Hit {
        gva,
        gpa: 0,
        length: 1,
        managed: true,
        tag: gva,
    }
}

#[test]
fn a_watched_call_is_told_of_and_goes_on() -> Result<(), Failure> {
    let mut bench = bench()?;
    assert_eq!(bench.raise(0, hit(WATCHED)), Some(Verdict::Continue));
    let alert = &bench.engine.alerts[0];
    assert_eq!(alert.fields["function"], "0xffffffff81000000");
    assert!(bench.engine.armed.breakpoints.contains_key(&REFUSED));
    Ok(())
}

#[test]
fn a_refused_call_returns_to_its_caller_with_an_errno() -> Result<(), Failure> {
    let mut bench = bench()?;
    assert_eq!(bench.raise(0, hit(REFUSED)), Some(Verdict::Retry));
    let vcpu = &bench.engine.vcpus[0];
    assert_eq!(vcpu.register(Register::Rax), 1_u64.wrapping_neg());
    assert_eq!(vcpu.register(Register::Rsp), STACK + 8);
    assert_eq!(vcpu.register(Register::Rip), CALLER);
    Ok(())
}

#[test]
fn a_call_that_cannot_be_refused_goes_on_and_that_is_told() -> Result<(), Failure> {
    let mut bench = bench()?;
    bench.engine.vcpus[0].registers.insert(Register::Rsp, 0x10);
    assert_eq!(bench.raise(0, hit(REFUSED)), Some(Verdict::Continue));
    assert!(bench.engine.alerts[0].message.contains("went on"));
    Ok(())
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (config, said) in [
        (Config::new(), "name the address of a function"),
        (
            Config::new().with("watch", vec!["81000000".to_owned()]),
            "\"81000000\"",
        ),
        (
            Config::new().with("watch", vec![text(1)]).with("errno", 0),
            "from 1 to 4095",
        ),
    ] {
        let failure = Bench::<CallGuard>::new(config).err();
        let words = failure.map(String::from).unwrap_or_default();
        assert!(words.contains(said), "{words}");
    }
}

#[test]
fn a_function_that_is_not_there_is_named() -> Result<(), Failure> {
    let mut bench = bench()?;
    bench.engine.refuse_all(Refusal::NotFound);
    let failure = CallGuard {
        watched: vec![WATCHED],
        refused: vec![],
        errno: 1,
    }
    .arm(0, &mut bench.engine);
    let words = failure.err().map(String::from).unwrap_or_default();
    assert!(words.starts_with("0xffffffff81000000"), "{words}");
    Ok(())
}
