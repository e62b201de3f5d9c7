//! The tables of interrupts and system calls.

use oriel_sdk::Refusal;
use oriel_sdk::testing::Command;

use super::forge::{GATES, MODULE, gate};
use super::*;

#[test]
fn a_system_call_that_leads_elsewhere_is_told_once_with_its_number() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    linux.calls[0][2].address = MODULE;
    scene.tick(4)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "system calls: entry 2 was changed");
    assert_eq!(alert.fields["old"], "plain+0x20");
    Ok(())
}

#[test]
fn an_entry_that_is_gone_or_new_is_told_too() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    let last = linux.calls[0].pop().ok_or("no calls")?;
    scene.tick(2)?;
    assert_eq!(scene.alert().fields["new"], "none");
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    let number = last.number + 1;
    linux.calls[0].extend([last, oriel_sdk::linux::Entry { number, ..last }]);
    scene.tick(2)?;
    assert_eq!(scene.alert().fields["old"], "none");
    Ok(())
}

#[test]
fn a_gate_that_leads_elsewhere_is_told_without_asking_a_vcpu() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new().with("vcpus", false))?;
    scene.tick(SETTLED)?;
    let [low, high] = gate(MODULE).map(u64::to_le_bytes);
    scene.write(GATES + 0x20, &[low, high].concat())?;
    scene.tick(3)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "interrupts: entry 2 was changed");
    assert_eq!(alert.fields["old"], "plain+0x20");
    let asked = &scene.bench.engine.asked;
    assert!(!asked.contains(&Command::Interrupts));
    Ok(())
}

#[test]
fn a_gate_of_a_vcpus_own_table_is_told_once_and_the_kernels_is_not_told_twice()
-> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let [low, high] = gate(MODULE).map(u64::to_le_bytes);
    for (vector, in_memory) in [(1, false), (2, true)] {
        let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
        linux.gates[vector].address = MODULE;
        if in_memory {
            scene.write(GATES + 0x20, &[low, high].concat())?;
        }
        scene.tick(5)?;
        let table = if in_memory {
            "interrupts"
        } else {
            "interrupts of a vCPU"
        };
        let said = format!("{table}: entry {vector} was changed");
        assert_eq!(scene.alert().message, said);
    }
    Ok(())
}

#[test]
fn a_vcpu_with_a_table_of_its_own_is_told() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    linux.tables[2] = 0xffff_8880_0000_0000;
    scene.tick(1)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "a vCPU has another table of interrupts");
    assert_eq!(alert.fields["new"], "0xffff888000000000");
    Ok(())
}

#[test]
fn a_vcpu_that_has_no_time_is_a_gap_only_if_that_goes_on() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let engine = &mut scene.bench.engine;
    engine.refuse(Command::Interrupts, Refusal::Busy);
    scene.tick(5)?;
    assert_eq!(scene.alerts(), []);
    scene.tick(20)?;
    let gaps = scene.alerts().len();
    assert!((1..=4).contains(&gaps), "one for each vCPU: {gaps}");
    Ok(())
}

#[test]
fn an_entry_that_leads_out_of_the_kernel_from_the_start_is_told() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    linux.calls[0][1].address = MODULE;
    scene.tick(SETTLED)?;
    let alert = scene.alert();
    assert_eq!(
        alert.message,
        "system calls: entry 1 leads out of the kernel"
    );
    Ok(())
}

#[test]
fn a_table_that_nobody_can_read_is_a_gap_that_is_told_once() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let engine = &mut scene.bench.engine;
    engine.refuse(Command::SystemCalls, Refusal::Denied);
    scene.tick(4)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "coverage is partial");
    assert!(alert.fields["what"].starts_with("system calls: refused"));
    Ok(())
}
