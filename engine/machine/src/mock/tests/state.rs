//! The state of a vCPU, as judges read and write it.

use oriel_protocol::{Refusal, x86::msr};

use super::Run;
use crate::{Wants, mock::Scenario};

fn run() -> Run {
    Run::of(&Scenario::new("state"), &Wants::default())
}

#[test]
fn registers_that_stand_in_two_places_are_the_same() {
    let mut run = run();
    run.vcpu
        .set_msr(msr::GS_BASE, 0xffff_8880_0000_0000)
        .unwrap();
    assert_eq!(run.vcpu.special().unwrap().gs.base, 0xffff_8880_0000_0000);
    let mut special = run.vcpu.special().unwrap();
    special.fs.base = 0x7000;
    run.vcpu.set_special(&special).unwrap();
    assert_eq!(run.vcpu.msr(msr::FS_BASE), Ok(0x7000));
    assert_eq!(run.vcpu.msr(msr::EFER), Ok(special.efer));
}

#[test]
fn what_does_not_exist_is_not_found_and_never_zero() {
    let mut run = run();
    assert_eq!(run.vcpu.msr(0x1234), Err(Refusal::NotFound));
    assert_eq!(run.vcpu.set_msr(0x1234, 0), Err(Refusal::NotFound));
    assert_eq!(run.vcpu.cpuid(0x1234, 0), Err(Refusal::NotFound));
    assert_eq!(run.vcpu.xcr(1), Err(Refusal::NotFound));
}

#[test]
fn what_a_processor_does_not_take_is_invalid_and_changes_nothing() {
    let mut run = run();
    let mut special = run.vcpu.special().unwrap();
    special.cr0 &= !1;
    assert_eq!(run.vcpu.set_special(&special), Err(Refusal::Invalid));
    assert_eq!(run.vcpu.special().unwrap().cr0, special.cr0 | 1);
    assert_eq!(run.vcpu.set_msr(msr::LSTAR, 1 << 50), Err(Refusal::Invalid));
    assert_eq!(run.vcpu.set_xsave(&[0; 4097]), Err(Refusal::Invalid));
}

#[test]
fn the_xsave_area_is_a_page_and_is_kept() {
    let mut run = run();
    run.vcpu.set_xsave(&[7; 16]).unwrap();
    let area = run.vcpu.xsave().unwrap();
    assert_eq!((area.len(), area[15], area[16]), (4096, 7, 0));
}

#[test]
fn ram_is_write_back_and_the_rest_uncached() {
    let mut run = run();
    let types = [0, (16 << 20) - 1, 16 << 20].map(|gpa| run.vcpu.mtrr_type(gpa));
    assert_eq!(types, [Ok(6), Ok(6), Ok(0)]);
    assert!(run.vcpu.tsc_hz().unwrap() > 0);
    assert_eq!(run.vcpu.index(), 0);
}

#[test]
fn the_same_name_is_the_same_vm() {
    let uuid = |name| {
        Run::of(&Scenario::new(name), &Wants::default())
            .machine
            .identity()
            .uuid
    };
    assert_eq!(uuid("a"), uuid("a"));
    assert_ne!(uuid("a"), uuid("b"));
}
