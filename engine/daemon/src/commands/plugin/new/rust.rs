//! A project in Rust: the policy with its tests, and the SDK beside it.

use super::{Begun, Files, Kind, bundled, kinds::GUARDED};
use crate::bundle;

/// Where the SDK's WIT lies in a project.
const SDK: &str = "vendor/oriel-sdk";

/// Its files.
pub(super) fn files(begun: &Begun<'_>) -> Files {
    let mut files = vec![
        (
            "Cargo.toml".into(),
            begun.fill(include_str!("../../../../templates/rust/Cargo.toml.txt")),
        ),
        ("Cargo.lock".into(), lock(begun)),
        (
            "README.md".into(),
            begun.fill(include_str!("../../../../templates/rust/README.md.txt")),
        ),
        ("src/lib.rs".into(), source(begun)),
    ];
    for package in bundle::PACKAGES {
        let folder = format!("vendor/{}", package.name);
        let manifest = format!("{folder}/Cargo.toml");
        files.push((manifest.into(), package.manifest.into()));
        files.extend(bundled(&folder, package.sources));
    }
    files.extend(bundled(SDK, bundle::WIT));
    files
}

/// The releases that the SDK was tested with.
fn lock(begun: &Begun<'_>) -> String {
    format!(
        "version = 4\n\n[[package]]\nname = \"{}\"\nversion = \"0.1.0\"\n\
         dependencies = [\n \"oriel-sdk\",\n]\n{}",
        begun.name,
        bundle::LOCK
    )
}

fn source(begun: &Begun<'_>) -> String {
    let head = begun.fill(include_str!("../../../../templates/rust/head.rs.txt"));
    let mut text = head.replace("{USES}", &uses(begun));
    for kind in &begun.kinds {
        text += &judge(kind);
    }
    let modules: Vec<_> = begun.kinds.iter().map(|kind| kind.module).collect();
    text += &format!("\noriel_sdk::export!(Guard: {});\n", modules.join(", "));
    text += &begun.fill(include_str!("../../../../templates/rust/tests.rs.txt"));
    for kind in &begun.kinds {
        text += &test(kind);
    }
    text + "}\n"
}

/// What the judges use besides, in a line for each sort of judge.
fn uses(begun: &Begun<'_>) -> String {
    let mut lines = String::new();
    if begun.guards_lstar() {
        lines += "use oriel_sdk::{Alert, Severity, Store, hex, msr};\n";
    }
    if begun.counts() {
        let others = begun.kinds.iter().filter(|kind| kind.name != GUARDED);
        let modules: Vec<_> = others.map(|kind| kind.module).collect();
        lines += &format!("use oriel_sdk::{{Metrics, {}}};\n", modules.join(", "));
    }
    lines
}

fn judge(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/rust/msr.rs.txt").into();
    }
    filled(include_str!("../../../../templates/rust/kind.rs.txt"), kind)
}

fn test(kind: &Kind) -> String {
    if kind.name == GUARDED {
        return include_str!("../../../../templates/rust/msr_test.rs.txt").into();
    }
    filled(
        include_str!("../../../../templates/rust/kind_test.rs.txt"),
        kind,
    )
}

fn filled(template: &str, kind: &Kind) -> String {
    template
        .replace("{KIND}", kind.name)
        .replace("{MODULE}", kind.module)
        .replace("{EVENT}", kind.event)
        .replace("{LITERAL}", kind.literal)
}
