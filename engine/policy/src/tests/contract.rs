//! `wit/` and the tables say the same.

use oriel_protocol::{
    Decision, EventKind, Refusal, Right, Rings, VerdictSet,
    commands::service::{Level, Severity},
    events::EventClass,
    x86::Register,
};
use serde::Serialize;
use wit_parser::{Interface, Resolve, TypeDef, TypeDefKind, abi::AbiVariant};

use super::guest::wit;

/// The most parameters that a call passes without going through memory.
const FLAT_MAX: usize = 16;

fn contract() -> Resolve {
    let mut resolve = Resolve::new();
    resolve.push_source("oriel.wit", &wit()).unwrap();
    resolve
}

fn interface<'a>(resolve: &'a Resolve, name: &str) -> &'a Interface {
    let mut all = resolve.interfaces.iter().map(|(_, interface)| interface);
    let found = all.find(|interface| interface.name.as_deref() == Some(name));
    found.unwrap_or_else(|| panic!("no interface `{name}`"))
}

fn interfaces(resolve: &Resolve) -> impl Iterator<Item = (&str, &Interface)> {
    let all = resolve.interfaces.iter().map(|(_, interface)| interface);
    all.filter_map(|interface| Some((interface.name.as_deref()?, interface)))
}

fn named<'a>(resolve: &'a Resolve, interface_name: &str, ty: &str) -> &'a TypeDef {
    &resolve.types[interface(resolve, interface_name).types[ty]]
}

/// The names of the cases of an enum or a variant, or of the bits of flags, in order.
fn cases(resolve: &Resolve, interface: &str, ty: &str) -> Vec<String> {
    let kind = &named(resolve, interface, ty).kind;
    if let TypeDefKind::Enum(list) = kind {
        return list.cases.iter().map(|case| case.name.clone()).collect();
    }
    if let TypeDefKind::Flags(list) = kind {
        return list.flags.iter().map(|flag| flag.name.clone()).collect();
    }
    if let TypeDefKind::Variant(list) = kind {
        return list.cases.iter().map(|case| case.name.clone()).collect();
    }
    panic!("{kind:?} has no cases")
}

/// The words of values as they are serialized, which is how they are spelled everywhere.
fn words<T: Serialize>(values: &[T]) -> Vec<String> {
    let word = |value| {
        serde_json::to_value(value)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    values.iter().map(word).collect()
}

#[test]
fn every_kind_has_its_interface_and_no_other_is_there() {
    let resolve = contract();
    let of_class = |class, prefix: &str| -> Vec<String> {
        let kinds = EventKind::ALL.iter().filter(|kind| kind.class() == class);
        kinds
            .map(|kind| format!("{prefix}{}", kind.name()))
            .collect()
    };
    for (class, prefix) in [
        (EventClass::Vcpu, "judge-"),
        (EventClass::Notice, "notice-"),
    ] {
        let mut expected = of_class(class, prefix);
        let known = interfaces(&resolve).map(|(name, _)| name);
        let mut there: Vec<_> = known.filter(|name| name.starts_with(prefix)).collect();
        expected.sort_unstable();
        there.sort_unstable();
        assert_eq!(there, expected);
    }
}

#[test]
fn every_right_is_an_interface_with_functions_and_the_other_way_round() {
    let resolve = contract();
    for right in Right::ALL {
        let functions = &interface(&resolve, right.name()).functions;
        assert!(!functions.is_empty(), "{}", right.name());
    }
    let exported = ["lifecycle", "state", "tick", "observe"];
    let imported = interfaces(&resolve).filter(|(name, _)| {
        !name.starts_with("judge-") && !name.starts_with("notice-") && !exported.contains(name)
    });
    for (name, interface) in imported {
        let carries = !interface.functions.is_empty();
        assert_eq!(Right::by_name(name).is_some(), carries, "{name}");
    }
}

#[test]
fn shared_words_have_the_same_order() {
    let resolve = contract();
    let kinds = EventKind::ALL
        .iter()
        .filter(|kind| kind.class() != EventClass::Wire);
    let kinds: Vec<_> = kinds.map(|kind| kind.name()).collect();
    assert_eq!(cases(&resolve, "types", "event-kind"), kinds);
    let verdicts: Vec<_> = VerdictSet::ALL.names().collect();
    assert_eq!(cases(&resolve, "types", "verdicts"), verdicts);
    assert_eq!(cases(&resolve, "types", "refusal"), words(&Refusal::ALL));
    let rings: Vec<_> = Rings::ALL.names().collect();
    assert_eq!(cases(&resolve, "types", "rings"), rings);
    let access: Vec<_> = oriel_protocol::Access::ALL.names().collect();
    assert_eq!(cases(&resolve, "types", "access"), access);
}

#[test]
fn decisions_are_the_verdicts_and_keep() {
    let mut expected: Vec<_> = VerdictSet::ALL.names().collect();
    expected.push(Decision::Keep.name());
    assert_eq!(cases(&contract(), "types", "decision"), expected);
}

#[test]
fn severities_levels_and_registers_are_spelled_alike() {
    let resolve = contract();
    use {Level as L, Register as R, Severity as S};
    let severities = words(&[S::Info, S::Low, S::Medium, S::High, S::Critical]);
    assert_eq!(cases(&resolve, "alert", "severity"), severities);
    let levels = words(&[L::Trace, L::Debug, L::Info, L::Warn, L::Error]);
    assert_eq!(cases(&resolve, "log", "level"), levels);
    let general = [
        R::Rax,
        R::Rbx,
        R::Rcx,
        R::Rdx,
        R::Rsi,
        R::Rdi,
        R::Rsp,
        R::Rbp,
        R::R8,
        R::R9,
        R::R10,
        R::R11,
        R::R12,
        R::R13,
        R::R14,
        R::R15,
        R::Rip,
        R::Rflags,
    ];
    let special = [
        R::Cr0,
        R::Cr2,
        R::Cr3,
        R::Cr4,
        R::Cr8,
        R::Efer,
        R::FsBase,
        R::GsBase,
        R::IdtBase,
        R::GdtBase,
    ];
    let registers = words(&[&general[..], &special[..]].concat());
    assert_eq!(cases(&resolve, "x86-registers-read", "register"), registers);
}

#[test]
fn a_kinds_verdicts_are_those_of_its_row() {
    let resolve = contract();
    for kind in EventKind::ALL
        .iter()
        .filter(|kind| kind.class() == EventClass::Vcpu)
    {
        let interface = format!("judge-{}", kind.name());
        let verdicts: Vec<_> = kind.verdicts().names().collect();
        assert_eq!(
            cases(&resolve, &interface, "verdict"),
            verdicts,
            "{}",
            kind.name()
        );
    }
}

#[test]
fn a_call_passes_its_parameters_without_going_through_memory() {
    let resolve = contract();
    let called = interfaces(&resolve).filter(|(name, _)| Right::by_name(name).is_none());
    for (name, interface) in called {
        for (function, ty) in &interface.functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, ty);
            assert!(!signature.indirect_params, "{name} {function}");
            assert!(signature.params.len() <= FLAT_MAX, "{name} {function}");
        }
    }
}

#[test]
fn every_exported_interface_is_one_that_the_host_knows() {
    let resolve = contract();
    let called = interfaces(&resolve).filter(|(_, interface)| !interface.functions.is_empty());
    for (name, _) in called.filter(|(name, _)| Right::by_name(name).is_none()) {
        let full = format!("oriel:introspection/{name}@0.1.0");
        let export = crate::inspect::Export::named(&full).unwrap();
        assert_eq!(
            export.map(|export| export.interface()).as_deref(),
            Some(name)
        );
    }
}
