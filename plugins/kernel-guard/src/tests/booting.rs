//! Which boot is guarded, and what outlives an instance.

use oriel_sdk::testing::Command;
use oriel_sdk::{Refusal, Severity};

use super::forge::{Forged, LABEL, LABEL_TARGET, PLAIN, RODATA, leads};
use super::*;

/// The guest boots anew.
fn boot(scene: &mut Scene, forged: Forged) -> Result<(), Failure> {
    forged.put(&mut scene.bench.engine)?;
    scene.forged = forged;
    Ok(())
}

#[test]
fn who_makes_an_instance_trap_gets_no_fresh_baseline() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.write(PLAIN + 0x12, &[0x90])?;
    scene.bench.crash();
    scene.tick(SETTLED)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "a page that must not change was changed");
    assert_eq!(alert.fields["where"], "plain");
    scene.bench.crash();
    scene.tick(SETTLED)?;
    assert_eq!(scene.alerts(), [], "once");
    Ok(())
}

#[test]
fn after_a_trap_sites_are_what_they_were_whatever_the_tables_say_now() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.bench.crash();
    let own = super::forge::GROUP + 16;
    scene.write(own, &0_u32.to_le_bytes())?;
    scene.write(LABEL, &leads(0xe9, LABEL, LABEL_TARGET))?;
    scene.tick(SETTLED)?;
    assert_eq!(scene.alerts(), []);
    scene.write(PLAIN, &[0xaa])?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["old"], "55", "the copy was made anew");
    Ok(())
}

#[test]
fn a_trap_in_the_midst_of_the_baseline_keeps_what_was_seen() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    scene.tick(5)?;
    let store = &mut scene.bench.engine.store;
    assert!(store.keys().any(|key| key.starts_with("pages/")));
    // As it is before the first round is over.
    store.remove("complete");
    scene.bench.crash();
    scene.write(PLAIN, &[0xaa])?;
    scene.tick(SETTLED)?;
    assert_eq!(scene.alert().fields["where"], "plain");
    Ok(())
}

#[test]
fn nothing_is_looked_at_until_the_first_program_runs() -> Result<(), Failure> {
    let boots = Forged {
        runs: false,
        ..Forged::default()
    };
    let mut scene = Scene::of(Config::new(), boots)?;
    scene.tick(SETTLED)?;
    assert!(scene.bench.engine.store.is_empty());
    scene.write(RODATA, &[0xaa])?;
    boot(&mut scene, Forged::default())?;
    scene.write(RODATA, &[0xaa])?;
    scene.tick(SETTLED)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn another_kernel_gets_a_baseline_of_its_own_and_that_is_told() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let next = Forged {
        banner: "Linux version 6.12.0-mock",
        init_started: 8,
        ..Forged::default()
    };
    boot(&mut scene, next)?;
    scene.write(PLAIN, &[0xaa])?;
    scene.tick(SETTLED)?;
    let alert = scene.alert();
    assert_eq!(alert.severity, Severity::Info);
    assert_eq!(alert.fields["kernel"], "Linux version 6.12.0-mock");
    scene.write(PLAIN, &[0x55])?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["old"], "aa");
    Ok(())
}

#[test]
fn who_writes_another_banner_gets_no_new_baseline() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    linux.kernel.banner = "Linux version 9.9.9".to_owned();
    scene.write(PLAIN, &[0xaa])?;
    scene.bench.crash();
    scene.tick(SETTLED)?;
    assert_eq!(scene.alert().fields["where"], "plain");
    Ok(())
}

#[test]
fn the_same_kernel_at_the_same_place_has_to_have_the_same_code() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let next = || Forged {
        init_started: 8,
        ..Forged::default()
    };
    boot(&mut scene, next())?;
    scene.write(RODATA, &[0xaa])?;
    scene.write(PLAIN, &[0xaa])?;
    scene.tick(SETTLED)?;
    let alerts = scene.alerts();
    let words: Vec<_> = alerts.iter().map(|alert| &*alert.message).collect();
    let new = "the guest has booted anew: a new baseline is made";
    assert_eq!(words, [new, "a page that must not change was changed"]);
    assert_eq!(alerts[1].fields["where"], "plain");
    Ok(())
}

#[test]
fn a_guest_that_boots_is_left_alone_and_the_same_boot_goes_on_as_it_was() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let linux = scene.bench.engine.linux.take();
    scene.write(PLAIN, &[0xaa])?;
    scene.tick(5)?;
    assert_eq!(scene.alerts(), []);
    scene.bench.engine.linux = linux;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["where"], "plain");
    Ok(())
}

#[test]
fn that_there_is_nothing_to_guard_is_told_once() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.bench.engine.linux = None;
    scene.tick(80)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "nothing is guarded");
    assert!(alert.fields["why"].contains("no Linux kernel"));
    Ok(())
}

#[test]
fn without_a_store_nothing_is_guarded_and_that_is_told() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    scene
        .bench
        .engine
        .refuse(Command::GetBytes, Refusal::Denied);
    scene.tick(40)?;
    assert!(scene.alert().fields["why"].contains("the store refuses"));
    Ok(())
}

#[test]
fn a_store_that_is_full_is_a_gap() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    scene.tick(1)?;
    scene.bench.engine.refuse(Command::SetBytes, Refusal::Limit);
    scene.tick(SETTLED)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "coverage is partial");
    assert!(alert.fields["what"].starts_with("the store: "));
    Ok(())
}
