//! Memory that lies, and kernels that do not tell: what is not guarded is said, and nothing else happens.

use super::forge::{Forged, GROUP, LABEL, LABEL_TARGET, LABELS, PAGES_START, PLAIN, leads};
use super::*;

/// What is not guarded, as it was told; the clock has called often enough for all of it.
fn gaps(scene: &mut Scene) -> Result<Vec<String>, Failure> {
    scene.tick(SETTLED)?;
    let alerts = scene.alerts();
    let what = |alert: RaisedAlert| {
        assert_eq!(alert.message, "coverage is partial", "{alert:?}");
        alert.fields["what"].clone()
    };
    Ok(alerts.into_iter().map(what).collect())
}

#[test]
fn groups_of_records_that_lie_are_a_gap_and_the_rest_is_guarded() -> Result<(), Failure> {
    for (at, word, said) in [
        (GROUP, GROUP, "goes round in a circle"),
        (GROUP + 16, u64::from(u32::MAX), "absurd"),
        (GROUP + 8, 0xffff_8880_0000_0000, "nothing is mapped"),
        (PAGES_START, 0x1234_5678, "nothing is mapped"),
        (PAGES_START, u64::MAX, "unknown"),
    ] {
        let mut scene = Scene::new(Config::new())?;
        scene.write(at, &word.to_le_bytes())?;
        let gaps = gaps(&mut scene)?;
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(
            gaps[0].starts_with("ftrace sites: ") && gaps[0].contains(said),
            "{gaps:?}"
        );
        scene.write(LABEL, &leads(0xe9, LABEL, LABEL_TARGET))?;
        scene.tick(3)?;
        assert_eq!(scene.alerts(), []);
        scene.write(PLAIN, &[0xaa])?;
        scene.tick(3)?;
        assert_eq!(scene.alert().fields["where"], "plain");
    }
    Ok(())
}

#[test]
fn a_table_of_labels_with_absurd_bounds_is_a_gap() -> Result<(), Failure> {
    for stop in [LABELS - 1, LABELS + (1 << 24)] {
        let mut scene = Scene::new(Config::new())?;
        let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
        let symbols = linux.symbols.iter_mut();
        for symbol in symbols.filter(|symbol| symbol.name == "__stop___jump_table") {
            symbol.address = stop;
        }
        let gaps = gaps(&mut scene)?;
        assert!(gaps[0].starts_with("jump labels: "), "{gaps:?}");
    }
    Ok(())
}

#[test]
fn entries_that_lead_out_of_the_code_make_no_sites() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    scene.write(LABELS, &[0xff; 32])?;
    scene.tick(SETTLED)?;
    assert_eq!(scene.alerts(), []);
    scene.write(LABEL, &leads(0xe9, LABEL, LABEL_TARGET))?;
    scene.tick(3)?;
    assert_eq!(
        scene.alert().message,
        "memory that must not change was changed"
    );
    Ok(())
}

#[test]
fn a_page_that_cannot_be_read_from_the_start_is_a_gap_and_is_guarded_when_it_can()
-> Result<(), Failure> {
    let mut scene = Scene::new(Config::new())?;
    scene.bench.engine.memory.unmap(0x10_0000, PLAIN);
    assert_eq!(gaps(&mut scene)?, ["1 pages cannot be read"]);
    let there = super::forge::gpa(PLAIN);
    scene.bench.engine.memory.map(0x10_0000, PLAIN, there);
    scene.tick(3)?;
    scene.write(PLAIN, &[0xaa])?;
    scene.tick(3)?;
    assert_eq!(scene.alert().fields["where"], "plain");
    Ok(())
}

#[test]
fn pages_that_the_engine_does_not_let_be_read_are_a_gap_and_no_alarm() -> Result<(), Failure> {
    let mut scene = Scene::settled()?;
    let command = oriel_sdk::testing::Command::ReadScattered;
    scene
        .bench
        .engine
        .refuse(command, oriel_sdk::Refusal::Limit);
    let gaps = gaps(&mut scene)?;
    assert!(
        gaps.iter()
            .any(|gap| gap.starts_with("pages are not read: limit")),
        "{gaps:?}"
    );
    Ok(())
}

#[test]
fn a_kernel_without_types_is_guarded_but_for_what_they_tell() -> Result<(), Failure> {
    let forged = Forged {
        types: false,
        ..Forged::default()
    };
    let mut scene = Scene::of(Config::new(), forged)?;
    let gaps = gaps(&mut scene)?;
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    assert!(gaps[0].starts_with("ftrace sites: "), "{gaps:?}");
    assert!(gaps[1].starts_with("kprobes: "), "{gaps:?}");
    scene.write(LABEL, &leads(0xe9, LABEL, LABEL_TARGET))?;
    scene.tick(3)?;
    assert_eq!(scene.alerts(), []);
    Ok(())
}

#[test]
fn what_a_kernel_was_built_without_is_no_gap_and_symbols_that_it_hides_are() -> Result<(), Failure>
{
    let built = Forged {
        hidden: &[
            "__start_static_call_sites",
            "__static_call_text_start",
            "kprobe_table",
        ],
        ..Forged::default()
    };
    let mut scene = Scene::of(Config::new(), built)?;
    assert_eq!(gaps(&mut scene)?, Vec::<String>::new());
    let no_data = Forged {
        hidden: &["init_task", "__start___jump_table", "idt_table"],
        ..Forged::default()
    };
    let mut scene = Scene::of(Config::new(), no_data)?;
    let gaps = gaps(&mut scene)?;
    assert!(
        gaps.iter().any(|gap| gap.starts_with("jump labels: ")),
        "{gaps:?}"
    );
    assert!(
        gaps.iter().any(|gap| gap.starts_with("interrupts: ")),
        "{gaps:?}"
    );
    Ok(())
}

#[test]
fn areas_that_are_absurdly_large_are_guarded_as_far_as_there_are_pages() -> Result<(), Failure> {
    let mut scene = Scene::new(Config::new().with("bytes-per-tick", 65536))?;
    let linux = scene.bench.engine.linux.as_mut().ok_or("no Linux")?;
    linux.areas[0].start = 0;
    linux.areas[0].end = u64::MAX;
    scene.tick(SETTLED)?;
    let gaps: Vec<_> = scene
        .alerts()
        .into_iter()
        .map(|alert| alert.fields["what"].clone())
        .collect();
    assert!(
        gaps.iter()
            .any(|gap| gap.contains("are more than are guarded")),
        "{gaps:?}"
    );
    Ok(())
}
