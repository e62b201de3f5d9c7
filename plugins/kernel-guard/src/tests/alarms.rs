//! What is changed where nothing may be.

use oriel_sdk::Severity;
use oriel_sdk::testing::Command;

use super::forge::{BETWEEN, DROPPED, LABELS, NOP, PLAIN, RODATA, TEXT};
use super::*;

#[test]
fn one_byte_of_code_is_told_once_with_its_function_and_what_stood_there() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.write(PLAIN + 0x12, &[0x90])?;
    scene.tick(1)?;
    assert_eq!(scene.alerts(), [], "a second look decides");
    scene.tick(1)?;
    let alert = scene.alert();
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(alert.message, "memory that must not change was changed");
    assert_eq!(alert.fields["where"], "plain+0x12");
    assert_eq!(alert.fields["address"], format!("{:#x}", PLAIN + 0x12));
    assert_eq!((&*alert.fields["old"], &*alert.fields["new"]), ("55", "90"));
    scene.tick(5)?;
    assert_eq!(scene.alerts(), [], "once");
    Ok(())
}

#[test]
fn another_change_is_told_again_and_so_is_one_after_the_page_was_well() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    for (byte, told) in [(0x90, true), (0x91, true), (0x55, false), (0x91, true)] {
        scene.write(PLAIN, &[byte])?;
        scene.tick(3)?;
        assert_eq!(scene.alerts().len(), usize::from(told), "{byte:#x}");
    }
    assert!(scene.has_logged("as it has to be again"));
    Ok(())
}

#[test]
fn what_is_gone_before_a_second_look_is_no_alarm() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    for _ in 0..3 {
        scene.write(PLAIN, &[0x90])?;
        scene.tick(1)?;
        scene.write(PLAIN, &[0x55])?;
        scene.tick(1)?;
    }
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn bytes_beside_a_site_are_guarded_on_either_page() -> Result<(), Failure> {
    for (at, symbol) in [
        (BETWEEN - 1, "__static_call_text_end+0xff5"),
        (BETWEEN + 5, "__static_call_text_end+0xffb"),
        (TEXT + 0x77ff, "plain+0x17ff"),
    ] {
        let mut scene = Scene::settled()?;
        scene.write(at, &[0xaa])?;
        scene.tick(3)?;
        assert_eq!(scene.alert().fields["where"], symbol);
    }
    Ok(())
}

#[test]
fn what_lies_behind_the_code_is_not_guarded() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.write(TEXT + 0x7800, &[0xaa; 0x800])?;
    scene.tick(3)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn constants_are_guarded_and_with_them_the_tables_of_sites() -> Result<(), Failure> {
    for at in [RODATA, LABELS + 4, RODATA + 0x3fff] {
        let mut scene = Scene::settled()?;
        scene.write(at, &[0xaa])?;
        scene.tick(3)?;
        assert_eq!(scene.alert().fields["address"], format!("{at:#x}"));
    }
    Ok(())
}

#[test]
fn a_record_of_what_was_never_patched_makes_no_site() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.write(DROPPED, &NOP)?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["new"], "0f 1f 44 00 00");
    Ok(())
}

#[test]
fn a_page_that_goes_away_is_told_once() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let engine = &mut scene.bench.engine;
    engine.memory.unmap(0x10_0000, PLAIN);
    scene.tick(5)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "a guarded page cannot be read any more");
    assert_eq!(alert.fields["where"], "plain");
    Ok(())
}

#[test]
fn changes_without_number_are_counted_and_not_listed() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    for page in 0..7 {
        scene.write(TEXT + page * 4096 + 0x800, &[0xaa])?;
    }
    for page in 0..4 {
        scene.write(RODATA + page * 4096 + 0x800, &[0xaa])?;
    }
    scene.write(PLAIN + 0x1000, &[0xaa])?;
    for at in [super::forge::LABEL, super::forge::CALL] {
        scene.write(at, &[0xaa; 5])?;
    }
    scene.tick(3)?;
    let alerts = scene.alerts();
    assert_eq!(alerts.len(), 13);
    assert_eq!(alerts[12].fields["count"], "2");
    Ok(())
}

#[test]
fn without_room_for_copies_a_change_is_told_by_its_page() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new().with("copy-bytes", 0))?;
    scene.tick(SETTLED)?;
    scene.write(PLAIN + 0x12, &[0x90])?;
    scene.tick(3)?;
    let alert = scene.alert();
    assert_eq!(alert.fields["where"], "plain");
    assert_eq!(alert.fields["old"], "unknown");
    Ok(())
}

#[test]
fn an_alert_that_is_refused_is_in_the_log() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene
        .bench
        .engine
        .refuse(Command::Alert, oriel_sdk::Refusal::Limit);
    scene.write(PLAIN, &[0x90])?;
    scene.tick(3)?;
    assert!(scene.has_logged("where plain"));
    Ok(())
}

#[test]
fn a_task_that_is_hidden_is_told_once_where_that_is_wanted() -> Result<(), Failure> {
    let config = Config::new().with("hidden", true).with("hidden-ticks", 2);
    let mut scene = Scene::new(config)?;
    scene.tick(SETTLED)?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    linux.hidden.push(super::forge::task(66, true, 9));
    scene.tick(6)?;
    assert_eq!(scene.alert().fields["pid"], "66");
    Ok(())
}
