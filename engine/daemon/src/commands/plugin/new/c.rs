//! A project in C: the policy, its world, and what there is instead of a library.

use super::{Begun, Files, Kind, bundled, kinds::GUARDED, world};

/// Its files.
pub(super) fn files(begun: &Begun<'_>) -> Files {
    let mut files = vec![
        (
            "README.md".into(),
            begun.fill(include_str!("../../../../templates/c/README.md.txt")),
        ),
        ("src/policy.c".into(), source(begun)),
    ];
    // A policy in C has no panics to report: it does without the log.
    let rights = begun.rights().into_iter().filter(|right| *right != "log");
    files.extend(world::files(begun, rights));
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
