//! What is loaded, and what is refused with which words.

use oriel_protocol::EventKind;

use super::*;
use crate::{LoadError, Manifest, inspect, write_manifest};

/// The whole text of an error, causes included.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn refused(bytes: &[u8]) -> String {
    let inspected = inspect(bytes).map(drop).map_err(|error| told(&error));
    let loaded = HOST
        .load("guest", bytes)
        .map(drop)
        .map_err(|error| told(&error));
    assert_eq!(inspected, loaded, "inspecting and loading agree");
    loaded.expect_err("refused")
}

#[test]
fn what_is_no_component_is_named_with_the_next_step() {
    let module = wat::parse_str("(module)").unwrap();
    let mut unknown = module.clone();
    unknown[4] = 9;
    let good = Guest::judging(["msr"]).build();
    let table: [(&str, &[u8], &str); 8] = [
        ("empty", b"", "the file is empty; build the policy again"),
        (
            "text",
            b"\n  (component)",
            "this is WebAssembly text, not a binary; translate it with `wasm-tools parse`",
        ),
        (
            "garbage",
            b"#!/bin/sh",
            "this is not WebAssembly; a policy is a component",
        ),
        (
            "a module",
            &module,
            "this is a core module, not a component; make one with",
        ),
        ("another version", &unknown, "unknown version (0x00000009)"),
        ("half a preamble", b"\0asm\x0d", "cut off"),
        (
            "cut in a section",
            &good[..good.len() - 3],
            "is not all there; copy it again",
        ),
        (
            "an empty component",
            &good[..8],
            "it is a component of another world: none of its exports (none)",
        ),
    ];
    for (what, bytes, expected) in table {
        let told = refused(bytes);
        assert!(told.contains(expected), "{what}: {told}");
    }
}

#[test]
fn foreign_imports_are_refused_by_name() {
    let wasi = Guest::judging(["msr"])
        .package("package wasi:clocks@0.2.0; interface wall-clock { now: func() -> u64; }")
        .world("import wasi:clocks/wall-clock@0.2.0;")
        .raw(r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func (result i64)))"#)
        .build();
    let told = refused(&wasi);
    assert!(told.contains("`wasi:clocks/wall-clock@0.2.0`"), "{told}");
    assert!(told.contains("build it without WASI"), "{told}");

    let bare = Guest::judging(["msr"])
        .world("import read-everything: func();")
        .raw(r#"(import "$root" "read-everything" (func))"#)
        .build();
    let told = refused(&bare);
    assert!(told.contains("`read-everything`"), "{told}");
}

#[test]
fn unknown_interfaces_of_ours_are_refused_by_name() {
    let import = Guest::judging(["msr"])
        .edited(
            "interface memory-words {",
            "interface disk-read { read: func(); }\ninterface memory-words {",
        )
        .importing("disk-read", "read");
    let told = refused(&import.build());
    assert!(
        told.contains("imports `oriel:introspection/disk-read`"),
        "{told}"
    );

    let export = Guest::new()
        .edited(
            "interface judge-reset {",
            "interface judge-moon { rise: func(); }\ninterface judge-reset {",
        )
        .exporting("judge-moon");
    let told = refused(&export.build());
    assert!(
        told.contains("exports `oriel:introspection/judge-moon`"),
        "{told}"
    );
}

#[test]
fn the_patch_level_of_the_version_is_free() {
    let guest = Guest::judging(["msr"])
        .importing("alert", "raise")
        .version("0.1.7");
    let (mut guard, slot) = instance(&guest);
    let event = msr();
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Ok(oriel_protocol::Verdict::Continue));
}

#[test]
fn another_version_is_refused_by_name() {
    for version in ["0.2.0", "1.1.0", "0.1.0-rc.1"] {
        let told = refused(&Guest::judging(["msr"]).version(version).build());
        assert!(
            told.contains(&format!(
                "@{version}`: this Oriel speaks oriel:introspection 0.1.0"
            )),
            "{told}"
        );
    }
}

#[test]
fn a_component_of_another_world_is_refused() {
    let other = Guest::new()
        .without_lifecycle()
        .world("export add: func(a: u32) -> u32;")
        .raw(r#"(func (export "add") (param i32) (result i32) (local.get 0))"#)
        .build();
    let told = refused(&other);
    assert!(
        told.contains("another world: none of its exports (add)"),
        "{told}"
    );

    let told = refused(&Guest::judging(["msr"]).without_lifecycle().build());
    assert!(
        told.contains("does not export `oriel:introspection/lifecycle`"),
        "{told}"
    );
}

#[test]
fn a_function_of_another_type_is_refused() {
    let narrow = Guest::judging(["msr"]).edited(
        "judge: func(at: moment, msr: u32",
        "judge: func(at: moment, msr: u64",
    );
    let error = prepare(&narrow, all()).unwrap_err();
    assert!(matches!(error, PrepareError::Export(_)), "{error}");
    assert!(told(&error).contains("judge-msr: "), "{error}");

    let without = Guest::judging(["reset"]).edited("judge: func(at: moment) -> verdict;", "");
    let error = prepare(&without, all()).unwrap_err();
    assert!(told(&error).contains("judge"), "{error}");
}

#[test]
fn a_function_that_this_host_lacks_is_refused_by_name() {
    let newer = Guest::judging(["msr"])
        .version("0.1.9")
        .edited("read-u64: func(gpa: u64) -> result<u64, refusal>;", "read-u64: func(gpa: u64) -> result<u64, refusal>;\nread-u128: func(gpa: u64) -> result<u64, refusal>;")
        .importing("memory-read", "read-u128");
    let error = prepare(&newer, all()).unwrap_err();
    assert!(matches!(error, PrepareError::Import(_)), "{error}");
    assert!(told(&error).contains("read-u128"), "{error}");
}

#[test]
fn a_policy_from_before_an_imported_interface_grew_loads() {
    let older = Guest::judging(["breakpoint"])
        .edited(
            "use types.{refusal, access};\n\n    /// Where a breakpoint is.",
            "use types.{refusal};\n\n    /// Where a breakpoint is.",
        )
        .edited(
            "set-hardware-breakpoint: func(gva: u64, tag: u64) -> result<_, refusal>;",
            "",
        )
        .edited(
            "set-watchpoint: func(gva: u64, length: u8, on: access, tag: u64) -> result<_, refusal>;",
            "",
        );
    let known = older.functions("intercept");
    assert_eq!(known.len(), 6, "{known:?}");
    let importing = |guest: Guest, function: &String| guest.importing("intercept", function);
    let older = known.iter().fold(older, importing);
    assert!(prepare(&older, all()).is_ok());
}

#[test]
fn exports_are_what_it_hears_and_imports_are_what_it_may_do() {
    let guest = Guest::judging(["msr", "page"])
        .exporting("notice-unhook")
        .exporting("observe")
        .importing("memory-read", "read-u64")
        .importing("alert", "raise");
    let found = inspect(&guest.build()).unwrap();
    let heard: Vec<_> = found.hears.iter().collect();
    assert_eq!(heard, [EventKind::Msr, EventKind::Page, EventKind::Unhook]);
    assert_eq!(found.asks, [Right::MemoryRead, Right::Alert]);
    let functions = vec![
        (Right::MemoryRead, vec!["read-u64".to_owned()]),
        (Right::Alert, vec!["raise".to_owned()]),
    ];
    assert_eq!(found.functions, functions);
    let mut exports = found.exports;
    exports.sort_unstable();
    assert_eq!(
        exports,
        [
            "judge-msr",
            "judge-page",
            "lifecycle",
            "notice-unhook",
            "observe"
        ]
    );
}

#[test]
fn a_manifest_is_read_back_as_it_was_written() {
    let manifest = Manifest {
        name: "guard".into(),
        rights: Some([Right::Alert].into()),
        ..Manifest::default()
    };
    let component = Guest::judging(["msr"]).build();
    let with = write_manifest(&component, &manifest).unwrap();
    let found = inspect(&with).unwrap();
    assert!(found.has_manifest && !inspect(&component).unwrap().has_manifest);
    assert_eq!(found.manifest, manifest);
    let again = write_manifest(&with, &manifest).unwrap();
    assert_eq!(again, with, "the old one is replaced");
    HOST.load("guard", &with).unwrap();
}

#[test]
fn rights_beside_the_manifest_are_refused_by_name() {
    let manifest = Manifest {
        rights: Some([Right::Alert].into()),
        ..Manifest::default()
    };
    let guest = Guest::judging(["msr"])
        .importing("log", "write")
        .importing("alert", "raise")
        .importing("memory-write", "write");
    let bytes = write_manifest(&guest.build(), &manifest).unwrap();
    let error = HOST.load("guard", &bytes).map(drop).unwrap_err();
    assert!(
        matches!(error, LoadError::Undeclared(Right::MemoryWrite)),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("add it to `rights` in the manifest"),
        "{error}"
    );
}

/// A custom section behind a component.
fn with_section(component: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    use wasm_encoder::Encode;
    let mut bytes = component.to_vec();
    bytes.push(0);
    let section = wasm_encoder::CustomSection {
        name: name.into(),
        data: data.into(),
    };
    section.encode(&mut bytes);
    bytes
}

#[test]
fn the_signature_is_last_and_outside_the_digest() {
    let component = Guest::judging(["msr"]).build();
    let signed = with_section(&component, "oriel:signature", b"sixty-four bytes");
    let (plain, with) = (inspect(&component).unwrap(), inspect(&signed).unwrap());
    assert!(with.signed && !plain.signed);
    assert_eq!(with.digest, plain.digest);
    assert_eq!(with.digest.to_string().len(), 64);
    HOST.load("guard", &signed).unwrap();

    for behind in ["oriel:manifest", "oriel:signature", "name"] {
        let told = refused(&with_section(&signed, behind, b"{}"));
        assert!(
            told.contains(&format!("behind its signature, at {}", signed.len())),
            "{told}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_manifest_is_said() {
    let component = Guest::judging(["msr"]).build();
    let table = [
        (&b"{"[..], "EOF"),
        (br#"{"rihgts":[]}"#, "unknown field `rihgts`"),
        (br#"{"rights":["root"]}"#, "`root` is no right"),
        (
            br#"{"on-failure":{"moon":"open"}}"#,
            "`moon` is no kind of event",
        ),
        (
            br#"{"on-failure":{"msr":"ajar"}}"#,
            "unknown variant `ajar`",
        ),
        (br#"{"deadlines":{"event-ms":0}}"#, "`event-ms` is 0"),
        (
            br#"{"config":{"a":{"type":"number","default":"x"}}}"#,
            "`config.a` must be a number",
        ),
        (
            br#"{"config":{"a":{"type":"number","default":1,"required":true}}}"#,
            "`config.a` is required and has a default",
        ),
    ];
    for (json, expected) in table {
        let told = refused(&with_section(&component, "oriel:manifest", json));
        assert!(told.contains(expected), "{told}");
    }
    let twice = with_section(
        &with_section(&component, "oriel:manifest", b"{}"),
        "oriel:manifest",
        b"{}",
    );
    let told = refused(&twice);
    assert!(told.contains("2 sections `oriel:manifest`"), "{told}");
    let long = with_section(&component, "oriel:manifest", &[b' '; 70_000]);
    assert!(refused(&long).contains("70000 bytes"));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_inspection_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256)) {
        let _ = inspect(&bytes);
        let _ = inspect(&[&b"\0asm\x0d\0\x01\0"[..], &bytes].concat());
    }

    #[test]
    fn no_damage_makes_the_inspection_panic(at in 0..4000usize, byte in proptest::num::u8::ANY) {
        static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| Guest::judging(["msr"]).build());
        let mut bytes = GOOD.clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = inspect(&bytes);
    }
}
