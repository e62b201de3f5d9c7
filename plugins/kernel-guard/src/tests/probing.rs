//! Kprobes: what the kernel lists is no alarm, whatever else looks like one is.

use super::forge::{MODULE, PLAIN, PROBE, PROBES, leads};
use super::*;

const AT: u64 = PLAIN + 0x25;

/// The kernel lists a probe there, which replaced these bytes.
fn list(scene: &mut Scene, at: u64, jump: Option<u64>) -> Result<(), Failure> {
    scene.write(PROBE + 40, &at.to_le_bytes())?;
    scene.write(PROBE + 88, &[0x55])?;
    let flags = if jump.is_some() { 4_u32 } else { 0 };
    scene.write(PROBE + 120, &flags.to_le_bytes())?;
    scene.write(PROBE + 152, &[0x55; 4])?;
    scene.write(PROBE + 160, &jump.unwrap_or(0).to_le_bytes())?;
    scene.write(PROBES + 7 * 8, &PROBE.to_le_bytes())
}

#[test]
fn a_probe_may_come_and_go() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    list(&mut scene, AT, None)?;
    scene.write(AT, &[0xcc])?;
    scene.tick(4)?;
    list(&mut scene, AT, Some(MODULE + 0x80))?;
    scene.write(AT, &leads(0xe9, AT, MODULE + 0x80))?;
    scene.tick(4)?;
    scene.write(AT, &[0x55; 5])?;
    scene.write(PROBES + 7 * 8, &[0; 8])?;
    scene.tick(4)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn a_probe_that_was_there_first_may_go() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    list(&mut scene, AT, None)?;
    scene.write(AT, &[0xcc])?;
    scene.tick(SETTLED)?;
    scene.write(AT, &[0x55])?;
    scene.write(PROBES + 7 * 8, &[0; 8])?;
    scene.tick(4)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn an_optimized_probe_may_lie_on_two_pages() -> Result<(), Failure> {
    let at = PLAIN - 3;
    let mut scene = Scene::settled()?;
    list(&mut scene, at, Some(MODULE + 0x80))?;
    scene.write(at, &leads(0xe9, at, MODULE + 0x80))?;
    scene.tick(4)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn what_looks_like_a_probe_and_is_not_listed_is_an_alarm() -> Result<(), Failure> {
    for (listed, jump, stands) in [
        (AT + 0x10, None, vec![0xcc]),
        (AT, None, vec![0x90]),
        (AT, None, leads(0xe9, AT, MODULE).to_vec()),
        (AT, Some(MODULE + 0x80), leads(0xe9, AT, MODULE).to_vec()),
        (AT, None, vec![0xcc, 0xcc]),
    ] {
        let mut scene = Scene::settled()?;
        list(&mut scene, listed, jump)?;
        scene.write(AT, &stands)?;
        scene.tick(4)?;
        let alert = scene.alert();
        assert!(alert.fields["where"].starts_with("plain+0x2"), "{alert:?}");
    }
    Ok(())
}

#[test]
fn a_list_of_probes_that_goes_in_a_circle_is_a_gap() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    list(&mut scene, AT, None)?;
    scene.write(PROBE, &PROBE.to_le_bytes())?;
    scene.tick(4)?;
    let alert = scene.alert();
    assert_eq!(alert.message, "coverage is partial");
    assert!(alert.fields["what"].starts_with("kprobes: "));
    Ok(())
}
