//! Writes that the machine traps.

use oriel_sdk::page::{Touch, Verdict};
use oriel_sdk::{Access, Capability, Support, Verdicts};

use super::forge::{DATA, GATES, LABEL, PLAIN, PROBE, PROBES, RODATA, gpa};
use super::*;

/// A machine that traps pages, and a baseline.
fn scene(config: Config) -> Result<Scene, Failure> {
    let mut scene = Scene::new(config)?;
    scene
        .bench
        .engine
        .capabilities
        .retain(|one| one.name != "page");
    scene.bench.engine.capabilities.push(Capability {
        name: "page".to_owned(),
        support: Support::Yes,
        detail: String::new(),
    });
    scene.tick(SETTLED)?;
    assert_eq!(scene.alerts(), []);
    Ok(scene)
}

impl Scene {
    /// A vCPU writes to a guarded page.
    fn touch(&mut self, gva: u64, size: u8, value: u64) -> Option<Verdict> {
        let (gpa, pages) = (gpa(gva), &self.bench.engine.armed.pages);
        let tag = pages.get(&(gpa / 4096)).map_or(0, |(_, tag)| *tag);
        let access = Access::WRITE;
        self.bench.raise(
            0,
            Touch {
                gva: None,
                gpa,
                access,
                size,
                value: Some(value),
                proposed: value,
                tag,
            },
        )
    }
}

#[test]
fn guarded_pages_let_reads_and_execution_through_and_no_others_are_trapped() -> Result<(), Failure>
{
    let scene = scene(Config::new())?;
    let pages = &scene.bench.engine.armed.pages;
    assert_eq!(
        pages.len(),
        8 + 4 + 1,
        "code, constants, and the interrupt table"
    );
    for gva in [PLAIN, RODATA, GATES] {
        let allowed = pages.get(&(gpa(gva) / 4096)).map(|(allowed, _)| *allowed);
        assert_eq!(allowed, Some(Access::READ | Access::EXECUTE), "{gva:#x}");
    }
    Ok(())
}

#[test]
fn a_write_is_told_with_the_task_and_goes_on_unless_the_operator_says_no() -> Result<(), Failure> {
    for (config, verdict) in [
        (Config::new(), Verdict::Continue),
        (Config::new().with("on-write", "deny"), Verdict::Deny),
    ] {
        let mut scene = scene(config)?;
        assert_eq!(scene.touch(PLAIN + 0x12, 1, 0x90), Some(verdict));
        let alert = scene.alert();
        assert_eq!(alert.fields["where"], "plain+0x12");
        assert_eq!(alert.fields["task"], "init (1)");
        assert_eq!(alert.fields["value"], "0x90");
    }
    Ok(())
}

#[test]
fn a_write_that_has_run_already_has_no_effect_where_it_is_refused() -> Result<(), Failure> {
    let mut scene = scene(Config::new().with("on-write", "deny"))?;
    let at = scene.bench.moment(0, Verdicts::SKIP | Verdicts::CRASH);
    let touch = Touch {
        gva: None,
        gpa: gpa(GATES),
        access: Access::WRITE,
        size: 8,
        value: None,
        proposed: 0,
        tag: super::super::trap::GATES,
    };
    assert_eq!(scene.bench.raise_at(at, touch), Some(Verdict::Skip));
    assert_eq!(scene.alert().fields["where"], "idt_table");
    Ok(())
}

#[test]
fn the_kernels_own_patching_goes_on_without_a_word() -> Result<(), Failure> {
    let mut scene = scene(Config::new().with("on-write", "deny"))?;
    assert_eq!(scene.touch(LABEL, 5, 0x1234), Some(Verdict::Continue));
    assert_eq!(
        scene.touch(PLAIN, 1, 0x55),
        Some(Verdict::Continue),
        "no change"
    );
    assert_eq!(scene.alerts(), []);
    assert_eq!(
        scene.touch(LABEL, 6, 0x1234),
        Some(Verdict::Deny),
        "a byte more"
    );
    scene.alert();
    scene.write(PROBE + 40, &PLAIN.to_le_bytes())?;
    scene.write(PROBES, &PROBE.to_le_bytes())?;
    assert_eq!(scene.touch(PLAIN, 1, 0xcc), Some(Verdict::Continue));
    assert_eq!(scene.touch(PLAIN + 5, 1, 0xcc), Some(Verdict::Deny));
    scene.alert();
    Ok(())
}

#[test]
fn a_write_to_what_is_no_longer_the_kernels_ends_the_trap() -> Result<(), Failure> {
    let mut scene = scene(Config::new().with("on-write", "deny"))?;
    scene.bench.engine.memory.map(0x10_0000, PLAIN, gpa(DATA));
    assert_eq!(scene.touch(PLAIN, 8, 1), Some(Verdict::Continue));
    assert_eq!(scene.alerts(), []);
    assert!(
        !scene
            .bench
            .engine
            .armed
            .pages
            .contains_key(&(gpa(PLAIN) / 4096))
    );
    Ok(())
}

#[test]
fn where_the_machine_traps_nothing_only_who_asked_for_it_is_told() -> Result<(), Failure> {
    for (trap, told) in [("auto", 0), ("off", 0), ("on", 1)] {
        let mut scene = Scene::new(Config::new().with("trap", trap))?;
        scene.tick(SETTLED)?;
        assert_eq!(scene.alerts().len(), told, "{trap}");
        assert!(scene.bench.engine.armed.pages.is_empty());
    }
    Ok(())
}

#[test]
fn pages_that_the_machine_refuses_are_a_gap() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    let engine = &mut scene.bench.engine;
    engine.capabilities.retain(|one| one.name != "page");
    engine.capabilities.push(Capability {
        name: "page".to_owned(),
        support: Support::Yes,
        detail: String::new(),
    });
    let command = oriel_sdk::testing::Command::SetPageAccess;
    engine.refuse(command, oriel_sdk::Refusal::Limit);
    scene.tick(SETTLED)?;
    let alert = scene.alert();
    let what = &alert.fields["what"];
    assert!(what.starts_with("0 pages are trapped, others are not: limit"));
    Ok(())
}
