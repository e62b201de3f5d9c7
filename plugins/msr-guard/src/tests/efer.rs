//! Bits of EFER: given, taken back, locked.

use oriel_sdk::{EventKind, Refusal, observe};

use super::*;
use crate::efer::MSR;

const SCE: u64 = 1 << 0;
const LME: u64 = 1 << 8;
const LMA: u64 = 1 << 10;
const NXE: u64 = 1 << 11;
const SVME: u64 = 1 << 12;

fn write(bench: &mut Bench<Guard>, vcpu: u32, old: u64, new: u64) -> Option<Verdict> {
    bench.raise(vcpu, Write::new(MSR, old, new))
}

/// Something at user level executes CPUID, as every dynamic loader does.
fn run_a_program(bench: &mut Bench<Guard>) {
    bench.engine.vcpus[0].cpl = 3;
    let seen = observe::Seen {
        kind: EventKind::Cpuid,
        values: [7, 0, 0, 0],
    };
    assert!(bench.observe(0, seen));
    bench.engine.vcpus[0].cpl = 0;
}

#[test]
fn a_booting_kernel_adds_bits_one_by_one() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    for (old, new) in [
        (0, LME),
        (LME | LMA, LME | LMA | SCE),
        (LME | LMA | SCE, LME | SCE | NXE),
    ] {
        assert_eq!(write(&mut bench, 0, old, new), Some(Verdict::Continue));
    }
    Ok(())
}

#[test]
fn a_write_that_changes_nothing_says_what_there_is_and_needs_no_store() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let has = LME | LMA | SCE | NXE;
    assert_eq!(write(&mut bench, 0, has, has), Some(Verdict::Continue));
    assert_eq!(bench.engine.store["efer/bits"], has.to_le_bytes());
    bench.engine.refuse_all(Refusal::Denied);
    assert_eq!(write(&mut bench, 0, has, has), Some(Verdict::Continue));
    assert!(bench.engine.alerts.is_empty());
    Ok(())
}

#[test]
fn no_bit_is_taken_back_save_the_processors_own() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let has = LME | LMA | NXE;
    assert_eq!(
        write(&mut bench, 0, has, LME | NXE),
        Some(Verdict::Continue)
    );
    assert_eq!(write(&mut bench, 0, has, LME | LMA), Some(Verdict::Deny));
    let said = "EFER: the guest takes back bits of EFER";
    assert_eq!(alert(&bench).message, said);
    Ok(())
}

#[test]
fn the_first_event_from_user_level_locks_it() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let has = LME | LMA | NXE;
    write(&mut bench, 0, LME | LMA, has);
    run_a_program(&mut bench);
    bench.crash();
    assert_eq!(write(&mut bench, 0, has, has | SVME), Some(Verdict::Deny));
    let said = "EFER: the guest adds bits to EFER after the boot";
    assert_eq!(alert(&bench).message, said);
    assert_eq!(alert(&bench).fields["pinned"], "0xd00");
    Ok(())
}

#[test]
fn an_event_from_the_kernel_locks_nothing() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    let seen = observe::Seen {
        kind: EventKind::Cpuid,
        values: [0; 4],
    };
    assert!(!bench.observe(0, seen));
    Ok(())
}

#[test]
fn a_vcpu_that_starts_after_the_lock_may_have_what_the_others_have() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    write(&mut bench, 0, LME | LMA, LME | LMA | SCE | NXE);
    run_a_program(&mut bench);
    let start = write(&mut bench, 1, 0, LME | SCE | NXE);
    assert_eq!(start, Some(Verdict::Continue));
    let more = write(&mut bench, 1, LME | LMA, LME | LMA | SVME);
    assert_eq!(more, Some(Verdict::Deny));
    Ok(())
}

#[test]
fn a_vcpu_that_starts_after_the_lock_may_be_the_first_that_is_seen() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    run_a_program(&mut bench);
    let start = write(&mut bench, 1, 0, LME | NXE);
    assert_eq!(start, Some(Verdict::Continue));
    Ok(())
}

#[test]
fn with_lock_the_first_write_that_is_seen_adds_nothing() -> Result<(), Failure> {
    let mut bench = bench(Config::new().with("lock", true))?;
    let added = write(&mut bench, 0, LME | LMA, LME | LMA | NXE);
    assert_eq!(added, Some(Verdict::Deny));
    let started = write(&mut bench, 1, 0, LME);
    assert_eq!(started, Some(Verdict::Continue));
    Ok(())
}

#[test]
fn with_lock_on_entry_the_pin_of_lstar_locks_it() -> Result<(), Failure> {
    let mut bench = bench(Config::new().with("lock-on-entry", true))?;
    let has = LME | LMA | SCE;
    let before = write(&mut bench, 0, LME | LMA, has);
    assert_eq!(before, Some(Verdict::Continue));
    enter_at(&mut bench, 0, 0, KERNEL);
    let after = write(&mut bench, 0, has, has | NXE);
    assert_eq!(after, Some(Verdict::Deny));
    Ok(())
}

#[test]
fn a_reset_unlocks_it() -> Result<(), Failure> {
    let mut bench = bench(Config::new())?;
    write(&mut bench, 0, LME | LMA, LME | LMA | SCE);
    run_a_program(&mut bench);
    bench.raise(0, reset::Reset);
    let boot = write(&mut bench, 0, LME | LMA, LME | LMA | NXE);
    assert_eq!(boot, Some(Verdict::Continue));
    Ok(())
}
