//! A project in C: the policy, its world, the WIT package, and what there is instead of a library.

use super::{Begun, Files, Kind, bundled, kinds::GUARDED};
use crate::bundle::{self, WIT_VERSION};

/// Where the WIT package lies in a project.
const WIT: &str = "wit/deps/oriel-introspection";

/// Its files.
pub(super) fn files(begun: &Begun<'_>) -> Files {
    let mut files = vec![
        (
            "README.md".into(),
            begun.fill(include_str!("../../../../templates/c/README.md.txt")),
        ),
        ("src/policy.c".into(), source(begun)),
        ("wit/world.wit".into(), world(begun)),
    ];
    let wit: Vec<_> = bundle::WIT
        .iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("wit/")?, *text)))
        .filter(|(path, _)| path.ends_with(".wit"))
        .collect();
    files.extend(bundled(WIT, &wit));
    files.extend(bundled("vendor/oriel-c", &LIBRARY));
    files
}

const LIBRARY: [(&str, &str); 3] = [
    (
        "memory.c",
        include_str!("../../../../templates/c/vendor/memory.c"),
    ),
    (
        "stdlib.h",
        include_str!("../../../../templates/c/vendor/stdlib.h"),
    ),
    (
        "string.h",
        include_str!("../../../../templates/c/vendor/string.h"),
    ),
];

fn source(begun: &Begun<'_>) -> String {
    let mut text = begun.fill(include_str!("../../../../templates/c/head.c.txt"));
    for kind in &begun.kinds {
        text += &judge(kind);
    }
    text
}

fn judge(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/c/msr.c.txt").into();
    }
    let own = format!("exports_oriel_introspection_judge_{}_", kind.module);
    include_str!("../../../../templates/c/kind.c.txt")
        .replace("{KIND}", kind.name)
        .replace("{MODULE}", kind.module)
        .replace("{PARAMETERS}", &kind.parameters.replace('~', &own))
}

/// The interfaces that it uses, and no other.
fn world(begun: &Begun<'_>) -> String {
    // A policy in C has no panics to report: it does without the log.
    let rights = begun.rights().into_iter().filter(|right| *right != "log");
    let imports = rights.map(|right| format!("    import {};\n", interface(right)));
    let judges = begun
        .kinds
        .iter()
        .map(|kind| format!("judge-{}", kind.name));
    let exports = std::iter::once("lifecycle".to_owned()).chain(judges);
    let exports = exports.map(|name| format!("    export {};\n", interface(&name)));
    let lines: String = imports.chain(exports).collect();
    format!(
        "package local:{};\n\nworld policy {{\n{lines}}}\n",
        begun.name
    )
}

fn interface(name: &str) -> String {
    format!("oriel:introspection/{name}@{WIT_VERSION}")
}
