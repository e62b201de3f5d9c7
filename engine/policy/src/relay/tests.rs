use wasmparser::{Parser, Payload, Validator};

use super::relayed;
use crate::{inspect::inspect, tests::guest::Guest};

/// Its sections, and those of the modules in it.
fn sections(bytes: &[u8]) -> Vec<Vec<u8>> {
    let payloads = Parser::new(0).parse_all(bytes).map(Result::unwrap);
    let sections = payloads.filter_map(|one| one.as_section().map(|(_, range)| range));
    sections.map(|range| bytes[range].to_vec()).collect()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn valid(bytes: &[u8]) {
    Validator::new().validate_all(bytes).unwrap();
}

#[test]
fn a_relayed_policy_is_the_same_but_for_one_more_module() {
    let guest = Guest::judging(["msr", "pio"])
        .exporting("state")
        .importing("alert", "raise");
    let bytes = guest.build();
    let other = relayed(&bytes).expect("wit-component has made it");
    valid(&other);
    let (one, two) = (inspect(&bytes).unwrap(), inspect(&other).unwrap());
    assert_eq!(one.provides, two.provides);
    assert_eq!(one.functions, two.functions);
    assert_eq!(one.footprint.modules + 1, two.footprint.modules);
    let (before, after) = (sections(&bytes), sections(&other));
    let kept = after.iter().filter(|one| before.contains(one)).count();
    // The module with its three sections, and its instance.
    assert_eq!(after.len(), before.len() + 5);
    // Beside these, only aliases are not what they were.
    let aliases = Parser::new(0).parse_all(&other).map(Result::unwrap);
    let aliases = aliases.filter(|one| matches!(one, Payload::ComponentAliasSection(_)));
    assert!(kept + 5 + aliases.count() >= after.len(), "{kept}");
}

#[test]
fn all_lifted_functions_come_from_the_relay() {
    let bytes = Guest::judging(["msr", "pio"]).build();
    let other = relayed(&bytes).unwrap();
    let outline = super::Outline::read(&other).unwrap();
    let last = outline.lifting().expect("the relay is before");
    let from: Vec<_> = last.iter().flat_map(|one| outline.lifted(one)).collect();
    assert_eq!(from.len(), 5, "init, and filters and judge of two kinds");
    assert!(from.iter().all(|one| one.instance == from[0].instance));
}

/// `$m` has a function; what is lifted, in these words.
fn lifting(lifted: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const 7))
            (core instance $a (instantiate $m))
            {lifted})"#
    ))
}

#[test]
fn one_function_that_is_lifted_twice_is_relayed_once() {
    let bytes = lifting(
        r#"(alias core export $a "f" (core func $f))
           (func $one (result u32) (canon lift (core func $f)))
           (export "one" (func $one))
           (alias core export $a "f" (core func $g))
           (func $two (result s32) (canon lift (core func $g)))
           (export "two" (func $two))"#,
    );
    let other = relayed(&bytes).expect("as usual");
    valid(&other);
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(&other).map(Result::unwrap) {
        if let Payload::ExportSection(section) = payload {
            exports.push(section.count());
        }
    }
    assert_eq!(exports, [1, 1], "the module's, and the relay's");
}

#[test]
fn what_another_instance_has_stays_with_it() {
    let bytes = lifting(
        r#"(core instance $b (instantiate $m))
           (alias core export $a "f" (core func $f))
           (alias core export $b "f" (core func $g))
           (func $one (result u32) (canon lift (core func $f)))
           (func $two (result u32) (canon lift (core func $g)))
           (export "one" (func $one))
           (export "two" (func $two))"#,
    );
    let other = relayed(&bytes).expect("one of them");
    valid(&other);
}

#[test]
fn what_is_made_after_it_was_lifted_leaves_all_as_it_is() {
    let nothing = lifting("");
    assert!(relayed(&nothing).is_none());
    let late = lifting(
        r#"(alias core export $a "f" (core func $f))
           (func $one (result u32) (canon lift (core func $f)))
           (export "one" (func $one))
           (core instance $b (instantiate $m))"#,
    );
    assert!(relayed(&late).is_none());
    assert!(relayed(&wat("(module)")).is_none());
}

#[test]
fn whatever_the_bytes_are_nothing_panics() {
    let mut bytes = Guest::judging(["msr"]).build();
    for at in 0..bytes.len() {
        assert!(relayed(&bytes[..at]).is_none_or(|other| other.len() > at));
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let _ = relayed(&bytes);
            bytes[at] ^= 1 << bit;
        }
    }
}
