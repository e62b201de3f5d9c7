//! Whether the interfaces of a plugin are those of the WIT package, function by function. Runs no
//! code of it.

use std::collections::BTreeSet;

use anyhow::Context;
use oriel_policy::Inspection;
use oriel_protocol::Right;
use wit_component::targets;
use wit_parser::{PackageId, Resolve};

use crate::bundle::{self, WIT_VERSION};

/// What is missing or other than it should be.
pub(super) fn misfits(bytes: &[u8], inspection: &Inspection) -> anyhow::Result<Vec<String>> {
    let mut resolve = Resolve::default();
    let package = bundle::push_wit(&mut resolve)?;
    let mut misfits = missing(&resolve, package, inspection);
    if misfits.is_empty() {
        misfits.extend(mismatch(resolve, bytes, inspection)?);
    }
    Ok(misfits)
}

/// Functions that an exported interface should have and has not.
fn missing(resolve: &Resolve, package: PackageId, inspection: &Inspection) -> Vec<String> {
    let interfaces = &resolve.packages[package].interfaces;
    let mut missing = Vec::new();
    for (name, has) in &inspection.provides {
        let Some(interface) = interfaces.get(name) else {
            continue;
        };
        let has: BTreeSet<_> = has.iter().map(String::as_str).collect();
        let wanted = resolve.interfaces[*interface].functions.keys();
        for function in wanted.filter(|function| !has.contains(function.as_str())) {
            missing.push(format!(
                "it exports `{name}` without the function `{function}`"
            ));
        }
    }
    missing
}

/// The first thing that has another type than it should have.
fn mismatch(
    mut resolve: Resolve,
    bytes: &[u8],
    inspection: &Inspection,
) -> anyhow::Result<Option<String>> {
    let package = resolve
        .push_source("world.wit", &world(inspection))
        .context("the world of the check")?;
    let world = resolve.select_world(&[package], None)?;
    let answer = targets(&resolve, world, bytes);
    Ok(answer.err().map(|error| {
        let why = error.root_cause().to_string();
        format!(
            "an interface of it has another type than Oriel's; build it against wit/ again: {why}"
        )
    }))
}

/// A world of all that it exports, and of all that there is to import.
fn world(inspection: &Inspection) -> String {
    let name = |interface: &str| format!("oriel:introspection/{interface}@{WIT_VERSION}");
    let rights = Right::ALL.iter().map(|right| right.name());
    let imports = std::iter::once("types").chain(rights);
    let imports = imports.map(|right| format!("    import {};\n", name(right)));
    let exports = inspection.exports.iter();
    let exports = exports.map(|one| format!("    export {};\n", name(one)));
    let lines: String = imports.chain(exports).collect();
    format!("package oriel:check;\nworld plugin {{\n{lines}}}\n")
}
