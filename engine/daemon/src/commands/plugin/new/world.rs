//! The world of a project that has no SDK: a file with the interfaces that it uses, and the package that they are from.

use super::{Begun, Files, bundled};
use crate::bundle::{self, WIT_VERSION};

/// Where the WIT package lies in a project.
const WIT: &str = "wit/deps/oriel-introspection";

/// Its files, for a policy that uses these rights.
pub(super) fn files(begun: &Begun<'_>, rights: impl Iterator<Item = &'static str>) -> Files {
    let mut files = vec![("wit/world.wit".into(), world(begun, rights))];
    let wit: Vec<_> = bundle::WIT
        .iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("wit/")?, *text)))
        .filter(|(path, _)| path.ends_with(".wit"))
        .collect();
    files.extend(bundled(WIT, &wit));
    files
}

/// The interfaces that it uses, and no other.
fn world(begun: &Begun<'_>, rights: impl Iterator<Item = &'static str>) -> String {
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
