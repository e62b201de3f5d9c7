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
    if misfits.is_empty() && speaks_our_version(bytes) {
        misfits.extend(mismatch(resolve, bytes, inspection)?);
    }
    Ok(misfits)
}

/// Whether all interfaces that it names are of the very version that travels with the program. Types
/// of another patch level are the loader's to compare, which does so by what is used.
fn speaks_our_version(bytes: &[u8]) -> bool {
    const PACKAGE: &[u8] = b"oriel:introspection/";
    let named = bytes.windows(PACKAGE.len()).enumerate();
    let places = named
        .filter(|(_, window)| *window == PACKAGE)
        .map(|(at, _)| at + PACKAGE.len());
    let versions = places.filter_map(|at| {
        let rest = bytes.get(at..)?.split(|byte| *byte == b'@').nth(1)?;
        rest.get(..WIT_VERSION.len())
    });
    versions
        .into_iter()
        .all(|version| version == WIT_VERSION.as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;
    use oriel_policy::inspect;

    /// What is wrong with a component that exports this as `lifecycle`.
    fn lifecycle(functions: &str) -> Vec<String> {
        let text = format!(
            r#"(component
                (core module $module (func (export "nothing")))
                (core instance $core (instantiate $module))
                (func $nothing (canon lift (core func $core "nothing")))
                (instance $interface {functions})
                (export "oriel:introspection/lifecycle@0.1.0" (instance $interface)))"#
        );
        let bytes = wat::parse_str(text).expect("a component");
        let inspection = inspect(&bytes).expect("it exports what every policy does");
        misfits(&bytes, &inspection).expect("it can be compared")
    }

    #[test]
    fn a_function_that_is_missing_is_named() {
        let missing = "it exports `lifecycle` without the function `init`";
        assert_eq!(lifecycle(""), [missing]);
    }

    #[test]
    fn a_function_of_another_type_is_found() {
        let found = lifecycle(r#"(export "init" (func $nothing))"#);
        assert!(found[0].contains("type mismatch for export `oriel:introspection/lifecycle"));
    }
}
