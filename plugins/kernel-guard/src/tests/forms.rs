//! What may stand at a site, and what may not.

use super::forge::{
    BETWEEN, CALL, CALLEE, LABEL, LABEL_TARGET, MODULE, NOP, OPS, OPS_LIST, PLAIN, PROGRAM,
    PROGRAMS, SHORT_LABEL, TAIL, TRACE_CALLER, TRACED, TRACER, TRAMPOLINE, TRAMPOLINES, leads,
    module,
};
use super::*;

#[test]
fn whatever_the_kernel_puts_at_its_sites_is_no_alarm() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    for (at, bytes) in [
        (LABEL, &leads(0xe9, LABEL, LABEL_TARGET)[..]),
        (LABEL, &[0x66, 0x66, 0x66, 0x66, 0x90]),
        (SHORT_LABEL, &[0xeb, 0x0e]),
        (SHORT_LABEL, &[0x66, 0x90]),
        (CALL, &NOP),
        (CALL, &leads(0xe8, CALL, PLAIN)),
        (CALL, &[0x2e, 0x2e, 0x2e, 0x31, 0xc0]),
        (CALL, &leads(0xe9, CALL, PLAIN)),
        (CALL, &[0xc3, 0xcc, 0xcc, 0xcc, 0xcc]),
        (TRAMPOLINE, &[0xc3, 0xcc, 0x90, 0x90, 0x90]),
        (TRAMPOLINE, &leads(0xe9, TRAMPOLINE, PLAIN)),
        (TRACED, &leads(0xe8, TRACED, TRACE_CALLER)),
        (TRACED, &NOP),
        (BETWEEN, &leads(0xe8, BETWEEN, TRACE_CALLER)),
        (TRACER, &leads(0xe8, TRACER, PLAIN)),
        (TRACER, &leads(0xe9, TRACER, PLAIN)),
        (TAIL, &[0x0f, 0x84]),
    ] {
        scene.write(at, bytes)?;
        scene.tick(3)?;
        assert_eq!(scene.alerts(), [], "{at:#x} {bytes:x?}");
    }
    Ok(())
}

#[test]
fn a_trampoline_is_known_by_each_ending_that_kernels_have_given_it() -> Result<(), Failure> {
    for ending in [[0x0f, 0xb9, 0xcc], *b"SCT", [0x0f, 0x1f, 0x00]] {
        let mut scene = Scene::new(Config::new())?;
        scene.write(TRAMPOLINE + 5, &ending)?;
        scene.tick(SETTLED)?;
        scene.write(TRAMPOLINE, &leads(0xe9, TRAMPOLINE, PLAIN))?;
        scene.tick(6)?;
        assert_eq!(scene.alerts(), [], "{ending:x?}");
        scene.write(TRAMPOLINE + 5, &[0xcc])?;
        scene.tick(6)?;
        assert_eq!(
            scene.alert().fields["new"],
            "cc",
            "its ending is no part of the site"
        );
    }
    Ok(())
}

#[test]
fn what_is_no_such_instruction_or_leads_elsewhere_is_an_alarm() -> Result<(), Failure> {
    for (at, bytes, kind) in [
        (
            LABEL,
            &leads(0xe9, LABEL, LABEL_TARGET + 1)[..],
            "jump label",
        ),
        (LABEL, &leads(0xe8, LABEL, LABEL_TARGET), "jump label"),
        (LABEL, &[0x90; 5], "jump label"),
        (SHORT_LABEL, &[0xeb, 0x10], "jump label"),
        (CALL, &leads(0xe8, CALL, PLAIN + 0x40), "static call"),
        (CALL, &leads(0xe8, CALL, MODULE), "static call"),
        (TRAMPOLINE, &NOP, "trampoline of a static call"),
        (TRACED, &leads(0xe9, TRACED, TRACE_CALLER), "ftrace site"),
        (TRACED, &leads(0xe8, TRACED, MODULE), "ftrace site"),
        (
            BETWEEN,
            &leads(0xe8, BETWEEN, 0xffff_8880_0000_0000),
            "ftrace site",
        ),
        (TRACER, &leads(0xe8, TRACER, MODULE), "call of a tracer"),
    ] {
        let mut scene = Scene::settled()?;
        scene.write(at, bytes)?;
        scene.tick(6)?;
        let alert = scene.alert();
        assert_eq!(alert.fields["site"], kind, "{at:#x} {bytes:x?}");
        assert_eq!(alert.fields["address"], format!("{at:#x}"));
        assert_eq!(alert.fields["new"], crate::news::bytes(bytes));
    }
    Ok(())
}

#[test]
fn an_int3_that_stands_at_a_site_while_it_is_patched_is_none_unless_it_stays() -> Result<(), Failure>
{
    let mut scene = Scene::settled()?;
    scene.write(LABEL, &[0xcc])?;
    scene.tick(50)?;
    assert_eq!(scene.alerts(), []);
    scene.write(LABEL, &NOP)?;
    scene.tick(3)?;
    scene.write(LABEL, &[0xcc])?;
    scene.tick(62)?;
    assert_eq!(scene.alert().fields["new"], "cc");
    Ok(())
}

#[test]
fn a_page_that_is_never_without_an_int3_is_no_alarm_while_none_of_them_stays() -> Result<(), Failure>
{
    let mut scene = Scene::settled()?;
    for _ in 0..40 {
        scene.write(LABEL, &[0xcc])?;
        scene.write(SHORT_LABEL, &[0xeb, 0x0e])?;
        scene.tick(1)?;
        scene.write(SHORT_LABEL, &[0xcc])?;
        scene.write(LABEL, &NOP)?;
        scene.tick(1)?;
    }
    assert_eq!(scene.alerts(), []);
    // One that stays is told, whatever goes on beside it.
    for at in 0..70 {
        let beside = if at % 2 == 0 { &[0xcc][..] } else { &NOP };
        scene.write(LABEL, beside)?;
        scene.tick(1)?;
    }
    let alert = scene.alert();
    assert_eq!(alert.fields["address"], format!("{SHORT_LABEL:#x}"));
    Ok(())
}

#[test]
fn a_label_that_is_being_patched_at_first_is_looked_at_again() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    scene.write(LABEL, &[0xcc])?;
    scene.tick(6)?;
    scene.write(LABEL, &NOP)?;
    scene.tick(3)?;
    scene.write(LABEL, &leads(0xe9, LABEL, LABEL_TARGET))?;
    scene.tick(3)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn code_of_a_module_may_be_called_as_long_as_it_is_loaded() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let modules = |scene: &mut Scene, all| {
        let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
        linux.modules = all;
        Ok::<_, Failure>(())
    };
    modules(&mut scene, vec![module()])?;
    scene.write(CALL, &leads(0xe8, CALL, MODULE + 0x40))?;
    scene.tick(3)?;
    assert_eq!(scene.alerts(), []);
    modules(&mut scene, vec![])?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["site"], "static call");
    Ok(())
}

/// The kernel lists a tracer whose trampoline is there: among those that are on, or those that have one.
fn trace(scene: &mut Scene, list: u64, to: u64) -> Result<(), Failure> {
    let there = super::forge::gpa(list);
    let end = scene.bench.engine.memory.peek(there, 8)?;
    let (link, ops) = match list {
        OPS_LIST => (OPS + 8, OPS),
        _ => (OPS + 16, OPS + 16),
    };
    scene.write(link, &end)?;
    scene.write(OPS + 32, &to.to_le_bytes())?;
    scene.write(OPS + 40, &0x100_u64.to_le_bytes())?;
    scene.write(list, &ops.to_le_bytes())
}

#[test]
fn trampolines_of_tracers_may_be_called_where_the_kernel_lists_them() -> Result<(), Failure> {
    for list in [OPS_LIST, TRAMPOLINES] {
        let mut scene = Scene::settled()?;
        trace(&mut scene, list, MODULE + 0x100)?;
        scene.write(TRACED, &leads(0xe8, TRACED, MODULE + 0x100))?;
        scene.tick(3)?;
        assert_eq!(scene.alerts(), [], "{list:#x}");
        scene.write(TRACED, &leads(0xe8, TRACED, MODULE + 0x200))?;
        scene.tick(3)?;
        assert_eq!(scene.alert().fields["site"], "ftrace site");
    }
    Ok(())
}

#[test]
fn a_tracer_that_was_taken_away_may_be_called_for_a_while() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let end = scene
        .bench
        .engine
        .memory
        .peek(super::forge::gpa(OPS_LIST), 8)?;
    trace(&mut scene, OPS_LIST, MODULE + 0x100)?;
    scene.write(TRACED, &leads(0xe8, TRACED, MODULE + 0x100))?;
    scene.tick(3)?;
    scene.write(OPS_LIST, &end)?;
    scene.tick(50)?;
    assert_eq!(scene.alerts(), []);
    scene.tick(20)?;
    assert_eq!(scene.alert().fields["site"], "ftrace site");
    Ok(())
}

#[test]
fn what_bpf_was_compiled_to_may_be_called_where_the_kernel_lists_it() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    for (at, word) in [
        (PROGRAM, MODULE + 0x400),
        (PROGRAM + 8, MODULE + 0x500),
        (PROGRAM + 0x80, PROGRAMS),
        (PROGRAMS, PROGRAM + 0x80),
    ] {
        scene.write(at, &word.to_le_bytes())?;
    }
    scene.write(TRACED, &leads(0xe8, TRACED, MODULE + 0x400))?;
    scene.tick(3)?;
    assert_eq!(scene.alerts(), []);
    scene.write(TRACED, &leads(0xe8, TRACED, MODULE + 0x500))?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["site"], "ftrace site");
    Ok(())
}

#[test]
fn a_function_may_be_called_at_its_beginning_alone() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    scene.write(CALL, &leads(0xe8, CALL, CALLEE + 4))?;
    scene.tick(3)?;
    assert_eq!(scene.alerts(), [], "behind ENDBR");
    scene.write(CALL, &leads(0xe8, CALL, CALLEE + 0x20))?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["site"], "static call");
    Ok(())
}
