use super::*;
use crate::{inspect, tests::guest::Guest, write_manifest};
use oriel_protocol::EventSet;

fn terms(rights: &[Right], events: EventSet) -> Terms {
    Terms {
        rights: rights.iter().copied().collect(),
        events,
        ..Terms::default()
    }
}

/// A component that judges MSR writes, and says this of itself.
fn inspection(asks: &[Right], declared: Option<&[Right]>) -> Inspection {
    let bytes = Guest::judging(["msr"]).build();
    let mut inspection = inspect(&bytes).unwrap();
    inspection.asks = asks.to_vec();
    inspection.manifest.rights = declared.map(|rights| rights.iter().copied().collect());
    inspection
}

#[test]
fn a_right_is_in_effect_where_all_three_say_yes_and_else_they_are_named() {
    use Says::{Grant, Imports, Manifest};
    let right = Right::MemoryRead;
    for case in 0..8 {
        let (asks, declares, grants) = (case & 1 != 0, case & 2 != 0, case & 4 != 0);
        let list = |yes: bool| if yes { vec![right] } else { vec![] };
        let inspection = inspection(&list(asks), Some(&list(declares)));
        let effective = Effective::of(&inspection, &terms(&list(grants), EventSet::NONE));
        let mut expected = Vec::new();
        for (yes, who) in [(asks, Imports), (declares, Manifest), (grants, Grant)] {
            if !yes {
                expected.push(who);
            }
        }
        let standing = effective
            .rights
            .iter()
            .find(|one| one.what == right)
            .unwrap();
        assert_eq!(standing.no, expected, "case {case}");
        assert_eq!(standing.in_effect(), case == 7);
        let lacks = asks && !(declares && grants);
        assert_eq!(effective.lacking().next().is_some(), lacks, "case {case}");
    }
}

#[test]
fn a_manifest_without_rights_says_no_to_none() {
    let inspection = inspection(&[Right::Control], None);
    let effective = Effective::of(&inspection, &terms(&[], EventSet::NONE));
    assert_eq!(effective.lacking_by(Says::Manifest).count(), 0);
    let lacking: Vec<_> = effective.lacking_by(Says::Grant).collect();
    assert_eq!(lacking, [Right::Control]);
}

#[test]
fn the_log_is_everybodys() {
    let inspection = inspection(&[Right::Log], Some(&[]));
    let effective = Effective::of(&inspection, &terms(&[], EventSet::NONE));
    assert_eq!(effective.lacking().count(), 0);
}

#[test]
fn an_event_is_heard_where_it_is_exported_and_granted() {
    let granted = [EventKind::Msr, EventKind::Cr].into_iter().collect();
    let effective = Effective::of(&inspection(&[], None), &terms(&[], granted));
    let no = |kind| {
        let standing = effective.events.iter().find(|one| one.what == kind);
        standing.unwrap().no.clone()
    };
    assert_eq!(no(EventKind::Msr), []);
    assert_eq!(no(EventKind::Cr), [Says::Exports]);
    assert_eq!(no(EventKind::Pio), [Says::Exports, Says::Grant]);
    let wire = effective
        .events
        .iter()
        .find(|one| one.what == EventKind::CommandError);
    assert!(wire.is_none(), "no policy can hear it");
}

#[test]
fn it_is_told_in_words() {
    let effective = Effective::of(
        &inspection(&[Right::Inject], None),
        &terms(&[], EventSet::NONE),
    );
    let json = serde_json::to_value(&effective).unwrap();
    let inject = serde_json::json!({ "name": "inject", "no": ["grant"] });
    assert!(
        json["rights"].as_array().unwrap().contains(&inject),
        "{json}"
    );
    let msr = serde_json::json!({ "name": "msr", "no": ["grant"] });
    assert!(json["events"].as_array().unwrap().contains(&msr), "{json}");
}

#[test]
fn what_is_loaded_and_what_is_explained_agree() {
    let bytes = Guest::judging(["msr"])
        .importing("memory-read", "read")
        .build();
    let manifest = crate::Manifest {
        rights: Some([Right::Alert].into()),
        ..crate::Manifest::default()
    };
    let lying = write_manifest(&bytes, &manifest).unwrap();
    let inspection = inspect(&lying).unwrap();
    let all = terms(Right::ALL, EventSet::all());
    let lacking: Vec<_> = Effective::of(&inspection, &all).lacking().collect();
    assert_eq!(lacking.first().copied(), undeclared(&inspection));
}
