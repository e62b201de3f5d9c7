//! A project in Python: the policy with its native tests, and its world.

use oriel_build::python::RELEASE;

use super::{Begun, Files, Kind, kinds::GUARDED, world};

/// Its files.
pub(super) fn files(begun: &Begun<'_>) -> Files {
    let mut files = vec![
        (
            "README.md".into(),
            begun
                .fill(include_str!("../../../../templates/python/README.md.txt"))
                .replace("{RELEASE}", RELEASE),
        ),
        ("src/policy.py".into(), source(begun)),
        ("tests/test_policy.py".into(), tests(begun)),
    ];
    files.extend(world::files(begun, begun.rights().into_iter()));
    files
}

fn source(begun: &Begun<'_>) -> String {
    let head = begun.fill(include_str!("../../../../templates/python/head.py.txt"));
    let mut text = head.replace("{USES}", &uses(begun));
    for kind in &begun.kinds {
        text += &judge(kind);
    }
    text
}

/// The modules of the bindings that it uses.
fn uses(begun: &Begun<'_>) -> String {
    let mut exports: Vec<_> = begun.kinds.iter().map(|kind| module(kind)).collect();
    exports.sort();
    let mut imports = begun.rights();
    imports.extend(begun.guards_lstar().then_some("types"));
    imports.sort_unstable();
    format!(
        "from componentize_py_types import Err\nfrom wit_world import exports\nfrom wit_world.exports import {}\n\
         from wit_world.imports import {}\n",
        exports.join(", "),
        imports.join(", ")
    )
}

fn judge(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/python/msr.py.txt").into();
    }
    filled(
        include_str!("../../../../templates/python/kind.py.txt"),
        kind,
    )
}

fn tests(begun: &Begun<'_>) -> String {
    let mut exports: Vec<_> = begun.kinds.iter().map(|kind| module(kind)).collect();
    exports.sort();
    let head = include_str!("../../../../templates/python/test_head.py.txt");
    let mut text = head.replace("{EXPORTS}", &exports.join(", "));
    for kind in &begun.kinds {
        text += &test(kind);
    }
    text + "\n\nif __name__ == \"__main__\":\n    unittest.main()\n"
}

fn test(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/python/msr_test.py.txt").into();
    }
    filled(
        include_str!("../../../../templates/python/kind_test.py.txt"),
        kind,
    )
}

fn filled(template: &str, kind: &Kind) -> String {
    let names: String = kind
        .names()
        .map(|name| format!(", {}", name.replace('-', "_")))
        .collect();
    template
        .replace("{KIND}", kind.name)
        .replace("{MODULE}", &module(kind))
        .replace("{CLASS}", &class(kind))
        .replace("{PARAMETERS}", &names)
        .replace("{NOTHING}", &", None".repeat(kind.names().count()))
}

/// What its interface is called in the bindings.
fn module(kind: &Kind) -> String {
    format!("judge_{}", kind.module)
}

/// The class that the bindings ask for: every word of the interface's name with a capital.
fn class(kind: &Kind) -> String {
    let words = kind.name.split('-').map(capital);
    format!("Judge{}", words.collect::<String>())
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
